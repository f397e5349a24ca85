#!/usr/bin/env python3
"""Draws the report of the benchmarks from the files that their programs wrote.

    report.py PATH... [--html PAGE] [--plots FOLDER] [--ratios] [--keep FOLDER] [--readme README.md [--check]]

PATH       the JSON files of one report, or folders with those of a processor each
--html     one self-contained page
--plots    each plot as SVG and PNG
--ratios   prints this library's times over those of the fastest other, of the yardstick and of XNNPACK
--keep     copies the files to FOLDER/PROCESSOR, whose name they tell
--readme   rewrites what stands between <!-- report: NAME --> and <!-- end of report --> by the table of that name,
           processors side by side, and draws the plots that are linked, .../PROCESSOR/NAME.svg, where they are linked;
           with --check, only says whether the tables are what the files say
"""

import argparse
import os
import re
import shutil
import sys

import tables
from results import column_names, read_reports

_BLOCK = re.compile(r"(<!-- report: (\S+) -->\n).*?(<!-- end of report -->)", re.DOTALL)
_LINK = re.compile(r"\]\(((?:[\w./-]+/)?([\w-]+)/([\w-]+)\.svg)\)")


def _machine(report):
    machine = report.machine
    dates = sorted({document.date[:10] for document in report.documents})
    commits = "".join(f", commit {commit}" for commit in report.commits)
    return (f"{machine['CPU']}; {machine['compiler']} {machine['flags']}; xsimd {machine['xsimd']}; one thread; "
            f"{dates[-1]}{commits}.")


def _machines(reports):
    if len(reports) == 1:
        return _machine(reports[0])
    return "\n".join(f"- **{name}**: {_machine(report)}" for name, report in zip(column_names(reports), reports))


def rewrite(text, reports):
    names = column_names(reports)
    by_name = {}
    for column, report in zip(names, reports):
        for name, (_, table) in tables.all_tables(report).items():
            by_name.setdefault(name, []).append((column, table))
    texts = {name: tables.beside(named).markdown() for name, named in by_name.items()}
    texts["machine"] = _machines(reports)

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


def readme(path, reports, check):
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new = rewrite(old, reports)
    if check:
        if old != new:
            sys.exit(f"{path}: not what the files say; run report.py without --check")
        print(f"{path}: as the files say")
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)
    links = _LINK.findall(new)
    for report in reports:
        mine = [(link, name) for link, processor, name in links if processor == report.processor]
        figures = figures_of(report) if mine else {}
        for link, name in mine:
            if name in figures:
                save(figures[name], os.path.join(os.path.dirname(path), link))
    print(f"rewritten: {path}, and the plots that it links")


def keep(report, folder):
    folder = os.path.join(folder, report.processor)
    os.makedirs(folder, exist_ok=True)
    for document in report.documents:
        shutil.copyfile(document.path, os.path.join(folder, f"{document.question}.json"))
    print(f"kept: {folder}")


def print_ratios(report):
    document = report.libraries or report.kernels
    if document is None:
        sys.exit("--ratios: none of the files holds times")
    print(f"{report.processor}: {_machine(report)}\n")
    table = tables.ratios(document)
    widths = [max(len(line[i]) for line in [table.header, *table.rows]) for i in range(len(table.header))]
    for line in [table.header, *table.rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print()


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
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--html", metavar="PAGE")
    parser.add_argument("--plots", metavar="FOLDER")
    parser.add_argument("--ratios", action="store_true")
    parser.add_argument("--keep", metavar="FOLDER")
    parser.add_argument("--readme", metavar="README.md")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    reports = read_reports(arguments.paths)
    if arguments.html or arguments.plots:
        if len(reports) != 1:
            parser.error("--html and --plots are of one processor")
        draw(reports[0], arguments.html, arguments.plots)
    for report in reports:
        if arguments.ratios:
            print_ratios(report)
        if arguments.keep:
            keep(report, arguments.keep)
    if arguments.readme:
        readme(arguments.readme, reports, arguments.check)


if __name__ == "__main__":
    main()
