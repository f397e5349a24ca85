#pragma once

/// Which sweep runs for which row: the one place where that is decided.
///
///     temperature        row                   sweep               computed in
///     2^-30 … 2^30 (1)   up to 8 (2) vectors   short_row           the row's type
///     2^-30 … 2^30 (1)   longer                three_pass          the row's type
///     0                  any                   zero_temperature    the row's type
///     any other          any                   three_pass_in_double  double
///
/// (1) double: 2^-400 … 2^400
/// (2) 4 where an operation keeps more than one sum
///
/// Many rows, at a temperature of the first two lines:
///
///     elements of a row     rows                                  sweep
///     contiguous            as many as fill vectors, of up to     short_rows: groups
///                           short_rows_vectors vectors
///     apart                 neighbours are contiguous             inner_axis: a row in each lane
///     any other                                                   one at a time, as above; through a tile where apart

#include "compiler.hpp"
#include "exp.hpp"
#include "plain_data.hpp"
#include "short_row.hpp"
#include "short_rows.hpp"
#include "scratch_rows.hpp"
#include "long_row.hpp"
#include "two_pass.hpp"
#include "zero_temperature.hpp"

#include <cstddef>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Temperature 0 or, for rows of float, an extreme one: rare enough to be kept out of the caller's code.
template <class Arch, class Operation, class T>
XSOFTMAX_COLD void run_unusual_row(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    if constexpr (requires { operation.at_zero(0.0, 1.0); })
        if (temperature == 0) return zero_temperature<Arch>(operation, logits, n);
    three_pass_in_double<Arch>(operation, logits, n, temperature);
}

/// Results of this size do not stay in a cache.
inline constexpr std::size_t out_of_cache_bytes = std::size_t{32} << 20;

/// A row of n ≥ 1 contiguous elements.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void run_row(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    if (temperature != 1 && !is_ordinary<T>(temperature)) [[unlikely]]
        return run_unusual_row<Arch>(operation, logits, n, temperature);
    constexpr std::size_t vector = xsimd::batch<T, Arch>::size;
    if (n <= short_row_vectors<Operation> * vector) return short_row<Arch>(operation, logits, n, temperature);
    if constexpr (Operation::any_reference)
        if (operation.output != logits && n >= guess_elements)
            return two_pass<Arch>(operation, logits, n, temperature);
    three_pass<Arch>(operation, logits, n, temperature);
}

/// What to do with such rows, for operations that are where they write to and nothing else.
template <class Operation, class T>
struct operations_apart {
    rows_apart<T> outputs;

    XSOFTMAX_ALWAYS_INLINE Operation operator()(std::size_t r) const { return Operation{outputs(r)}; }
};

/// Rows of n ≥ 1 contiguous elements, and what is written for them.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void run_rows(rows_apart<const T> logits, rows_apart<T> outputs, std::size_t rows, std::size_t n,
                                     double temperature)
{
    const operations_apart<Operation, T> operations{outputs};
    constexpr std::size_t vector = xsimd::batch<T, Arch>::size;
    std::size_t r = 0;
    if (n <= short_rows_vectors * vector && is_ordinary<T>(temperature))
        r = short_rows<Arch, T>(rows, n, temperature, logits, operations);
    else if constexpr (Operation::any_reference)
        if (is_ordinary<T>(temperature) && outputs.first != logits.first && n >= guess_elements) {
            if (n <= scratch_row_bytes / sizeof(T) && rows >= out_of_cache_bytes / sizeof(T) / n)
                return rows_by_scratch<Arch, T>(rows, n, temperature, logits, operations);
            return overlapped_rows<Arch, T>(rows, n, temperature, logits, operations);
        }
    for (; r < rows; ++r) {
        Operation operation = operations(r);
        run_row<Arch>(operation, logits(r), n, temperature);
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
