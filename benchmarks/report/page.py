"""The report as one self-contained page."""

import base64
import html
import io

import tables

_STYLE = """
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #222; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 2em; margin-bottom: 0.2em; }
h2 { margin-top: 2em; border-bottom: 1px solid #ddd; padding-bottom: 0.2em; }
figure { margin: 1.5em 0; }
figure img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; margin: 0.8em 0; }
th, td { padding: 3px 9px; border-bottom: 1px solid #e6e6e6; text-align: right; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
table.words th, table.words td { text-align: left; }
tr.ours { font-weight: bold; background: #fdf1ea; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 1.2em; }
dt { color: #666; } dd { margin: 0; }
.warning { background: #fff4d6; border-left: 4px solid #e0a800; padding: 0.5em 1em; }
"""


def svg(figure):
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _picture(name, figure):
    data = base64.b64encode(svg(figure)).decode()
    return f'<figure id="{name}"><img alt="{name}" src="data:image/svg+xml;base64,{data}"></figure>'


def _machine(report):
    entries = dict(report.machine)
    dates = sorted({document.date for document in report.documents})
    entries["measured"] = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    if report.commits:
        entries["commit"] = ", ".join(report.commits)
    lines = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in entries.items())
    return f"<dl>{lines}</dl>"


def _warnings(report):
    text = ""
    if any(document.effort == "quick" for document in report.documents):
        text += "<p class=warning>Quick mode: few repetitions, to see that everything works. Not to be quoted.</p>"
    disturbed = [entry for document in report.documents for entry in tables.disturbed(document)]
    if disturbed:
        total = sum(len(document.speed) for document in report.documents)
        text += (f"<p class=warning>{len(disturbed)} of {total} times are disturbed: the median of their repetitions is "
                 f"over 15 % above the least. <details><summary>Which</summary>{html.escape('; '.join(disturbed))}"
                 "</details></p>")
    return text


def write(path, report, figures):
    parts = ["<!doctype html><html lang=en><head><meta charset=utf-8><title>xsoftmax: benchmarks</title>",
             f"<style>{_STYLE}</style></head><body><h1>xsoftmax: benchmarks</h1>",
             "<p>Times are the least CPU time of the repetitions, which take turns in random order; errors are in units "
             "in the last place (ULP), against a <code>long double</code> oracle.</p>",
             _machine(report), _warnings(report), "<h2>Plots</h2>"]
    parts += [_picture(name, figure) for name, figure in figures.items()]
    parts.append("<h2>Tables</h2>")
    for name, (heading, table) in tables.all_tables(report).items():
        if not table.rows:
            continue
        text = table.html()
        if name == "libraries":
            text = text.replace("<table>", "<table class=words>")
        parts.append(f'<h3 id="{name}">{html.escape(heading)}</h3><div class=wide>{text}</div>')
    parts.append("</body></html>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(parts))
