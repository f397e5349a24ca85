#!/usr/bin/env python3
"""Draws the report of the benchmarks from the files that their programs wrote.

    report.py FILE.json... [--html PAGE] [--plots FOLDER] [--readme README.md [--check]]

--html     one self-contained page
--plots    each plot as SVG and PNG
--readme   rewrites what stands between <!-- report: NAME --> and <!-- end of report --> by the table of that name, and
           draws the plots that are linked, FOLDER/NAME.svg, where they are linked;
           with --check, only says whether the tables are what the files say
"""

import argparse
import os
import re
import sys

import tables
from results import Report

_BLOCK = re.compile(r"(<!-- report: (\S+) -->\n).*?(<!-- end of report -->)", re.DOTALL)
_LINK = re.compile(r"\]\(((?:[\w./-]+/)?([\w-]+)\.svg)\)")


def _machine(report):
    machine = report.machine
    dates = sorted({document.date[:10] for document in report.documents})
    commits = "".join(f", commit {commit}" for commit in report.commits)
    return (f"{machine['CPU']}; {machine['compiler']} {machine['flags']}; xsimd {machine['xsimd']}; one thread; "
            f"{dates[-1]}{commits}.")


def rewrite(text, report):
    texts = {name: table.markdown() for name, (_, table) in tables.all_tables(report).items()}
    texts["machine"] = _machine(report)

    def block(match):
        name = match.group(2)
        if name not in texts:
            sys.exit(f"there is no table {name}; there are: {', '.join(texts)}")
        return f"{match.group(1)}{texts[name]}\n{match.group(3)}"

    return _BLOCK.sub(block, text)


def figures_of(report):
    try:
        import plots
    except ImportError as error:
        sys.exit(f"{error}: the plots need matplotlib (Debian: apt install python3-matplotlib)")
    return plots.all_plots(report)


def save(figure, path):
    import page
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(page.svg(figure))


def readme(path, report, check):
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new = rewrite(old, report)
    if check:
        if old != new:
            sys.exit(f"{path}: not what the files say; run report.py without --check")
        print(f"{path}: as the files say")
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)
    figures = figures_of(report)
    for link, name in _LINK.findall(new):
        if name in figures:
            save(figures[name], os.path.join(os.path.dirname(path), link))
    print(f"rewritten: {path}, and the plots that it links")


def draw(report, page_path, folder):
    figures = figures_of(report)
    if page_path:
        import page
        page.write(page_path, report, figures)
        print(f"report: {os.path.abspath(page_path)}")
    if folder:
        for name, figure in figures.items():
            save(figure, os.path.join(folder, f"{name}.svg"))
            figure.savefig(os.path.join(folder, f"{name}.png"), dpi=110)
        print(f"plots:  {os.path.abspath(folder)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.json")
    parser.add_argument("--html", metavar="PAGE")
    parser.add_argument("--plots", metavar="FOLDER")
    parser.add_argument("--readme", metavar="README.md")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    report = Report(arguments.files)
    if arguments.html or arguments.plots:
        draw(report, arguments.html, arguments.plots)
    if arguments.readme:
        readme(arguments.readme, report, arguments.check)


if __name__ == "__main__":
    main()
