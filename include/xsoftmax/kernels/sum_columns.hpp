#pragma once

/// Rows along an axis whose neighbours are contiguous: each lane is a row, and no lane ever meets another.

#include "sum_rows.hpp"
#include "write.hpp"

namespace xsoftmax::kernels {

/// Element i of such rows lies i·step behind the first; neighbouring rows are one element apart.
template <class T>
struct columns {
    T* first;
    std::ptrdiff_t step;

    XSOFTMAX_SHARED_INLINE T* operator()(std::size_t i) const { return first + static_cast<std::ptrdiff_t>(i) * step; }
    XSOFTMAX_SHARED_INLINE columns from(std::size_t row) const { return {first + row, step}; }
};

inline namespace XSOFTMAX_TARGET {

/// Loads and stores of rows side by side that are one vector, or a part of one.
template <class B>
struct column_lanes {
    std::size_t count;

    XSOFTMAX_INLINE B load(const value_of<B>* from) const
    {
        return count == B::size ? load_whole<B>(from) : load_part(from, count, B(value_of<B>(0)));
    }
    XSOFTMAX_INLINE void store(value_of<B>* to, B x) const
    {
        count == B::size ? store_whole(to, x) : store_part(to, count, x);
    }
};

/// `Vectors` vectors of rows; only a single one may be a part. False, and nothing written but exponentials, if the rows are to
/// be summed one at a time. Each is relative to its maximum.
template <std::size_t Vectors, bool Splits, class B>
XSOFTMAX_INLINE bool sum_panel(columns<const value_of<B>> x, std::size_t n, column_lanes<B> lanes,
                               columns<value_of<B>> e, const scale_for<B>& scale, row_sums<value_of<B>>& to,
                               std::size_t at)
{
    using T = value_of<B>;
    const auto load = [&](std::size_t i, std::size_t k) XSOFTMAX_INLINE_LAMBDA {
        return Vectors == 1 ? lanes.load(x(i)) : load_whole<B>(x(i) + k * B::size);
    };
    B tops[Vectors];
    for (std::size_t k = 0; k < Vectors; ++k) tops[k] = load(0, k);
    for (std::size_t i = 1; i < n; ++i)
        for (std::size_t k = 0; k < Vectors; ++k) tops[k] = maximum(tops[k], load(i, k));
    reference<B> of_rows[Vectors];
    running_sum<B> sums[Vectors];
    for (std::size_t k = 0; k < Vectors; ++k) {
        if (!all_true<B>(magnitude(tops[k]) <= B(exp_constants<T>::near_octaves * scale.octave))) return false;
        of_rows[k] = reference<B>::to(tops[k], scale);
    }
    for (std::size_t i = 0; i < n; ++i) {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < Vectors; ++k) {
            const B y = exponential(load(i, k), of_rows[k], scale);
            sums[k].add(y);
            if (e.first != nullptr) Vectors == 1 ? lanes.store(e(i), y) : store_whole(e(i) + k * B::size, y);
        }
    }
    for (std::size_t k = 0; k < Vectors; ++k) {
        const lane_sums<B> found{of_rows[k], tops[k], {sums[k].first, sums[k].second}};
        if (!found.is_good()) [[unlikely]] {
            // Only a NaN makes a sum so, relative to the maximum.
            alignas(B) double sum[2][B::size];
            sums[k].first.store_aligned(sum[0]);
            sums[k].second.store_aligned(sizeof(T) == 4 ? sum[0] + doubles_of<B>::size : sum[1]);
            for (std::size_t r = 0; r < B::size; ++r)
                if (!(sum[0][r] <= exp_constants<T>::most_sum)) to.rare |= std::uint64_t{1} << (at + k * B::size + r);
        }
        const auto recount = [&] {
            running_sum<B> others;
            B maxima(T(0));
            const B stored = exponential(tops[k], of_rows[k], scale), one(T(1)), zero(T(0));
            for (std::size_t i = 0; i < n; ++i) {
                const B v = load(i, k);
                const auto is_maximum = v == tops[k];
                others.add(where(is_maximum, zero, exponential(v, of_rows[k], scale)));
                maxima = maxima + where(is_maximum, one, zero);
            }
            others.add(B(maxima - one) * stored);
            return two_halves<doubles_of<B>>{others.first, others.second};
        };
        found.template finish<Splits>(to, at + k * B::size, scale, recount);
    }
    return true;
}

/// Up to rows_at_once neighbouring rows of n ≥ 1 elements at an ordinary temperature. Exponentials go to `e` if it is not null,
/// which may be over the logits. Returns how many rows have been summed, the first ones; the next vector of them is to be
/// summed a row at a time. NaN makes a row rare.
template <class Arch, bool Splits, class T>
XSOFTMAX_NEVER_INLINE std::size_t sum_columns(columns<const T> x, std::size_t count, std::size_t n, columns<T> e,
                                              double temperature, row_sums<T>& to)
{
    using B = xsimd::batch<T, Arch>;
    constexpr std::size_t several = rows_at_once / B::size < 4 ? rows_at_once / B::size : 4;
    scale_for<B> room;
    const auto& scale = scale_for<B>::make(temperature, room);
    to.rare = 0;
    const auto results = [&](std::size_t r) {
        return e.first == nullptr ? e : e.from(r);
    };
    std::size_t r = 0;
    for (; count - r >= several * B::size; r += several * B::size)
        if (!sum_panel<several, Splits, B>(x.from(r), n, {B::size}, results(r), scale, to, r)) return r;
    for (; r < count; r += B::size)
        if (!sum_panel<1, Splits, B>(x.from(r), n, {count - r < B::size ? count - r : B::size}, results(r), scale, to,
                                     r))
            return r;
    return count;
}

/// Results of such rows, as write_rows.
template <class Arch, class Kind, class T>
XSOFTMAX_NEVER_INLINE void write_columns(const Kind& kind, columns<const T> from, columns<const T> other, columns<T> to,
                                         std::size_t count, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    for (std::size_t r = 0; r < count; r += B::size) {
        const column_lanes<B> lanes{count - r < B::size ? count - r : B::size};
        const auto numbers = [&](const T* of_rows) XSOFTMAX_INLINE_LAMBDA {
            return lanes.load(of_rows + r);
        };
        with_result<B>(kind, numbers, [&](const auto& result) XSOFTMAX_INLINE_LAMBDA {
            for (std::size_t i = 0; i < n; ++i) {
                B t(T(0));
                if constexpr (Kind::reads_other) t = lanes.load(other(i) + r);
                lanes.store(to(i) + r, result(lanes.load(from(i) + r), t));
            }
        });
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
