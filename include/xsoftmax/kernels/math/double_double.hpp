#pragma once

/// Numbers as unevaluated sums of two doubles, for one number and for the lanes of a batch: about 100 bits.
///
/// Knuth's TwoSum, Dekker's and Veltkamp's product: Ogita, Rump & Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput.
/// 26 (2005). A row of float needs none of this: its sums are kept in double.

#include "../lanes/batch.hpp"

#include <cmath>

namespace xsoftmax::kernels {

/// high + low. D is double or a batch of it.
template <class D>
struct pair {
    D high;
    D low;
};

using double_double = pair<double>;

inline namespace XSOFTMAX_TARGET {

/// What sums of a row of T are kept in; D as above.
template <class T, class D = double>
using wide = std::conditional_t<sizeof(T) == 4, D, pair<D>>;

/// a + b, and what rounding took from it.
template <class D>
XSOFTMAX_INLINE pair<D> two_sum(D a, D b)
{
    const D sum = rounded(D(a + b));
    const D b_seen = rounded(D(sum - a));
    const D a_seen = rounded(D(sum - b_seen));
    return {sum, D(rounded(D(a - a_seen)) + rounded(D(b - b_seen)))};
}

/// The same where |a| ≥ |b|.
template <class D>
XSOFTMAX_INLINE pair<D> fast_two_sum(D a, D b)
{
    const D sum = rounded(D(a + b));
    return {sum, D(b - rounded(D(sum - a)))};
}

/// The leading `bits` bits of x.
XSOFTMAX_INLINE constexpr double leading_bits(double x, int bits)
{
    return __builtin_bit_cast(double, __builtin_bit_cast(std::uint64_t, x) & ~((std::uint64_t{1} << (53 - bits)) - 1));
}

/// a·b + c for a c near −a·b. Without an instruction for it, -ffast-math takes it for a product and a sum: there the product's
/// rounding is found by halves (Dekker, 1971).
XSOFTMAX_INLINE double fused(double a, double b, double c)
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

template <class D>
XSOFTMAX_INLINE pair<D> operator-(pair<D> a)
{
    return {D(-a.high), D(-a.low)};
}
template <class D>
XSOFTMAX_INLINE pair<D> operator+(pair<D> a, pair<D> b)
{
    const pair<D> sum = two_sum(a.high, b.high);
    return fast_two_sum(sum.high, D(sum.low + (a.low + b.low)));
}
template <class D>
XSOFTMAX_INLINE pair<D> operator-(pair<D> a, pair<D> b)
{
    return a + -b;
}
XSOFTMAX_INLINE double_double operator*(double_double a, double_double b)
{
    const double high = rounded(a.high * b.high);
    return {high, fused(a.high, b.high, -high) + (a.high * b.low + a.low * b.high)};
}
XSOFTMAX_INLINE double_double operator/(double_double a, double_double b)
{
    const double high = rounded(a.high / b.high);
    return {high, (fused(-high, b.high, a.high) + (a.low - high * b.low)) / b.high};
}

/// 1/x
template <class D>
XSOFTMAX_INLINE D reciprocal(D x)
{
    return D(D(1.0) / x);
}
XSOFTMAX_INLINE double_double reciprocal(double_double x) { return double_double{1, 0} / x; }

XSOFTMAX_INLINE double to_double(double x) { return x; }
XSOFTMAX_INLINE double to_double(double_double x) { return x.high + x.low; }
XSOFTMAX_INLINE double leading(double x) { return x; }
XSOFTMAX_INLINE double leading(double_double x) { return x.high; }

/// x as a sum is kept, or as a constant of it.
template <class T>
XSOFTMAX_INLINE constexpr wide<T> wide_from(double x)
{
    if constexpr (sizeof(T) == 4)
        return x;
    else
        return {x, 0};
}
template <class T>
XSOFTMAX_INLINE constexpr wide<T> wide_from(double_double x)
{
    if constexpr (sizeof(T) == 4)
        return x.high;
    else
        return x;
}
XSOFTMAX_INLINE constexpr double_double widened(double x) { return {x, 0}; }
XSOFTMAX_INLINE constexpr double_double widened(double_double x) { return x; }

/// A factor in twice the precision of T, so that a product with it is as good as a division.
template <class T>
struct split {
    T high, low;
};

template <class T>
XSOFTMAX_INLINE constexpr split<T> split_into(double_double x)
{
    const auto high = static_cast<T>(x.high);
    return {high, static_cast<T>((x.high - static_cast<double>(high)) + x.low)};
}

/// x·(high + low), rounded once but for a trifle. Without fused multiply-add, x and the factor's high part are cut to half
/// their bits, so that their product is exact (Dekker, Numer. Math. 18 (1971)).
template <class B>
XSOFTMAX_INLINE B compensated_product(B x, B high, B low)
{
    if constexpr (has_fused_multiply_add<arch_of<B>>)
        return multiply_add(x, high, B(x * low));
    else {
        const B x_head = leading_half(x), head = leading_half(high), tail = (high - head) + low;
        return rounded(B(x_head * head)) + ((x - x_head) * head + x * tail);
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
