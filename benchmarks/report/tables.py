"""The tables of a report, for the page and for the README. Every number comes from the files."""

import html

import style
from results import YARDSTICK, is_sweep, shape_name

LENGTHS = [8, 64, 128, 1000, 4096, 32000, 1 << 20, 1 << 24]
FUNCTIONS = {
    "softmax": "`softmax`",
    "log_softmax": "`log_softmax`",
    "log_sum_exp": "`log_sum_exp`",
    "cross_entropy": "`softmax_cross_entropy`, a class",
    "cross_entropy_gradient": "its gradient",
    "cross_entropy_targets_gradient": "gradient by target probabilities",
}

# Along the last axis, or the middle one of three.
BATCH_FUNCTIONS = {
    "softmax": "`softmax`",
    "log_softmax": "`log_softmax`",
    "log_sum_exp": "`log_sum_exp`",
    "cross_entropy": "`softmax_cross_entropy`, classes",
    "cross_entropy_gradient": "the same, and its gradient",
    "smoothed_gradient": "with label smoothing",
    "weighted_smoothed_gradient": "with label smoothing and class weights",
    "z_loss_gradient": "with z_loss",
    "cross_entropy_targets": "target probabilities",
    "cross_entropy_targets_gradient": "target probabilities, and the gradient",
    "cross_entropy_losses": "`cross_entropy_losses`, classes",
    "softmax_backward": "`softmax_backward`",
    "log_softmax_backward": "`log_softmax_backward`",
    "causal_softmax": "`masked_softmax`, causal",
    "padded_softmax": "`masked_softmax`, lengths",
    "kept_softmax": "`masked_softmax`, bytes",
    "biased_softmax": "`masked_softmax`, bias",
    "kept_log_softmax": "`masked_log_softmax`, bytes",
    "kept_cross_entropy_gradient": "`softmax_cross_entropy`, bytes, and its gradient",
}


class Table:
    def __init__(self, header, rows, strong=()):
        self.header = header
        self.rows = rows
        self.strong = strong  # first cells of rows that are ours

    def markdown(self):
        lines = ["| " + " | ".join(self.header) + " |", "| --- |" + " ---: |" * (len(self.header) - 1)]
        for row in self.rows:
            cells = [f"**{cell}**" if row[0] in self.strong and cell not in ("", "–") else cell for cell in row]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def html(self):
        def line(cells, tag, strong=False):
            style_class = ' class="ours"' if strong else ""
            return f"<tr{style_class}>" + "".join(
                f"<{tag}>{html.escape(cell).replace('`', '')}</{tag}>" for cell in cells) + "</tr>"
        body = "".join(line(row, "td", row[0] in self.strong) for row in self.rows)
        return f"<table><thead>{line(self.header, 'th')}</thead><tbody>{body}</tbody></table>"


def time(ns):
    """Three digits."""
    if ns is None:
        return "–"
    return f"{ns:.3f}" if ns < 1 else f"{ns:.2f}" if ns < 10 else f"{ns:.1f}" if ns < 100 else f"{ns:.0f}"


def _cell(document, operation, element, label, shape):
    """ns an element, and ~ where that is disturbed."""
    mark = "~" if document.is_disturbed(operation, element, label, shape) else ""
    return time(document.ns_per_element(operation, element, label, shape)) + mark


def error(ulp, missing="–"):
    if ulp is None:
        return missing
    if ulp < 10:
        return f"{ulp:.3f}" if ulp < 0.1 else f"{ulp:.2f}"
    return f"{ulp:.0f}" if ulp < 1e5 else f"{ulp:.0e}".replace("e+0", "e")


def length(n):
    return {1 << 20: "2^20", 1 << 24: "2^24"}.get(n, str(n))


def _library_labels(document, operation, element, with_limits):
    labels = [label for label in document.labels(operation, element)
              if label == "xsoftmax" or document.is_peer(label)
              or (with_limits and document.kind(label) == "limit")]
    return style.sort(labels)


def times_by_library(document, operation="softmax", element="float"):
    """ns an element, one row."""
    labels = _library_labels(document, operation, element, True)
    lengths = [n for n in LENGTHS if document.ns(operation, element, "xsoftmax", (1, n)) is not None]
    rows = [[style.name(label)] + [_cell(document, operation, element, label, (1, n)) for n in lengths]
            for label in labels]
    return Table(["ns per element, row of"] + [length(n) for n in lengths], rows, ("xsoftmax",))


def batches_by_library(document, operation="softmax", element="float"):
    labels = _library_labels(document, operation, element, True)
    shapes = document.batches(operation, element)
    rows = [[style.name(label)] + [_cell(document, operation, element, label, shape) for shape in shapes]
            for label in labels]
    return Table(["ns per element"] + [f"{r}×{c}" for r, c in shapes], rows, ("xsoftmax",))


def functions_by_library(document):
    """Everything but softmax, many rows: contenders across."""
    operations = [operation for operation in BATCH_FUNCTIONS
                  if operation != "softmax" and document.batches(operation)]
    labels = style.sort(dict.fromkeys(label for operation in operations
                                      for label in _library_labels(document, operation, "float", False)))
    rows = [[f"{BATCH_FUNCTIONS[operation]}, {r}×{c}"] +
            [_cell(document, operation, "float", label, (r, c)) for label in labels]
            for operation in operations for r, c in document.batches(operation)]
    return Table(["ns per element"] + [style.name(label) for label in labels], rows)


def fastest_other(document, operation, element, shape):
    """The fastest peer but the yardstick; None where there is none."""
    times = {label: document.ns(operation, element, label, shape) for label in document.labels(operation, element)
             if document.is_peer(label) and label != YARDSTICK}
    return min((label for label in times if times[label] is not None), key=times.get, default=None)


def margins(document):
    """How many times as long as this library the fastest peer takes at each shape, and the yardstick: the claim in one
    table."""
    has_yardstick = YARDSTICK in document.labels("softmax")
    rows = []
    for shape in [(1, n) for n in LENGTHS] + document.batches("softmax"):
        fastest = fastest_other(document, "softmax", "float", shape)
        ours = document.ns("softmax", "float", "xsoftmax", shape)
        if ours is None or fastest is None:
            continue

        def times_as_fast(label):
            theirs = document.ns("softmax", "float", label, shape)
            if theirs is None:
                return "–"
            disturbed = any(document.is_disturbed("softmax", "float", who, shape) for who in ("xsoftmax", label))
            return f"{theirs / ours:.2f}{'~' if disturbed else ''}"

        name = f"a row of {length(shape[1])}" if shape[0] == 1 else f"{shape[0]}×{shape[1]}"
        rows.append([name, _cell(document, "softmax", "float", "xsoftmax", shape),
                     f"{times_as_fast(fastest)} ({style.name(fastest)})"] +
                    ([times_as_fast(YARDSTICK)] if has_yardstick else []))
    return Table(["softmax of floats", "ns per element", "times as fast as the fastest other"] +
                 ([f"as {YARDSTICK}"] if has_yardstick else []), rows)


def ratios(document):
    """What the goals are read off: this library's time over that of others."""
    shapes = dict.fromkeys((e["operation"], e["type"], e["rows"], e["columns"], e["inner"]) for e in document.speed
                           if e["contender"] == "xsoftmax")
    rows = []
    for operation, element, *shape in shapes:
        ours = document.ns(operation, element, "xsoftmax", tuple(shape))
        fastest = fastest_other(document, operation, element, tuple(shape))

        def ratio(label):
            theirs = None if label is None else document.ns(operation, element, label, tuple(shape))
            if theirs is None:
                return "–"
            disturbed = any(document.is_disturbed(operation, element, who, tuple(shape)) for who in ("xsoftmax", label))
            return f"{ours / theirs:.2f}{'~' if disturbed else ''}"

        rows.append([operation, element, shape_name(dict(zip(("rows", "columns", "inner"), shape))),
                     time(ours / (shape[0] * shape[1] * shape[2])), ratio(fastest), ratio(YARDSTICK), ratio("XNNPACK"),
                     style.name(fastest) if fastest else "–"])
    return Table(["operation", "type", "shape", "ns per element", "by the fastest other", f"by {YARDSTICK}", "by XNNPACK",
                  "fastest other"], rows)


def beside(named):
    """One table of several processors', (name, table) each: narrow ones column by column, others number by number, and once
    what is the same everywhere."""
    if len(named) == 1:
        return named[0][1]
    def in_order(of_table):
        """The names in all tables, in the order of the one that has the most of them."""
        lists = sorted((of_table(table) for _, table in named), key=len, reverse=True)
        return list(dict.fromkeys(name for names in lists for name in names))

    firsts = in_order(lambda table: [row[0] for row in table.rows])
    rows = [{row[0]: row for row in table.rows} for _, table in named]
    strong = named[0][1].strong
    if max(len(table.header) for _, table in named) <= 4:
        header = named[0][1].header[:1] + [f"{name}: {cell}" for name, table in named for cell in table.header[1:]]
        return Table(header, [[first] + [cell for by_first, (_, table) in zip(rows, named)
                                         for cell in by_first.get(first, ["–"] * len(table.header))[1:]]
                              for first in firsts], strong)
    columns = in_order(lambda table: table.header[1:])

    def cell(first, column):
        values = [by_first[first][table.header.index(column, 1)] if first in by_first and column in table.header[1:]
                  else "–" for by_first, (_, table) in zip(rows, named)]
        return values[0] if len(set(values)) == 1 else " · ".join(values)

    names = " · ".join(name for name, _ in named)
    header = [f"{named[0][1].header[0]} ({names})".strip()] + columns
    return Table(header, [[first] + [cell(first, column) for column in columns] for first in firsts], strong)


def _lengths(document, operation, element):
    return [n for n in LENGTHS if document.ns(operation, element, "xsoftmax", (1, n)) is not None]


def kernels(document, element="float"):
    """This library by instruction set, one row."""
    lengths = _lengths(document, "softmax", element)
    rows = []
    for label in document.labels("softmax", element):
        contender = document.contenders[label]
        ours = contender["kind"] == "xsoftmax" and not is_sweep(contender) and label != "xsoftmax by row"
        if ours or label.startswith(YARDSTICK) or label in ("xsimd loop", "reference", "bare exp"):
            name = style.name(label)
            if label in ("xsoftmax", YARDSTICK):
                name += " " + contender["architecture"]
            rows.append([name] + [_cell(document, "softmax", element, label, (1, n)) for n in lengths])
    return Table([f"ns per element, {element}, row of"] + [length(n) for n in lengths], rows)


def functions(document, element="float"):
    lengths = _lengths(document, "log_softmax", element)
    rows = []
    for operation, name in FUNCTIONS.items():
        rows.append([name.replace("its gradient", "the same, and its gradient")
                     .replace("gradient by target probabilities", "target probabilities, and the gradient")] +
                    [_cell(document, operation, element, "xsoftmax", (1, n)) for n in lengths])
    return Table([f"ns per element, {element}, row of"] + [length(n) for n in lengths], rows)


def batch_functions(document, element="float"):
    """Everything that takes many rows, at the shapes where it was measured."""
    rows = []
    for operation, name in BATCH_FUNCTIONS.items():
        shapes = {}
        for entry in document.speed:
            if (entry["operation"], entry["type"], entry["contender"]) == (operation, element, "xsoftmax") \
                    and entry["rows"] > 1:
                shapes[entry["rows"], entry["columns"], entry["inner"]] = None
        for shape in shapes:
            # Not the shapes of softmax's own table, but for those of the losses.
            if shape[2] == 1 and operation in ("softmax", "log_softmax") \
                    and document.ns("cross_entropy_gradient", element, "xsoftmax", shape) is None:
                continue
            copies = [label for label in ("memcpy", "streaming copy", "streaming sum")
                      if document.ns(operation, element, label, shape) is not None]
            if "streaming sum" in copies:  # of operations that read two arrays
                copies = ["streaming sum"]
            fastest = min(copies, key=lambda label: document.ns(operation, element, label, shape), default=None)
            extents = "×".join(str(extent) for extent in (shape if shape[2] != 1 else shape[:2]))
            rows.append([f"{name}, {extents}"] +
                        [_cell(document, operation, element, label, shape) if label else "–"
                         for label in ("xsoftmax", "xsimd loop", "bare exp", fastest)])
    return Table([f"ns per element, {element}", "xsoftmax", style.name("xsimd loop"), style.name("bare exp"),
                  "limit: the fastest copy or sum"], rows)


def row_groups(document):
    """Many rows in one call, against a call for each: softmax of every shape, the others of one."""
    rows = []
    for operation in ("softmax", "log_softmax", "log_sum_exp", "cross_entropy", "cross_entropy_gradient"):
        for element in ("float", "double"):
            for shape in document.batches(operation, element):
                together = document.ns(operation, element, "xsoftmax", shape)
                apart = document.ns(operation, element, "xsoftmax by row", shape)
                is_shown = shape[1] <= 256 if operation == "softmax" else tuple(shape[:2]) == (4096, 10)
                if together is None or apart is None or not is_shown:
                    continue
                marks = ["~" if document.is_disturbed(operation, element, label, shape) else ""
                         for label in ("xsoftmax", "xsoftmax by row")]
                rows.append([f"{operation} {shape[0]}×{shape[1]} {element}", time(together / shape[0]) + marks[0],
                             time(apart / shape[0]) + marks[1], f"{apart / together:.2f}{max(marks)}"])
    return Table(["rows × columns", "in one call: ns/row", "one at a time: ns/row", "times as fast"], rows)


def _judged(document):
    return style.sort(label for label in document.contenders if label == "xsoftmax" or document.is_peer(label))


_OF_ERRORS = {"max_ulp": "largest error in ULP", "mean_ulp": "mean error in ULP"}


def errors_by_library(document, operation="softmax", element="float", which="max_ulp"):
    found = {label: dict(document.errors(operation, element, label, "normal, spread 3", which))
             for label in _judged(document)}
    found = {label: errors for label, errors in found.items() if errors}
    lengths = [n for n in LENGTHS if n in found.get("xsoftmax", {})]
    rows = [[style.name(label)] + [error(errors[n], "NaN") if n in errors else "–" for n in lengths]
            for label, errors in found.items()]
    return Table([f"{_OF_ERRORS[which]}, {element}, row of"] + [length(n) for n in lengths], rows, ("xsoftmax",))


def errors_by_distribution(document, operation="softmax", element="float", n=1000, which="max_ulp"):
    found = {label: document.errors_at(operation, element, label, n, which) for label in _judged(document)}
    found = {label: errors for label, errors in found.items() if errors}
    rows = [[distribution] + [error(errors[distribution], "NaN") if distribution in errors else "–"
                              for errors in found.values()]
            for distribution in document.distributions]
    return Table([f"{_OF_ERRORS[which]}, {element}, row of {n}"] + [style.name(label) for label in found], rows)


def errors_of_kernels(document):
    """The largest error seen, over all lengths and distributions, by function and instruction set."""
    ours = [label for label, contender in document.contenders.items()
            if contender["kind"] == "xsoftmax" and not is_sweep(contender)]
    # Run-time dispatch computes what one of the others does.
    by_architecture = {}
    for label in ours:
        by_architecture.setdefault(document.contenders[label]["architecture"], label)
    ours = list(by_architecture.values())
    header, rows = [""], []
    for element in ("float", "double"):
        header += [f"{element}: {document.contenders[label]['architecture']}" for label in ours]
    for operation, name in FUNCTIONS.items():
        cells = []
        for element in ("float", "double"):
            for label in ours:
                errors = [e for _, e in document.errors(operation, element, label)]
                cells.append("–" if not errors else "NaN" if None in errors else error(max(errors)))
        rows.append([name] + cells)
    return Table(header, rows)


def edges(document):
    """Who does what at the edges: contenders across."""
    labels = [label for label in _judged(document) if any(e["contender"] == label for e in document.edges)]
    cases = list(dict.fromkeys(e["case"] for e in document.edges))
    results = {(e["case"], e["contender"]): e["result"] for e in document.edges}
    rows = [[style.name(label)] + [results.get((case, label), "–") for case in cases] for label in labels]
    return Table([""] + cases, rows, ("xsoftmax",))


def libraries(document):
    rows = [[style.name(label), contender["version"], contender["description"]]
            for label, contender in document.contenders.items()
            if document.is_peer(label)]
    return Table(["library", "version", "what is called"], rows)


def disturbed(document):
    """Figures not to be quoted."""
    return [f"{e['operation']} {e['type']} {shape_name(e)} {e['contender']}" for e in document.speed if e["disturbed"]]


def all_tables(report):
    """Names, headings and tables of what was measured."""
    tables = {}
    if report.libraries is not None:
        tables["margins"] = "Against the fastest other library", margins(report.libraries)
        tables["times-by-library"] = "Softmax of one row", times_by_library(report.libraries)
        tables["batches-by-library"] = "Softmax of batches", batches_by_library(report.libraries)
        if report.libraries.has("log_softmax"):
            tables["log_softmax-by-library"] = "log_softmax of one row", times_by_library(report.libraries,
                                                                                          "log_softmax")
        tables["functions-by-library"] = "Other functions of batches", functions_by_library(report.libraries)
        if report.libraries.has("softmax", "double"):
            tables["double-by-library"] = "Softmax of one row of doubles", times_by_library(report.libraries, "softmax",
                                                                                            "double")
    if report.accuracy is not None:
        tables["errors-by-library"] = "Largest error of softmax", errors_by_library(report.accuracy)
        tables["errors-by-library-log_softmax"] = "Largest error of log_softmax", errors_by_library(report.accuracy,
                                                                                                    "log_softmax")
        tables["mean-errors-by-library"] = "Mean error of softmax", errors_by_library(report.accuracy, which="mean_ulp")
        tables["mean-errors-by-library-log_softmax"] = (
            "Mean error of log_softmax", errors_by_library(report.accuracy, "log_softmax", which="mean_ulp"))
        tables["errors-by-distribution"] = ("Largest error of softmax by distribution of the logits",
                                            errors_by_distribution(report.accuracy))
        tables["mean-errors-by-distribution"] = ("Mean error of softmax by distribution of the logits",
                                                 errors_by_distribution(report.accuracy, which="mean_ulp"))
        tables["errors-of-kernels"] = ("Largest error of each function, all lengths and distributions",
                                       errors_of_kernels(report.accuracy))
        tables["edges"] = "Edges", edges(report.accuracy)
    if report.kernels is not None:
        for element in ("float", "double"):
            if report.kernels.has("softmax", element):
                tables[f"kernels-{element}"] = f"Softmax of {element}s by instruction set", kernels(report.kernels,
                                                                                                   element)
        tables["functions"] = "Every function", functions(report.kernels)
        tables["batch-functions"] = "Every function of many rows", batch_functions(report.kernels)
        tables["row-groups"] = "Many short rows", row_groups(report.kernels)
    if report.libraries is not None:
        tables["libraries"] = "Versions", libraries(report.libraries)
    return tables
