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

/// The second and third sweep.
template <class B, class Operation, class T, class Maximum>
XSOFTMAX_ALWAYS_INLINE void exponentials_and_results(Operation& operation, const T* logits, std::size_t n,
                                                     const Maximum& maximum)
{
    using C = value_of<B>;
    constexpr std::size_t sums = Operation::sums;
    // Exponentials wait in the output for the third sweep, unless its type cannot hold what was computed.
    constexpr bool stores = Operation::uses_exponentials && std::is_same_v<C, T>;
    sum_of<B> running[sums];
    // The last vector stays in a register: a part stored and loaded again at another width stalls for 20 ns.
    B last(C(0));

    const auto terms_of = [&](auto window, B* terms) XSOFTMAX_INLINE_LAMBDA {
        const B x = window.load_from(logits, -infinity<C>);
        const B e = maximum.exponential(x);
        operation.add_up(x, e, maximum, window, terms);
        if constexpr (stores) {
            last = operation.kept(x, e, maximum);
            if constexpr (std::is_same_v<decltype(window), whole_window<B>>) window.store_to(operation.output, last);
        }
    };
    for_each_window<B>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            B terms[block_size][sums];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) terms_of(whole_window<B>{i + k * B::size}, terms[k]);
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < sums; ++j) running[j].add(tree_sum<block_size>(terms, j));
        },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            B terms[sums];
            terms_of(window, terms);
            XSOFTMAX_UNROLL
            for (std::size_t j = 0; j < sums; ++j) running[j].add(terms[j]);
        });

    wide<C> totals[sums];
    XSOFTMAX_UNROLL
    for (std::size_t j = 0; j < sums; ++j) totals[j] = running[j].total();

    if constexpr (Operation::writes) {
        const auto result = operation.template finish<B, compensated_product>(totals, maximum);
        for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            constexpr bool whole = std::is_same_v<decltype(window), whole_window<B>>;
            if constexpr (stores)
                window.store_to(operation.output, result(whole ? window.load_from(operation.output, C(0)) : last, window));
            else {
                B value = window.load_from(logits, -infinity<C>);
                if constexpr (Operation::uses_exponentials)
                    value = operation.kept(value, maximum.exponential(value), maximum);
                window.store_to(operation.output, result(value, window));
            }
        });
    }
    else
        operation.template finish<B, compensated_product>(totals, maximum);
    operation.complete();
}

/// A row whose maximum is far from 0 or not finite, or whose temperature is not ordinary.
template <class C, class Arch, class Operation, class T>
XSOFTMAX_COLD void far_row(Operation& operation, const T* logits, std::size_t n, double temperature, C maximum)
{
    using B = xsimd::batch<C, Arch>;
    if (!(maximum - maximum == 0)) return undefined_row(operation, logits, n, static_cast<double>(maximum));
    const auto scale = temperature_scale<C>::make(temperature, far_unit<C>(temperature));
    exponentials_and_results<B>(operation, logits, n, far_maximum<B>(maximum, scale));
}

/// A row of T at an ordinary temperature, computed in T.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void three_pass(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const auto scale = temperature_scale<T>::make(temperature, 1);
    const T maximum = row_maximum<B>(logits, n);
    if (!scale.is_near(maximum)) [[unlikely]]
        return far_row<T, Arch>(operation, logits, n, temperature, maximum);
    exponentials_and_results<B>(operation, logits, n, near_maximum<B>(maximum, scale));
}

/// A row of T at any temperature > 0, computed in double.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void three_pass_in_double(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    const double maximum = row_maximum<xsimd::batch<double, Arch>>(logits, n);
    far_row<double, Arch>(operation, logits, n, temperature, maximum);
}

}  // namespace xsoftmax::kernels
