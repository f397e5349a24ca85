#pragma once

/// Many rows. Short ones go by groups of as many rows as a vector has lanes: by itself such a row spends most of its time on
/// reductions across lanes, through which the rows of a group go together (reduce_across).

#include "sum_row.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Above what sums of groups of doubles may be: 2^264 times three times the lanes.
inline constexpr double double_group_cut = 0x1p269;

/// What rows that are the lanes of a batch have been summed to, as the results of rows from `at` on.
template <class B>
struct lane_sums {
    using T = value_of<B>;
    using D = doubles_of<B>;

    reference<B> to;
    B top;
    /// Of floats the lower and the upper lanes' sums; of doubles high and low parts.
    two_halves<D> sum;

    /// Do all sums tell that their references were near enough to the maxima? Those of doubles for sums that are cut at a fixed
    /// bit, too.
    XSOFTMAX_INLINE bool is_good() const
    {
        using constants = exp_constants<T>;
        constexpr double least = sizeof(T) == 4 ? constants::least_sum : 0x1p241;
        constexpr double most = sizeof(T) == 4 ? constants::most_sum : 0x1p264;
        const auto good = [](D x) XSOFTMAX_INLINE_LAMBDA {
            return all_true<D>(x >= D(least)) && all_true<D>(x <= D(most));
        };
        return good(sum.low) && (sizeof(T) == 8 || good(sum.high));
    }

    /// Without `Splits`, logarithms are not wanted. recount() is Σ e of all but one maximum of each row, asked for where a
    /// difference would lose digits.
    template <bool Splits, class Recount>
    XSOFTMAX_INLINE void finish(row_sums<T>& results, std::size_t at, const scale_for<B>& scale,
                                const Recount& recount) const
    {
        const D one(1.0);
        if constexpr (sizeof(T) == 4) {
            const D low = one / sum.low, high = one / sum.high;
            const B inverse = to_floats<arch_of<B>>(low, high);
            const auto back = to_doubles(inverse);
            inverse.store_aligned(results.inverse_high + at);
            to_floats<arch_of<B>>(low - back.low, high - back.high).store_aligned(results.inverse_low + at);
        }
        else if constexpr (has_fused_multiply_add<arch_of<B>>) {
            const D inverse = one / sum.low;
            inverse.store_aligned(results.inverse_high + at);
            ((multiply_add(D(-inverse), sum.low, one) - inverse * sum.high) * inverse)
                .store_aligned(results.inverse_low + at);
        }
        else {
            alignas(B) double high[B::size], low[B::size];
            sum.low.store_aligned(high);
            sum.high.store_aligned(low);
            for (std::size_t k = 0; k < B::size; ++k) {
                const double_double inverse = reciprocal(double_double{high[k], low[k]});
                results.inverse_high[at + k] = inverse.high;
                results.inverse_low[at + k] = inverse.low;
            }
        }
        if constexpr (Splits) {
            top.store_aligned(results.maximum + at);
            split_off(results, at, scale, recount);
        }
    }

private:
    /// One maximum of each row is taken from its sum, and log Σ made of the rest.
    template <class Recount>
    XSOFTMAX_INLINE void split_off(row_sums<T>& results, std::size_t at, const scale_for<B>& scale,
                                   const Recount& recount) const
    {
        const B stored = exponential(top, to, scale);
        if constexpr (sizeof(T) == 4) {
            const auto e = to_doubles(stored);
            two_halves<D> others{D(sum.low - e.low), D(sum.high - e.high)};
            const D least_share(least_share_of_others<T>);
            const auto low_is_enough = others.low >= e.low * least_share,
                       high_is_enough = others.high >= e.high * least_share;
            if (!all_true<D>(low_is_enough) || !all_true<D>(high_is_enough)) [[unlikely]] {
                // Only of those: a row's bits are not to depend on its neighbours.
                const two_halves<D> counted = recount();
                others = {where(low_is_enough, others.low, counted.low),
                          where(high_is_enough, others.high, counted.high)};
            }
            const auto put = [at](D low, D high, wide_numbers<T>& where) XSOFTMAX_INLINE_LAMBDA {
                low.store_aligned(where.part[0] + at);
                high.store_aligned(where.part[0] + at + D::size);
            };
            put(others.low, others.high, results.others);
            put(log_one_plus(D(others.low / e.low)), log_one_plus(D(others.high / e.high)), results.logarithm);
        }
        else {
            pair<B> others = pair<B>{sum.low, sum.high} - pair<B>{stored, B(0.0)};
            const auto is_enough = others.high >= stored * B(least_share_of_others<T>);
            if (!all_true<B>(is_enough)) [[unlikely]] {
                const auto counted = recount();
                others = {where(is_enough, others.high, counted.low), where(is_enough, others.low, counted.high)};
            }
            others.high.store_aligned(results.others.part[0] + at);
            others.low.store_aligned(results.others.part[1] + at);
            alignas(B) double own[B::size];
            stored.store_aligned(own);
            for (std::size_t k = 0; k < B::size; ++k) {
                const double_double of_others{results.others.part[0][at + k], results.others.part[1][at + k]};
                const double_double log = log_one_plus(of_others / double_double{own[k], 0});
                results.logarithm.part[0][at + k] = log.high;
                results.logarithm.part[1][at + k] = log.low;
            }
        }
    }
};

/// Of floats counted[0], of doubles counted[0] + counted[1], for the row in each lane.
template <class B>
XSOFTMAX_INLINE two_halves<doubles_of<B>> lanes_of(const double (&counted)[2][B::size])
{
    using D = doubles_of<B>;
    return {load_whole<D>(counted[0]), load_whole<D>(sizeof(value_of<B>) == 4 ? counted[0] + D::size : counted[1])};
}

/// From the sums of rows over their lanes to each row's, in its lane.
template <class D, std::size_t Count>
XSOFTMAX_INLINE two_halves<D> sums_across(const D (&sums)[Count])
{
    const auto across = [](const D* of) XSOFTMAX_INLINE_LAMBDA {
        D batches[D::size];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < D::size; ++k) batches[k] = of[k];
        return reduce_across(batches, added{});
    };
    return {across(sums), across(sums + D::size)};
}

/// B::size rows of n ≤ group_elements, which are a vector at most where they are `Tiny`. Exponentials go to `e` unless that is
/// null, as whole vectors, `stride` elements from a row to the next. False if the rows are to be summed one at a time.
template <bool Tiny, bool Splits, class Arch, class T>
XSOFTMAX_NEVER_INLINE bool sum_group(strided_rows<const T> rows, std::size_t n, T* e, std::size_t stride,
                                     const scale_for<xsimd::batch<T, Arch>>& scale, row_sums<T>& to, std::size_t at)
{
    using B = xsimd::batch<T, Arch>;
    using D = doubles_of<B>;
    const std::size_t whole = Tiny ? 0 : (n - 1) / B::size, end = n - whole * B::size;
    const B nothing(-infinity<T>);
    B tops[B::size], most = nothing;
    const auto top_of = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
        B top = load_part(rows(r) + whole * B::size, end, nothing);
        for (std::size_t k = 0; k < whole; ++k) top = maximum(top, load_whole<B>(rows(r) + k * B::size));
        return top;
    };
    constexpr bool wants_tops =
        Splits || sizeof(T) == 8;  // at once: where they are not wanted, storing them takes time
    for (std::size_t r = 0; r < B::size; ++r) {
        const B top = top_of(r);
        if constexpr (wants_tops) tops[r] = top;
        most = maximum(most, top);
    }
    // Rows of float are all relative to the first element of the first one, if that does; else each to its own maximum.
    B guess(rows(0)[0]);
    for (bool is_exact = sizeof(T) == 8;; is_exact = true) {
        if (is_exact) {
            if constexpr (!wants_tops)
                for (std::size_t r = 0; r < B::size; ++r) tops[r] = top_of(r);
            guess = reduce_across(tops, larger{});
        }
        // Its rows' maxima are near then, too: above by the limit at most, and below as far as sums are good.
        const T near_limit = (exp_constants<T>::near_octaves - (is_exact ? T(0) : T(64))) * scale.octave;
        const bool is_near = all_true<B>(magnitude(guess) <= B(near_limit));
        const bool is_low = any_true<B>(most - guess > B(Splits ? scale.guess_limit / 2 : scale.guess_limit));
        if (!is_near || (is_low && !is_exact)) {
            if (is_exact) return false;
            continue;
        }
        const auto of_rows = reference<B>::to(guess, scale);
        alignas(B) T offset[B::size], floor[B::size];
        of_rows.offset.store_aligned(offset);
        of_rows.floor.store_aligned(floor);
        D sums[sizeof(T) / 4 * B::size];
        const auto sum_of = [&](std::size_t r) XSOFTMAX_INLINE_LAMBDA {
            const reference<B> of_row{B(T(0)), B(offset[r]), B(floor[r])};
            const T* const x = rows(r);
            T* const y = e == nullptr ? nullptr : e + r * stride;
            running_sum<B> total;
            for (std::size_t k = 0; k < whole; ++k) {
                const B e_v = exponential(load_whole<B>(x + k * B::size), of_row, scale);
                total.add(e_v);
                if (e != nullptr) store_whole(y + k * B::size, e_v);
            }
            const B last = exponential(load_part(x + whole * B::size, end, nothing), of_row, scale);
            Tiny ? total.begin(last) : total.add(last);
            if (e != nullptr) store_whole(y + whole * B::size, last);
            if constexpr (sizeof(T) == 4)
                sums[r] = total.first + total.second;
            else {
                // Cut at a fixed bit, as in running_sum::total.
                const D cut(double_group_cut), high = rounded(D(rounded(D(total.first + cut)) - cut));
                sums[r] = high;
                sums[B::size + r] = rounded(D(total.first - high)) + total.second;
            }
        };
        for (std::size_t r = 0; r < B::size; ++r) sum_of(r);
        lane_sums<B> found{of_rows, guess, sums_across(sums)};
        if constexpr (sizeof(T) == 8) {
            const auto sum = two_sum(found.sum.low, found.sum.high);
            found.sum = {sum.high, sum.low};
        }
        if constexpr (Splits) found.top = reduce_across(tops, larger{});
        if (found.is_good()) [[likely]] {
            found.template finish<Splits>(to, at, scale, [&] {
                alignas(B) T top[B::size];
                alignas(B) double counted[2][B::size];
                found.top.store_aligned(top);
                for (std::size_t r = 0; r < B::size; ++r) {
                    const reference<B> of_row{B(T(0)), B(offset[r]), B(floor[r])};
                    const T own = first_lane(exponential(B(top[r]), of_row, scale));
                    const double_double others =
                        widened(row_sweep<B>(rows(r), n, scale, of_row, false).sum_of_others(own));
                    counted[0][r] = others.high;
                    counted[1][r] = others.low;
                }
                return lanes_of<B>(counted);
            });
            return true;
        }
        if (is_exact) return false;
    }
}

/// Up to rows_at_once rows of n ≥ 1 contiguous elements at an ordinary temperature. Exponentials go to `e` if it is not null,
/// which may be over the logits; as whole vectors where they are `padded`. `prefetches` where the rows are not in a cache.
template <class Arch, bool Splits, class T>
XSOFTMAX_NEVER_INLINE void sum_rows(strided_rows<const T> rows, std::size_t count, std::size_t n, bool padded,
                                    strided_rows<T> e, double temperature, bool prefetches, row_sums<T>& to)
{
    using B = xsimd::batch<T, Arch>;
    to.rare = 0;
    std::size_t r = 0;
    const auto one_by_one = [&](std::size_t last) {
        for (; r < last; ++r)
            sum_row<Arch, Splits>(rows(r), n, e.first == nullptr ? nullptr : e(r), padded, temperature, prefetches, to,
                                  r);
    };
    if (e.first == nullptr ? n <= regime<B>::group_elements : padded) {
        scale_for<B> room;
        const auto& scale = scale_for<B>::make(temperature, room);
        const auto group = n <= B::size ? sum_group<true, Splits, Arch, T> : sum_group<false, Splits, Arch, T>;
        while (count - r >= B::size) {
            if (group(rows.from(r), n, e.first == nullptr ? nullptr : e(r), static_cast<std::size_t>(e.stride), scale,
                      to, r)) [[likely]]
                r += B::size;
            else
                one_by_one(r + B::size);
        }
    }
    one_by_one(count);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
