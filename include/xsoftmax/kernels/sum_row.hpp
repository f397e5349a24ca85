#pragma once

/// One row, of any length: its exponentials relative to a guess at the maximum, their sum, and the maximum, in one sweep.
///
/// The guess is 0 for a short row, whose own maximum would be waited for, else the largest of the first elements. Where it was
/// too far off, which is known when all has been seen, the row is summed again relative to its maximum. References are powers
/// of two, so the guess changes no bit of the results.

#include "math/exp.hpp"
#include "math/log.hpp"
#include "regime.hpp"
#include "row_sum.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// Vectors handled together.
inline constexpr std::size_t block_size = 8;

template <class B>
inline constexpr std::size_t block_of = block_size* B::size;

/// The running sum of a sweep over vectors, lane by lane: in double, or in pairs.
template <class B>
struct running_sum {
    using D = doubles_of<B>;
    D first = D(0.0);   ///< of floats the lower lanes, of doubles the sums
    D second = D(0.0);  ///< of floats the upper lanes, of doubles what rounding took from the sums

    XSOFTMAX_INLINE void begin(B x)
    {
        if constexpr (sizeof(value_of<B>) == 4) {
            const auto halves = to_doubles(x);
            first = halves.low;
            second = halves.high;
        }
        else
            first = x;
    }

    XSOFTMAX_INLINE void add(B x)
    {
        if constexpr (sizeof(value_of<B>) == 4) {
            const auto halves = to_doubles(x);
            first = first + halves.low;
            second = second + halves.high;
        }
        else {
            const auto sum = two_sum(first, x);
            first = sum.high;
            second = second + sum.low;
        }
    }

    /// Over all lanes. Those of doubles are cut at a fixed bit, above which they add exactly in any order (Rump, Ogita & Oishi,
    /// SIAM J. Sci. Comput. 31 (2008)).
    XSOFTMAX_INLINE wide<value_of<B>> total() const
    {
        if constexpr (sizeof(value_of<B>) == 4)
            return reduce(D(first + second), added{});
        else {
            const D cut(3.0 * B::size * largest_lane(magnitude(first)));
            const D high = rounded(D(rounded(D(first + cut)) - cut)), low = rounded(D(first - high));
            return two_sum(reduce(high, added{}), reduce(D(low + second), added{}));
        }
    }
};

/// The largest element; −inf for an empty row. Undefined where the row holds a NaN: the sums find it.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE T row_maximum(const T* x, std::size_t n)
{
    using B = xsimd::batch<T, Arch>;
    B tops[4] = {B(-infinity<T>), B(-infinity<T>), B(-infinity<T>), B(-infinity<T>)};
    std::size_t i = 0;
    for (; n - i >= block_of<B>; i += block_of<B>) {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < block_size; ++k)
            tops[k % 4] = maximum(tops[k % 4], load_whole<B>(x + i + k * B::size));
    }
    for (; n - i >= B::size; i += B::size) tops[0] = maximum(tops[0], load_whole<B>(x + i));
    if (i != n) tops[1] = maximum(tops[1], load_part(x + i, n - i, tops[1]));
    return largest_lane(maximum(maximum(tops[0], tops[1]), maximum(tops[2], tops[3])));
}

/// Was a guess near enough to the maximum from above, too? Not where the sum is NaN.
template <class T>
XSOFTMAX_INLINE bool is_good_sum(wide<T> sum)
{
    using constants = exp_constants<T>;
    return leading(sum) >= constants::least_sum && leading(sum) <= constants::most_sum;
}

/// A row, what its exponentials are relative to, and what a sweep has found of it.
template <class B>
struct row_sweep {
    using T = value_of<B>;

    const T* x;
    std::size_t n;
    const scale_for<B>& scale;
    reference<B> to;
    wide<T> sum = {};
    T top = 0;
    bool in_pairs;              ///< are the vectors of whole blocks added by twos?
    const T* stored = nullptr;  ///< where the exponentials are, unless they are nowhere

    XSOFTMAX_INLINE row_sweep(const T* row, std::size_t length, const scale_for<B>& of, const reference<B>& relative_to,
                              bool adds_in_pairs)
        : x(row), n(length), scale(of), to(relative_to), in_pairs(adds_in_pairs)
    {
    }

    /// False as soon as an element is above the `highest` that a guess allows: its exponential might overflow. Exponentials go
    /// to `e` unless it is null, with a whole vector at the row's end where it `pads`.
    XSOFTMAX_INLINE bool run(T highest, T* e, bool pads, bool prefetches)
    {
        running_sum<B> total;
        const B most(highest);
        B seen(-infinity<T>);
        std::size_t i = 0;
        if (!(in_pairs ? run_blocks<true>(most, e, prefetches, total, seen, i)
                       : run_blocks<false>(most, e, false, total, seen, i))) [[unlikely]]
            return false;
        for (; n - i >= B::size; i += B::size) {
            const B v = load_whole<B>(x + i);
            if (any_true<B>(v > most)) [[unlikely]]
                return false;
            const B y = exponential(v, to, scale);
            seen = maximum(seen, v);
            total.add(y);
            if (e != nullptr) store_whole(e + i, y);
        }
        if (i != n) {
            const B v = load_part(x + i, n - i, B(-infinity<T>));
            if (any_true<B>(v > most)) [[unlikely]]
                return false;
            const B y = exponential(v, to, scale);
            seen = maximum(seen, v);
            total.add(y);
            if (e != nullptr) pads ? store_whole(e + i, y) : store_part(e + i, n - i, y);
        }
        top = largest_lane(seen);
        sum = total.total();
        return true;
    }

    /// The blocks of the row, up to i.
    template <bool InPairs>
    XSOFTMAX_INLINE bool run_blocks(B most, T* e, bool prefetches, running_sum<B>& total, B& seen, std::size_t& i) const
    {
        for (; n - i >= block_of<B>; i += block_of<B>) {
            if (prefetches) {
                constexpr std::size_t line = cache_regime::line_bytes / sizeof(T),
                                      ahead = cache_regime::prefetch_bytes / sizeof(T);
                XSOFTMAX_UNROLL
                for (std::size_t k = 0; k < block_of<B>; k += line) prefetch(x + i + ahead + k);
            }
            B largest_of[2] = {load_whole<B>(x + i), load_whole<B>(x + i + B::size)};
            XSOFTMAX_UNROLL
            for (std::size_t k = 2; k < block_size; ++k)
                largest_of[k % 2] = maximum(largest_of[k % 2], load_whole<B>(x + i + k * B::size));
            const B of_block = maximum(largest_of[0], largest_of[1]);
            if (any_true<B>(of_block > most)) [[unlikely]]
                return false;
            seen = maximum(seen, of_block);
            // All of them before any is stored or added, so that compilers interleave them: an eighth of the sweep.
            B y[block_size];
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; ++k)
                y[k] = exponential(load_whole<B>(x + i + k * B::size), to, scale);
            if (e != nullptr) {
                XSOFTMAX_UNROLL
                for (std::size_t k = 0; k < block_size; ++k) store_whole(e + i + k * B::size, y[k]);
            }
            // By twos in the row's own type: in the wider one each costs a tenth of the sweep. By fours one element with nearly
            // all of the mass would lose another ULP, and the bound not hold.
            XSOFTMAX_UNROLL
            for (std::size_t k = 0; k < block_size; k += InPairs ? 2 : 1)
                total.add(InPairs ? rounded(B(y[k] + y[k + 1])) : y[k]);
        }
        return true;
    }

    /// The same of a row whose maximum, `top`, is far from 0, and rather short than fast.
    XSOFTMAX_COLD void run_far(T* e, bool pads)
    {
        in_pairs = false;
        running_sum<B> total;
        for (std::size_t i = 0; i < n; i += B::size) {
            const std::size_t count = n - i < B::size ? n - i : B::size;
            const B y = exponential<true>(load_part(x + i, count, B(-infinity<T>)), to, scale);
            total.add(y);
            if (e != nullptr) pads ? store_whole(e + i, y) : store_part(e + i, count, y);
        }
        sum = total.total();
    }

    XSOFTMAX_INLINE bool is_good() const { return is_good_sum<T>(sum); }

    /// The exponentials again: as they were stored, since that may have been over the logits, or computed.
    XSOFTMAX_INLINE B exponentials_at(std::size_t i, std::size_t count) const
    {
        if (stored != nullptr) return load_part(stored + i, count, B(T(0)));
        return exponential<true>(load_part(x + i, count, B(-infinity<T>)), to, scale);
    }

    /// What adding by twos has lost in the first block that holds the maximum, whose exponential is `own`. It is looked for
    /// among the logits, unless exponentials have taken their places.
    XSOFTMAX_NEVER_INLINE wide<T> lost_beside_maximum(T own) const
    {
        const T* const from = stored != nullptr ? stored : x;
        const B wanted(stored != nullptr ? own : top);
        for (std::size_t i = 0; n - i >= block_of<B>; i += block_of<B>) {
            B nearest[2] = {load_whole<B>(from + i), load_whole<B>(from + i + B::size)};
            XSOFTMAX_UNROLL
            for (std::size_t k = 2; k < block_size; ++k)
                nearest[k % 2] = maximum(nearest[k % 2], load_whole<B>(from + i + k * B::size));
            if (!any_true<B>(maximum(nearest[0], nearest[1]) >= wanted)) continue;
            running_sum<B> rest;
            for (std::size_t k = 0; k < block_size; k += 2) {
                const std::size_t at = i + k * B::size;
                rest.add(two_sum(exponentials_at(at, B::size), exponentials_at(at + B::size, B::size)).low);
            }
            return rest.total();
        }
        return wide_from<T>(0.0);
    }

    /// Σ e of all but one maximum, where a difference would have lost them.
    XSOFTMAX_COLD wide<T> sum_of_others(T own) const
    {
        running_sum<B> total;
        double maxima = 0;
        const B one(T(1)), zero(T(0));
        for (std::size_t i = 0; i < n; i += B::size) {
            const B y = exponentials_at(i, n - i < B::size ? n - i : B::size);
            const auto is_maximum = y == B(own);
            total.add(where(is_maximum, zero, y));
            maxima += static_cast<double>(reduce(where(is_maximum, one, zero), added{}));
        }
        return total.total() + wide_from<T>((maxima - 1) * static_cast<double>(own));
    }
};

/// Others with less of the maximum's exponential are summed again: what sums of short rows are good to. Those of doubles would
/// be to 2^-28, but for the last bit, which is not to depend on how they were added.
template <class T>
inline constexpr double least_share_of_others = sizeof(T) == 4 ? 0x1p-26 : 0x1p-20;

/// One maximum is taken from a row's sum, and log Σ exp((x − max x)/T) made of the rest, so that nothing cancels: where one
/// logit is 25 above the others, the common form is off by 10^7 ULP. Only what is seldom met asks for the row, row_of(), whose
/// address would otherwise keep all of it in memory.
template <bool InPairs, class B, class T, class RowOf>
XSOFTMAX_INLINE void split_off_maximum(wide<T> sum, T top, std::size_t n, const reference<B>& relative_to,
                                       const scale_for<B>& scale, const RowOf& row_of, row_sums<T>& to, std::size_t at)
{
    using D = doubles_of<B>;
    const T own_stored = first_lane(exponential<true>(B(top), relative_to, scale));
    const auto stored = static_cast<double>(own_stored);
    wide<T> others = sum - wide_from<T>(stored);
    // Where the maximum has nearly all of the mass, others are what additions lost, and must be summed again.
    constexpr double of_addition = sizeof(T) == 4 ? 0x1p-27 : 0x1p-49;
    const double least_share =
        InPairs ? of_addition * (64 + static_cast<double>(n) / B::size) : least_share_of_others<T>;
    if (!(leading(others) >= stored * least_share)) [[unlikely]]
        others = n == 1 ? wide_from<T>(0.0) : row_of().sum_of_others(own_stored);
    // Where it has more than half, what adding by twos lost of it is too much for them.
    else if (InPairs && stored * 2 > leading(sum))
        others = others + row_of().lost_beside_maximum(own_stored);
    if constexpr (sizeof(T) == 4) {
        to.others.part[0][at] = others;
        to.logarithm.part[0][at] = first_lane(log_one_plus(D(others / stored)));
    }
    else {
        const double_double log = log_one_plus(others / double_double{stored, 0});
        to.others.part[0][at] = others.high;
        to.others.part[1][at] = others.low;
        to.logarithm.part[0][at] = log.high;
        to.logarithm.part[1][at] = log.low;
    }
}

/// 1/Σ e of row `at`.
template <class T>
XSOFTMAX_INLINE void set_inverse(wide<T> sum, row_sums<T>& to, std::size_t at)
{
    const split<T> inverse = split_into<T>(widened(reciprocal(sum)));
    to.inverse_high[at] = inverse.high;
    to.inverse_low[at] = inverse.low;
}

/// A row of a few vectors, relative to 1: a loop whose state stays in registers. In sum_row, which has more to keep, 8 floats
/// take a third longer. False if the row is to be summed otherwise.
template <class Arch, class T>
XSOFTMAX_NEVER_INLINE bool split_short_row(const T* x, std::size_t n, T* e, bool pads,
                                           const scale_for<xsimd::batch<T, Arch>>& scale, row_sums<T>& to,
                                           std::size_t at)
{
    using B = xsimd::batch<T, Arch>;
    const auto to_one = reference<B>::to_one(scale);
    const B most(scale.guess_limit / 2);
    B seen(-infinity<T>);
    running_sum<B> total;
    std::size_t i = 0;
    for (; n - i >= B::size; i += B::size) {
        const B v = load_whole<B>(x + i);
        if (any_true<B>(v > most)) [[unlikely]]
            return false;
        const B y = exponential(v, to_one, scale);
        seen = maximum(seen, v);
        total.add(y);
        if (e != nullptr) store_whole(e + i, y);
    }
    if (i != n) {
        const B v = load_part(x + i, n - i, B(-infinity<T>));
        if (any_true<B>(v > most)) [[unlikely]]
            return false;
        const B y = exponential(v, to_one, scale);
        seen = maximum(seen, v);
        total.add(y);
        if (e != nullptr) pads ? store_whole(e + i, y) : store_part(e + i, n - i, y);
    }
    const T top = largest_lane(seen);
    const wide<T> sum = total.total();
    if (!is_near(top, scale) || !is_good_sum<T>(sum)) [[unlikely]]
        return false;
    set_inverse<T>(sum, to, at);
    to.maximum[at] = top;
    const auto row_of = [=, &scale] {
        row_sweep<B> row(x, n, scale, to_one, false);
        row.stored = e;
        return row;
    };
    split_off_maximum<false>(sum, top, n, to_one, scale, row_of, to, at);
    return true;
}

/// Sums row `at` of `to`: n ≥ 1 elements at an ordinary temperature. Exponentials go to `e` unless that is null; they may go
/// over the logits, which are then not there for a second sweep. Where it `pads`, whole vectors are written at the row's end.
/// Without `Splits`, the maximum and what follows from it are not wanted.
template <class Arch, bool Splits, class T>
XSOFTMAX_NEVER_INLINE void sum_row(const T* x, std::size_t n, T* e, bool pads, double temperature, bool prefetches,
                                   row_sums<T>& to, std::size_t at)
{
    using B = xsimd::batch<T, Arch>;
    scale_for<B> room;
    const auto& scale = scale_for<B>::make(temperature, room);
    if constexpr (Splits)
        if (n <= block_of<B> && e != x && split_short_row<Arch>(x, n, e, pads, scale, to, at)) [[likely]]
            return;
    row_sweep<B> sweep(x, n, scale, reference<B>::to_one(scale),
                       n > (Splits ? regime<B>::group_elements : regime<B>::kept_group_elements));
    sweep.stored = e;
    const bool is_short = n <= regime<B>::short_elements;
    // At first relative to a guess, then to the maximum.
    for (bool is_exact = e == x;; is_exact = true) {
        bool is_far = false;
        T highest;
        if (!is_exact) {
            const T guess =
                is_short ? T(0) : row_maximum<Arch>(x, n < regime<B>::guess_elements ? n : regime<B>::guess_elements);
            if (!is_near(guess, scale)) continue;
            if (!is_short) sweep.to = reference<B>::to(B(guess), scale);
            // Gradients are exponentials times factors that may be small themselves.
            highest = guess + (Splits ? scale.guess_limit / 2 : scale.guess_limit);
        }
        else {
            highest = sweep.top = row_maximum<Arch>(x, n);
            if (!can_be_reference(highest, scale)) break;
            sweep.to = reference<B>::to(B(highest), scale);
            is_far = !is_near(highest, scale);
        }
        if (is_far) [[unlikely]] {
            row_sweep<B> copy = sweep;  // one whose address is taken would stay in memory
            copy.run_far(e, pads);
            sweep.sum = copy.sum;
            sweep.in_pairs = false;
        }
        const bool is_summed = is_far || sweep.run(highest, e, pads, prefetches);
        // A maximum far off is what it is whatever was guessed, so that bits do not depend on that.
        const bool is_as_near = is_exact || is_near(sweep.top, scale);
        if (is_summed && is_as_near && sweep.is_good()) [[likely]] {
            set_inverse<T>(sweep.sum, to, at);
            to.maximum[at] = sweep.top;
            if constexpr (Splits) {
                const auto row_of = [&] {
                    return sweep;
                };
                if (sweep.in_pairs)
                    split_off_maximum<true>(sweep.sum, sweep.top, n, sweep.to, scale, row_of, to, at);
                else
                    split_off_maximum<false>(sweep.sum, sweep.top, n, sweep.to, scale, row_of, to, at);
            }
            return;
        }
        if (is_exact) break;
    }
    to.rare |= std::uint64_t{1} << at;
}

/// Softmax of a row of `Vectors` vectors, all but the last of them whole, near 0: from the first load to the last store in
/// registers, without waiting for its maximum. By a sum and a writing sweep 8 floats take twice the time, 64 half as long
/// again. False, and nothing done, if the row is to be summed otherwise.
template <std::size_t Vectors, class Arch, class T>
XSOFTMAX_NEVER_INLINE bool softmax_in_registers(const T* x, std::size_t n, T* to, double temperature)
{
    using B = xsimd::batch<T, Arch>;
    constexpr std::size_t whole = (Vectors - 1) * B::size;
    scale_for<B> room;
    const auto& scale = scale_for<B>::make(temperature, room);
    row_sweep<B> sweep(x, n, scale, reference<B>::to_one(scale), false);
    running_sum<B> total;
    B v[Vectors], e[Vectors], most = v[Vectors - 1] = load_part(x + whole, n - whole, B(-infinity<T>));
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k + 1 < Vectors; ++k) {
        v[k] = load_whole<B>(x + k * B::size);
        most = maximum(most, v[k]);
    }
    if (any_true<B>(most > B(scale.guess_limit))) [[unlikely]]
        return false;
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k < Vectors; ++k) {
        e[k] = exponential(v[k], sweep.to, scale);
        k == 0 ? total.begin(e[k]) : total.add(e[k]);
    }
    sweep.sum = total.total();
    if (!sweep.is_good()) [[unlikely]]
        return false;
    const split<T> inverse = split_into<T>(widened(reciprocal(sweep.sum)));
    const B high(inverse.high), low(inverse.low);
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k + 1 < Vectors; ++k) store_whole(to + k * B::size, compensated_product(e[k], high, low));
    store_part(to + whole, n - whole, compensated_product(e[Vectors - 1], high, low));
    return true;
}

/// The same of any row that may be done so.
template <class Arch, class T>
XSOFTMAX_INLINE bool softmax_short_row(const T* x, std::size_t n, T* to, double temperature)
{
    constexpr std::size_t vector = xsimd::batch<T, Arch>::size;
    if (n <= vector) return softmax_in_registers<1, Arch>(x, n, to, temperature);
    if (n <= 2 * vector) return softmax_in_registers<2, Arch>(x, n, to, temperature);
    if (n > 3 * vector && n <= 4 * vector) return softmax_in_registers<4, Arch>(x, n, to, temperature);
    if constexpr (vector >= 8)  // 64 or 128 floats, as many as an attention head has
        if (n > 7 * vector && n <= 8 * vector) return softmax_in_registers<8, Arch>(x, n, to, temperature);
    return false;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
