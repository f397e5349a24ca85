#!/usr/bin/env bash
# run.sh SOURCE-DIR BUILD-DIR [COMPILER [CMAKE-ARGUMENT...]]
# Builds and runs one small program in each way that a user may take xsoftmax into a build.
set -eEuo pipefail

source=$(realpath "$1")
mkdir -p "$2"
build=$(realpath "$2")
compiler=${3:-${CXX:-c++}}
arguments=("${@:4}")
cmake=${CMAKE_COMMAND:-cmake}
consumers=$source/tests/consumers

rm -rf "${build:?}"/*
trap 'echo "consumers: FAILED" >&2' ERR

configure() { # NAME SOURCE-DIR [CMAKE-ARGUMENT...]
    echo "== $1"
    # Unoptimised: what is asked here is whether it compiles and links.
    "$cmake" -S "$2" -B "$build/$1" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Debug \
        ${arguments[@]+"${arguments[@]}"} "${@:3}" >"$build/$1.log" || { cat "$build/$1.log"; false; }
}

build_and_run() { # NAME
    "$cmake" --build "$build/$1" >"$build/$1.log" || { cat "$build/$1.log"; false; }
    "$build/$1/consumer"
}

# What xsoftmax builds for its own sake must not reach a project that includes it: each subdirectory of its sources has
# an install script in the build, and each dependency an entry in the cache.
assert_nothing_else() { # NAME
    (
        cd "$build/$1"
        grep -q '^XSOFTMAX_BUILD_TESTS:BOOL=OFF$' CMakeCache.txt
        if find . -name cmake_install.cmake | grep -iE '/(tests|benchmarks|examples|catch2-build|benchmark-build)/' ||
            grep -E '^(Catch2|benchmark)_DIR' CMakeCache.txt; then
            echo "$1 pulls in tests, benchmarks or examples"
            false
        fi
    )
}

configure xsoftmax "$source" -DXSOFTMAX_BUILD_TESTS=OFF -DXSOFTMAX_BUILD_BENCHMARKS=OFF -DXSOFTMAX_BUILD_EXAMPLES=OFF \
    -DXSOFTMAX_DISPATCH=OFF
"$cmake" --install "$build/xsoftmax" --prefix "$build/prefix" >"$build/xsoftmax.log"
prefixes=$build/prefix
for argument in ${arguments[@]+"${arguments[@]}"}; do
    if [[ $argument == -DCMAKE_PREFIX_PATH=?* ]]; then prefixes+=";${argument#*=}"; fi
done
configure find_package "$consumers/find_package" -DCMAKE_DISABLE_FIND_PACKAGE_xsimd=OFF -DCMAKE_PREFIX_PATH="$prefixes"
build_and_run find_package

configure add_subdirectory "$consumers/add_subdirectory" -DXSOFTMAX_DIRECTORY="$source"
assert_nothing_else add_subdirectory
build_and_run add_subdirectory

configure fetch_content "$consumers/fetch_content" -DXSOFTMAX_DIRECTORY="$source"
assert_nothing_else fetch_content
build_and_run fetch_content

echo "== compiler alone"
includes=()
while read -r directory; do includes+=(-I "$directory"); done <"$build/add_subdirectory/includes.txt"
((${#includes[@]} >= 4)) # at least two paths, each behind its -I
for program in consumers/main contract/rows; do
    # shellcheck disable=SC2086 # CXXFLAGS holds several options
    "$compiler" -std=c++20 -O2 ${CXXFLAGS:-} "${includes[@]}" "$source/tests/$program.cpp" -o "$build/program"
    "$build/program"
done
echo "consumers: ok"
