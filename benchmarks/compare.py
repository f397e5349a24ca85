#!/usr/bin/env python3
"""What became faster or slower from one run of the benchmarks to another, beyond the noise.

    compare.py BEFORE.json AFTER.json [--contender REGEX] [--least PERCENT] [--raw] [--all]

A machine is faster at one time than at another. Contenders that have not changed (other libraries, memcpy, the scalar
reference; not "bare exp", which is this library's exponential) took turns with the library's kernels, so the median of their
ratios at the same operation and shape is what the machine did, and is divided out (--raw: is not). A change counts if it
exceeds --least (3 %) and all noise together: of either run, how far the lower quartile of the repetitions lies above the
least, and how far the ratios of what has not changed lie from their median, in the median. ~ marks changes of figures that
are disturbed in either run: not to be trusted.
"""

import argparse
import json
import re
import statistics
from collections import defaultdict


def key(entry):
    shape = f"{entry['rows']}x{entry['columns']}" + (f"x{entry['inner']}" if entry["inner"] != 1 else "")
    return entry["operation"], entry["type"], entry["contender"], shape


def load(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if "speed" not in data:
        raise SystemExit(f"{path}: holds no times")
    ours = {c["label"] for c in data["contenders"] if c["kind"] == "xsoftmax" or c["label"] == "bare exp"}
    about = {**data["machine"], "commit": data.get("commit", "unknown"), "effort": data["effort"]}
    return about, ours, {key(entry): entry for entry in data["speed"]}


def noise(entry):
    """Relative."""
    times = sorted(entry["times"])
    return times[len(times) // 4] / times[0] - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--contender", default="^(xsoftmax|bare exp)", metavar="REGEX",
                        help="default: this library's kernels")
    parser.add_argument("--least", type=float, default=3, metavar="PERCENT", help="smaller changes do not count")
    parser.add_argument("--raw", action="store_true", help="leave in what the machine did")
    parser.add_argument("--all", action="store_true", help="print what has not changed, too")
    arguments = parser.parse_args()

    about_before, ours, before = load(arguments.before)
    about_after, _, after = load(arguments.after)
    for name in about_before:
        if about_before[name] != about_after.get(name):
            print(f"{name}: {about_before[name]} -> {about_after.get(name)}")
    if "quick" in (about_before["effort"], about_after["effort"]):
        print("warning: quick runs have few repetitions, and least times that are not quite the least")

    both = [k for k in before if k in after]
    unchanged = defaultdict(list)
    for k in both:
        if k[2] not in ours:
            unchanged[k[0], k[1], k[3]].append(after[k]["ns"] / before[k]["ns"])
    everywhere = [ratio for ratios in unchanged.values() for ratio in ratios]
    if everywhere:
        print(f"the machine: what has not changed takes {statistics.median(everywhere):.3f} of what it took, in the median")

    def ratios_there(k):
        return unchanged.get((k[0], k[1], k[3])) or everywhere or [1]

    def ratio(k):
        drift = 1 if arguments.raw else statistics.median(ratios_there(k))
        return after[k]["ns"] / before[k]["ns"] / drift

    def noise_between(k):
        ratios = ratios_there(k)
        return statistics.median(abs(r / statistics.median(ratios) - 1) for r in ratios)

    def is_disturbed(k):
        return before[k]["disturbed"] or after[k]["disturbed"]

    counts = {"faster": 0, "slower": 0, "same": 0}
    chosen = sorted((k for k in both if re.search(arguments.contender, k[2])), key=ratio)
    for k in chosen:
        threshold = max(arguments.least / 100, noise(before[k]) + noise(after[k]) + noise_between(k))
        change = "same" if abs(ratio(k) - 1) <= threshold else "faster" if ratio(k) < 1 else "slower"
        counts[change] += 1
        if change != "same" or arguments.all:
            print(f"{change}  {ratio(k):5.3f}  (noise {100 * threshold:4.1f} %)  {before[k]['ns']:12.2f} -> "
                  f"{after[k]['ns']:12.2f} ns{'~' if is_disturbed(k) else ' '} {'/'.join(k)}")
    print(f"{counts['faster']} faster, {counts['slower']} slower, {counts['same']} the same")
    disturbed = sum(map(is_disturbed, chosen))
    if disturbed:
        print(f"warning: {disturbed} of {len(chosen)} figures are disturbed (~) in one of the runs")
    only = len(before) + len(after) - 2 * len(both)
    if only:
        print(f"{only} in one of the files only")


if __name__ == "__main__":
    main()
