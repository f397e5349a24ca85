#pragma once

/// Operations on rows of any layout, by the kernels that take them.

#include "../kernels/entry_points.hpp"
#include "architecture.hpp"
#include "batch.hpp"
#include "executor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <span>
#include <type_traits>

namespace xsoftmax::detail {
inline namespace XSOFTMAX_TARGET {

template <class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void run_row(Operation& operation, std::span<const T> logits, double temperature)
{
    call<kernels::row_entry<Operation, T>>(operation, logits.data(), logits.size(), temperature);
}

/// All `size` elements become `value`.
template <class T>
void fill(T* to, std::size_t size, T value)
{
    call<kernels::fill_entry<T>>(to, size, value);
}

/// Rows whose operations are made together: those of the widest vectors, whose results are then taken together.
inline constexpr std::size_t operations_at_once = 64;

/// Are there rows whose neighbours are contiguous? The layout then has them innermost, if it may.
template <class T, std::size_t Operands>
[[nodiscard]] bool are_side_by_side(const row_layout<Operands>& layout, double temperature)
{
    if (layout.is_contiguous() || layout.length == 0 || !kernels::is_ordinary<T>(temperature)) return false;
    for (const std::ptrdiff_t s : layout.innermost().strides)
        if (s != 1) return false;
    return layout.innermost().extent > 1;
}

/// Contiguous rows that are taken in groups where vectors are widest; on others, those up to which that costs nothing.
template <class T, std::size_t Operands>
[[nodiscard]] bool are_short_rows(const row_layout<Operands>& layout)
{
    constexpr std::size_t most_elements = 256 / sizeof(T);
    return layout.is_contiguous() && layout.length != 0 && layout.length <= most_elements && layout.rows() > 1;
}

/// The layout with such rows innermost, where there are any that are to be computed side by side.
template <class T, std::size_t Operands>
[[nodiscard]] row_layout<Operands> arranged(row_layout<Operands> layout, double temperature)
{
    if (!layout.is_contiguous() && layout.length != 0 && kernels::is_ordinary<T>(temperature))
        layout.bring_contiguous_innermost();
    return layout;
}

/// Operations on the rows of a share, as many at a time as are made together. take(operations, where the first of these rows
/// lies, how many) does the first of them, and tells whether some are for the sweep of one row, run(where row r lies, r).
template <bool Writes, class T, std::size_t Operands, class Make, class Done, class Take, class Run>
void run_together(const row_layout<Operands>& layout, rows_share share, const pointers<T, Operands>& data,
                  const Make& make, const Done& done, const Take& take, const Run& run)
{
    using operation_type = std::remove_cvref_t<decltype(make(data, layout.step, std::size_t{}))>;
    const auto& innermost = layout.innermost();
    layout.for_each_run(
        [&](std::size_t first_row, const std::array<std::ptrdiff_t, Operands>& offset, std::size_t rows) {
            const auto first = moved_by(data, offset);
            const auto at = [&](std::size_t r) {
                return moved_by(first, innermost.strides, r);
            };
            const auto number = [&](std::size_t r) {
                return first_row + r * innermost.rows;
            };
            alignas(operation_type) std::byte memory[operations_at_once * sizeof(operation_type)];
            auto* const operations = reinterpret_cast<operation_type*>(memory);
            for (std::size_t r = 0; r < rows;) {
                const std::size_t count = std::min(operations_at_once, rows - r);
                for (std::size_t k = 0; k < count; ++k)
                    ::new (operations + k) operation_type(make(at(r + k), layout.step, number(r + k)));
                const kernels::taken_rows taken = take(operations, at(r), count);
                for (std::size_t k = 0; k < taken.done; ++k) done(number(r + k), operations[k]);
                r += taken.done;
                if (taken.refused != 0) {
                    for_rows_of_run<Writes>(layout, at(r), number(r), taken.refused, run);
                    r += taken.refused;
                }
            }
        },
        share);
}

/// Operations on all rows of an arranged layout, whose first operand is the logits, and whose last one is what the operation
/// writes, if it does. make(where row r lies, from an element to the next in each operand, r) is what to do with row r, and
/// done(r, operation) takes it when that has been done.
template <bool Writes, class T, std::size_t Operands, class Make, class Done>
void run_rows_of_share(const row_layout<Operands>& layout, rows_share share, const pointers<T, Operands>& data,
                       double temperature, const Make& make, const Done& done)
{
    using operation_type = std::remove_cvref_t<decltype(make(data, layout.step, std::size_t{}))>;
    const std::size_t n = layout.length;
    const auto row = [&](const pointers<T, Operands>& at, std::size_t r) {
        std::array<std::ptrdiff_t, Operands> contiguous;
        contiguous.fill(1);
        auto operation = make(at, contiguous, r);
        run_row(operation, std::span<const T>(at[0], n), temperature);
        done(r, operation);
    };
    if (!are_side_by_side<T>(layout, temperature)) return for_each_row<Writes>(layout, data, row, share);
    const auto take = [&](operation_type* operations, const pointers<T, Operands>& at, std::size_t count) {
        return call<kernels::inner_axis_entry<operation_type, T>>(
            operations, static_cast<const T*>(at[0]), layout.step[0], layout.step[Operands - 1], n, count, temperature);
    };
    run_together<Writes>(layout, share, data, make, done, take, row);
}

/// The same of operations that are more than where they write to, on contiguous rows together too.
template <bool Writes, class T, std::size_t Operands, class Make, class Done>
void run_operations_of_share(const row_layout<Operands>& layout, rows_share share, const pointers<T, Operands>& data,
                             double temperature, const Make& make, const Done& done)
{
    using operation_type = std::remove_cvref_t<decltype(make(data, layout.step, std::size_t{}))>;
    if (!layout.is_contiguous() || layout.length == 0)
        return run_rows_of_share<Writes>(layout, share, data, temperature, make, done);
    const auto take = [&](operation_type* operations, const pointers<T, Operands>& at, std::size_t count) {
        call<kernels::operations_entry<operation_type, T>>(
            operations, kernels::rows_apart<const T>{at[0], layout.innermost().strides[0]}, count, layout.length,
            temperature, layout.rows());
        return kernels::taken_rows{count, 0};
    };
    run_together<Writes>(layout, share, data, make, done, take, [](const auto&, std::size_t) {});
}

/// An operation that writes, Operation{output}, on all rows of logits along `axis`.
template <class Operation, class Executor, class T>
void run_batch(Executor& executor, std::size_t axis, const operand<const T>& logits, const operand<T>& output,
               double temperature)
{
    const row_layout<2> layout = rows_along(axis, logits, output);
    const auto data = data_of<T>(logits, output);
    if (layout.length == 0 || layout.rows() == 0) return;
    if (!layout.is_contiguous()) {
        const auto apart = arranged<T>(layout, temperature);
        return in_shares(executor, apart, [&](rows_share share) {
            run_rows_of_share<true>(
                apart, share, data, temperature,
                [](const pointers<T, 2>& at, const auto&, std::size_t) { return Operation{at[1]}; },
                [](std::size_t, const Operation&) {});
        });
    }

    const auto& innermost = layout.innermost();
    const auto run = [&](std::size_t, const std::array<std::ptrdiff_t, 2>& offset, std::size_t rows) {
        const auto at = moved_by(data, offset);
        call<kernels::rows_entry<Operation, T>>(kernels::rows_apart<const T>{at[0], innermost.strides[0]},
                                                kernels::rows_apart<T>{at[1], innermost.strides[1]}, rows,
                                                layout.length, temperature, layout.rows());
    };
    in_shares(executor, layout, [&](rows_share share) { layout.for_each_run(run, share); });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::detail
