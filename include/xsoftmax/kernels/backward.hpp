#pragma once

/// From a forward pass's results x and the gradient u with respect to them to the gradient with respect to the logits: a sweep
/// that sums, and one that writes, for rows and for rows side by side.

#include "sum_columns.hpp"

#include <concepts>

namespace xsoftmax::kernels {

/// Rows of contiguous elements, or columns, that a backward pass reads and writes.
template <class T>
struct backward_rows {
    strided_rows<const T> forward, upstream;
    strided_rows<T> gradient;
};
template <class T>
struct backward_columns {
    columns<const T> forward, upstream;
    columns<T> gradient;
};

inline namespace XSOFTMAX_TARGET {

/// 1/T, as a power of two that products are lifted by before they are divided, and the rest in two parts.
template <class T>
struct inverse_temperature {
    T lift = 1;  ///< so that lift·T is in [1/2, 1) for T < 1: products may be denormal where quotients are not
    T high = 1, low = 0;  ///< 1/(lift·T)
    double divisor;       ///< T

    XSOFTMAX_INLINE explicit inverse_temperature(double temperature) : divisor(temperature)
    {
        if (temperature == 1) return;
        int exponent = 0;
        if (temperature < 1) ::frexp(temperature, &exponent);
        const double power = ::ldexp(1.0, -exponent), lifted = temperature * power, inverse = 1 / lifted;
        const split<T> parts = split_into<T>({inverse, fused(-inverse, lifted, 1) / lifted});
        lift = static_cast<T>(power);
        high = parts.high;
        low = parts.low;
    }
};

/// What a pass is unless it says otherwise.
template <class B>
struct pass_defaults {
    static constexpr value_of<B> fill = 0;             ///< as x beside u = 0 it adds nothing
    static constexpr std::size_t numbers = 1;          ///< that writing needs of a row
    static constexpr std::size_t vectors_at_once = 2;  ///< see backward_sum
    static constexpr bool sees_dominant = false;       ///< has an element above `bound` a gradient of its own?
};

/// Where an element above `bound` has more than half of the mass, of_dominant() is its gradient.
template <class Pass, class B>
concept knows_dominant = !Pass::sees_dominant || std::same_as<decltype(Pass::of_dominant({}, {}, {}, Pass::bound)), B>;

/// A backward pass: what is added up, what make() makes of the sums of rows that are the lanes of a batch, and with_result(), as
/// in write.hpp. make() returns whether all rows keep their digits.
template <class Pass, class B>
concept backward_pass = std::derived_from<Pass, pass_defaults<B>> && knows_dominant<Pass, B> &&
    requires(B v, B (&numbers)[Pass::numbers], two_halves<doubles_of<B>> sum,
             const inverse_temperature<value_of<B>>& temperature, void (*run)(B (*of)(const B* numbers, B x, B u)))
{
    requires std::same_as<decltype(Pass::add(v, v, v)), B>;
    requires std::same_as<decltype(Pass::make(sum, temperature, numbers)), bool>;
    Pass::with_result(temperature, run);
};

/// gradient = p·(u − Σ p·u)/T
template <class B>
struct softmax_pass : pass_defaults<B> {
    using T = value_of<B>;
    using pass_defaults<B>::numbers;

    XSOFTMAX_INLINE static B add(B sum, B p, B u) { return rounded(multiply_add(p, u, sum)); }

    /// Σ p·u
    XSOFTMAX_INLINE static bool make(two_halves<doubles_of<B>> sum, const inverse_temperature<T>& t, B (&mean)[numbers])
    {
        mean[0] = narrowed<B>(sum);
        // 2^24 roundings of the least numbers are nothing to the bound.
        const B least(t.divisor >= 1 ? T(0) : sizeof(T) == 4 ? T(0x1p-100) : static_cast<T>(0x1p-960));
        return !any_true<B>(magnitude(mean[0]) < least);
    }

    template <class Run>
    XSOFTMAX_INLINE static void with_result(const inverse_temperature<T>& t, const Run& run)
    {
        if (t.divisor == 1)
            return run([](const B* mean, B p, B u)
                           XSOFTMAX_INLINE_LAMBDA { return B(p * kept_together(B(u - *mean))); });
        run([lift = B(t.lift), high = B(t.high), low = B(t.low)](const B* mean, B p, B u) XSOFTMAX_INLINE_LAMBDA {
            return compensated_product(B(kept_together(B(p * lift)) * kept_together(B(u - *mean))), high, low);
        });
    }
};

/// gradient = (u − exp(y)·Σ u)/T, and at an element with more than half of the mass (−Σ u elsewhere − (exp(y) − 1)·Σ u)/T.
template <class B>
struct log_softmax_pass : pass_defaults<B> {
    using T = value_of<B>;
    using D = doubles_of<B>;
    static constexpr T fill = -infinity<T>;
    static constexpr std::size_t numbers = 2;
    static constexpr bool sees_dominant = true;
    static constexpr std::size_t vectors_at_once = 1;  // what others than a dominant element sum to is a difference
    static constexpr T bound = static_cast<T>(-ln_2.high);

    XSOFTMAX_INLINE static B add(B sum, B, B u) { return rounded(B(sum + u)); }

    /// −Σ u times unit times what makes a probability of an exponential, and the unit.
    XSOFTMAX_INLINE static bool make(two_halves<D> sum, const inverse_temperature<T>& t, B (&to)[numbers])
    {
        // Exponentials are multiplied by Σ u as they are stored, so that small ones keep their digits; or where a small Σ u
        // would lose its own to that, as probabilities.
        constexpr double stored = sizeof(T) == 4 ? 0x1p65 : 0x1p257, least_sum = sizeof(T) == 4 ? 0x1p-30 : 0x1p-700;
        const auto unit_of = [](D x) XSOFTMAX_INLINE_LAMBDA {
            return where(D(magnitude(x)) < D(least_sum), D(1 / stored), D(1.0));
        };
        const two_halves<D> unit{unit_of(sum.low), unit_of(sum.high)};
        to[0] = narrowed<B>({D(sum.low * D(D(-1 / stored) / unit.low)), D(sum.high * D(D(-1 / stored) / unit.high))});
        to[1] = narrowed<B>(unit);
        // Lifted, nothing may overflow that its quotient would not.
        return t.lift == T(1) || all_true<B>(magnitude(to[0]) <=
                                             B(static_cast<T>(static_cast<double>(largest<T>) / 4 / stored) / t.lift));
    }

    template <class Run>
    XSOFTMAX_INLINE static void with_result(const inverse_temperature<T>& t, const Run& run)
    {
        const scale_for<B>& scale = scale_at_one<T, exp2_steps<B>>;
        const auto to_one = reference<B>::to_one(scale);
        if (t.divisor == 1)
            return run([=](const B* of_row, B y, B u) XSOFTMAX_INLINE_LAMBDA {
                return multiply_add(B(exponential(y, to_one, scale) * of_row[1]), of_row[0], u);
            });
        run([=, lift = B(t.lift), high = B(t.high), low = B(t.low)](const B* of_row, B y, B u) XSOFTMAX_INLINE_LAMBDA {
            const B e = exponential(y, to_one, scale) * of_row[1];
            return compensated_product(multiply_add(e, B(of_row[0] * lift), B(u * lift)), high, low);
        });
    }

    /// The gradients of elements y > bound of rows that are lanes: (−elsewhere − (exp(y) − 1)·Σ u)/T.
    XSOFTMAX_INLINE static B of_dominant(two_halves<D> y, two_halves<D> sum, two_halves<D> elsewhere,
                                         double temperature)
    {
        const auto of_lanes = [&](D log_p, D all, D others) XSOFTMAX_INLINE_LAMBDA {
            // exp(y) − 1 = y·(1 + y/2·(1 + y/3·(…)))
            D series(1.0);
            XSOFTMAX_UNROLL
            for (int k = sizeof(T) == 4 ? 12 : 18; k > 1; --k)
                series = rounded_multiply_add(series, rounded(D(log_p * D(1.0 / k))), D(1.0));
            return D(rounded_multiply_add(rounded(D(series * -log_p)), all, D(-others)) / D(temperature));
        };
        const D low = of_lanes(y.low, sum.low, elsewhere.low);
        return narrowed<B>({low, sizeof(T) == 8 ? low : of_lanes(y.high, sum.high, elsewhere.high)});
    }
};

/// Σ terms, lane by lane: of a few vectors at once in the row's own type, since in the wider one each would take longer than all
/// the rest of its sweep.
template <class Pass, class B>
struct backward_sum {
    static constexpr std::size_t at_once = Pass::vectors_at_once;
    running_sum<B> total;
    B partial = B(value_of<B>(0));  ///< of vectors that are not in `total` yet

    XSOFTMAX_INLINE void add(B x, B u, bool is_last)
    {
        partial = Pass::add(partial, x, u);
        if (!is_last) return;
        total.add(partial);
        partial = B(value_of<B>(0));
    }

    /// Of floats, the sums of pairs of lanes.
    XSOFTMAX_INLINE doubles_of<B> lanes() const { return total.first + total.second; }
};

/// Elements above a pass's bound in rows that are lanes: Σ x and Σ u, and how many they are.
template <class Pass, class B>
struct elements_above {
    B x = B(value_of<B>(0)), u = x, count = x;

    XSOFTMAX_INLINE void add(B an_x, B a_u)
    {
        const B zero(value_of<B>(0));
        const auto is_above = an_x > B(Pass::bound);
        x = x + where(is_above, an_x, zero);
        u = u + where(is_above, a_u, zero);
        count = count + where(is_above, B(value_of<B>(1)), zero);
    }
};

/// The gradients of dominant elements, in the lanes of rows that have one; and the lanes, as bits, where they lose digits.
template <class Pass, class B>
XSOFTMAX_INLINE unsigned gradients_of_dominant(B y, B u, two_halves<doubles_of<B>> sum,
                                               two_halves<doubles_of<B>> elsewhere, double temperature, B& gradients)
{
    using T = value_of<B>;
    gradients = Pass::of_dominant(to_halves(y), sum, elsewhere, temperature);
    // log p above that is none, even if rounded.
    unsigned lost = bits_of<B>(y > B(T(0x1p-10)));
    if constexpr (sizeof(T) == 4) {
        // Less elsewhere may be what rounding has left.
        const B others = narrowed<B>(elsewhere);
        lost |= bits_of<B>(magnitude(others) < magnitude(u) * B(0x1p-26f)) & bits_of<B>(magnitude(others) > B(0.0f));
    }
    return lost;
}

/// B::size rows, or one, of less than a vector, of one to two, or of more. Returns the rows, as bits, that are for
/// rare_row.hpp; or all of them, if one is.
template <class Pass, class B, std::size_t Rows, std::size_t Whole>
XSOFTMAX_NEVER_INLINE std::uint64_t backward_group(const backward_rows<value_of<B>>& at, std::size_t first,
                                                   std::size_t n, const inverse_temperature<value_of<B>>& temperature)
{
    using T = value_of<B>;
    using D = doubles_of<B>;
    constexpr std::uint64_t all_rows = (std::uint64_t{1} << (Rows - 1) << 1) - 1;
    constexpr bool is_short = Whole < 2;
    const std::size_t whole = is_short ? Whole : n / B::size, left = n - whole * B::size;
    const B zero(T(0));
    D sums[Rows];
    double sum_of_row = 0;
    std::uint64_t dominated = 0, rare = 0;
    std::size_t dominant_at[Rows];
    alignas(B) T dominant_x[B::size] = {}, dominant_u[B::size] = {};
    alignas(B) double elsewhere[B::size] = {};
    for (std::size_t r = 0; r < Rows; ++r) {
        const T *const x = at.forward(first + r), *const u = at.upstream(first + r);
        backward_sum<Pass, B> sum;
        unsigned above = 0;  // of short rows, the elements above the bound
        B tops[2] = {B(Pass::fill), B(Pass::fill)};
        const auto see = [&](std::size_t k, bool is_part, bool is_last) XSOFTMAX_INLINE_LAMBDA {
            const T *const x_k = x + k * B::size, *const u_k = u + k * B::size;
            const B x_v = is_part ? load_part(x_k, left, B(Pass::fill)) : load_whole<B>(x_k);
            sum.add(x_v, is_part ? load_part(u_k, left, zero) : load_whole<B>(u_k), is_last);
            if constexpr (Pass::sees_dominant) {
                if constexpr (is_short)
                    above |= bits_of<B>(x_v > B(Pass::bound)) << k * B::size;
                else  // no NaN takes the place of a number
                    tops[k % 2] = where(x_v > tops[k % 2], x_v, tops[k % 2]);
            }
        };
        constexpr std::size_t at_once = backward_sum<Pass, B>::at_once;
        std::size_t k = 0;
        if constexpr (!is_short)
            for (; whole - k >= 4; k += 4) {
                XSOFTMAX_UNROLL
                for (std::size_t j = 0; j < 4; ++j) see(k + j, false, j % at_once == at_once - 1);
            }
        for (; k < whole; ++k) see(k, false, at_once == 1);
        if (left != 0)
            see(whole, true, true);
        else if (at_once != 1)
            sum.total.add(sum.partial);
        sums[r] = sum.lanes();
        if constexpr (Rows == 1) {
            // Each level of a tree of lanes rounds, which double has no digits for. Rows that may stand in a group get its bits.
            const bool may_round = sizeof(T) == 4 || n <= regime<B>::cached_group_elements;
            sum_of_row = may_round ? reduce(sums[0], added{}) : to_double(sum.total.total());
        }
        if constexpr (Pass::sees_dominant) {
            std::size_t i = 0;
            if constexpr (is_short) {
                i = above != 0 ? static_cast<std::size_t>(__builtin_ctz(above)) : 0;
                rare |= std::uint64_t{(above & (above - 1)) != 0} << r;
            }
            else if (any_true<B>(maximum(tops[0], tops[1]) > B(Pass::bound))) {
                for (std::size_t j = 0; j < n; j += B::size) {
                    const unsigned bits =
                        bits_of<B>(load_part(x + j, n - j < B::size ? n - j : B::size, B(Pass::fill)) > B(Pass::bound));
                    if (bits == 0) continue;
                    if ((above | (bits & (bits - 1))) != 0) rare |= std::uint64_t{1} << r;
                    above = bits;
                    i = j + static_cast<std::size_t>(__builtin_ctz(bits));
                }
            }
            dominant_at[r] = i;
            dominant_x[r] = x[i];
            dominant_u[r] = u[i];
            dominated |= std::uint64_t{above != 0} << r;
            if constexpr (sizeof(T) == 8)
                if (above != 0) elsewhere[r] = to_double(sum.total.total() - wide_from<T>(u[i]));
        }
    }
    two_halves<D> totals;
    if constexpr (Rows == 1)
        totals.low = totals.high = D(sum_of_row);
    else if constexpr (sizeof(T) == 4)
        totals = sums_across(sums);
    else
        totals.low = totals.high = reduce_across(sums, added{});
    B numbers[Pass::numbers];
    if (!Pass::make(totals, temperature, numbers)) [[unlikely]]
        return all_rows;
    alignas(B) T of_rows[Pass::numbers][B::size], gradients[B::size];
    for (std::size_t k = 0; k < Pass::numbers; ++k) numbers[k].store_aligned(of_rows[k]);
    if constexpr (Pass::sees_dominant)
        if (dominated != 0) {
            const B u = B::load_aligned(dominant_u);
            two_halves<D> others;
            if constexpr (sizeof(T) == 4) {
                const auto own = to_halves(u);
                others = {D(totals.low - own.low), D(totals.high - own.high)};
            }
            else
                others.low = others.high = D::load_aligned(elsewhere);
            B found;
            rare |= gradients_of_dominant<Pass>(B::load_aligned(dominant_x), u, totals, others, temperature.divisor,
                                                found) &
                    dominated;
            found.store_aligned(gradients);
        }
    Pass::with_result(temperature, [&](const auto& result) XSOFTMAX_INLINE_LAMBDA {
        for (std::size_t r = 0; r < Rows; ++r) {
            if (Pass::sees_dominant && (rare >> r & 1) != 0) [[unlikely]]
                continue;
            B of_row[Pass::numbers];
            for (std::size_t k = 0; k < Pass::numbers; ++k) of_row[k] = B(of_rows[k][r]);
            const auto of_elements = [&](B x, B u) XSOFTMAX_INLINE_LAMBDA {
                return result(of_row, x, u);
            };
            const T *const x = at.forward(first + r), *const u = at.upstream(first + r);
            T* const to = at.gradient(first + r);
            if constexpr (Whole == 1) {
                const std::size_t last = n - B::size;
                const B end = of_elements(load_whole<B>(x + last), load_whole<B>(u + last));
                store_whole(to, of_elements(load_whole<B>(x), load_whole<B>(u)));
                store_whole(to + last, end);
            }
            else
                write_row<B, true>(of_elements, x, u, to, n);
        }
    });
    for (std::uint64_t some = dominated & ~rare; some != 0; some &= some - 1) {
        const auto r = static_cast<std::size_t>(__builtin_ctzll(some));
        at.gradient(first + r)[dominant_at[r]] = gradients[r];
    }
    return rare;
}

/// Up to rows_at_once rows at an ordinary temperature. Returns the rows, as bits, that are for rare_row.hpp, of which nothing
/// has been written.
template <class Arch, template <class> class PassOf, class T>
XSOFTMAX_NEVER_INLINE std::uint64_t backward_of_rows(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                                     double temperature)
{
    using B = xsimd::batch<T, Arch>;
    using Pass = PassOf<B>;
    static_assert(backward_pass<Pass, B>);
    const inverse_temperature<T> t(temperature);
    const auto group = n < B::size        ? backward_group<Pass, B, B::size, 0>
                       : n <= 2 * B::size ? backward_group<Pass, B, B::size, 1>
                                          : backward_group<Pass, B, B::size, 2>;
    const auto row = backward_group<Pass, B, 1, 2>;
    // Between sum and writing, rows stay in the first cache.
    const bool by_groups = n <= regime<B>::cached_group_elements;
    std::uint64_t rare = 0;
    std::size_t r = 0;
    const auto one_by_one = [&](std::size_t end) {
        for (; r < end; ++r) rare |= row(at, r, n, t) << r;
    };
    while (by_groups && rows - r >= B::size) {
        const std::uint64_t of_group = group(at, r, n, t);
        if (of_group == (std::uint64_t{1} << (B::size - 1) << 1) - 1) [[unlikely]] {
            one_by_one(r + B::size);  // which shows which of them it is
        }
        else {
            rare |= of_group << r;
            r += B::size;
        }
    }
    one_by_one(rows);
    return rare;
}

/// The same of rows side by side. Rare ones are all of a vector's.
template <class Arch, template <class> class PassOf, class T>
XSOFTMAX_NEVER_INLINE std::uint64_t backward_of_columns(const backward_columns<T>& at, std::size_t rows, std::size_t n,
                                                        double temperature)
{
    using B = xsimd::batch<T, Arch>;
    using D = doubles_of<B>;
    using Pass = PassOf<B>;
    static_assert(backward_pass<Pass, B>);
    const inverse_temperature<T> t(temperature);
    std::uint64_t rare = 0;
    for (std::size_t r = 0; r < rows; r += B::size) {
        const column_lanes<B> lanes{rows - r < B::size ? rows - r : B::size};
        const auto x_at = [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            return lanes.load(at.forward(i) + r);
        };
        const auto u_at = [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            return lanes.load(at.upstream(i) + r);
        };
        backward_sum<Pass, B> sum;
        elements_above<Pass, B> above;
        for (std::size_t i = 0; i < n; ++i) {
            const B x = x_at(i), u = u_at(i);
            sum.add(x, u, i % Pass::vectors_at_once == Pass::vectors_at_once - 1 || i + 1 == n);
            if constexpr (Pass::sees_dominant) above.add(x, u);
        }
        two_halves<D> totals{sum.total.first, sum.total.second}, others = totals;
        if constexpr (sizeof(T) == 8) totals.low = totals.high = sum.lanes();
        B numbers[Pass::numbers], of_dominant;
        const unsigned there = (1u << (lanes.count - 1) << 1) - 1;
        bool is_rare = !Pass::make(totals, t, numbers);
        bool is_dominated = false;
        if constexpr (Pass::sees_dominant) {
            const unsigned dominated = bits_of<B>(above.count > B(T(0))) & there;
            is_dominated = dominated != 0;
            if (is_dominated) {
                if constexpr (sizeof(T) == 4) {
                    const auto own = to_halves(above.u);
                    others = {D(totals.low - own.low), D(totals.high - own.high)};
                }
                else
                    others.low = others.high = (others.low - above.u) + others.high;
                const unsigned lost =
                    gradients_of_dominant<Pass>(above.x, above.u, totals, others, temperature, of_dominant) |
                    bits_of<B>(above.count > B(T(1)));
                is_rare = (lost & dominated) != 0 || is_rare;
            }
        }
        if (is_rare) [[unlikely]] {
            rare |= std::uint64_t{there} << r;
            continue;
        }
        Pass::with_result(t, [&](const auto& result) XSOFTMAX_INLINE_LAMBDA {
            for (std::size_t i = 0; i < n; ++i) {
                const B x = x_at(i);
                B gradient = result(numbers, x, u_at(i));
                if constexpr (Pass::sees_dominant)
                    if (is_dominated) gradient = where(x > B(Pass::bound), of_dominant, gradient);
                lanes.store(at.gradient(i) + r, gradient);
            }
        });
    }
    return rare;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
