#pragma once

/// Rows along an axis whose neighbours are contiguous: each lane is a row, and no lane ever meets another.

#include "compiler.hpp"
#include "exp.hpp"
#include "operations.hpp"
#include "plain_data.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

#include <cstddef>
#include <cstdint>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Vectors of rows side by side: a cache line of floats and more, so that lines are used whole.
inline constexpr std::size_t inner_axis_vectors = 4;

/// How far a guess may be off, and what its exponential then is at most.
template <class T>
inline constexpr T inner_axis_guess_limit = sizeof(T) == 4 ? exp_constants<T>::guess_limit : T(11);
inline constexpr double inner_axis_headroom = 0x1p16;

/// How many elements of each row a guess at its maximum is made from, where one is made.
inline constexpr std::size_t inner_axis_guess_elements = 16;

/// The running sums of a panel's exponentials, lane by lane. Of doubles whose guesses are this good the terms are split at a
/// fixed bit (see short_sum), which takes five instructions and no waiting in place of seven.
template <class B, bool Guesses>
class inner_axis_sum : public sum_of<B> {
public:
    inner_axis_sum() = default;
    XSOFTMAX_ALWAYS_INLINE explicit inner_axis_sum(std::size_t) {}
};

template <class B>
requires(sizeof(value_of<B>) == 8) class inner_axis_sum<B, true> {
public:
    inner_axis_sum() = default;

    /// Of n terms, each at most inner_axis_headroom times the exponential of a guess.
    XSOFTMAX_ALWAYS_INLINE explicit inner_axis_sum(std::size_t n)
        : split_(exp_constants<double>::stored_factor * inner_axis_headroom * 1.5 *
                 static_cast<double>(std::uint64_t{2} << (63 - __builtin_clzll(n))))
    {
    }

    XSOFTMAX_ALWAYS_INLINE void add(B x)
    {
        const B high = rounded(B(rounded(B(x + split_)) - split_));
        high_ = high_ + high;
        low_ = low_ + rounded(B(x - high));
    }

    XSOFTMAX_ALWAYS_INLINE void totals(extended (&to)[B::size]) const
    {
        alignas(B) double high[B::size], low[B::size];
        high_.store_aligned(high);
        low_.store_aligned(low);
        for (std::size_t k = 0; k < B::size; ++k)
            to[k] = high[k] - high[k] == 0 ? two_sum(high[k], low[k]) : extended{high[k], 0};
    }

private:
    B split_ = B(0.0);
    B high_ = B(0.0), low_ = B(0.0);
};

/// The rows of `Vectors` neighbouring vectors, the last window of which may be a part. Element i of the rows lies at
/// i·step. operations[r] is what to do with row r. False, and nothing done, if a row's maximum is not near
/// (temperature_scale::is_near).
///
/// With `Guesses` all is relative to guesses at the maxima, as in two_pass.hpp, so that one sweep does. False then also if a
/// guess was too far off; the logits must be kept.
template <std::size_t Vectors, bool Guesses, class B, class Window, class Operation>
XSOFTMAX_ALWAYS_INLINE bool inner_axis_panel(Operation* operations, const value_of<B>* logits, std::ptrdiff_t step,
                                             std::ptrdiff_t output_step, std::size_t n, Window first, std::size_t rows,
                                             const scale_for<B> scale)
{
    using T = value_of<B>;
    static_assert(Operation::sums == 1);
    // Whole windows unless there is but one.
    const auto for_each = [&](auto&& visit) XSOFTMAX_INLINE_LAMBDA {
        if constexpr (Vectors == 1)
            visit(0, first);
        else
            XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < Vectors; ++k) visit(k, Window{first.at + k * B::size});
    };
    const auto at = [](auto* row, std::ptrdiff_t by, std::size_t i) XSOFTMAX_INLINE_LAMBDA {
        return row + by * static_cast<std::ptrdiff_t>(i);
    };

    // The maxima, or guesses at them.
    B tops[Vectors];
    for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA { tops[k] = window.load_from(logits, T(0)); });
    const std::size_t seen = Guesses && n > inner_axis_guess_elements ? inner_axis_guess_elements : n;
    for (std::size_t i = 1; i < seen; ++i)
        for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
            tops[k] = maximum(tops[k], B(window.load_from(at(logits, step, i), T(0))));
        });
    for (std::size_t k = 0; k < Vectors; ++k)
        if (!scale.are_near(tops[k])) return false;

    // Row 0's, whose output the windows count from; and each row's.
    const Operation operation = operations[0];
    Operation* const of_rows = operations + first.at;

    B cutoff[Vectors], offset[Vectors];
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k < Vectors; ++k) {
        const near_maximum<B> reference(tops[k], scale);
        cutoff[k] = reference.cutoff();
        offset[k] = reference.offset();
    }
    using sum_type = inner_axis_sum<B, Guesses>;
    sum_type running[Vectors];
    B winners[Vectors], best[Vectors];
    for (std::size_t k = 0; k < Vectors; ++k) {
        running[k] = sum_type(n);
        winners[k] = B(T(0));
        best[k] = tops[k];
    }
    const auto visit_element = [&](std::size_t i, std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
        const near_maximum<B> reference(tops[k], cutoff[k], offset[k], scale);
        const B x = window.load_from(at(logits, step, i), T(0));
        if constexpr (Guesses) best[k] = maximum(best[k], x);
        const B e = reference.exponential(x);
        B term;
        operation.add_up(x, e, reference, window, &term);
        if constexpr (Operation::counts_winners)
            winners[k] = winners[k] + where(reference.is_maximum(x), B(T(1)), B(T(0)));
        if constexpr (Operation::uses_exponentials)
            window.store_to(at(operation.output, output_step, i), operation.kept(x, e, reference));
        return term;
    };
    for (std::size_t i = 0; i < n; ++i)
        for_each([&](std::size_t k, auto window)
                     XSOFTMAX_INLINE_LAMBDA { running[k].add(visit_element(i, k, window)); });

    if constexpr (Guesses)
        for (std::size_t k = 0; k < Vectors; ++k)
            if (!scale.are_good_guesses(tops[k], best[k], inner_axis_guess_limit<T>) || !scale.are_near(best[k]))
                return false;

    constexpr std::size_t count = coefficients_count<Operation, T>;
    alignas(B) T lanes[count + 1][Vectors][B::size] = {};
    for (std::size_t k = 0; k < Vectors; ++k) {
        const near_maximum<B> reference(tops[k], scale);
        wide<T> sums[B::size];
        alignas(B) T top[B::size], won[B::size];
        double winners_of[B::size];
        tops[k].store_aligned(top);
        running[k].totals(sums);
        winners[k].store_aligned(won);
        for (std::size_t lane = 0; lane < B::size; ++lane) winners_of[lane] = static_cast<double>(won[lane]);
        const auto totals_of = [&] {
            if constexpr (Operation::counts_winners)
                return totals_of_lanes<B>(sums, winners_of, reference.unrounded_exponential(tops[k]));
            else
                return [&sums](std::size_t lane) {
                    return row_totals<T, 1>{{sums[lane]}, {}, {}, {}};
                };
        }();
        for (std::size_t lane = 0; lane < B::size && k * B::size + lane < rows; ++lane) {
            const row_totals<T, 1> row = totals_of(lane);
            Operation& of_row = of_rows[k * B::size + lane];
            if constexpr (count == 0)
                of_row.template finish<T>(row, near_maximum<B>(top[lane], scale));
            else {
                const auto results = of_row.template finish<T>(row, near_maximum<B>(top[lane], scale));
                for (std::size_t j = 0; j < count; ++j) lanes[j][k][lane] = results.part[j];
            }
        }
    }
    if constexpr (Operation::writes)
        for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
            const near_maximum<B> reference(tops[k], cutoff[k], offset[k], scale);
            coefficients<B, count> of_lanes;
            for (std::size_t j = 0; j < count; ++j) of_lanes.part[j] = B::load_aligned(lanes[j][k]);
            const auto result = operation.template writer<B>(of_lanes, reference);
            for (std::size_t j = 0; j < n; ++j) {
                T* const to = at(operation.output, output_step, j);
                const B value = Operation::uses_exponentials ? B(window.load_from(to, T(0)))
                                                             : B(window.load_from(at(logits, step, j), T(0)));
                window.store_to(to, result(value, window));
            }
        });
    for (std::size_t r = 0; r < rows; ++r) of_rows[r].complete();
    return true;
}

/// operations[r] on each of `rows` neighbouring rows at an ordinary temperature, up to the first one that is refused.
template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE taken_rows inner_axis(Operation* operations, const T* logits, std::ptrdiff_t step,
                                            std::ptrdiff_t output_step, std::size_t n, std::size_t rows,
                                            double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    std::size_t r = 0;
    constexpr bool may_guess = Operation::any_reference && !Operation::counts_winners;
    [[maybe_unused]] bool guesses = false;
    if constexpr (may_guess) guesses = operations[0].output != logits;
    const auto panel = [&](auto vectors, auto window, std::size_t count) {
        constexpr std::size_t width = decltype(vectors)::value;
        bool taken = false;
        if constexpr (may_guess && width != 1)
            taken = guesses &&
                    inner_axis_panel<width, true, B>(operations, logits, step, output_step, n, window, count, scale);
        if (!taken)
            taken = inner_axis_panel<width, false, B>(operations, logits, step, output_step, n, window, count, scale);
        if (taken) r += count;
        return taken;
    };
    constexpr std::integral_constant<std::size_t, 1> one;
    constexpr std::integral_constant<std::size_t, inner_axis_vectors> several;
    while (rows - r >= several * B::size)
        if (!panel(several, whole_window<B>{r}, several * B::size)) return {r, several * B::size};
    while (rows - r >= B::size)
        if (!panel(one, whole_window<B>{r}, B::size)) return {r, B::size};
    if (r < rows && !panel(one, part_window<B>{r, rows - r}, rows - r)) return {r, rows - r};
    return {rows, 0};
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
