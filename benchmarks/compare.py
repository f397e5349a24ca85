#!/usr/bin/env python3
"""What became faster or slower from one run of the benchmarks to another, beyond the noise.

    compare.py BEFORE.json AFTER.json [--contender REGEX] [--least PERCENT] [--all]

A change counts if the least times differ by more than both runs' noise together, which is how far a run's lower quartile
lies above its least, and by more than --least (3 %). Contenders that have not changed, such as memcpy or the scalar
reference, show how far the machine itself has: the median of their ratios is printed first.
"""

import argparse
import json
import re
import statistics


def key(entry):
    shape = f"{entry['rows']}x{entry['columns']}" + (f"x{entry['inner']}" if entry["inner"] != 1 else "")
    return entry["operation"], entry["type"], entry["contender"], shape


def load(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if "speed" not in data:
        raise SystemExit(f"{path}: holds no times")
    kinds = {c["label"]: c["kind"] for c in data["contenders"]}
    return data["machine"], kinds, {key(entry): entry for entry in data["speed"]}


def noise(entry):
    """Relative."""
    times = sorted(entry["times"])
    return times[len(times) // 4] / times[0] - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--contender", default="^xsoftmax", metavar="REGEX", help="default: this library's kernels")
    parser.add_argument("--least", type=float, default=3, metavar="PERCENT", help="smaller changes do not count")
    parser.add_argument("--all", action="store_true", help="print what has not changed, too")
    arguments = parser.parse_args()

    machine_before, kinds, before = load(arguments.before)
    machine_after, _, after = load(arguments.after)
    for name in machine_before:
        if machine_before[name] != machine_after.get(name):
            print(f"{name}: {machine_before[name]} -> {machine_after.get(name)}")

    both = [k for k in before if k in after]
    unchanged = [after[k]["ns"] / before[k]["ns"] for k in both if kinds.get(k[2]) != "xsoftmax"]
    if unchanged:
        print(f"the others' times, which should not have changed: {statistics.median(unchanged):.3f} of what they were")

    counts = {"faster": 0, "slower": 0, "same": 0}
    for k in sorted((k for k in both if re.search(arguments.contender, k[2])),
                    key=lambda k: after[k]["ns"] / before[k]["ns"]):
        ratio = after[k]["ns"] / before[k]["ns"]
        threshold = max(arguments.least / 100, noise(before[k]) + noise(after[k]))
        change = "same" if abs(ratio - 1) <= threshold else "faster" if ratio < 1 else "slower"
        counts[change] += 1
        if change != "same" or arguments.all:
            print(f"{change}  {ratio:5.3f}  (noise {100 * threshold:4.1f} %)  {before[k]['ns']:12.2f} -> "
                  f"{after[k]['ns']:12.2f} ns  {'/'.join(k)}")
    print(f"{counts['faster']} faster, {counts['slower']} slower, {counts['same']} the same")
    only = len(before) + len(after) - 2 * len(both)
    if only:
        print(f"{only} in one of the files only")


if __name__ == "__main__":
    main()
