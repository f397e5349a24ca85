#pragma once

/// The benchmarks as a table for people: one block per function and type, one line per length.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace benchmarks {

/// Who is measured against whom. A benchmark's name is function/type/contender/length.
inline constexpr std::array<const char*, 3> contenders = {"xsoftmax", "naive_xsimd", "reference"};

/// One block of the table.
struct series {
    std::string function;
    std::string type;
    std::size_t bytes_per_element;  ///< read and written in the caller's spans
};

/// Runs the registered benchmarks of these series and lengths, line by line, and prints the table to stdout. Returns
/// false, and prints nothing, where --benchmark_filter lets no line through.
/// Throws: std::regex_error if the filter is malformed.
bool print_table(const std::vector<series>& blocks, const std::vector<std::int64_t>& lengths);

}  // namespace benchmarks
