#pragma once

/// Looking for an element that is not like the others of its row.

#include "compiler.hpp"
#include "simd.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// The place of the only element that `count_in` counts in a row's vectors; n if there is none, or more than one. `fill` is
/// none that it counts.
template <class B, class T, class CountIn>
XSOFTMAX_ALWAYS_INLINE std::size_t only_element(const T* row, std::size_t n, T fill, CountIn&& count_in)
{
    std::size_t count = 0, near = 0;
    const auto look = [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const std::size_t here = count_in(window.load_from(row, fill));
        if (here != 0) near = window.at;
        count += here;
    };
    std::size_t i = 0;
    for (; n - i >= B::size && count <= 1; i += B::size) look(whole_window<B>{i});
    if (count <= 1 && i != n) look(part_window<B>{i, n - i});
    if (count != 1) return n;
    while (count_in(B(row[near])) == 0) ++near;
    return near;
}

/// The place of the only element that is not 0. (NaN is not; what xsimd's != says of it differs between instruction sets.)
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE std::size_t only_nonzero(const T* row, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    return only_element<B>(row, n, T(0),
                           [](B x) XSOFTMAX_INLINE_LAMBDA { return B::size - count_true<B>(x == B(T(0))); });
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
