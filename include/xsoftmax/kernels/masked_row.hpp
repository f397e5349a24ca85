#pragma once

/// Rows under a mask: what it leaves out becomes −inf, which no sweep counts.

#include "compiler.hpp"
#include "plain_data.hpp"
#include "simd.hpp"
#include "windows.hpp"

#include <cstddef>

namespace xsoftmax::kernels {

/// What a mask says of a row: only the first `prefix` elements may be kept, of them those whose byte is not 0, and their biases
/// are added. A bias of −inf leaves out whatever the logit is: the sum of it and NaN or +inf would be NaN.
template <class T>
struct row_mask {
    std::size_t prefix;
    const unsigned char* keep;  ///< null: all are kept
    std::ptrdiff_t keep_step;
    const T* bias;  ///< null: 0 is added
    std::ptrdiff_t bias_step;
};

inline namespace XSOFTMAX_TARGET {

/// A loop that compilers vectorise for each step that is known to be 1.
template <class T, class Keeps, class Biased>
XSOFTMAX_ALWAYS_INLINE bool compose_prefix(const T* logits, T* to, std::size_t prefix, const Keeps& keeps,
                                           const Biased& biased)
{
    constexpr T minus_infinity = -infinity<T>;
    bool any = false;
    for (std::size_t i = 0; i < prefix; ++i) {
        const T x = keeps(i) ? biased(logits[i], i) : minus_infinity;
        any |= x != minus_infinity;
        to[i] = x;
    }
    return any;
}

/// All n elements become `value`.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void fill_row(T* to, std::size_t n, T value)
{
    using B = xsimd::batch<T, Arch>;
    const B values(value);
    for_each_window<B, false>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA { window.store_to(to, values); });
}

/// The row with −inf for all that is left out, written to `to`, which may be the logits. Returns whether anything is kept.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE bool compose_row(const row_mask<T>& mask, const T* logits, T* to, std::size_t n)
{
    const auto with_bias = [&](const auto& keeps) XSOFTMAX_INLINE_LAMBDA {
        const auto compose = [&](const auto& biased) XSOFTMAX_INLINE_LAMBDA {
            return compose_prefix(logits, to, mask.prefix, keeps, biased);
        };
        const auto sum = [](T x, T bias) XSOFTMAX_INLINE_LAMBDA {
            return bias == -infinity<T> ? bias : x + bias;
        };
        const T* const bias = mask.bias;
        if (bias == nullptr) return compose([](T x, std::size_t) XSOFTMAX_INLINE_LAMBDA { return x; });
        if (mask.bias_step == 1)
            return compose([&](T x, std::size_t i) XSOFTMAX_INLINE_LAMBDA { return sum(x, bias[i]); });
        return compose([&](T x, std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            return sum(x, bias[static_cast<std::ptrdiff_t>(i) * mask.bias_step]);
        });
    };
    const unsigned char* const keep = mask.keep;
    bool any = false;
    if (keep == nullptr)
        any = with_bias([](std::size_t) XSOFTMAX_INLINE_LAMBDA { return true; });
    else if (mask.keep_step == 1)
        any = with_bias([keep](std::size_t i) XSOFTMAX_INLINE_LAMBDA { return keep[i] != 0; });
    else
        any = with_bias([keep, step = mask.keep_step](std::size_t i)
                            XSOFTMAX_INLINE_LAMBDA { return keep[static_cast<std::ptrdiff_t>(i) * step] != 0; });
    fill_row<Arch>(to + mask.prefix, n - mask.prefix, -infinity<T>);
    return any;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
