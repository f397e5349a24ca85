#!/usr/bin/env bash
# dispatch.sh SOURCE-DIR PROJECT-BUILD-DIR BUILD-DIR [COMPILER [CMAKE-ARGUMENT...]]
# Installs xsoftmax::dispatch as PROJECT-BUILD-DIR has built it, links a program to it, and to a shared one of a subproject that is
# installed too, and runs it on every architecture that it names. No flag may have reached the program's own sources.
set -eEuo pipefail

source=$(realpath "$1")
project=$(realpath "$2")
mkdir -p "$3"
build=$(realpath "$3")
compiler=${4:-${CXX:-c++}}
arguments=("${@:5}")
cmake=${CMAKE_COMMAND:-cmake}

rm -rf "${build:?}"/*
trap 'echo "consumers: FAILED" >&2' ERR

build_and_run() { # NAME SOURCE-DIR [CMAKE-ARGUMENT...]
    echo "== $1"
    "$cmake" -S "$2" -B "$build/$1" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
        ${arguments[@]+"${arguments[@]}"} "${@:3}" >"$build/$1.log" || { cat "$build/$1.log"; false; }
    # Of the one that brings the library as a subproject, before anybody has linked it.
    "$cmake" --build "$build/$1" >"$build/$1.log" || { cat "$build/$1.log"; false; }
    "$cmake" --install "$build/$1" --prefix "$build/prefix_of_$1" >"$build/$1.log" || { cat "$build/$1.log"; false; }
    "$cmake" --build "$build/$1" --target consumer >"$build/$1.log" || { cat "$build/$1.log"; false; }
    local names
    names=$("$build/$1/consumer" --architectures)
    [[ -n $names ]]
    for name in $names; do XSOFTMAX_ARCH=$name "$build/$1/consumer"; done
    if grep -E '"command".*[/ ]main\.cpp' "$build/$1/compile_commands.json" | grep -E -- ' -m(avx|fma|arch)'; then
        echo "$1: flags for an instruction set reach the user's sources"
        false
    fi
}

"$cmake" --install "$project" --prefix "$build/prefix" >"$build/install.log"
prefixes=$build/prefix
for argument in ${arguments[@]+"${arguments[@]}"}; do
    if [[ $argument == -DCMAKE_PREFIX_PATH=?* ]]; then prefixes+=";${argument#*=}"; fi
done
build_and_run installed "$source/tests/consumers/dispatch" -DCMAKE_DISABLE_FIND_PACKAGE_xsimd=OFF \
    -DCMAKE_PREFIX_PATH="$prefixes" -DCMAKE_BUILD_TYPE=Release

# The least architecture, unoptimised and without forced inlining, which would take compilers two minutes: what is asked here is
# whether it links.
least=$(XSOFTMAX_ARCH='' "$build/installed/consumer" --architectures | tail -n 1)
build_and_run shared "$source/tests/consumers/dispatch" -DXSOFTMAX_DIRECTORY="$source" -DBUILD_SHARED_LIBS=ON \
    -DXSOFTMAX_DISPATCH_ARCHITECTURES="$least" -DXSOFTMAX_DISPATCH=ON -DXSOFTMAX_INSTALL=ON -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_CXX_FLAGS=-DXSOFTMAX_NO_FORCED_INLINE
ldd "$build/shared/consumer" >"$build/ldd.log"
grep -q xsoftmax_dispatch "$build/ldd.log"
echo "consumers of xsoftmax::dispatch: ok"
