#!/usr/bin/env python3
"""shared_symbols.py [--objdump PROGRAM] [--only REGEX] [--list FILE] OBJECT...

Fails if a weak symbol that several objects hold has instructions beyond the baseline of its processor in any of them.

Of a function that is not inlined the linker keeps one copy for the whole program. If objects of different instruction sets
share it, that may be the one which the processor at hand cannot run. Compile at -O0, where nothing is inlined that need
not be.
"""

import argparse
import collections
import re
import subprocess
import sys

# What x86-64 has beyond SSE2: AVX and AVX-512 by their prefix or registers, the rest by name.
X86 = re.compile(
    r"^v(?!err|erw)\w+|%[yz]mm|%k[0-7]|%xmm(1[6-9]|2\d|3[01])"
    r"|^(andn|bextr|bls(i|r|msk)|bzhi|lzcnt|tzcnt|popcnt|mulx|pdep|pext|rorx|sarx|shlx|shrx|movbe|crc32)[lqw]?\b"
    r"|^(p?h(add|sub)|addsub|mov(ddup|shdup|sldup|ntdqa)|lddqu|pshufb|pabs|psign|palignr|pmaddubs|pmulhrs"
    r"|p?blend|round|insertps|extractps|pinsr[bdq]|pextr[bdq]|pmov[sz]x|pm(ax|in)(sb|sd|uw|ud)|pmul(dq|ld)"
    r"|ptest|pcmp(eqq|gtq|[ei]str)|packusdw|mpsadbw|phminpos|dpp[sd])")
# What AArch64 has beyond Advanced SIMD: SVE's vectors and predicates.
ARM = re.compile(r"\bz\d+\.|\bz\d+\b|\bp\d+(\.[bhsd]|/[mz])|^(ptrue|rdvl|cnt[bhwd]|inc[bhwd]|dec[bhwd]|whilel)")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def weak_functions(nm, path):
    return {
        line.split()[-1]
        for line in run(nm, "--defined-only", "--format=posix", path).splitlines()
        for line in [re.sub(r"^(\S+) ([WVu]) .*$", r"\1", line)]
        if " " not in line
    }


def instructions(objdump, path, wanted):
    """Of each wanted function, as text without addresses and bytes."""
    functions = collections.defaultdict(list)
    name = None
    for line in run(objdump, "-d", "--no-show-raw-insn", path).splitlines():
        if line.endswith(">:"):
            name = line[line.index("<") + 1:-2]
            name = name if name in wanted else None
        elif name and (body := re.match(r"^ *[0-9a-f]+:\s+(\S.*)$", line)):
            # Of jumps and loads only what is before the name they refer to.
            functions[name].append(re.sub(r"\s*[<#].*$", "", body[1]))
    return functions


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[1])
    arguments.add_argument("--objdump", default="objdump")
    arguments.add_argument("--only", default="", help="names of symbols, as they are demangled")
    arguments.add_argument("--list", help="where to write the shared symbols, each after the number of objects that hold it")
    arguments.add_argument("objects", nargs="+")
    options = arguments.parse_args()
    nm = re.sub(r"objdump$", "nm", options.objdump)

    holders = collections.defaultdict(list)
    for path in options.objects:
        for symbol in weak_functions(nm, path):
            holders[symbol].append(path)
    shared = {symbol: paths for symbol, paths in holders.items() if len(paths) > 1}
    names = dict(zip(shared, run("c++filt", *shared).splitlines())) if shared else {}
    shared = {symbol: paths for symbol, paths in shared.items() if re.search(options.only, names[symbol])}

    if options.list:
        with open(options.list, "w", encoding="utf-8") as file:
            file.writelines(sorted(f"{len(paths)} {names[symbol]}\n" for symbol, paths in shared.items()))
        print(f"{len(shared)} shared symbols are listed in {options.list}")

    bad = set()
    for path in options.objects:
        code = instructions(options.objdump, path, shared)
        beyond = ARM if "aarch64" in run(options.objdump, "-f", path) else X86
        for symbol in (symbol for symbol, paths in shared.items() if path in paths):
            found = [text for text in code[symbol] if beyond.search(text)]
            if found:
                bad.add(symbol)
                print(f"{names[symbol]}\n    in {path}: {found[0]}")
    print(f"{len(options.objects)} objects, {len(holders)} weak symbols, {len(shared)} shared, {len(bad)} of them beyond the baseline")
    return bool(bad) or not holders


if __name__ == "__main__":
    sys.exit(main())
