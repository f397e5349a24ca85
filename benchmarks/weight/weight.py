#!/usr/bin/env python3
"""What does it cost to include this library, and to call it?

    weight.py [--compiler g++] [-I FOLDER]... [--times 2]

Compiles the programs beside it at -O2, without other flags and for AVX2, and prints for each the least processor time of
the compiler, that time against what including xsimd alone costs, and the kilobytes of code.
"""

import argparse
import os
import resource
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"
FLAGS = {"x86-64": [], "AVX2": ["-mavx2", "-mfma"]}


def processor_seconds(command):
    """Of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def kilobytes_of_code(file):
    """Machine code and constants, which `size` counts together."""
    return int(subprocess.check_output(["size", file], text=True).splitlines()[1].split()[0]) / 1000


def measure(source, flags, arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "program.o")
        includes = [f"-I{path}" for path in [INCLUDE, *filter(None, arguments.include)]]
        command = [arguments.compiler, "-std=c++20", "-O2", *flags, *includes, "-c", str(source), "-o", file]
        seconds = min(processor_seconds(command) for _ in range(arguments.times))
        return seconds, kilobytes_of_code(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("-I", dest="include", action="append", default=[], metavar="FOLDER", help="where xsimd is")
    parser.add_argument("--times", type=int, default=2, help="compilations of each, of which the least counts")
    arguments = parser.parse_args()

    print("| program | for | seconds to compile | times 0-xsimd | kB of code |\n| --- | --- | ---: | ---: | ---: |")
    for name, flags in FLAGS.items():
        least = None
        for source in sorted(HERE.glob("*.cpp")):
            seconds, kilobytes = measure(source, flags, arguments)
            least = least or seconds
            print(f"| {source.stem} | {name} | {seconds:.2f} | {seconds / least:.2f} | {kilobytes:.1f} |", flush=True)
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in INCLUDE.rglob("*.hpp"))
    print(f"\n{lines} lines under include/")


if __name__ == "__main__":
    main()
