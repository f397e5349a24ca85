#pragma once

/// log(1 + x) for x ≥ 0, of sums of exponentials relative to the largest one.

#include "double_double.hpp"
#include "exp.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// log(1 + x) = k·ln 2 + log(1 + f) with 1 + f = (1 + x)/2^k in [√½, √2]. f is rounded once, and is x for the small ones.
/// log(1 + f) = 2·artanh s with s = f/(2 + f), by its series up to s^11: off by 2^-34 at most, which is little to a float.
template <class Arch>
XSOFTMAX_INLINE xsimd::batch<double, Arch> log_one_plus(xsimd::batch<double, Arch> x)
{
    using B = xsimd::batch<double, Arch>;
    // The integer k, shifted down, is in the low bits of 2^52 + k.
    const B k_bits = shift_bits_right<52>(subtract_bits(B(x + B(1.0)), B(0x1.6a09e667f3bcdp-1)));
    const B k = rounded(B(add_bits(k_bits, B(0x1p52)) - B(0x1p52)));
    const B inverse_power = subtract_bits(B(1.0), shift_bits_left<52>(k_bits));
    const B f = rounded(B(x * inverse_power)) + rounded(B(inverse_power - B(1.0)));
    const B s = f / (f + B(2.0)), square = s * s;
    B series(2.0 / 11);
    XSOFTMAX_UNROLL
    for (int term = 9; term > 1; term -= 2) series = multiply_add(series, square, B(2.0 / term));
    return multiply_add(k, B(ln_2.high), multiply_add(B(s * square), series, B(s + s)));
}

/// The same in pairs of doubles, as log u + (1 + x − u)/u with u = 1 + x rounded.
XSOFTMAX_INLINE double_double log_one_plus(double_double x)
{
    const double_double u = two_sum(1.0, x.high);
    return two_sum(::log(u.high), (u.low + x.low) / u.high);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
