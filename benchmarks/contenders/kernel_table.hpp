#pragma once

/// What comes from translation units that are compiled for an instruction set of their own: plain functions, and nothing
/// that the linker could take from there for a machine without it.

#include "../suite/problem.hpp"

#include <cstddef>

namespace benchmarks {

/// Runs the operation of a problem<T>, given as its state.
using kernel_function = void (*)(const void* problem);

/// Functions of this library, or of the yardstick, for elements of one type: null where there is none.
struct kernel_table {
    const char* instruction_set;  ///< as xsoftmax::architecture() names it; this library's alone
    kernel_function row[operation_count];
    kernel_function rows[operation_count];
    kernel_function inner_axis[operation_count];
};

}  // namespace benchmarks
