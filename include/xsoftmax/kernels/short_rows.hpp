#pragma once

/// Many short rows, by groups of as many rows as a vector has lanes.
///
/// A short row waits for its reductions across lanes, and spends most of its instructions on them. Here the rows of a group
/// go through them together (reduce_across). All else is as in short_row, and so is every bit of the results.

#include "compiler.hpp"
#include "exp.hpp"
#include "operations.hpp"
#include "short_row.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {

/// May this operation's rows be grouped? Sums of other terms than exponentials are kept in other ways.
template <class Operation>
inline constexpr bool can_be_grouped = Operation::sums == Operation::exponential_sums;

/// Longest row in vectors. Beyond, a row has enough work of its own to hide its reductions behind.
inline constexpr std::size_t short_rows_vectors = 4;

/// One group: B::size rows of `Vectors` vectors. `logits(r)` points to row r, `operation(r)` is what to do with it.
template <std::size_t Vectors, class B, class Logits, class Operations>
XSOFTMAX_ALWAYS_INLINE void short_rows_group(std::size_t first_row, std::size_t n, double temperature,
                                             const scale_for<B> scale, const Logits logits, const Operations operations)
{
    using T = value_of<B>;
    using operation_type = std::remove_cvref_t<decltype(operations(std::size_t{}))>;
    constexpr std::size_t rows = B::size;
    constexpr std::size_t last = Vectors - 1;
    const part_window<B> end{last * B::size, n - last * B::size};
    const auto for_each = [&](auto&& visit) XSOFTMAX_INLINE_LAMBDA {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < last; ++k) visit(k, whole_window<B>{k * B::size});
        visit(last, end);
    };

    B tops[rows];
    for (std::size_t r = 0; r < rows; ++r) {
        const T* const row = logits(first_row + r);
        for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
            const B x = window.load_from(row, -infinity<T>);
            tops[r] = k == 0 ? x : maximum(tops[r], x);
        });
    }
    const B maxima = reduce_across(tops, [](B a, B b) XSOFTMAX_INLINE_LAMBDA { return maximum(a, b); });
    if (!scale.are_near(maxima)) [[unlikely]] {
        for (std::size_t r = 0; r < rows; ++r) {
            auto operation = operations(first_row + r);
            short_row_of<Vectors, arch_of<B>>(operation, logits(first_row + r), n, temperature);
        }
        return;
    }

    alignas(B) T top[rows], cutoff[rows], offset[rows];
    const near_maximum<B> references(maxima, scale);
    maxima.store_aligned(top);
    references.cutoff().store_aligned(cutoff);
    references.offset().store_aligned(offset);
    using sum = short_sum<B>;
    using doubles = typename sum::doubles;
    doubles partial[operation_type::sums][sum::parts][rows / doubles::size][doubles::size];
    B own_lanes[rows];
    std::size_t winners[rows];
    B kept[rows][Vectors];
    for (std::size_t r = 0; r < rows; ++r) {
        const T* const row = logits(first_row + r);
        const auto operation = operations(first_row + r);
        const near_maximum<B> reference(top[r], cutoff[r], offset[r], scale);
        B terms[Vectors][operation_type::sums];
        B own(T(0));
        std::size_t count = 0;
        for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
            const B x = window.load_from(row, -infinity<T>);
            const B e = reference.exponential(x);
            operation.add_up(x, e, reference, window, terms[k]);
            if constexpr (operation_type::counts_winners) {
                const auto winner = reference.is_maximum(x);
                count += count_true<B>(winner);
                own = where(winner, e, own);
            }
            if constexpr (operation_type::uses_exponentials)
                kept[r][k] = operation.kept(x, e, reference);
            else
                kept[r][k] = x;
        });
        winners[r] = count;
        own_lanes[r] = own;
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < operation_type::sums; ++j) {
            const sum parts = sum::of(terms, j);
            XSOFTMAX_UNROLL
            for (std::size_t part = 0; part < sum::parts; ++part)
                partial[j][part][r / doubles::size][r % doubles::size] = parts.part[part];
        }
    }

    // Lane r of these is row r's.
    doubles sums[operation_type::sums][sum::parts][rows / doubles::size];
    XSOFTMAX_UNROLL
    for (std::size_t j = 0; j < operation_type::sums; ++j) XSOFTMAX_UNROLL
    for (std::size_t part = 0; part < sum::parts; ++part) XSOFTMAX_UNROLL
    for (std::size_t h = 0; h < rows / doubles::size; ++h)
        sums[j][part][h] = reduce_across(partial[j][part][h],
                                         [](doubles a, doubles b) XSOFTMAX_INLINE_LAMBDA { return doubles(a + b); });

    using division = std::conditional_t<Vectors <= 4, by_corrected_reciprocal, by_reciprocal>;
    const auto write = [&](std::size_t r, const auto& operation, const auto& coefficients) XSOFTMAX_INLINE_LAMBDA {
        const near_maximum<B> reference(top[r], cutoff[r], offset[r], scale);
        const auto result = operation.template writer<B, division>(coefficients, reference);
        for_each([&](std::size_t k, auto window)
                     XSOFTMAX_INLINE_LAMBDA { window.store_to(operation.output, result(kept[r][k], window)); });
    };
    if constexpr (requires { operation_type::template divisors<B, division>(sums[0]); }) {
        const auto divisors = operation_type::template divisors<B, division>(sums[0]);
        alignas(B) T high[rows], low[rows];
        divisors.high.store_aligned(high);
        divisors.low.store_aligned(low);
        for (std::size_t r = 0; r < rows; ++r) write(r, operations(first_row + r), split<T>{high[r], low[r]});
    }
    else {
        alignas(B) double lanes[operation_type::sums][sum::parts][rows];
        for (std::size_t j = 0; j < operation_type::sums; ++j)
            for (std::size_t part = 0; part < sum::parts; ++part)
                for (std::size_t h = 0; h < rows / doubles::size; ++h)
                    sums[j][part][h].store_aligned(&lanes[j][part][h * doubles::size]);
        alignas(B) T own[rows];
        if constexpr (operation_type::counts_winners)
            reduce_across(own_lanes, [](B a, B b) XSOFTMAX_INLINE_LAMBDA { return maximum(a, b); }).store_aligned(own);
        for (std::size_t r = 0; r < rows; ++r) {
            auto operation = operations(first_row + r);
            row_totals<T, operation_type::sums> totals;
            for (std::size_t j = 0; j < operation_type::sums; ++j) {
                if constexpr (sum::parts == 1)
                    totals.sums[j] = lanes[j][0][r];
                else
                    totals.sums[j] = two_sum(lanes[j][0][r], lanes[j][1][r]);
            }
            totals.winners = winners[r];
            if constexpr (operation_type::counts_winners) totals.own = own[r];
            const near_maximum<B> reference(top[r], cutoff[r], offset[r], scale);
            if constexpr (operation_type::writes)
                write(r, operation, operation.template finish<T, division>(totals, reference));
            else
                operation.template finish<T, division>(totals, reference);
            operation.complete();
        }
    }
}

/// Rows of `Vectors` vectors at an ordinary temperature; returns how many there were in whole groups.
template <std::size_t Vectors, class Arch, class T, class Logits, class Operations>
XSOFTMAX_NEVER_INLINE std::size_t short_rows_of(std::size_t rows, std::size_t n, double temperature,
                                                const Logits& logits, const Operations& operations)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    std::size_t r = 0;
    for (; rows - r >= B::size; r += B::size)
        short_rows_group<Vectors, B>(r, n, temperature, scale, logits, operations);
    return r;
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
    return short_rows_of<4, Arch, T>(rows, n, temperature, logits, operations);
}

}  // namespace xsoftmax::kernels
