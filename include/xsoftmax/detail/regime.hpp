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

/// Operations on all rows of a layout, whose first operand is the logits, and whose last one is what the operation writes,
/// if it does. make(where row r lies, from an element to the next in each operand, r) is what to do with row r, and
/// done(r, operation) takes it when that has been done.
template <bool Writes, class T, std::size_t Operands, class Make, class Done>
void run_rows(row_layout<Operands> layout, const pointers<T, Operands>& data, double temperature, const Make& make,
              const Done& done)
{
    const std::size_t n = layout.length;
    const auto row = [&](const pointers<T, Operands>& at, std::size_t r) {
        std::array<std::ptrdiff_t, Operands> contiguous;
        contiguous.fill(1);
        auto operation = make(at, contiguous, r);
        run_row(operation, std::span<const T>(at[0], n), temperature);
        done(r, operation);
    };
    if (layout.is_contiguous() || !kernels::is_ordinary<T>(temperature) || n == 0 ||
        !layout.bring_contiguous_innermost())
        return for_each_row<Writes>(layout, data, row);

    const auto& innermost = layout.innermost();
    layout.for_each_run([&](std::size_t first_row, const std::array<std::ptrdiff_t, Operands>& offset) {
        const auto first = moved_by(data, offset);
        const auto at = [&](std::size_t r) {
            pointers<T, Operands> moved = first;
            for (T*& operand : moved) operand += r;
            return moved;
        };
        const auto number = [&](std::size_t r) {
            return first_row + r * innermost.rows;
        };
        kernels::inner_axis<architecture>(
            [&](std::size_t r) { return make(at(r), layout.step, number(r)); },
            [&](std::size_t r, auto& operation) { done(number(r), operation); }, static_cast<const T*>(first[0]),
            layout.step[0], layout.step[Operands - 1], n, innermost.extent, temperature,
            [&](std::size_t r, std::size_t count) { for_rows_of_run<Writes>(layout, at(r), number(r), count, row); });
    });
}

/// An operation that writes, Operation{output}, on all rows of logits along `axis`.
template <class Operation, class T>
void run_batch(std::size_t axis, const operand<const T>& logits, const operand<T>& output, double temperature)
{
    const row_layout<2> layout = rows_along(axis, logits, output);
    const auto data = data_of<T>(logits, output);
    const std::size_t n = layout.length;
    if (n == 0 || layout.rows() == 0) return;
    const auto nothing = [](std::size_t, const Operation&) {
    };
    const auto make = [](const pointers<T, 2>& at, const auto&, std::size_t) {
        return Operation{at[1]};
    };
    constexpr std::size_t vector = xsimd::batch<T, architecture>::size;
    if (!kernels::is_ordinary<T>(temperature) || !layout.is_contiguous() || n > kernels::short_rows_vectors * vector)
        return run_rows<true>(layout, data, temperature, make, nothing);

    const auto& innermost = layout.innermost();
    const auto in_stride = innermost.strides[0], out_stride = innermost.strides[1];
    layout.for_each_run([&](std::size_t, const std::array<std::ptrdiff_t, 2>& offset) {
        const auto at = moved_by(data, offset);
        const std::size_t done = kernels::short_rows<architecture, T>(
            innermost.extent, n, temperature,
            [in = static_cast<const T*>(at[0]), in_stride](std::size_t r)
                XSOFTMAX_INLINE_LAMBDA { return in + static_cast<std::ptrdiff_t>(r) * in_stride; },
            [out = at[1], out_stride](std::size_t r)
                XSOFTMAX_INLINE_LAMBDA { return Operation{out + static_cast<std::ptrdiff_t>(r) * out_stride}; });
        for (std::size_t r = done; r < innermost.extent; ++r) {
            const auto by = static_cast<std::ptrdiff_t>(r);
            Operation operation{at[1] + by * out_stride};
            run_row(operation, std::span<const T>(at[0] + by * in_stride, n), temperature);
        }
    });
}

}  // namespace xsoftmax::detail
