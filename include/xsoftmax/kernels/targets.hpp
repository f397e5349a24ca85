#pragma once

/// Sweeps over target probabilities.

#include "sum_row.hpp"

namespace xsoftmax::kernels {

/// What the loss needs of a row's targets t beside its row_sums.
template <class T>
struct target_sums {
    double elsewhere[2];  ///< Σ t but at the maxima, in two parts
    double at_top;        ///< Σ t at the maxima
    double distance[2];   ///< Σ t·(maximum − x); a target of 0 adds 0, whatever its logit
};

inline namespace XSOFTMAX_TARGET {

template <class Arch, class T>
XSOFTMAX_NEVER_INLINE target_sums<T> sum_targets(const T* x, const T* targets, std::size_t n, T top)
{
    using B = xsimd::batch<T, Arch>;
    using D = doubles_of<B>;
    running_sum<B> elsewhere, at_top;
    running_sum<D> distance[2];
    const auto term = [](D v, D t, D of_top) XSOFTMAX_INLINE_LAMBDA {
        const D zero(0.0);
        return D(where(t == zero, zero, D(t * kept_together(D(of_top - v)))));
    };
    const D wide_top(static_cast<double>(top));
    const auto add = [&](B v, B t) XSOFTMAX_INLINE_LAMBDA {
        const auto is_top = v == B(top);
        elsewhere.add(where(is_top, B(T(0)), t));
        at_top.add(where(is_top, t, B(T(0))));
        if constexpr (sizeof(T) == 4) {
            const auto wide_v = to_doubles(v), wide_t = to_doubles(t);
            // The products have 48 bits and a half: what is lost of their sums in double is nothing to a float.
            distance[0].first = distance[0].first + term(wide_v.low, wide_t.low, wide_top);
            distance[1].first = distance[1].first + term(wide_v.high, wide_t.high, wide_top);
        }
        else
            distance[0].add(term(v, t, wide_top));
    };
    std::size_t i = 0;
    for (; n - i >= B::size; i += B::size) add(load_whole<B>(x + i), load_whole<B>(targets + i));
    const B zero(T(0));
    if (i != n) add(load_part(x + i, n - i, zero), load_part(targets + i, n - i, zero));
    const double_double sum = widened(elsewhere.total());
    double_double sum_of_distances = distance[0].total();
    if constexpr (sizeof(T) == 4) sum_of_distances = {reduce(D(distance[0].first + distance[1].first), added{}), 0};
    return {{sum.high, sum.low}, to_double(at_top.total()), {sum_of_distances.high, sum_of_distances.low}};
}

/// The place of the only element that is not 0; n if there is none, or more than one. (NaN is not.)
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE std::size_t only_nonzero(const T* row, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    const B zero(T(0));
    std::size_t found = n;
    for (std::size_t i = 0; i < n; i += B::size) {
        const std::size_t count = n - i < B::size ? n - i : B::size;
        if (all_true<B>(load_part(row + i, count, zero) == zero)) continue;
        for (std::size_t k = i; k < i + count; ++k) {
            if (row[k] == T(0)) continue;
            if (found != n) return n;
            found = k;
        }
    }
    return found;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
