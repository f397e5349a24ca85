#pragma once

/// A program of benchmarks: blocks of operations and shapes, over contenders.
///
///     PROGRAM [flags of Google Benchmark]            its list, by Google Benchmark; see --help. Interleaved, and 5
///                                                    repetitions of 0.05 s, unless the flags say otherwise
///     PROGRAM --table [--quick] [--json=FILE]        tables for people; all calls of a column take turns
///
/// --benchmark_filter=REGEX selects in both: names are operation/type/contender/shape.

#include "contender.hpp"

#include <string>
#include <vector>

namespace benchmarks {

/// One operation and element type: contenders down, shapes across.
struct block {
    benchmarks::operation operation;
    bool of_double;
    std::vector<shape> shapes;
    std::string title = "";  ///< what is added to the operation's name
};

struct suite {
    std::string question;  ///< "kernels" or "libraries": goes into the JSON
    std::vector<contender> contenders;
    std::vector<block> full;
    std::vector<block> quick;
};

/// The rest of main.
int run_suite(int argc, char** argv, const suite& all);

/// Every length that the plots show, as single rows.
std::vector<shape> rows_of(const std::vector<std::size_t>& lengths);

}  // namespace benchmarks
