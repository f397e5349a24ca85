#pragma once

/// Rows under a mask: what it leaves out becomes −inf, which no sweep counts.

#include "compiler.hpp"
#include "plain_data.hpp"
#include "simd.hpp"
#include "windows.hpp"

#include <cstddef>
#include <type_traits>

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
    for_each_window<B, false>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA { window.store_to(to, values); });
}

/// A window of elements that lie `step` apart: where they are, or else gathered in `lanes`, with `fill` beyond the window's end.
template <class B, class Window, class Element>
XSOFTMAX_ALWAYS_INLINE const Element* gathered(const Element* from, std::ptrdiff_t step, Window window, Element fill,
                                               Element (&lanes)[B::size])
{
    std::size_t count = B::size;
    if constexpr (std::is_same_v<Window, part_window<B>>)
        count = window.count;
    else if (step == 1)
        return from + window.at;
    for (std::size_t k = 0; k < B::size; ++k)
        lanes[k] = k < count ? from[static_cast<std::ptrdiff_t>(window.at + k) * step] : fill;
    return lanes;
}

/// The row with −inf for all that is left out, written to `to`, which may be the logits. Returns whether anything is kept.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE bool compose_row(const row_mask<T>& mask, const T* logits, T* to, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    const B minus_infinity(-infinity<T>);
    bool any = false;
    for_each_window<B, false>(mask.prefix, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        B x = window.load_from(logits, -infinity<T>);
        if (mask.bias != nullptr) {
            T lanes[B::size];
            const B bias = load_whole<B>(gathered<B>(mask.bias, mask.bias_step, window, -infinity<T>, lanes));
            x = where(bias == minus_infinity, bias, B(x + bias));
        }
        if (mask.keep != nullptr) {
            unsigned char lanes[B::size];
            const unsigned char* const keep =
                gathered<B>(mask.keep, mask.keep_step, window, static_cast<unsigned char>(0), lanes);
            x = where(are_zero<B>(keep), minus_infinity, x);
        }
        any |= any_true<B>(not_below(x, B(-largest<T>)));  // which -ffast-math takes as it is
        window.store_to(to, x);
    });
    fill_row<Arch>(to + mask.prefix, n - mask.prefix, -infinity<T>);
    return any;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
