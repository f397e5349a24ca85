#!/usr/bin/env python3
"""What became faster or slower from one run of the benchmarks to another, beyond the noise.

    compare.py BEFORE.json AFTER.json [--contender REGEX] [--least PERCENT] [--raw] [--all]

A machine is faster at one time than at another. Contenders that have not changed (other libraries, memcpy, the scalar
reference; not "bare exp", which is this library's exponential) took turns with the library's kernels, so the median of their
ratios at the same operation and shape is what the machine did, and is divided out (--raw: is not). A change counts if it
exceeds --least (3 %), the noise at that place and the noise from run to run. The former is how far the median of the
repetitions lies above the least, in both runs together, and how far the ratios of what has not changed there lie from
their median, in the median (and, of one or two, how far those lie from all others). The latter is what nineteen in twenty of
the other libraries' ratios keep within: where memory lies differs between runs and not between the repetitions of one, whose
spread alone took one in eight of the other libraries' figures for changed. ~ marks changes of figures that are disturbed in
either run: not to be trusted.
"""

import argparse
import json
import re
import statistics
import sys
from collections import defaultdict


def key(entry):
    shape = f"{entry['rows']}x{entry['columns']}" + (f"x{entry['inner']}" if entry["inner"] != 1 else "")
    return entry["operation"], entry["type"], entry["contender"], shape


def fail(message):
    print(f"compare.py: {message}", file=sys.stderr)
    sys.exit(2)


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except ValueError:  # neither JSON nor, perhaps, text
        fail(f"{path}: not a file of these benchmarks")
    if not isinstance(data, dict) or data.get("format") != 1:
        fail(f"{path}: not a file of these benchmarks")
    if not data.get("speed"):
        fail(f"{path}: holds no times")
    ours = {c["label"] for c in data["contenders"] if c["kind"] == "xsoftmax" or c["label"] == "bare exp"}
    about = {**data["machine"], "commit": data.get("commit", "unknown"), "effort": data["effort"]}
    peers = {c["label"] for c in data["contenders"] if c["kind"] == "peer"}
    return about, ours, peers, {key(entry): entry for entry in data["speed"]}


def noise(entry):
    """Relative."""
    return entry["median"] / entry["ns"] - 1


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

    try:
        wanted = re.compile(arguments.contender)
    except re.error as error:
        fail(f"--contender {arguments.contender}: {error}")
    about_before, ours, peers, before = load(arguments.before)
    about_after, _, _, after = load(arguments.after)
    both = [k for k in before if k in after]
    if not any(wanted.search(k[2]) for k in both):
        known = ", ".join(dict.fromkeys(k[2] for k in both)) or "none"
        fail(f"--contender {arguments.contender}: no such contender in both files, which have {known}")
    for name in about_before:
        if about_before[name] != about_after.get(name):
            print(f"{name}: {about_before[name]} -> {about_after.get(name)}")
    if "quick" in (about_before["effort"], about_after["effort"]):
        print("warning: quick runs have few repetitions, and least times that are not quite the least")

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
        apart = statistics.median(abs(r / statistics.median(ratios) - 1) for r in ratios)
        # One or two may have been disturbed, or compiled differently.
        there, all_over = statistics.median(ratios), statistics.median(everywhere or [1])
        return apart if len(ratios) >= 3 else apart + max(there / all_over, all_over / there) - 1

    # Copies differ more from run to run than anything that computes.
    others = sorted(abs(after[k]["ns"] / before[k]["ns"] / statistics.median(ratios_there(k)) - 1)
                    for k in both if k[2] in peers)
    noise_of_runs = others[len(others) * 19 // 20] if others else 0
    if not others:
        print("warning: no other library is in both files, so that what differs from run to run is not known")

    def is_disturbed(k):
        return before[k]["disturbed"] or after[k]["disturbed"]

    counts = {"faster": 0, "slower": 0, "same": 0}
    chosen = sorted((k for k in both if wanted.search(k[2])), key=ratio)
    for k in chosen:
        threshold = max(arguments.least / 100, noise(before[k]) + noise(after[k]) + noise_between(k), noise_of_runs)
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
