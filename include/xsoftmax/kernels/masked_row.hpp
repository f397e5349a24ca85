#pragma once

/// Rows under a mask: what it leaves out becomes −inf, whose exponential is 0.

#include "lanes/batch.hpp"

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

/// All n elements become `value`.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE void fill_row(T* to, std::size_t n, T value)
{
    using B = xsimd::batch<T, Arch>;
    const B values(value);
    std::size_t i = 0;
    for (; n - i >= B::size; i += B::size) store_whole(to + i, values);
    store_part(to + i, n - i, values);
}

/// B::size elements that lie `step` apart: where they are, or gathered in `lanes`, with `fill` from `count` on.
template <class B, class Element>
XSOFTMAX_INLINE const Element* gathered(const Element* from, std::ptrdiff_t step, std::size_t count, Element fill,
                                        Element (&lanes)[B::size])
{
    if (step == 1 && count == B::size) return from;
    for (std::size_t k = 0; k < B::size; ++k) lanes[k] = k < count ? from[static_cast<std::ptrdiff_t>(k) * step] : fill;
    return lanes;
}

/// The row with −inf for all that is left out, written to `to`, which may be the logits. Returns whether anything is kept.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE bool compose_row(const row_mask<T>& mask, const T* logits, T* to, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    const B left_out(-infinity<T>);
    bool keeps = false;
    for (std::size_t i = 0; i < mask.prefix; i += B::size) {
        const std::size_t count = mask.prefix - i < B::size ? mask.prefix - i : B::size;
        B x = load_part(logits + i, count, left_out);
        const auto offset = static_cast<std::ptrdiff_t>(i);
        if (mask.bias != nullptr) {
            T lanes[B::size];
            const T* const from = mask.bias + offset * mask.bias_step;
            const B bias = load_whole<B>(gathered<B>(from, mask.bias_step, count, -infinity<T>, lanes));
            x = where(bias == left_out, bias, B(x + bias));
        }
        if (mask.keep != nullptr) {
            unsigned char lanes[B::size];
            const unsigned char* const from = mask.keep + offset * mask.keep_step;
            x = where(are_zero<B>(gathered<B>(from, mask.keep_step, count, static_cast<unsigned char>(0), lanes)),
                      left_out, x);
        }
        // Not x > −inf, which -ffast-math takes for true, and a NaN is kept.
        keeps = keeps || !all_true<B>(x < B(-largest<T>));
        store_part(to + i, count, x);
    }
    fill_row<Arch>(to + mask.prefix, n - mask.prefix, -infinity<T>);
    return keeps;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
