#pragma once

/// Sums that stay exact to a small fraction of an ULP up to 2^24 terms and beyond.
///
/// Rows of float add in double; rows of double add in pairs of doubles (Knuth's TwoSum; Ogita, Rump & Oishi, "Accurate
/// sum and dot product", SIAM J. Sci. Comput. 26 (2005)). Four float accumulators are 5439 ULP off at 2^24 equal terms,
/// a double one 0.05.

#include "compiler.hpp"
#include "plain_data.hpp"
#include "simd.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

XSOFTMAX_ALWAYS_INLINE extended rounded(extended x) { return {rounded(x.high), rounded(x.low)}; }

XSOFTMAX_ALWAYS_INLINE extended two_sum(double a, double b)
{
    const double sum = rounded(a + b);
    const double b_seen = rounded(sum - a);
    const double a_seen = rounded(sum - b_seen);
    return {sum, rounded(a - a_seen) + rounded(b - b_seen)};
}

XSOFTMAX_ALWAYS_INLINE extended operator+(extended a, extended b)
{
    const extended sum = two_sum(a.high, b.high);
    if (!(sum.high - sum.high == 0)) return {sum.high, 0};  // infinite, or NaN
    const double low = sum.low + (a.low + b.low);
    const double high = rounded(sum.high + low);
    return {high, low - rounded(high - sum.high)};
}

/// The leading `bits` bits of x.
XSOFTMAX_ALWAYS_INLINE constexpr double leading_bits(double x, int bits)
{
    return __builtin_bit_cast(double, __builtin_bit_cast(std::uint64_t, x) & ~((std::uint64_t{1} << (53 - bits)) - 1));
}

/// a·b + c, rounded once, where c nearly is −a·b. Without an instruction for it, clang's -ffast-math takes it for a product and
/// a sum: there the product's rounding is found by halves (Dekker, 1971).
XSOFTMAX_ALWAYS_INLINE double fused_multiply_add(double a, double b, double c)
{
#if defined(__FAST_MATH__) && !defined(__FP_FAST_FMA)
    const double product = rounded(a * b), a_head = leading_bits(a, 26), b_head = leading_bits(b, 26);
    const double a_tail = rounded(a - a_head), b_tail = rounded(b - b_head);
    const double heads = rounded(rounded(a_head * b_head) - product);
    const double mixed = rounded(rounded(heads + rounded(a_head * b_tail)) + rounded(a_tail * b_head));
    return rounded(product + c) + (mixed + a_tail * b_tail);
#else
    return ::fma(a, b, c);
#endif
}

XSOFTMAX_ALWAYS_INLINE extended operator*(extended a, extended b)
{
    const double high = rounded(a.high * b.high);
    return {high, fused_multiply_add(a.high, b.high, -high) + (a.high * b.low + a.low * b.high)};
}

XSOFTMAX_ALWAYS_INLINE extended operator/(extended a, extended b)
{
    const double high = rounded(a.high / b.high);
    const double rest = fused_multiply_add(-high, b.high, a.high) + (a.low - high * b.low);
    return {high, rest / b.high};
}

/// 1/x, with one division less than the general quotient.
XSOFTMAX_ALWAYS_INLINE double reciprocal(double x) { return 1 / x; }
XSOFTMAX_ALWAYS_INLINE extended reciprocal(extended x)
{
    const double high = rounded(1 / x.high);
    return {high, (fused_multiply_add(-high, x.high, 1) - high * x.low) * high};
}

template <class Arch>
XSOFTMAX_ALWAYS_INLINE xsimd::batch<double, Arch> reciprocal(xsimd::batch<double, Arch> x)
{
    return xsimd::batch<double, Arch>(1.0) / x;
}

XSOFTMAX_ALWAYS_INLINE extended operator-(extended a) { return {-a.high, -a.low}; }
XSOFTMAX_ALWAYS_INLINE extended operator-(extended a, extended b) { return a + -b; }

/// a/b for a plain divisor, also where the quotient overflows.
XSOFTMAX_ALWAYS_INLINE extended quotient(extended a, double b)
{
    const double high = rounded(a.high / b);
    if (!(high - high == 0)) return {high, 0};
    return {high, (fused_multiply_add(-high, b, a.high) + a.low) / b};
}

/// What the sum of a row is kept in: T is the type computed in.
template <class T>
using wide = std::conditional_t<sizeof(T) == 4, double, extended>;

XSOFTMAX_ALWAYS_INLINE double to_double(double x) { return x; }
XSOFTMAX_ALWAYS_INLINE double to_double(extended x) { return x.high + x.low; }

XSOFTMAX_ALWAYS_INLINE double leading(double x) { return x; }
XSOFTMAX_ALWAYS_INLINE double leading(extended x) { return x.high; }

XSOFTMAX_ALWAYS_INLINE constexpr extended to_extended(double x) { return {x, 0}; }
XSOFTMAX_ALWAYS_INLINE constexpr extended to_extended(extended x) { return x; }

/// x as what a sum is kept in, or as a batch of them.
template <class D>
XSOFTMAX_ALWAYS_INLINE constexpr D number(double x)
{
    if constexpr (std::is_same_v<D, extended>)
        return {x, 0};
    else
        return D(x);
}

template <class T>
XSOFTMAX_ALWAYS_INLINE constexpr wide<T> wide_from(extended x)
{
    if constexpr (sizeof(T) == 4)
        return x.high;
    else
        return x;
}

template <class T>
XSOFTMAX_ALWAYS_INLINE constexpr wide<T> wide_from(double x)
{
    return number<wide<T>>(x);
}

/// A number as an unevaluated sum, of which `low` is at most a 40th of `high`.
template <class B>
struct two_parts {
    B high, low;
};

/// a + b and what rounding took, lane by lane.
template <class T, class Arch>
XSOFTMAX_ALWAYS_INLINE two_parts<xsimd::batch<T, Arch>> two_sum(xsimd::batch<T, Arch> a, xsimd::batch<T, Arch> b)
{
    using B = xsimd::batch<T, Arch>;
    const B sum = rounded(B(a + b));
    const B b_seen = rounded(B(sum - a));
    const B a_seen = rounded(B(sum - b_seen));
    return {sum, rounded(B(a - a_seen)) + rounded(B(b - b_seen))};
}

/// sum + rest, where rest is small.
XSOFTMAX_ALWAYS_INLINE double plus_rest(double sum, double rest) { return sum + rest; }
XSOFTMAX_ALWAYS_INLINE extended plus_rest(extended sum, double rest) { return {sum.high, sum.low + rest}; }

/// high + low
XSOFTMAX_ALWAYS_INLINE double sum_of_parts(float high, float low)
{
    return static_cast<double>(high) + static_cast<double>(low);
}
XSOFTMAX_ALWAYS_INLINE extended sum_of_parts(double high, double low) { return two_sum(high, low); }

/// The first lane's sum.
template <class B>
XSOFTMAX_ALWAYS_INLINE wide<value_of<B>> first_sum(const two_parts<B>& x)
{
    return sum_of_parts(first_lane(x.high), first_lane(x.low));
}

/// A factor in twice the precision of T, so that a product with it is as good as a division.
template <class T>
struct split {
    T high, low;
};

template <class T>
XSOFTMAX_ALWAYS_INLINE constexpr split<T> split_into(wide<T> x)
{
    if constexpr (sizeof(T) == 4) {
        const auto high = static_cast<T>(x);
        return {high, static_cast<T>(x - static_cast<double>(high))};
    }
    else
        return {x.high, x.low};
}

/// The same for a reciprocal that a product is to be exactly 1 with.
template <class T>
XSOFTMAX_ALWAYS_INLINE split<T> split_reciprocal(wide<T> inverse)
{
    if constexpr (sizeof(T) == 4) {
        const double high = float_part(inverse);
        return {static_cast<T>(high), static_cast<T>(inverse - high)};
    }
    else
        return {inverse.high, inverse.low};
}

/// x·factor, as good as a division: only the result is rounded.
///
/// Without fused multiply-add, x and the factor's high part are cut to half their bits, so that their product is exact
/// (Dekker, Numer. Math. 18 (1971)).
struct compensated_product {
    template <class B>
    XSOFTMAX_ALWAYS_INLINE static B of(B x, B factor_high, B factor_low)
    {
        if constexpr (has_fused_multiply_add<arch_of<B>>)
            return multiply_add(x, factor_high, x * factor_low);
        else {
            const B x_head = leading_half(x);
            const B factor_head = leading_half(factor_high);
            const B factor_tail = (factor_high - factor_head) + factor_low;
            return rounded(B(x_head * factor_head)) + ((x - x_head) * factor_head + x * factor_tail);
        }
    }

    /// The same of an unevaluated sum.
    template <class B>
    XSOFTMAX_ALWAYS_INLINE static B of(const two_parts<B>& x, B factor_high, B factor_low)
    {
        if constexpr (has_fused_multiply_add<arch_of<B>>)
            return multiply_add(x.high, factor_high, multiply_add(x.low, factor_high, x.high * factor_low));
        else {
            const B x_head = leading_half(x.high);
            const B factor_head = leading_half(factor_high);
            const B factor_tail = (factor_high - factor_head) + factor_low;
            return rounded(B(x_head * factor_head)) +
                   ((x.high - x_head) * factor_head + (x.high * factor_tail + x.low * factor_high));
        }
    }
};

/// The numbers that writing a row needs: of one row, or, as batches, of the row in each lane.
template <class T, std::size_t Count>
struct coefficients {
    T part[Count];
};

template <class B, std::size_t Count>
XSOFTMAX_ALWAYS_INLINE coefficients<B, Count> in_all_lanes(const coefficients<value_of<B>, Count>& row)
{
    coefficients<B, Count> result;
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k < Count; ++k) result.part[k] = B(row.part[k]);
    return result;
}

/// Division by a row's sum, as a product with its reciprocal in twice the precision: only the quotient is rounded, and a
/// winner that is alone gets exactly 1. No more than two instructions a vector where there is fused multiply-add.
struct by_reciprocal {
    /// Of one row.
    template <class T>
    XSOFTMAX_ALWAYS_INLINE static coefficients<T, 2> of(wide<T> sum)
    {
        const split<T> inverse = split_reciprocal<T>(reciprocal(sum));
        return {inverse.high, inverse.low};
    }

    /// Of the float rows whose sums are the lanes of two batches of doubles.
    template <class B, class Doubles>
    XSOFTMAX_ALWAYS_INLINE static coefficients<B, 2> of_lanes(const Doubles (&sums)[1][2])
    {
        const Doubles one(1.0);
        const Doubles inverse[2] = {one / sums[0][0], one / sums[0][1]};
        const Doubles high[2] = {float_part(inverse[0]), float_part(inverse[1])};
        return {to_floats<arch_of<B>>({high[0], high[1]}),
                to_floats<arch_of<B>>({inverse[0] - high[0], inverse[1] - high[1]})};
    }

    /// Of the double rows whose sums are the lanes of sums[0][0] + sums[1][0].
    template <class B>
    XSOFTMAX_ALWAYS_INLINE static coefficients<B, 2> of_lanes(const B (&sums)[2][1])
    {
        const B a = sums[0][0], b = sums[1][0];
        if constexpr (has_fused_multiply_add<arch_of<B>>) {
            // reciprocal(two_sum(a, b)), step by step.
            const auto [sum, rest] = two_sum(a, b);
            const B one(1.0), high = one / sum;
            return {high, (multiply_add(-high, sum, one) - high * rest) * high};
        }
        else {
            alignas(B) double as[B::size], bs[B::size], high[B::size], low[B::size];
            a.store_aligned(as);
            b.store_aligned(bs);
            for (std::size_t k = 0; k < B::size; ++k) {
                const extended inverse = reciprocal(two_sum(as[k], bs[k]));
                high[k] = inverse.high;
                low[k] = inverse.low;
            }
            return {B::load_aligned(high), B::load_aligned(low)};
        }
    }

    /// x is a batch, or two_parts of one.
    template <class X, class B>
    XSOFTMAX_ALWAYS_INLINE static B divide(const X& x, const coefficients<B, 2>& by)
    {
        return compensated_product::of(x, by.part[0], by.part[1]);
    }
};

/// Σ lanes: up to three rounded additions would cost up to 3 ULP of every element of the row.
template <class B>
XSOFTMAX_ALWAYS_INLINE extended compensated_sum(B x)
{
    alignas(B) double lanes[B::size];
    double rest = 0;
    x.store_aligned(lanes);
    XSOFTMAX_UNROLL
    for (std::size_t half = B::size / 2; half != 0; half /= 2) {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < half; ++k) {
            const extended sum = two_sum(lanes[k], lanes[k + half]);
            lanes[k] = sum.high;
            rest += sum.low;
        }
    }
    return {lanes[0], rest};
}

/// The running sum of a sweep, lane by lane.
template <class B>
class sum_of {
public:
    sum_of() = default;

    /// Begins with `x`.
    XSOFTMAX_ALWAYS_INLINE explicit sum_of(B x)
    {
        if constexpr (sizeof(value_of<B>) == 4)
            *this = sum_of(to_doubles(x));
        else
            first_ = x;
    }

    /// Float: the same of terms that are doubles already.
    XSOFTMAX_ALWAYS_INLINE explicit sum_of(widened<arch_of<B>> x) : first_(x.low), second_(x.high) {}

    XSOFTMAX_ALWAYS_INLINE void add(widened<arch_of<B>> x)
    {
        first_ = first_ + x.low;
        second_ = second_ + x.high;
    }

    XSOFTMAX_ALWAYS_INLINE void add(B x)
    {
        if constexpr (sizeof(value_of<B>) == 4)
            add(to_doubles(x));
        else {
            const auto sum = two_sum(first_, x);
            first_ = sum.high;
            second_ = second_ + sum.low;
        }
    }

    /// Float: what total() adds up, lane by lane.
    XSOFTMAX_ALWAYS_INLINE auto lanes() const { return first_ + second_; }

    /// The sum of each lane by itself.
    XSOFTMAX_ALWAYS_INLINE void totals(wide<value_of<B>> (&to)[B::size]) const
    {
        alignas(B) double low[B::size];
        first_.store_aligned(low);
        if constexpr (sizeof(value_of<B>) == 4) {
            second_.store_aligned(low + B::size / 2);
            for (std::size_t k = 0; k < B::size; ++k) to[k] = low[k];
        }
        else {
            alignas(B) double rest[B::size];
            second_.store_aligned(rest);
            for (std::size_t k = 0; k < B::size; ++k)
                to[k] = low[k] - low[k] == 0 ? extended{low[k], rest[k]} : extended{low[k], 0};
        }
    }

    XSOFTMAX_ALWAYS_INLINE wide<value_of<B>> total() const
    {
        if constexpr (sizeof(value_of<B>) == 4)
            return horizontal_sum(lanes());
        else {
            const double plain = horizontal_sum(first_);
            if (!(plain - plain == 0)) return {plain, 0};  // infinite or NaN: so are the low parts
            return compensated_sum(first_) + extended{horizontal_sum(second_), 0};
        }
    }

private:
    using doubles = xsimd::batch<double, arch_of<B>>;
    doubles first_ = doubles(0.0);   // float: the lower lanes; double: the sums
    doubles second_ = doubles(0.0);  // float: the upper lanes; double: what rounding took from the sums
};

/// Sums of to_scaled_doubles, as the numbers that they stand for.
template <class Arch>
XSOFTMAX_ALWAYS_INLINE double unscaled(double sum)
{
    if constexpr (scaled_doubles_factor<Arch> == 1)
        return sum;
    else
        return sum < 0x1p127 / scaled_doubles_factor<Arch> ? sum * scaled_doubles_factor<Arch> : not_a_number<double>;
}

template <class Arch>
XSOFTMAX_ALWAYS_INLINE xsimd::batch<double, Arch> unscaled(xsimd::batch<double, Arch> sums)
{
    using doubles = xsimd::batch<double, Arch>;
    if constexpr (scaled_doubles_factor<Arch> == 1)
        return sums;
    else
        return doubles(where(sums < doubles(0x1p127 / scaled_doubles_factor<Arch>),
                             doubles(sums * doubles(scaled_doubles_factor<Arch>)), doubles(not_a_number<double>)));
}

/// The running sum of a sweep over exponentials (terms in [0, 2^119], or NaN), lanes in any order.
template <class B>
class exponential_sum_of {
public:
    exponential_sum_of() = default;

    /// Begins with `x`.
    XSOFTMAX_ALWAYS_INLINE explicit exponential_sum_of(B x) : sum_(terms_of(x)) {}

    XSOFTMAX_ALWAYS_INLINE void add(B x) { sum_.add(terms_of(x)); }

    /// Float: what total() adds up, lane by lane, to be unscaled().
    XSOFTMAX_ALWAYS_INLINE auto scaled_lanes() const { return sum_.lanes(); }

    XSOFTMAX_ALWAYS_INLINE wide<value_of<B>> total() const
    {
        if constexpr (sizeof(value_of<B>) == 4)
            return unscaled<arch_of<B>>(sum_.total());
        else
            return sum_.total();
    }

private:
    XSOFTMAX_ALWAYS_INLINE static auto terms_of(B x)
    {
        if constexpr (sizeof(value_of<B>) == 4)
            return to_scaled_doubles(x);
        else
            return x;
    }

    sum_of<B> sum_;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
