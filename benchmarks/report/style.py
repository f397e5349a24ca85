"""One look for all plots: a library has the same colour, mark and line everywhere."""

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
    "xsimd loop": ("#332288", "<"),
    "reference": ("#555555", "p"),
    "reference -Ofast": ("#999999", ">"),
    "xsoftmax dispatch": ("#56B4E9", "P"),
    "xsoftmax avx512": ("#D55E00", "o"),
    "xsoftmax avx2": ("#0072B2", "s"),
    "xsoftmax sse2": ("#009E73", "^"),
    "xsoftmax short_row": ("#56B4E9", "v"),
    "xsoftmax two_pass": ("#0072B2", "s"),
    "xsoftmax three_pass": ("#009E73", "^"),
    "xsoftmax three_pass_in_double": ("#CC79A7", "D"),
    "xsoftmax neon64": ("#CC79A7", "D"),
    "xsoftmax sve": ("#882255", "X"),
}
_OTHERS = ["#117733", "#44AA99", "#AA4499", "#661100", "#6699CC", "#888888"]

_LIMITS = {
    "bare exp": ("#000000", (0, (1, 1))),
    "memcpy": ("#000000", (0, (5, 2))),
    "streaming copy": ("#000000", (0, (5, 1, 1, 1))),
}

ORDER = list(_LOOKS)

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
}


def name(label):
    return NAMES.get(label, label)


def colour(label):
    if label in _LOOKS:
        return _LOOKS[label][0]
    if label in _LIMITS:
        return _LIMITS[label][0]
    return _OTHERS[sum(map(ord, label)) % len(_OTHERS)]


def fill(label):
    """Of a bar."""
    return "#c8c8c8" if label in _LIMITS else colour(label)


def line(label):
    """Arguments of plot()."""
    if label in _LIMITS:
        return {"color": _LIMITS[label][0], "linestyle": _LIMITS[label][1], "linewidth": 1.3, "zorder": 1,
                "marker": ".", "markersize": 4}
    mark = _LOOKS.get(label, ("", "."))[1]
    ours = label == "xsoftmax"
    return {
        "color": colour(label),
        "marker": mark,
        "markersize": 7 if ours else 5.5,
        "linewidth": 3 if ours else 1.5,
        "zorder": 5 if ours else 3,
    }


def sort(labels):
    """This library first, peers in one order, limits last."""
    def key(label):
        if label in _LIMITS:
            return 2, list(_LIMITS).index(label), label
        return (0, ORDER.index(label), label) if label in ORDER else (1, 0, label)
    return sorted(labels, key=key)
