#pragma once

/// From a forward pass's results and the gradient by them to the gradient by the logits: one sweep that sums, one that
/// writes.
///
/// An element with more than half of the mass is kept out of the sums: what its probability lacks to 1 is the sum of the
/// others, of which its own rounding would leave nothing. Of logits {37.43, 0} the gradients are ±5.55e-17, not 0.

#include "compiler.hpp"
#include "exp.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {

/// A row's sums over all elements but a dominant one, and what is known of that.
template <class B, std::size_t Sums>
struct backward_sums {
    using C = value_of<B>;

    sum_of<B> others[Sums];
    B upstream = B(C(0));  ///< the dominant element's, in one lane
    std::size_t dominant = 0;

    XSOFTMAX_ALWAYS_INLINE void add(mask_of<B> dominates, B g, const B (&terms)[Sums])
    {
        XSOFTMAX_UNROLL
        for (std::size_t j = 0; j < Sums; ++j) others[j].add(zero_where(dominates, terms[j]));
        upstream = upstream + where(dominates, g, B(C(0)));
        dominant += count_true<B>(dominates);
    }

    /// With at most one dominant element this is its upstream gradient, or 0.
    XSOFTMAX_ALWAYS_INLINE C dominant_upstream() const { return static_cast<C>(horizontal_sum(upstream)); }
};

/// gradient = p·(g − Σ p·g)/T, for probabilities p and the gradient g by them.
///
/// As p·((g − c) − Σ p·(g − c))/T with c the dominant element's g, whose own term is then 0.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void softmax_backward(const T* probabilities, const T* upstream, T* gradient, std::size_t n,
                                            double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const B half(T(0.5));
    backward_sums<B, 2> sums;
    for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B p = window.load_from(probabilities, T(0));
        const B g = window.load_from(upstream, T(0));
        sums.add(p > half, g, {B(p * g), p});
    });
    const bool dominated = sums.dominant == 1;
    const T reference = dominated ? sums.dominant_upstream() : T(0);
    double mean = to_double(sums.others[0].total());
    if (dominated) mean -= static_cast<double>(reference) * to_double(sums.others[1].total());
    if (sums.dominant > 1) [[unlikely]]  // no probabilities: their sum exceeds 1
        for (std::size_t i = 0; i < n; ++i)
            if (probabilities[i] > T(0.5))
                mean += static_cast<double>(probabilities[i]) * static_cast<double>(upstream[i]);

    const B c(reference), m(static_cast<T>(mean)), inverse(static_cast<T>(1 / temperature));
    for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B p = window.load_from(probabilities, T(0));
        const B g = window.load_from(upstream, T(0));
        window.store_to(gradient, B(p * ((g - c) - m) * inverse));
    });
}

/// gradient = (g − exp(y)·Σ g)/T, for log-probabilities y and the gradient g by them.
///
/// At a dominant element as (−Σ g elsewhere − (exp(y) − 1)·Σ g)/T.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void log_softmax_backward(const T* log_probabilities, const T* upstream, T* gradient,
                                                std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const B minus_ln_2(static_cast<T>(-ln_2.high));
    backward_sums<B, 1> sums;
    B dominant_y(-infinity<T>);
    for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B y = window.load_from(log_probabilities, -infinity<T>);
        const B g = window.load_from(upstream, T(0));
        const auto dominates = y > minus_ln_2;
        sums.add(dominates, g, {g});
        dominant_y = where(dominates, y, dominant_y);
    });
    const double others = to_double(sums.others[0].total());
    const double all = others + static_cast<double>(sums.dominant_upstream());
    const double lacking = -::expm1(static_cast<double>(horizontal_maximum(dominant_y)));
    const double at_dominant = (lacking * all - others) / temperature;

    const near_maximum<B> reference(T(0), scale_for<B>::make(1, 1));
    const B total(static_cast<T>(all / static_cast<double>(exp_constants<T>::stored_factor)));
    const B inverse(static_cast<T>(1 / temperature)), fixed(static_cast<T>(at_dominant));
    const B dominates_above(sums.dominant == 1 ? static_cast<T>(-ln_2.high) : infinity<T>);
    for_each_window<B>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B y = window.load_from(log_probabilities, -infinity<T>);
        const B g = window.load_from(upstream, T(0));
        const B plain = (g - reference.exponential(y) * total) * inverse;
        window.store_to(gradient, where(y > dominates_above, fixed, plain));
    });
}

}  // namespace xsoftmax::kernels
