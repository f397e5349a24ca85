#pragma once

/// The limit of temperature 0: only the winners (the elements equal to the maximum) count, and they count alike.

#include "compiler.hpp"
#include "long_row.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void zero_temperature(Operation& operation, const T* logits, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    const T top = row_maximum<B>(logits, n);
    if (!(top - top == 0)) return undefined_row(operation, logits, n, static_cast<double>(top));

    sum_of<B> winners;
    for_each_window<B, false>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
        const B x = window.load_from(logits, -infinity<T>);
        winners.add(where(x == x, where(x == B(top), B(T(1)), B(T(0))), x));  // a NaN makes the count NaN
    });
    const double count = to_double(winners.total());
    if (!(count == count)) return undefined_row(operation, logits, n, count);

    [[maybe_unused]] const zero_limit limit = operation.at_zero(static_cast<double>(top), count);
    if constexpr (Operation::writes) {
        const B winner(static_cast<T>(limit.winner));
        const B other(static_cast<T>(limit.other));
        for_each_window<B, false>(n, [&](auto window) XSOFTMAX_INLINE_LAMBDA {
            const B x = window.load_from(logits, -infinity<T>);
            window.store_to(operation.output, where(x == B(top), winner, other));
        });
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
