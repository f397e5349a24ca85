#pragma once

/// From a forward pass's results and the gradient by them to the gradient by the logits: one sweep that sums, one that
/// writes.
///
/// An element with more than half of the mass gets a sum of its own: what its probability lacks to 1 is the sum of the
/// others, of which its own rounding would leave nothing. Of logits {37.43, 0} the gradients are ±5.55e-17, not 0.

#include "compiler.hpp"
#include "exp.hpp"
#include "long_row.hpp"
#include "search.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Σ term(window) over a row, and the largest first operand. Blocks are added in trees, so that an operand is rounded
/// three times at most before it is in double: these sums are where terms of both signs cancel, and their operands have
/// been rounded already.
template <class B, class Term>
XSOFTMAX_ALWAYS_INLINE double sum_of_row(std::size_t n, Term&& term)
{
    sum_of<B> total;
    for_each_window<B>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            B terms[block_size][1];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) terms[k][0] = term(whole_window<B>{i + k * B::size});
            total.add(tree_sum<block_size>(terms, 0));
        },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA { total.add(term(window)); });
    return to_double(total.total());
}

/// Writes result(window) over a row. All stores of a block after all its loads: a load waits for an earlier store whose
/// address agrees in the last 12 bits, and operands are often allocated a multiple of a page apart.
template <class B, class T, class Result>
XSOFTMAX_ALWAYS_INLINE void write_row(T* row, std::size_t n, Result&& result)
{
    for_each_window<B>(
        n,
        [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            B results[block_size];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) results[k] = result(whole_window<B>{i + k * B::size});
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k) store_whole(row + i + k * B::size, results[k]);
        },
        [&](auto window) XSOFTMAX_INLINE_LAMBDA { window.store_to(row, result(window)); });
}

/// The place of the only element that exceeds `bound`; n if there is none, or more than one.
template <class B, class T>
XSOFTMAX_ALWAYS_INLINE std::size_t only_element_above(const T* row, std::size_t n, T bound)
{
    return only_element<B>(row, n, bound, [bound](B x) XSOFTMAX_INLINE_LAMBDA { return count_true<B>(x > B(bound)); });
}

/// gradient = p·(g − Σ p·g)/T, for probabilities p and the gradient g by them.
///
/// As p·((g − c) − Σ p·(g − c))/T with c the dominant element's g, whose own term is then 0.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void softmax_backward(const T* probabilities, const T* upstream, T* gradient, std::size_t n,
                                            double temperature)
{
    using B = xsimd::batch<T, Arch>;
    B most(T(0));
    double mean = sum_of_row<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B p = window.load_from(probabilities, T(0));
        most = maximum(most, p);
        return p * window.load_from(upstream, T(0));
    });
    T reference = 0;
    if (horizontal_maximum(most) > T(0.5))
        if (const std::size_t dominant = only_element_above<B>(probabilities, n, T(0.5)); dominant != n) {
            reference = upstream[dominant];
            mean = sum_of_row<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
                return window.load_from(probabilities, T(0)) * (window.load_from(upstream, T(0)) - B(reference));
            });
        }

    const B c(reference), m(static_cast<T>(mean));
    const auto over_temperature = in_all_lanes<B>(by_reciprocal::of<T>(wide_from<T>(temperature)));
    const auto write = [&](auto result) XSOFTMAX_INLINE_LAMBDA {
        write_row<B>(gradient, n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            const B p = window.load_from(probabilities, T(0));
            const B g = window.load_from(upstream, T(0));
            return result(p, g);
        });
    };
    if (temperature == 1)
        write([&](B p, B g) XSOFTMAX_INLINE_LAMBDA { return B(p * ((g - c) - m)); });
    else
        write([&](B p, B g)
                  XSOFTMAX_INLINE_LAMBDA { return by_reciprocal::divide(B(p * ((g - c) - m)), over_temperature); });
}

/// gradient = (g − exp(y)·Σ g)/T, for log-probabilities y and the gradient g by them.
///
/// At a dominant element as (−Σ g elsewhere − (exp(y) − 1)·Σ g)/T.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void log_softmax_backward(const T* log_probabilities, const T* upstream, T* gradient,
                                                std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    constexpr T minus_ln_2 = static_cast<T>(-ln_2.high);
    B most(-infinity<T>);
    double all = sum_of_row<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        most = maximum(most, window.load_from(log_probabilities, -infinity<T>));
        return window.load_from(upstream, T(0));
    });
    std::size_t dominant = n;
    double at_dominant = 0;
    if (horizontal_maximum(most) > minus_ln_2) {
        dominant = only_element_above<B>(log_probabilities, n, minus_ln_2);
        if (dominant != n) {
            const double others = sum_of_row<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
                const B y = window.load_from(log_probabilities, -infinity<T>);
                return zero_where(y > B(minus_ln_2), B(window.load_from(upstream, T(0))));
            });
            all = others + static_cast<double>(upstream[dominant]);
            const double lacking = -::expm1(static_cast<double>(log_probabilities[dominant]));
            at_dominant = (lacking * all - others) / temperature;
        }
    }

    const auto unit = scale_for<B>::make(1, 1);
    const near_maximum<B> reference(T(0), unit);
    const B total(static_cast<T>(all / static_cast<double>(exp_constants<T>::stored_factor)));
    const auto over_temperature = in_all_lanes<B>(by_reciprocal::of<T>(wide_from<T>(temperature)));
    write_row<B>(gradient, n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B y = window.load_from(log_probabilities, -infinity<T>);
        const B g = window.load_from(upstream, T(0));
        return by_reciprocal::divide(B(g - reference.exponential(y) * total), over_temperature);
    });
    if (dominant != n) gradient[dominant] = static_cast<T>(at_dominant);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
