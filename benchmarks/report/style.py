"""One look for all plots: a library has the same colour, mark and line everywhere."""

from results import YARDSTICK

# Colours of Okabe & Ito, and of Paul Tol for what they do not reach: told apart by the colour-blind. The marks differ too.
_LOOKS = {
    "xsoftmax": ("#D55E00", "o"),
    "xsoftmax by row": ("#E69F00", "d"),
    "oneDNN": ("#0072B2", "s"),
    "XNNPACK": ("#009E73", "^"),
    "ONNX Runtime": ("#CC79A7", "D"),
    "PyTorch": ("#E69F00", "v"),
    "Eigen": ("#56B4E9", "P"),
    "Highway": ("#882255", "X"),
    "SLEEF": ("#999933", "h"),
    "plain loop, degree 5": ("#117733", "H"),
    "xsimd loop": ("#332288", "<"),
    "reference": ("#555555", "p"),
    "reference -Ofast": ("#999999", ">"),
}

# Of this library's kernels, in plots of their own: by instruction set.
_KERNELS = {
    "dispatch": ("#E69F00", "*"),
    "avx512": ("#D55E00", "o"),
    "avx2": ("#0072B2", "s"),
    "sse2": ("#009E73", "^"),
    "neon64": ("#CC79A7", "D"),
    "sve128": ("#44AA99", "P"),
    "sve256": ("#882255", "X"),
    "sve512": ("#117733", "v"),
    "scalar": ("#AA4499", "h"),
}
_OTHER = ("#661100", "8")

_LIMITS = {
    "bare exp": ("#000000", (0, (1, 1))),
    "memcpy": ("#000000", (0, (5, 2))),
    "streaming copy": ("#000000", (0, (5, 1, 1, 1))),
    "streaming sum": ("#000000", (0, (2, 2))),
}

ORDER = list(_LOOKS) + list(_KERNELS)

# Said in words where nobody knows the short name.
NAMES = {
    "reference": "scalar reference",
    "reference -Ofast": "scalar reference, -Ofast",
    "xsimd loop": "plain loop, xsimd::exp",
    "SLEEF": "plain loop, SLEEF",
    "Highway": "plain loop, Highway",
    "bare exp": "limit: exp alone",
    "memcpy": "limit: memcpy",
    "streaming copy": "limit: streaming copy",
    "streaming sum": "limit: streaming sum of two",
}


def name(label):
    return NAMES.get(label, label)


def _kernel(label):
    """The instruction set of "xsoftmax avx2"."""
    return label.split()[-1]


def _look(label):
    return _LOOKS.get(label) or _KERNELS.get(_kernel(label), _OTHER)


def colour(label):
    return _LIMITS[label][0] if label in _LIMITS else _look(label)[0]


def fill(label):
    """Of a bar."""
    return "#c8c8c8" if label in _LIMITS else colour(label)


def line(label):
    """Arguments of plot()."""
    if label in _LIMITS:
        return {"color": _LIMITS[label][0], "linestyle": _LIMITS[label][1], "linewidth": 1.3, "zorder": 1,
                "marker": ".", "markersize": 4}
    ours = label == "xsoftmax"
    is_yardstick = label.startswith(YARDSTICK)  # which has the colours of instruction sets, as the kernels do
    return {
        "color": colour(label),
        "marker": _look(label)[1],
        "markersize": 7 if ours else 5.5,
        "linewidth": 3 if ours else 1.5,
        "linestyle": "--" if is_yardstick else "-",
        "zorder": 5 if ours else 3,
    }


def sort(labels):
    """This library first, peers in one order, limits last."""
    def key(label):
        if label in _LIMITS:
            return 2, list(_LIMITS).index(label), label
        known = label if label in _LOOKS else _kernel(label)
        return (0, ORDER.index(known), label) if known in ORDER else (1, 0, label)
    return sorted(labels, key=key)
