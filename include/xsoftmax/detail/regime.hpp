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

#include "../kernels/inner_axis.hpp"
#include "../kernels/short_row.hpp"
#include "../kernels/short_rows.hpp"
#include "../kernels/three_pass.hpp"
#include "../kernels/zero_temperature.hpp"
#include "architecture.hpp"
#include "batch.hpp"

#include <span>

namespace xsoftmax::detail {

/// Temperature 0 or, for rows of float, an extreme one: rare enough to be kept out of the caller's code.
template <class Arch, class Operation, class T>
XSOFTMAX_COLD void run_unusual_row(Operation& operation, std::span<const T> logits, double temperature)
{
    if constexpr (requires { operation.at_zero(0.0, 1.0); })
        if (temperature == 0) return kernels::zero_temperature<Arch>(operation, logits.data(), logits.size());
    kernels::three_pass_in_double<Arch>(operation, logits.data(), logits.size(), temperature);
}

template <class Operation, class T>
void run_row(Operation& operation, std::span<const T> logits, double temperature)
{
    if (temperature != 1 && !kernels::is_ordinary<T>(temperature)) [[unlikely]]
        return run_unusual_row<architecture>(operation, logits, temperature);
    const std::size_t n = logits.size();
    constexpr std::size_t vector = xsimd::batch<T, architecture>::size;
    if (n <= kernels::short_row_vectors<Operation> * vector)
        return kernels::short_row<architecture>(operation, logits.data(), n, temperature);
    kernels::three_pass<architecture>(operation, logits.data(), n, temperature);
}

/// An operation that writes, Operation{output}, on all rows of logits along `axis`.
template <class Operation, class T>
void run_batch(std::size_t axis, const operand<const T>& logits, const operand<T>& output, double temperature)
{
    row_layout<2> layout = rows_along(axis, logits, output);
    const auto data = data_of<T>(logits, output);
    const std::size_t n = layout.length;
    if (n == 0 || layout.rows() == 0) return;
    const auto row = [&](const pointers<T, 2>& at, std::size_t) {
        Operation operation{at[1]};
        run_row(operation, std::span<const T>(at[0], n), temperature);
    };
    const bool ordinary = kernels::is_ordinary<T>(temperature);
    const auto& innermost = layout.innermost();
    constexpr std::size_t vector = xsimd::batch<T, architecture>::size;

    if (ordinary && layout.is_contiguous() && n <= kernels::short_rows_vectors * vector) {
        const auto in_stride = innermost.strides[0], out_stride = innermost.strides[1];
        layout.for_each_run([&](std::size_t, const std::array<std::ptrdiff_t, 2>& offset) {
            const auto at = moved_by(data, offset);
            const std::size_t done = kernels::short_rows<architecture, T>(
                innermost.extent, n, temperature,
                [in = static_cast<const T*>(at[0]), in_stride](std::size_t r)
                    XSOFTMAX_INLINE_LAMBDA { return in + static_cast<std::ptrdiff_t>(r) * in_stride; },
                [out = at[1], out_stride](std::size_t r)
                    XSOFTMAX_INLINE_LAMBDA { return Operation{out + static_cast<std::ptrdiff_t>(r) * out_stride}; });
            const auto by = static_cast<std::ptrdiff_t>(done);
            for_rows_of_run<true>(layout, moved_by(at, {by * in_stride, by * out_stride}), done,
                                  innermost.extent - done, row);
        });
        return;
    }
    if (ordinary && !layout.is_contiguous() && layout.bring_contiguous_innermost()) {
        layout.for_each_run([&](std::size_t, const std::array<std::ptrdiff_t, 2>& offset) {
            const auto at = moved_by(data, offset);
            kernels::inner_axis<architecture>(
                Operation{at[1]}, static_cast<const T*>(at[0]), layout.step[0], layout.step[1], n,
                layout.innermost().extent, temperature, [&](std::size_t first, std::size_t count) {
                    const auto by = static_cast<std::ptrdiff_t>(first);
                    for_rows_of_run<true>(layout, moved_by(at, {by, by}), first, count, row);
                });
        });
        return;
    }
    for_each_row<true>(layout, data, row);
}

}  // namespace xsoftmax::detail
