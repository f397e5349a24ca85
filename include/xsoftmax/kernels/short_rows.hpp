#pragma once

/// Many short rows, by groups of as many rows as a vector has lanes.
///
/// A short row waits for its reductions across lanes, and spends most of its instructions on them. Here the rows of a group
/// go through them together (reduce_across), and a group is written while the next one is read. All else is as in
/// short_row, and so is every bit of the results.

#include "compiler.hpp"
#include "exp.hpp"
#include "operations.hpp"
#include "short_row.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Longest row in vectors. Beyond, a row has enough work of its own to hide its reductions behind.
template <class Operation>
inline constexpr std::size_t short_rows_vectors = Operation::counts_winners ? 4 : 8;

/// B::size rows of `Vectors` vectors, between reading and writing, for operations that keep one sum.
template <std::size_t Vectors, class B, class Operation>
class short_rows_group {
    using T = value_of<B>;
    using sum = short_sum<B>;
    using doubles = typename sum::doubles;

    static constexpr std::size_t rows = B::size;
    static constexpr std::size_t halves = rows / doubles::size;
    static constexpr std::size_t last = Vectors - 1;
    /// Are all rows relative to the first element of the first one, rather than each to its maximum?
    static constexpr bool guesses = takes_guesses<Operation, T>;
    static constexpr std::size_t count = coefficients_count<Operation, T>;

    /// Lane r is row r's sum.
    struct sums_of_rows {
        doubles part[sum::parts][halves];
    };

public:
    /// Rows from `first_row` on. logits(r) points to row r, operation(r) is what to do with it. beside(r) is called once for
    /// each r < rows, for other work to be done meanwhile. False if these rows are not to be done in a group.
    template <class Logits, class Operations, class Beside>
    XSOFTMAX_ALWAYS_INLINE bool read(std::size_t first_row, const leading_lanes<B>& end, const scale_for<B>& scale,
                                     const Logits& logits, const Operations& operations, const Beside& beside)
    {
        if constexpr (guesses) {
            const T guess = logits(first_row)[0];
            if (!scale.is_near(guess)) [[unlikely]]
                return without_reading(beside);
            const near_maximum<B> reference(guess, scale);
            B best(-infinity<T>);
            const sums_of_rows sums = add_up(
                first_row, end, logits,
                operations, [&](std::size_t) XSOFTMAX_INLINE_LAMBDA -> auto& { return reference; },
                [&](B x) XSOFTMAX_INLINE_LAMBDA { best = maximum(best, x); }, beside);
            store(Operation::template finish_lanes<B>(sums.part));
            return scale.is_good_guess(guess, horizontal_maximum(best)) && allow_guess(sums);
        }
        else {
            const B maxima = reduce_across<B>(
                [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
                    const T* const row = logits(first_row + r);
                    B top;
                    for_each(end, [&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                        const B x = window.load_from(row, -infinity<T>);
                        top = k == 0 ? x : maximum(top, x);
                    });
                    return top;
                },
                [](B a, B b) XSOFTMAX_INLINE_LAMBDA { return maximum(a, b); });
            if (!scale.are_near(maxima)) [[unlikely]]
                return without_reading(beside);
            const near_maximum<B> references(maxima, scale);
            maxima.store_aligned(top_);
            references.cutoff().store_aligned(cutoff_);
            references.offset().store_aligned(offset_);
            const sums_of_rows sums = add_up(
                first_row, end, logits, operations,
                [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA { return reference_of(r, scale); },
                [](B) XSOFTMAX_INLINE_LAMBDA {}, beside);
            if constexpr (leaves_thin_sums<Operation, T>)
                if (!are_thick(sums)) [[unlikely]]
                    return false;
            if constexpr (Operation::counts_winners)
                finish_rows(sums, first_row, references, scale, operations);
            else
                store(Operation::template finish_lanes<B>(sums.part));
            return true;
        }
    }

    /// Row r of those that were read.
    template <class Operations>
    XSOFTMAX_ALWAYS_INLINE void write(std::size_t r, std::size_t first_row, const leading_lanes<B>& end,
                                      const scale_for<B>& scale, const Operations& operations) const
    {
        const Operation& operation = operations(first_row + r);
        coefficients<B, count> of_row;
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < count; ++j) of_row.part[j] = B(coefficients_[j][r]);
        const auto result = operation.template writer<B>(of_row, reference_of(r, scale));
        for_each(end, [&](std::size_t k, auto window)
                          XSOFTMAX_INLINE_LAMBDA { window.store_to(operation.output, result(kept_[r][k], window)); });
        operation.complete();
    }

    template <class Beside>
    XSOFTMAX_ALWAYS_INLINE static bool without_reading(const Beside& beside)
    {
        for (std::size_t r = 0; r < rows; ++r) beside(r);
        return false;
    }

private:
    template <class Visit>
    XSOFTMAX_ALWAYS_INLINE static void for_each(const leading_lanes<B>& end, Visit&& visit)
    {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k + 1 < Vectors; ++k) visit(k, whole_window<B>{k * B::size});
        visit(last, shared_part_window<B>{last * B::size, end});
    }

    /// What is left to do for a row after add_up is done without it, if the operation does not count winners.
    XSOFTMAX_ALWAYS_INLINE near_maximum<B> reference_of(std::size_t r, const scale_for<B>& scale) const
    {
        if constexpr (guesses)
            return near_maximum<B>(T(0), T(0), T(0), scale);
        else
            return near_maximum<B>(top_[r], cutoff_[r], offset_[r], scale);
    }

    /// Keeps the rows' exponentials or logits, and adds up; see(x) is shown the vectors of logits.
    template <class Logits, class Operations, class References, class See, class Beside>
    XSOFTMAX_ALWAYS_INLINE sums_of_rows add_up(std::size_t first_row, const leading_lanes<B>& end, const Logits& logits,
                                               const Operations& operations, const References& references,
                                               const See& see, const Beside& beside)
    {
        [[maybe_unused]] B lows[rows];
        [[maybe_unused]] doubles second[doubles::size];
        const auto sum_of_row = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            const T* const row = logits(first_row + r);
            const Operation& operation = operations(first_row + r);
            const auto& reference = references(r);
            B terms[Vectors][1], low_terms[Vectors][1];
            std::size_t winners = 0;
            for_each(end, [&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
                const B x = window.load_from(row, -infinity<T>);
                // In parts, since g++ would put the whole on the stack at each use.
                const two_parts<B> e = reference.unrounded_exponential(x);
                const B high = e.high, low = e.low;
                see(x);
                operation.add_up(x, high, reference, window, terms[k]);
                operation.add_up(x, low, reference, window, low_terms[k]);
                if constexpr (Operation::counts_winners) winners += count_true<B>(reference.is_maximum(x));
                if constexpr (Operation::takes_two_parts) {
                    kept_[r][k].high = high;
                    kept_[r][k].low = low;
                }
                else if constexpr (Operation::writes)
                    kept_[r][k] = x;
            });
            if constexpr (Operation::counts_winners) winners_[r] = static_cast<double>(winners);
            const sum of_row = sum::of(terms, low_terms, 0);
            if constexpr (sum::parts == 1) lows[r] = of_row.low;
            if constexpr (sum::parts == 2) second[r % doubles::size] = of_row.part[1];
            if constexpr (Vectors > 1) beside(r);
            return of_row.part[0];
        };
        const auto add = [](auto a, auto b) XSOFTMAX_INLINE_LAMBDA {
            return decltype(a)(a + b);
        };
        const auto of = [](const auto& batches) XSOFTMAX_INLINE_LAMBDA {
            return [&batches](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
                return batches[r];
            };
        };
        // Longer ones compilers would chew on for longer than on all else; without results to write, g++ 16 takes 1.6 times as
        // long for what it unrolls.
        constexpr bool unrolls = Vectors <= 2 && Operation::writes;
        sums_of_rows sums;
        XSOFTMAX_UNROLL
        for (std::size_t h = 0; h < halves; ++h) {
            sums.part[0][h] = reduce_across_computed<doubles, unrolls>(
                [&](std::size_t q) XSOFTMAX_INLINE_LAMBDA { return sum_of_row(h * doubles::size + q); }, add);
            if constexpr (sum::parts == 2) sums.part[1][h] = reduce_across<doubles>(of(second), add);
        }
        // Whether there is other work is asked each time, which keeps compilers from mixing the instructions of rows: a tenth of
        // the time of rows of one vector.
        if constexpr (Vectors == 1) {
            XSOFTMAX_UNROLL
            for (std::size_t r = 0; r < rows; ++r) beside(r);
        }
        if constexpr (sum::parts == 1) {
            const auto low = to_doubles(reduce_across<B>(of(lows), add));
            sums.part[0][0] = unscaled(sums.part[0][0]) + low.low;
            sums.part[0][1] = unscaled(sums.part[0][1]) + low.high;
        }
        return sums;
    }

    /// Is no row's sum NaN, or so small that its maximum is too far below the guess?
    XSOFTMAX_ALWAYS_INLINE static bool allow_guess(const sums_of_rows& sums)
    {
        const doubles least(static_cast<double>(exp_constants<T>::least_sum_of_guess));
        bool all = true;
        XSOFTMAX_UNROLL
        for (std::size_t h = 0; h < halves; ++h) all = all && all_true<doubles>(sums.part[0][h] >= least);
        return all;
    }

    /// Is each row's sum 0, or at least least_sum_of_others?
    XSOFTMAX_ALWAYS_INLINE static bool are_thick(const sums_of_rows& sums)
    {
        bool all = true;
        XSOFTMAX_UNROLL
        for (std::size_t h = 0; h < halves; ++h) {
            const doubles others = sums.part[0][h] + sums.part[1][h];
            all = all && all_true<doubles>(zero_where(others >= doubles(least_sum_of_others), others) == doubles(0.0));
        }
        return all;
    }

    XSOFTMAX_ALWAYS_INLINE void store(const coefficients<B, count>& of_rows)
    {
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < count; ++j) of_rows.part[j].store_aligned(coefficients_[j]);
    }

    /// The coefficients, a row at a time.
    template <class Operations>
    XSOFTMAX_ALWAYS_INLINE void finish_rows(const sums_of_rows& sums, std::size_t first_row,
                                            const near_maximum<B>& references, const scale_for<B>& scale,
                                            const Operations& operations)
    {
        alignas(B) double lanes[sum::parts][rows];
        for (std::size_t part = 0; part < sum::parts; ++part)
            for (std::size_t h = 0; h < halves; ++h) sums.part[part][h].store_aligned(&lanes[part][h * doubles::size]);
        alignas(B) wide<T> sums_of[rows];
        for (std::size_t r = 0; r < rows; ++r) {
            if constexpr (sum::parts == 1)
                sums_of[r] = lanes[0][r];
            else
                sums_of[r] = two_sum(lanes[0][r], lanes[1][r]);
        }
        const totals_of_lanes<B> totals_of(sums_of, winners_, references.unrounded_exponential(B::load_aligned(top_)));
        for (std::size_t r = 0; r < rows; ++r) {
            auto&& operation = operations(first_row + r);
            if constexpr (count == 0)
                operation.template finish<T>(totals_of(r), reference_of(r, scale));
            else {
                const auto of_row = operation.template finish<T>(totals_of(r), reference_of(r, scale));
                for (std::size_t j = 0; j < count; ++j) coefficients_[j][r] = of_row.part[j];
            }
        }
    }

    std::conditional_t<Operation::takes_two_parts, two_parts<B>, B> kept_[rows][Vectors];
    alignas(B) T coefficients_[count + 1][rows];
    alignas(B) T top_[rows], cutoff_[rows], offset_[rows];
    alignas(B) double winners_[rows];
};

/// Rows of `Vectors` vectors at an ordinary temperature; returns how many there were in whole groups. A group is written
/// beside the next one, since its sums are long on their way.
template <std::size_t Vectors, class Arch, class T, class Logits, class Operations>
XSOFTMAX_NEVER_INLINE std::size_t short_rows_of(std::size_t rows, std::size_t n, double temperature,
                                                const Logits logits, const Operations operations)
{
    using B = xsimd::batch<T, Arch>;
    using operation_type = operation_of<Operations>;
    const auto scale = scale_for<B>::make(temperature, 1);
    const leading_lanes<B> end(n - (Vectors - 1) * B::size);
    const std::size_t in_groups = rows - rows % B::size;
    short_rows_group<Vectors, B, operation_type> groups[2];
    bool waits = false;
    for (std::size_t r = 0; r < in_groups || waits; r += B::size) {
        auto& group = groups[r / B::size % 2];
        [[maybe_unused]] auto& before = groups[1 - r / B::size % 2];
        const auto write_before = [&](std::size_t q) XSOFTMAX_INLINE_LAMBDA {
            if constexpr (operation_type::writes)
                if (waits) before.write(q, r - B::size, end, scale, operations);
        };
        const bool is_there = r < in_groups;
        const bool is_read = is_there ? group.read(r, end, scale, logits, operations, write_before)
                                      : group.without_reading(write_before);
        if (is_there && !is_read) [[unlikely]]
            for (std::size_t k = r; k < r + B::size; ++k) {
                auto&& operation = operations(k);
                short_row<Arch>(operation, logits(k), n, temperature);
            }
        waits = is_read;
    }
    return in_groups;
}

/// As many rows as fill groups; returns how many those are. n is at most short_rows_vectors vectors.
template <class Arch, class T, class Logits, class Operations>
XSOFTMAX_ALWAYS_INLINE std::size_t short_rows(std::size_t rows, std::size_t n, double temperature, const Logits& logits,
                                              const Operations& operations)
{
    const std::size_t vectors = (n - 1) / xsimd::batch<T, Arch>::size + 1;
    if (vectors == 1) return short_rows_of<1, Arch, T>(rows, n, temperature, logits, operations);
    if (vectors == 2) return short_rows_of<2, Arch, T>(rows, n, temperature, logits, operations);
    if (vectors == 3) return short_rows_of<3, Arch, T>(rows, n, temperature, logits, operations);
    if (vectors == 4) return short_rows_of<4, Arch, T>(rows, n, temperature, logits, operations);
    using operation_type = operation_of<Operations>;
    if constexpr (short_rows_vectors<operation_type> == 8) {
        if (vectors == 5) return short_rows_of<5, Arch, T>(rows, n, temperature, logits, operations);
        if (vectors == 6) return short_rows_of<6, Arch, T>(rows, n, temperature, logits, operations);
        if (vectors == 7) return short_rows_of<7, Arch, T>(rows, n, temperature, logits, operations);
        if (vectors == 8) return short_rows_of<8, Arch, T>(rows, n, temperature, logits, operations);
    }
    return 0;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
