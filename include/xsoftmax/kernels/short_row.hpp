#pragma once

/// A row of a few vectors, held in registers from the first load to the last store.
///
/// Such a row is bound by latency: two reductions across lanes and a division, one after the other. So the polynomials are
/// computed before the maximum is known, and nothing goes through memory.

#include "compiler.hpp"
#include "exp.hpp"
#include "operations.hpp"
#include "simd.hpp"
#include "sum.hpp"
#include "three_pass.hpp"
#include "windows.hpp"

namespace xsoftmax::kernels {

/// Longest row, in vectors.
inline constexpr std::size_t short_row_vectors = 8;

/// A row of `Vectors` vectors, the last of which may be a part.
template <std::size_t Vectors, class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void short_row_of(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    constexpr std::size_t last = Vectors - 1;
    const part_window<B> end{last * B::size, n - last * B::size};
    const auto for_each = [&](auto&& visit) XSOFTMAX_INLINE_LAMBDA {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < last; ++k) visit(k, whole_window<B>{k * B::size});
        visit(last, end);
    };

    const auto scale = temperature_scale<T>::make(temperature, 1);
    B x[Vectors];
    exponential_parts<B> parts[Vectors];
    B best(-infinity<T>);
    for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
        x[k] = window.load_from(logits, -infinity<T>);
        parts[k] = exponential_parts<B>::of(x[k], scale);
        best = k == 0 ? x[k] : maximum(best, x[k]);
    });
    const T top = horizontal_maximum(best);
    if (!scale.is_near(top)) [[unlikely]]
        return far_row<T, Arch>(operation, logits, n, temperature, top);

    const near_maximum<B> maximum(top, scale);
    B terms[Vectors][Operation::sums];
    B kept[Vectors];
    for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
        const B e = maximum.exponential(x[k], parts[k]);
        operation.add_up(x[k], e, maximum, window, terms[k]);
        if constexpr (Operation::uses_exponentials)
            kept[k] = operation.kept(x[k], e, maximum);
        else
            kept[k] = x[k];
    });
    wide<T> totals[Operation::sums];
    XSOFTMAX_UNROLL
    for (std::size_t j = 0; j < Operation::sums; ++j) totals[j] = sum_of<B>(tree_sum<Vectors>(terms, j)).total();
    if constexpr (Operation::writes) {
        const auto result = operation.template finish<B, plain_product>(totals, maximum);
        for_each([&](std::size_t k, auto window) XSOFTMAX_INLINE_LAMBDA {
            window.store_to(operation.output, result(kept[k], window));
        });
    }
    else
        operation.template finish<B, plain_product>(totals, maximum);
    operation.complete();
}

/// A row of 1 to short_row_vectors vectors at an ordinary temperature.
template <class Arch, class Operation, class T>
XSOFTMAX_ALWAYS_INLINE void short_row(Operation& operation, const T* logits, std::size_t n, double temperature)
{
    switch ((n - 1) / xsimd::batch<T, Arch>::size) {
        case 0: return short_row_of<1, Arch>(operation, logits, n, temperature);
        case 1: return short_row_of<2, Arch>(operation, logits, n, temperature);
        case 2: return short_row_of<3, Arch>(operation, logits, n, temperature);
        case 3: return short_row_of<4, Arch>(operation, logits, n, temperature);
        case 4: return short_row_of<5, Arch>(operation, logits, n, temperature);
        case 5: return short_row_of<6, Arch>(operation, logits, n, temperature);
        case 6: return short_row_of<7, Arch>(operation, logits, n, temperature);
        default: return short_row_of<8, Arch>(operation, logits, n, temperature);
    }
}

}  // namespace xsoftmax::kernels
