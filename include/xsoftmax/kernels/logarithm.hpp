#pragma once

/// log(1 + x) for x ≥ 0, of sums of exponentials relative to the largest one.

#include "compiler.hpp"
#include "exp.hpp"
#include "plain_data.hpp"
#include "simd.hpp"
#include "sum.hpp"

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

/// The power of two nearest to a number u ≥ 1: u·inverse is in [√½, √2].
template <class B>
struct nearest_power_of_two {
    B exponent;
    B inverse;

    XSOFTMAX_ALWAYS_INLINE static nearest_power_of_two to(B u)
    {
        constexpr int mantissa_bits = 52;
        const B octaves = shift_bits_right<mantissa_bits>(subtract_bits(u, B(0x1.6a09e667f3bcdp-1)));
        const B integer_in_low_bits(0x1p52);
        // Clang's -ffast-math would take the product of both terms with ln 2.
        return {rounded(B(add_bits(octaves, integer_in_low_bits) - integer_in_low_bits)),
                subtract_bits(B(1.0), shift_bits_left<mantissa_bits>(octaves))};
    }
};

/// log(1 + x) = k·ln 2 + log(1 + f) with 1 + f = (1 + x)/2^k in [√½, √2]. f is rounded once, and is x for the small ones.
/// log(1 + f) = 2·artanh s with s = f/(2 + f), by its series up to s^11: off by 2^-34 at most, which is little to a float. As
/// fast as the C library's for one number, and for many at once.
template <class Arch>
XSOFTMAX_ALWAYS_INLINE xsimd::batch<double, Arch> log_one_plus(xsimd::batch<double, Arch> x)
{
    using B = xsimd::batch<double, Arch>;
    const auto power = nearest_power_of_two<B>::to(B(x + B(1.0)));
    const B f = rounded(B(x * power.inverse)) + rounded(B(power.inverse - B(1.0)));
    const B s = f / (f + B(2.0));
    const B square = s * s;
    B series(2.0 / 11);
    XSOFTMAX_UNROLL
    for (int k = 9; k > 1; k -= 2) series = multiply_add(series, square, B(2.0 / k));
    return multiply_add(power.exponent, B(ln_2.high), multiply_add(B(s * square), series, B(s + s)));
}

/// The same in pairs of doubles, as log u + (1 + x − u)/u with u = 1 + x rounded: the first term is exact to half an ULP near
/// 1 and the second gives back what rounding u took.
XSOFTMAX_ALWAYS_INLINE extended log_one_plus(extended x)
{
    const extended u = two_sum(1, x.high);
    return two_sum(::log(u.high), (u.low + x.low) / u.high);
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
