"""The plots of a report. Each function draws one and gives the figure, or None where nothing was measured for it."""

import math

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

import style
from results import YARDSTICK, is_sweep

plt.rcParams.update({
    "figure.figsize": (11, 6.2),
    "figure.dpi": 100,
    "figure.max_open_warning": 0,  # all are drawn before the first is saved
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 12,
    "svg.hashsalt": "xsoftmax",
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.15,
})


def _length(n, _=None):
    for power, unit in ((20, "M"), (10, "K")):
        if n >= 1 << power and n % (1 << power) == 0:
            return f"{int(n) >> power}{unit}"
    return f"{int(n):,}".replace(",", " ")


def _plain(value, _=None):
    return f"{value:g}"


def _titles(axes, title, subtitle, above=0, left=None):
    """Two lines over the axes, `above` points higher than usual; from `left` of the figure, or from the axes."""
    x, coordinates = (0, "axes fraction") if left is None else (left, ("figure fraction", "axes fraction"))
    axes.annotate(title, (x, 1), xytext=(0, 32 + above), xycoords=coordinates, textcoords="offset points",
                  fontsize=16, fontweight="bold", annotation_clip=False)
    axes.annotate(subtitle, (x, 1), xytext=(0, 12 + above), xycoords=coordinates, textcoords="offset points",
                  fontsize=11.5, color="#555555", annotation_clip=False)


def _figure(title, subtitle):
    figure, axes = plt.subplots()
    _titles(axes, title, subtitle)
    axes.set_axisbelow(True)
    return figure, axes


def _lengths_axis(axes, lengths):
    axes.set_xscale("log", base=2)
    shown = [n for n in lengths if n in (8, 64, 512, 4096, 32000, 1 << 20, 1 << 24)] or lengths
    axes.set_xticks(shown, [_length(n) for n in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("row length")


def _log_values_axis(axes, label):
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=30))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(label)


def _legend(axes):
    """Beside the plot, in the order in which the lines end at the right."""
    handles, labels = axes.get_legend_handles_labels()
    ends = [handle.get_ydata()[-1] for handle in handles]
    order = sorted(range(len(handles)), key=lambda i: -ends[i])
    axes.legend([handles[i] for i in order], [labels[i] for i in order], loc="center left", bbox_to_anchor=(1.01, 0.5))


def _lines(title, subtitle, series, y_label):
    """series: label -> [(length, value)]."""
    series = {label: points for label, points in series.items() if points}
    if not series:
        return None
    figure, axes = _figure(title, subtitle)
    for label in style.sort(series):
        axes.plot(*zip(*series[label]), label=style.name(label), **style.line(label))
    _lengths_axis(axes, sorted({n for points in series.values() for n, _ in points}))
    _log_values_axis(axes, y_label)
    _legend(axes)
    return figure


def _processor(document):
    return f"{document.machine['CPU']}, {document.machine['compiler']}"


def _machine(document):
    return f"{document.machine['CPU']}, {document.machine['instruction set']}, {document.machine['compiler']}"


def _libraries(document, operation, element):
    """Peers and this library's default, limits apart."""
    return [label for label in document.labels(operation, element)
            if document.kind(label) != "limit" and label != "xsoftmax by row"
            and (document.is_peer(label) or label == "xsoftmax")]


def time_by_library(document, operation="softmax", element="float"):
    if document is None or not document.has(operation, element):
        return None
    series = {label: document.rows(operation, element, label) for label in document.labels(operation, element)
              if label in _libraries(document, operation, element) or document.kind(label) == "limit"}
    return _lines(f"{operation} of one row of {element}s: time per element",
                  f"one thread, lower is better · {_machine(document)}", series, "ns per element")


def speed_up(document, operation="softmax", element="float"):
    if document is None or not document.has(operation, element):
        return None
    reference = dict(document.rows(operation, element, "reference"))
    series = {label: [(n, reference[n] / ns) for n, ns in document.rows(operation, element, label) if n in reference]
              for label in _libraries(document, operation, element)}
    return _lines(f"{operation} of one row of {element}s: times as fast as scalar code",
                  f"over xsoftmax/reference.hpp at -O3, higher is better · {_machine(document)}", series,
                  "times as fast")


def error_by_length(document, operation="softmax", element="float"):
    if document is None:
        return None
    distribution = "normal, spread 3"
    series, lost = {}, []
    for label in document.contenders:
        if label != "xsoftmax" and not document.is_peer(label):
            continue
        errors = document.errors(operation, element, label, distribution)
        # Half a ULP is what rounding costs anybody; less than that is not told apart.
        series[label] = [(n, max(error, 0.3)) for n, error in errors if error is not None]
        missing = [_length(n) for n, error in errors if error is None]
        if missing:
            lost.append(f"{style.name(label)} at {', '.join(missing)}")
    subtitle = f"normal logits of spread 3, against long double, lower is better · {_machine(document)}"
    figure = _lines(f"{operation} of {element}s: largest error", subtitle, series, "largest error in ULP")
    if figure is not None and lost:
        figure.axes[0].annotate(f"NaN, and so not drawn: {'; '.join(lost)}", (0, 0), xytext=(0, -58), fontsize=11.5,
                                xycoords="axes fraction", textcoords="offset points", annotation_clip=False)
    if figure is not None:
        axes = figure.axes[0]
        axes.yaxis.set_major_locator(LogLocator(base=10, numticks=20))
        axes.axhline(0.5, color="black", linestyle=(0, (1, 1)), linewidth=1.2)
        axes.text(0.995, 0.5, "correctly rounded ", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
                  fontsize=11)
    return figure


def _bars(title, subtitle, groups, x_label, digits=1, logarithmic=False):
    """groups: heading -> [(label, value)], each sorted by value."""
    groups = {heading: bars for heading, bars in groups.items() if bars}
    if not groups:
        return None
    most = max(len(bars) for bars in groups.values())
    figure, all_axes = plt.subplots(1, len(groups), figsize=(max(11, 5.6 * len(groups)), 1.9 + 0.4 * most),
                                   squeeze=False)
    for axes, (heading, bars) in zip(all_axes[0], groups.items()):
        names = [style.name(label) for label, _ in bars]
        values = [value for _, value in bars]
        drawn = axes.barh(names, values, color=[style.fill(label) for label, _ in bars], height=0.72)
        axes.bar_label(drawn, [f"{value:.{digits}f}" for value in values], padding=4, fontsize=11)
        axes.invert_yaxis()
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(1, max(values) * 5)
            axes.set_xticks([10**k for k in range(0, 10) if 10**k <= max(values) * 5])
            axes.xaxis.set_major_formatter(FuncFormatter(_plain))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(0, 1.18 * max(values))
        axes.grid(axis="y", visible=False)
        axes.set_axisbelow(True)
        axes.set_xlabel(x_label)
        axes.text(0, 1.02, heading, transform=axes.transAxes, fontsize=13, fontweight="bold")
        for label in axes.get_yticklabels():
            if label.get_text() == "xsoftmax":
                label.set_fontweight("bold")
    figure.tight_layout(w_pad=2.5)
    _titles(all_axes[0][0], title, subtitle, above=24, left=0.01)
    return figure


def latency(document, lengths=(8, 64, 128)):
    if document is None or not document.has("softmax"):
        return None
    groups = {}
    for n in lengths:
        bars = [(label, document.ns("softmax", "float", label, (1, n)))
                for label in _libraries(document, "softmax", "float")]
        groups[f"{n} floats"] = sorted([bar for bar in bars if bar[1] is not None], key=lambda bar: bar[1])
    return _bars("Latency: one call, one short row", f"argument checks included, lower is better · {_machine(document)}",
                 groups, "ns per call", digits=0, logarithmic=True)


def bandwidth(document, shapes=((1, 1 << 24), (32768, 1000))):
    if document is None or not document.has("softmax"):
        return None
    groups = {}
    for rows, columns in shapes:
        bars = []
        for label in document.labels("softmax"):
            ns = document.ns("softmax", "float", label, (rows, columns))
            if ns is not None and (label == "xsoftmax" or document.kind(label) == "limit" or document.is_peer(label)):
                bars.append((label, 8 * rows * columns / ns))
        heading = f"{rows} rows of {columns}" if rows > 1 else f"one row of {_length(columns)}"
        groups[heading] = sorted(bars, key=lambda bar: -bar[1])
    return _bars("Out of cache: bytes per second",
                 "read and written, each counted once; no softmax can beat the copies by much · " + _machine(document),
                 groups, "GB/s")


def by_architecture(document, operation="softmax", element="float"):
    """This library's kernels, each under its instruction set's name, beside plain loops and the limits."""
    if document is None or not document.has(operation, element):
        return None
    series = {}
    for label in document.labels(operation, element):
        contender = document.contenders[label]
        if label in ("xsoftmax", YARDSTICK):
            series[f"{label} {contender['architecture']}"] = document.rows(operation, element, label)
        elif (contender["kind"] == "xsoftmax" and not is_sweep(contender) and label != "xsoftmax by row") \
                or label.startswith(YARDSTICK) or label in ("xsimd loop", "reference", "bare exp", "memcpy"):
            series[label] = document.rows(operation, element, label)
    return _lines(f"{operation} of {element}s by instruction set", f"one row, lower is better · {_processor(document)}",
                  series, "ns per element")


def functions(document, element="float"):
    """What each function costs beside softmax."""
    operations = ["softmax", "log_softmax", "log_sum_exp", "cross_entropy", "cross_entropy_gradient",
                  "cross_entropy_targets_gradient"]
    if document is None or not all(document.has(operation, element) for operation in operations[:2]):
        return None
    figure, axes = _figure(f"Every function on one row of {element}s",
                           f"xsoftmax, lower is better · {_machine(document)}")
    colours = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
    lengths = set()
    for operation, colour, mark in zip(operations, colours, "os^DvP"):
        points = document.rows(operation, element, "xsoftmax")
        if points:
            lengths |= {n for n, _ in points}
            axes.plot(*zip(*points), label=operation.replace("cross_entropy_targets", "cross_entropy, targets,")
                      .replace("_gradient", " + gradient"), color=colour, marker=mark, linewidth=1.8)
    _lengths_axis(axes, sorted(lengths))
    _log_values_axis(axes, "ns per element")
    _legend(axes)
    return figure


def _ratio(document, operation, element, label, ours, shape):
    """How many times as long as ours; NaN where either was not measured."""
    theirs, least = (document.ns(operation, element, who, shape) for who in (label, ours))
    return math.nan if theirs is None or least is None else theirs / least


def _heat(title, subtitle, names, shapes, ratios, digits=1):
    """ratios: a row for each name, a column for each shape; NaN is left blank."""
    figure, axes = plt.subplots(figsize=(max(11, 4 + 1.25 * len(shapes)), 1.8 + 0.5 * len(names)))
    _titles(axes, title, subtitle, above=22, left=0.01)
    # Light where nobody would notice, dark where one would.
    axes.imshow(ratios, aspect="auto", cmap="cividis_r", norm=matplotlib.colors.LogNorm(vmin=0.8, vmax=30))
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            if not math.isnan(ratio):
                axes.text(x, y, f"{ratio:.{digits}f}" if ratio < 100 else f"{ratio:.0f}", ha="center", va="center",
                          color="white" if ratio > 5 else "black", fontsize=12)
    axes.set_xticks(range(len(shapes)), [f"{rows}×{columns}" for rows, columns in shapes], fontsize=12)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def batches(document, operation="softmax", element="float"):
    """How many times as long as this library everybody takes, by shape."""
    if document is None or not document.batches(operation, element):
        return None
    shapes = document.batches(operation, element)
    ratios = {label: [_ratio(document, operation, element, label, "xsoftmax", shape) for shape in shapes]
              for label in style.sort(_libraries(document, operation, element)) if label != "xsoftmax"}
    ratios = {label: row for label, row in ratios.items() if not all(map(math.isnan, row))}
    if not ratios:
        return None
    return _heat("Batches: how many times as long as xsoftmax",
                 f"{operation} of {element}s, one call, one thread; rows × columns · {_machine(document)}",
                 [style.name(label) for label in ratios], shapes, list(ratios.values()))


def _label_points(axes, points):
    """points: (text, x, y) on logarithmic axes. A text stands beside its mark where there is room; those of marks in a crowd
    are a stair above it, the leftmost highest, so that no line to a mark crosses a text."""
    step = 17  # points, as all lengths here
    axes.figure.canvas.draw()  # limits are final, and texts have sizes
    scale = 72 / axes.figure.dpi
    frame = axes.get_window_extent()
    marks = [axes.transData.transform((x, y)) * scale for _, x, y in points]
    texts = [axes.annotate(text, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=12, va="center")
             for text, x, y in points]
    widths = [text.get_window_extent().width * scale for text in texts]

    def has_room(i, left, right):
        """Also from lines that come from below."""
        return not any(left < x + 8 and x - 8 < right and y < marks[i][1] + step
                       for k, (x, y) in enumerate(marks) if k != i)

    crowd = []
    for i, text in enumerate(texts):
        x = marks[i][0]
        if x + 12 + widths[i] < frame.x1 * scale and has_room(i, x + 9, x + 12 + widths[i]):
            text.xyann = 12, 0
        elif x - 12 - widths[i] > frame.x0 * scale and has_room(i, x - 12 - widths[i], x - 9):
            text.set_ha("right")
            text.xyann = -12, 0
        else:
            crowd.append(i)
    if not crowd:
        return
    crowd.sort(key=lambda i: -marks[i][0])
    reach = max(marks[i][0] + widths[i] for i in crowd)
    highest = max((i for i in range(len(points)) if marks[crowd[-1]][0] <= marks[i][0] <= reach),
                  key=lambda i: marks[i][1])
    # The axis ends where the stair does.
    bottom = axes.get_ylim()[0]
    part = 1 - step * (len(crowd) + 1.5) / (frame.height * scale)
    axes.set_ylim(bottom, max(axes.get_ylim()[1], bottom * (points[highest][2] / bottom) ** (1 / part)))
    height = [axes.transData.transform((x, y))[1] * scale for _, x, y in points]
    for row, i in enumerate(crowd, 1):
        up = height[highest] + step * row - height[i]
        texts[i].xyann = 3, up
        axes.annotate("", points[i][1:], xytext=(0, up - 7), textcoords="offset points", zorder=1,
                      arrowprops={"arrowstyle": "-", "color": "#888888", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 4})


def error_and_time(libraries, accuracy, n=4096):
    """Who is fast and right."""
    if libraries is None or accuracy is None:
        return None
    points = []
    for label in _libraries(libraries, "softmax", "float"):
        ns = libraries.ns_per_element("softmax", "float", label, (1, n))
        error = dict(accuracy.errors("softmax", "float", label, "normal, spread 3")).get(n)
        if ns is not None and error is not None:
            points.append((label, ns, error))
    if len(points) < 2:
        return None
    figure, axes = _figure(f"Fast and right: softmax of {n} floats",
                           f"towards the lower left is better; normal logits of spread 3 · {_machine(libraries)}")
    for label, ns, error in points:
        # Hollow, for some lie upon each other.
        ours = label == "xsoftmax"
        look = {**style.line(label), "linestyle": "", "markersize": 12 if ours else 8.5,
                "markerfacecolor": style.colour(label) if ours else "none", "markeredgewidth": 1.6}
        axes.plot([ns], [error], **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ns per element")
    _log_values_axis(axes, "largest error in ULP")
    axes.margins(0.12)
    _label_points(axes, [(style.name(label), ns, error) for label, ns, error in points])
    return figure


def all_plots(report):
    """File names and figures, the most telling first."""
    plots = {
        "time-by-library": time_by_library(report.libraries),
        "error-by-length": error_by_length(report.accuracy),
        "error-and-time": error_and_time(report.libraries, report.accuracy),
        "batches": batches(report.libraries),
        "latency": latency(report.libraries),
        "bandwidth": bandwidth(report.libraries),
        "speed-up": speed_up(report.libraries),
        "kernels-by-architecture": by_architecture(report.kernels),
        "kernels-by-architecture-double": by_architecture(report.kernels, element="double"),
        "functions": functions(report.kernels),
        "time-by-library-log_softmax": time_by_library(report.libraries, "log_softmax"),
        "time-by-library-double": time_by_library(report.libraries, "softmax", "double"),
        "error-by-length-log_softmax": error_by_length(report.accuracy, "log_softmax"),
        "error-by-length-double": error_by_length(report.accuracy, "softmax", "double"),
    }
    return {name: figure for name, figure in plots.items() if figure is not None}
