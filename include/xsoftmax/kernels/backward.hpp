#pragma once

/// From a forward pass's results x and the gradient u with respect to them to the gradient with respect to the logits: a sweep
/// that sums, and one that writes, for rows and for rows side by side.
///
/// An element with more than half of the mass is seen apart: what its probability lacks of 1 is the sum of the others, of which
/// its own rounding would leave nothing. Of logits {37.43, 0} the gradients are ±5.55e-17, not 0.

#include "sum_columns.hpp"

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

/// What the summing sweep finds of rows that are lanes of B: Σ terms, and Σ over the elements above a pass's bound.
template <class B>
struct backward_sums {
    using D = doubles_of<B>;
    two_halves<D> sum;        ///< of doubles only `low`
    B above, upstream_above;  ///< Σ x and Σ u
    B count;                  ///< how many
};

/// 1/T, as a power of two that products are lifted by before they are divided, and the rest in two parts.
template <class T>
struct inverse_temperature {
    T lift;  ///< a power of two, so that lift·T is in [1/2, 1) for T < 1: products may be denormal where quotients are not
    T high, low;     ///< 1/(lift·T)
    double divisor;  ///< T

    XSOFTMAX_INLINE explicit inverse_temperature(double temperature) : divisor(temperature)
    {
        int exponent = 0;
        if (temperature < 1) ::frexp(temperature, &exponent);
        const double power = ::ldexp(1.0, -exponent), lifted = temperature * power, inverse = 1 / lifted;
        const split<T> parts = split_into<T>({inverse, fused(-inverse, lifted, 1) / lifted});
        lift = static_cast<T>(power);
        high = parts.high;
        low = parts.low;
    }
};

/// A pass is a type with bound, above which an element has more than half of the mass; term(x, u, c), which is summed;
/// plain_term(x, u), the same where nothing is above the bound; `rereads`, whether in a row with one such element its u is c;
/// rows, what writing needs of B::size rows, made of the sums; and result(x, u) of one row. Values of rows are kept as numbers,
/// so that each can be spread over a batch.
template <class B>
struct softmax_pass {
    using T = value_of<B>;
    static constexpr T bound = T(0.5);
    static constexpr T fill = T(0);
    static constexpr bool rereads = true;

    XSOFTMAX_INLINE static B term(B p, B u, B c) { return rounded(B(p * kept_together(B(u - c)))); }
    XSOFTMAX_INLINE static B plain_term(B p, B u) { return rounded(B(p * u)); }

    struct rows {
        B reference, mean;

        /// c is the upstream gradient of a row's only dominant element, or 0. Returns whether all rows keep their digits.
        XSOFTMAX_INLINE static bool make(const backward_sums<B>& sums, B c, const inverse_temperature<T>& t, rows& to)
        {
            to.reference = c;
            if constexpr (sizeof(T) == 4)
                to.mean = to_floats<arch_of<B>>(sums.sum.low, sums.sum.high);
            else
                to.mean = sums.sum.low;
            if (t.divisor >= 1) return true;
            // 2^24 roundings of the least numbers are nothing to the bound.
            const B least(sizeof(T) == 4 ? T(0x1p-100) : T(0x1p-960));
            return !any_true<B>(magnitude(to.mean) < least);
        }
    };

    template <class Load, class Run>
    XSOFTMAX_INLINE static void with_result(const inverse_temperature<T>& t, const Load& load, const Run& run)
    {
        const B c = load(&rows::reference), m = load(&rows::mean);
        // -ffast-math would add up c and m first.
        const auto difference = [=](B u) XSOFTMAX_INLINE_LAMBDA {
            return B(kept_together(B(u - c)) - m);
        };
        if (t.divisor == 1) return run([=](B p, B u) XSOFTMAX_INLINE_LAMBDA { return B(p * difference(u)); });
        run([=, lift = B(t.lift), high = B(t.high), low = B(t.low)](B p, B u) XSOFTMAX_INLINE_LAMBDA {
            return compensated_product(B(kept_together(B(p * lift)) * difference(u)), high, low);
        });
    }
};

/// gradient = (u − exp(y)·Σ u)/T, and at an element with more than half of the mass (−Σ u elsewhere − (exp(y) − 1)·Σ u)/T.
template <class B>
struct log_softmax_pass {
    using T = value_of<B>;
    using D = doubles_of<B>;
    static constexpr T bound = static_cast<T>(-ln_2.high);
    static constexpr T fill = -infinity<T>;
    static constexpr bool rereads = false;

    /// Of the elements below the bound: those above are added to the sum when it is known how many they are.
    XSOFTMAX_INLINE static B term(B y, B u, B) { return where(y > B(bound), B(T(0)), u); }
    XSOFTMAX_INLINE static B plain_term(B, B u) { return u; }

    struct rows {
        B total, unit;  ///< Σ u times unit times what makes a probability of an exponential
        B least,
            at_dominant;  ///< the dominant element is above `least`, which is infinite if there is none; and its gradient

        XSOFTMAX_INLINE static bool make(const backward_sums<B>& sums, B, const inverse_temperature<T>& t, rows& to)
        {
            // log p above that is none, even if rounded.
            const B one(T(1));
            if (!all_true<B>(sums.above <= B(T(0x1p-10))) || !all_true<B>(sums.count <= one)) return false;
            to.least = where(sums.count == one, B(bound), B(infinity<T>));
            const auto of_lanes = [&](D y, D u, D elsewhere, D& sum, D& of) XSOFTMAX_INLINE_LAMBDA {
                // exp(y) − 1 = y·(1 + y/2·(1 + y/3·(…)))
                D series(1.0);
                XSOFTMAX_UNROLL
                for (int k = sizeof(T) == 4 ? 12 : 18; k > 1; --k)
                    series = rounded_multiply_add(series, rounded(D(y * D(1.0 / k))), D(1.0));
                const D all = elsewhere + u, lacking = rounded(D(series * -y));
                // Exponentials are multiplied by Σ u as they are stored, so that small ones keep their digits; or where a small
                // Σ u would lose its own to that, as probabilities.
                constexpr double stored = sizeof(T) == 4 ? 0x1p65 : 0x1p257,
                                 least_sum = sizeof(T) == 4 ? 0x1p-30 : 0x1p-700;
                of = where(D(magnitude(all)) < D(least_sum), D(1 / stored), D(1.0));
                sum = all * D(D(-1 / stored) / of);
                return D(rounded_multiply_add(lacking, all, D(-elsewhere)) / D(t.divisor));
            };
            if constexpr (sizeof(T) == 4) {
                const auto y = to_doubles(sums.above), u = to_doubles(sums.upstream_above);
                two_halves<D> total, unit;
                const D low = of_lanes(y.low, u.low, sums.sum.low, total.low, unit.low);
                const D high = of_lanes(y.high, u.high, sums.sum.high, total.high, unit.high);
                to.at_dominant = to_floats<arch_of<B>>(low, high);
                to.total = to_floats<arch_of<B>>(total.low, total.high);
                to.unit = to_floats<arch_of<B>>(unit.low, unit.high);
            }
            else
                to.at_dominant = of_lanes(sums.above, sums.upstream_above, sums.sum.low, to.total, to.unit);
            // Lifted, nothing may overflow that its quotient would not.
            return t.lift == T(1) ||
                   all_true<B>(magnitude(to.total) <=
                               B(largest<T> / 4 / t.lift / (sizeof(T) == 4 ? T(0x1p65) : static_cast<T>(0x1p257))));
        }
    };

    template <class Load, class Run>
    XSOFTMAX_INLINE static void with_result(const inverse_temperature<T>& t, const Load& load, const Run& run)
    {
        const scale_for<B>& scale = scale_at_one<T, exp2_steps<B>>;
        const auto to_one = reference<B>::to_one(scale);
        const B total = load(&rows::total), unit = load(&rows::unit), least = load(&rows::least),
                at_dominant = load(&rows::at_dominant);
        const auto plain = [=](B y, B u) XSOFTMAX_INLINE_LAMBDA {
            return multiply_add(B(exponential(y, to_one, scale) * unit), total, u);
        };
        if (t.divisor == 1)
            return run([=](B y, B u) XSOFTMAX_INLINE_LAMBDA { return where(y > least, at_dominant, plain(y, u)); });
        run([=, lift = B(t.lift), lifted_total = B(total * B(t.lift)), high = B(t.high), low = B(t.low)](B y, B u)
                XSOFTMAX_INLINE_LAMBDA {
                    const B lifted = multiply_add(B(exponential(y, to_one, scale) * unit), lifted_total, B(u * lift));
                    return where(y > least, at_dominant, compensated_product(lifted, high, low));
                });
    }
};

/// What is summed of one row, elements above the bound apart.
template <class Pass, class B>
struct dominated_row {
    using T = value_of<B>;

    T above, upstream_above, count;  ///< as in backward_sums
    T reference = 0;                 ///< the upstream gradient of its only dominant element, or 0
    double sum;

    XSOFTMAX_INLINE dominated_row(const T* forward, const T* upstream, std::size_t n)
    {
        const B zero(T(0)), one(T(1));
        const auto for_each_vector = [&](const auto& see) XSOFTMAX_INLINE_LAMBDA {
            std::size_t i = 0;
            for (; n - i >= B::size; i += B::size) see(load_whole<B>(forward + i), load_whole<B>(upstream + i));
            if (i != n) see(load_part(forward + i, n - i, B(Pass::fill)), load_part(upstream + i, n - i, zero));
        };
        B xs = zero, us = zero, ones = zero;
        running_sum<B> total;
        for_each_vector([&](B x, B u) XSOFTMAX_INLINE_LAMBDA {
            const auto is_above = x > B(Pass::bound);
            xs = xs + where(is_above, x, zero);
            us = us + where(is_above, u, zero);
            ones = ones + where(is_above, one, zero);
            total.add(Pass::term(x, u, zero));
        });
        count = reduce(ones, added{});
        above = reduce(xs, added{});
        upstream_above = reduce(us, added{});
        if (Pass::rereads && count == T(1)) {
            reference = upstream_above + T(0);
            total = {};
            for_each_vector([&](B x, B u) XSOFTMAX_INLINE_LAMBDA { total.add(Pass::term(x, u, B(reference))); });
        }
        sum = to_double(total.total());
    }
};

/// Σ of a block's terms as a tree, in the row's own type.
template <class B, std::size_t Count = block_size, std::size_t From = 0, class At>
XSOFTMAX_INLINE B tree_sum(const At& at)
{
    if constexpr (Count == 1)
        return at(From);
    else {
        const B first = tree_sum<B, Count / 2, From>(at);
        return rounded(B(first + tree_sum<B, Count / 2, From + Count / 2>(at)));
    }
}

/// Σ terms of a row in which nothing is above the bound; `is_dominated` if something is.
template <class Pass, class B>
XSOFTMAX_INLINE double sum_of_row(const value_of<B>* forward, const value_of<B>* upstream, std::size_t n,
                                  bool& is_dominated)
{
    running_sum<B> sum;
    B tops[2] = {B(Pass::fill), B(Pass::fill)};  // one would be waited for; and no NaN takes them
    std::size_t i = 0;
    for (; n - i >= block_of<B>; i += block_of<B>)
        sum.add(tree_sum<B>([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA {
            const B x = load_whole<B>(forward + i + k * B::size);
            tops[k % 2] = where(x > tops[k % 2], x, tops[k % 2]);
            return Pass::plain_term(x, load_whole<B>(upstream + i + k * B::size));
        }));
    for (; i < n; i += B::size) {
        const std::size_t part = n - i < B::size ? n - i : B::size;
        const B x = load_part(forward + i, part, B(Pass::fill));
        tops[0] = where(x > tops[0], x, tops[0]);
        sum.add(Pass::plain_term(x, load_part(upstream + i, part, B(value_of<B>(0)))));
    }
    is_dominated = any_true<B>(maximum(tops[0], tops[1]) > B(Pass::bound));
    return to_double(sum.total());
}

/// Up to B::size rows. Returns the rows, as bits, that are for rare_row.hpp: all of them, or none.
template <class Pass, class B>
XSOFTMAX_NEVER_INLINE std::uint64_t backward_group(const backward_rows<value_of<B>>& at, std::size_t first,
                                                   std::size_t rows, std::size_t n,
                                                   const inverse_temperature<value_of<B>>& temperature)
{
    using T = value_of<B>;
    using D = doubles_of<B>;
    alignas(B) T above[B::size] = {}, upstream_above[B::size] = {}, count[B::size] = {}, reference[B::size] = {};
    alignas(B) double sums[B::size];
    for (double& sum : sums) sum = 1;  // not so small that it has lost digits
    for (std::size_t r = 0; r < rows; ++r) {
        const T *const x = at.forward(first + r), *const u = at.upstream(first + r);
        // Of long rows most have no such element, and looking for one takes half as long again; of tiny ones most do.
        if (n >= block_of<B>) {
            bool is_dominated = false;
            sums[r] = sum_of_row<Pass, B>(x, u, n, is_dominated);
            if (!is_dominated) [[likely]]
                continue;
        }
        const dominated_row<Pass, B> row(x, u, n);
        above[r] = row.above;
        upstream_above[r] = row.upstream_above;
        count[r] = row.count;
        reference[r] = row.reference;
        sums[r] = row.sum;
    }
    backward_sums<B> found;
    found.sum.low = D::load_aligned(sums);
    if constexpr (sizeof(T) == 4) found.sum.high = D::load_aligned(sums + D::size);
    found.above = B::load_aligned(above);
    found.upstream_above = B::load_aligned(upstream_above);
    found.count = B::load_aligned(count);
    using numbers = typename Pass::rows;
    numbers of_rows;
    if (!numbers::make(found, B::load_aligned(reference), temperature, of_rows)) [[unlikely]]
        return (std::uint64_t{1} << (rows - 1) << 1) - 1;
    alignas(B) unsigned char stored[sizeof(numbers)];
    __builtin_memcpy(stored, &of_rows, sizeof of_rows);
    for (std::size_t r = 0; r < rows; ++r) {
        const auto load = [&](B numbers::*which) XSOFTMAX_INLINE_LAMBDA {
            const auto offset = reinterpret_cast<const unsigned char*>(&(of_rows.*which)) -
                                reinterpret_cast<const unsigned char*>(&of_rows);
            T number;
            __builtin_memcpy(&number, stored + offset + static_cast<std::ptrdiff_t>(r * sizeof(T)), sizeof number);
            return B(number);
        };
        const T *const x = at.forward(first + r), *const u = at.upstream(first + r);
        T* const to = at.gradient(first + r);
        Pass::with_result(temperature, load,
                          [&](const auto& result) XSOFTMAX_INLINE_LAMBDA { write_row<B, true>(result, x, u, to, n); });
    }
    return 0;
}

/// Up to rows_at_once rows at an ordinary temperature. Returns the rows, as bits, that are for rare_row.hpp, of which nothing
/// has been written.
template <class Arch, template <class> class Pass, class T>
XSOFTMAX_NEVER_INLINE std::uint64_t backward_of_rows(const backward_rows<T>& at, std::size_t rows, std::size_t n,
                                                     double temperature)
{
    using B = xsimd::batch<T, Arch>;
    const inverse_temperature<T> t(temperature);
    std::uint64_t rare = 0;
    // Between sum and writing, rows stay in the first cache.
    const std::size_t at_once = n <= regime<B>::group_elements / 2 ? B::size : 1;
    for (std::size_t r = 0; r < rows; r += at_once) {
        const std::size_t count = (std::min)(at_once, rows - r);
        if (backward_group<Pass<B>, B>(at, r, count, n, t) == 0) [[likely]]
            continue;
        // Which of them it is shows when each is by itself.
        for (std::size_t k = r; k < r + count; ++k)
            if (backward_group<Pass<B>, B>(at, k, 1, n, t) != 0) rare |= std::uint64_t{1} << k;
    }
    return rare;
}

/// The same of rows side by side. Rare ones are all of a vector's.
template <class Arch, template <class> class PassOf, class T>
XSOFTMAX_NEVER_INLINE std::uint64_t backward_of_columns(const backward_columns<T>& at, std::size_t rows, std::size_t n,
                                                        double temperature)
{
    using B = xsimd::batch<T, Arch>;
    using Pass = PassOf<B>;
    const inverse_temperature<T> t(temperature);
    const B zero(T(0)), one(T(1));
    std::uint64_t rare = 0;
    for (std::size_t r = 0; r < rows; r += B::size) {
        const column_lanes<B> lanes{rows - r < B::size ? rows - r : B::size};
        const auto x_at = [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            return lanes.load(at.forward(i) + r);
        };
        const auto u_at = [&](std::size_t i) XSOFTMAX_INLINE_LAMBDA {
            return lanes.load(at.upstream(i) + r);
        };
        backward_sums<B> found;
        const auto sum = [&](B c) {
            running_sum<B> total;
            B above = zero, upstream_above = zero, count = zero;
            for (std::size_t i = 0; i < n; ++i) {
                const B x = x_at(i), u = u_at(i);
                const auto is_above = x > B(Pass::bound);
                above = above + where(is_above, x, zero);
                upstream_above = upstream_above + where(is_above, u, zero);
                count = count + where(is_above, one, zero);
                total.add(Pass::term(x, u, c));
            }
            found = {{total.first, total.second}, above, upstream_above, count};
            if constexpr (sizeof(T) == 8) found.sum.low = total.first + total.second;
            if (lanes.count == B::size) return;
            alignas(B) double sums[2 * B::size];
            found.sum.low.store_aligned(sums);
            found.sum.high.store_aligned(sums + doubles_of<B>::size);
            for (std::size_t k = lanes.count; k < B::size; ++k) sums[k] = 1;
            found.sum = {doubles_of<B>::load_aligned(sums), doubles_of<B>::load_aligned(sums + doubles_of<B>::size)};
        };
        sum(zero);
        B c = zero;
        if (Pass::rereads && any_true<B>(found.count == one)) {
            c = where(found.count == one, B(found.upstream_above + zero), zero);
            sum(c);
        }
        typename Pass::rows of_rows;
        if (!Pass::rows::make(found, c, t, of_rows)) [[unlikely]] {
            rare |= ((std::uint64_t{1} << (lanes.count - 1) << 1) - 1) << r;
            continue;
        }
        const auto load = [&](B Pass::rows::*which) XSOFTMAX_INLINE_LAMBDA {
            return of_rows.*which;
        };
        Pass::with_result(t, load, [&](const auto& result) XSOFTMAX_INLINE_LAMBDA {
            for (std::size_t i = 0; i < n; ++i) lanes.store(at.gradient(i) + r, result(x_at(i), u_at(i)));
        });
    }
    return rare;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
