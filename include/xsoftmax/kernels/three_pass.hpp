#pragma once

/// One row in three sweeps: the maximum; the exponentials and their sums; the results.
///
/// Written once over operations (operations.hpp), architectures and element types.

#include "compiler.hpp"
#include "exp.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// The largest element; −inf for an empty row. Undefined where the row holds a NaN: the sums find it.
template <class B, class T>
XSOFTMAX_ALWAYS_INLINE value_of<B> row_maximum(const T* logits, std::size_t n)
{
    B best(-infinity<value_of<B>>);
    if (n >= block_size * B::size) {
        B tops[4] = {best, best, best, best};
        std::size_t i = 0;
        for (; n - i >= block_size * B::size; i += block_size * B::size) {
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k)
                tops[k % 4] = maximum(tops[k % 4], load_whole<B>(logits + i + k * B::size));
        }
        best = maximum(maximum(tops[0], tops[1]), maximum(tops[2], tops[3]));
        logits += i;
        n -= i;
    }
    for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        best = maximum(best, window.load_from(logits, -infinity<value_of<B>>));
    });
    return horizontal_maximum(best);
}

template <class T>
XSOFTMAX_COLD bool contains_nan(const T* row, std::size_t n)
{
    for (std::size_t i = 0; i < n; ++i)
        if (!(row[i] == row[i])) return true;
    return false;
}

template <class T>
XSOFTMAX_COLD void fill(T* row, std::size_t n, T value)
{
    for (std::size_t i = 0; i < n; ++i) row[i] = value;
}

/// A row without a finite maximum: NaN wherever something is written.
template <class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void undefined_row(Operation& operation, const T* logits, std::size_t n, double maximum)
{
    operation.undefined(contains_nan(logits, n) ? not_a_number<double> : maximum);
    if constexpr (Operation::writes) fill(operation.output, n, not_a_number<T>);
}

/// Σ_k terms[k][j] as a tree. Count is at most block_size.
template <std::size_t Count, std::size_t From = 0, class B, std::size_t Rows, std::size_t Sums>
XSOFTMAX_ALWAYS_INLINE B tree_sum(const B (&terms)[Rows][Sums], std::size_t j)
{
    if constexpr (Count == 1)
        return terms[From][j];
    else
        return tree_sum<Count / 2, From>(terms, j) + tree_sum<Count - Count / 2, From + Count / 2>(terms, j);
}

/// Adds Σ_k terms[k][j] of a block, in trees of two: one rounding in the row's own type, where a tree of four has two and
/// reaches 4 ULP of an element now and then when few terms make up the sum. Costs 2 % of a row (AVX-512), 5 % (AVX2).
template <class B, std::size_t Sums>
XSOFTMAX_ALWAYS_INLINE void add_block(sum_of<B>& running, const B (&terms)[block_size][Sums], std::size_t j)
{
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k < block_size; k += 2) running.add(terms[k][j] + terms[k + 1][j]);
}

/// The second and third sweep.
template <class B, class Operation, class T, class Maximum>
XSOFTMAX_ALWAYS_INLINE void exponentials_and_results(Operation& operation, const T* logits, std::size_t n,
                                                     const Maximum& maximum)
{
    using C = value_of<B>;
    constexpr std::size_t sums = Operation::sums;
    constexpr bool common = std::is_same_v<C, T>;
    // Exponentials wait in the output for the third sweep, unless its type cannot hold what was computed.
    constexpr bool stores = Operation::uses_exponentials && common;
    sum_of<B> running[sums];
    row_totals<C, sums> totals;
    // Before the sweep, whose instructions hide the wait for this polynomial.
    if constexpr (Operation::counts_winners) totals.own = in_register(maximum.own_exponential());
    totals.winners = 0;
    const auto terms_of = [&](auto window, B* terms) XSOFTMAX_INLINE_LAMBDA {
        const B x = window.load_from(logits, -infinity<C>);
        const B e = maximum.exponential(x);
        operation.add_up(x, e, maximum, window, terms);
        if constexpr (Operation::counts_winners) totals.winners += count_true<B>(maximum.is_maximum(x));
        if constexpr (stores)
            return operation.kept(x, e, maximum);
        else
            return e;
    };
    // A part stored and loaded again at another width stalls for 20 ns, so the ragged end stays in a register.
    B end(C(0));
    for_each_window<B, common>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            B terms[block_size][sums];
            B kept[block_size];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) kept[k] = terms_of(whole_window<B>{i + k * B::size}, terms[k]);
            // All stores after all loads: a load waits for an earlier store whose address agrees in the last 12 bits,
            // and rows are often allocated a multiple of a page apart.
            if constexpr (stores) {
                XSOFTMAX_UNROLL
                for (std::size_t k = 0; k < block_size; ++k) store_whole(operation.output + i + k * B::size, kept[k]);
            }
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < sums; ++j) add_block(running[j], terms, j);
        },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            B terms[sums];
            const B kept = terms_of(window, terms);
            if constexpr (std::is_same_v<decltype(window), part_window<B>>)
                end = kept;
            else if constexpr (stores)
                window.store_to(operation.output, kept);
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < sums; ++j) running[j].add(terms[j]);
        });

    XSOFTMAX_UNROLL
    for (std::size_t j = 0; j < sums; ++j) totals.sums[j] = running[j].total();

    if constexpr (!Operation::writes)
        operation.template finish<C>(totals, maximum);
    else {
        const auto row_coefficients = operation.template finish<C>(totals, maximum);
        const auto result = operation.template writer<B>(in_all_lanes<B>(row_coefficients), maximum);
        for_each_window<B, common>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            constexpr bool whole = std::is_same_v<decltype(window), whole_window<B>>;
            B value = stores && !whole ? end : window.load_from(stores ? operation.output : logits, -infinity<C>);
            if constexpr (Operation::uses_exponentials && !stores)
                value = operation.kept(value, maximum.exponential(value), maximum);
            window.store_to(operation.output, result(value, window));
        });
    }
    operation.complete();
}

/// A row whose maximum is far from 0 or not finite, or whose temperature is not ordinary.
template <class C, class Arch, class Operation, class T>
XSOFTMAX_COLD void far_row(Operation& operation, const T* logits, std::size_t n, double temperature, C maximum)
{
    using B = xsimd::batch<C, Arch>;
    if (!(maximum - maximum == 0)) return undefined_row(operation, logits, n, static_cast<double>(maximum));
    const auto scale = scale_for<B>::make(temperature, far_unit<C>(temperature));
    // Rows of float that are computed in double have digits to spare.
    if constexpr (std::is_same_v<T, double>)
        if (!is_ordinary<C>(temperature) && scale.is_near(maximum * scale.unit))
            return exponentials_and_results<B>(operation, logits, n, lifted_near_maximum<B>(maximum, scale));
    exponentials_and_results<B>(operation, logits, n, far_maximum<B>(maximum, scale));
}

/// A row of T at an ordinary temperature, computed in T.
template <class Arch, class Operation, class T>
XSOFTMAX_NEVER_INLINE void three_pass(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = scale_for<B>::make(temperature, 1);
    const T maximum = row_maximum<B>(logits, n);
    if (!scale.is_near(maximum)) [[unlikely]]
        return far_row<T, Arch>(operation, logits, n, temperature, maximum);
    exponentials_and_results<B>(operation, logits, n, near_maximum<B>(maximum, scale));
}

/// A row of T at any temperature > 0, computed in double.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void three_pass_in_double(Operation& operation, const T* logits, std::size_t n,
                                                 double temperature)
{
    const double maximum = row_maximum<xsimd::batch<double, Arch>>(logits, n);
    far_row<double, Arch>(operation, logits, n, temperature, maximum);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
