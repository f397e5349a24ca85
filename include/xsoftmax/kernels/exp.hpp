#pragma once

/// exp((x − maximum)/T) for the elements x of a row, without the rounding of x − maximum.
///
/// Rounding x − maximum costs 10 to 20 ULP of the result: half an ULP of a difference near −50 is 2^-19, and exp turns an
/// absolute error of its argument into a relative one. It is the largest error of most softmax implementations. Here
/// x/T is split into powers of two and a remainder by itself, as the maximum is, and integers and remainders subtract
/// exactly. Relative to its own exponential, which takes the same steps, the maximum's is exactly 1 at every temperature.
///
/// Reduction: Cody & Waite, Software Manual for the Elementary Functions (1980), in base 2; with temperature folded into
/// the constants. Polynomials: minimax in the relative error (Remez), recomputed by tests/exp2_coefficients.py.

#include "compiler.hpp"
#include "simd.hpp"
#include "sum.hpp"

namespace xsoftmax::kernels {

/// What depends on the type computed in.
template <class T>
struct exp_constants;

template <>
struct exp_constants<float> {
    static constexpr int mantissa_bits = 23;
    static constexpr int exponent_bias = 127;
    /// Exponentials are multiplied by 2^stored_exponent until the last product: nothing in between is denormal, and
    /// probabilities that are denormal round once.
    static constexpr int stored_exponent = 65;
    static constexpr float stored_factor = 0x1p65f;
    /// Smaller exponentials than e^cutoff are taken as 0. 2^24 of them would not reach the smallest denormal.
    static constexpr float cutoff = -128.9f;
    /// 1.5·2^23: adding it to a small number rounds that to an integer, which its low bits then hold.
    static constexpr float round_to_integer = 0x1.8p23f;
    static constexpr float round_to_even_integer = 0x1.8p24f;
    /// Bits of ln 2 in its high part, so that its product with an integer below 2^10 is exact without fused multiply-add.
    static constexpr int ln2_high_bits = 14;
    static constexpr float coefficients[] = {0x1.62e43p-1f, 0x1.ebfbdcp-3f,  0x1.c6af7ap-5f,
                                             0x1.3b2dep-7f, 0x1.5f09a4p-10f, 0x1.416d1cp-13f};
};

template <>
struct exp_constants<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;
    static constexpr int stored_exponent = 257;
    static constexpr double stored_factor = 0x1p257;
    static constexpr double cutoff = -880.0;
    static constexpr double round_to_integer = 0x1.8p52;
    static constexpr double round_to_even_integer = 0x1.8p53;
    static constexpr int ln2_high_bits = 40;
    static constexpr double coefficients[] = {0x1.62e42fefa39efp-1,  0x1.ebfbdff82c59dp-3,  0x1.c6b08d704a0d6p-5,
                                              0x1.3b2ab6fba0fa8p-7,  0x1.5d87fe78b35adp-10, 0x1.4309130c72838p-13,
                                              0x1.ffcbfbfaa9d7bp-17, 0x1.62bfccc32b272p-20, 0x1.b526091047c74p-24,
                                              0x1.e6138dd1522b7p-28, 0x1.e8172b7f287ebp-32};
};

inline constexpr extended log2_e = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
inline constexpr extended ln_2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};

/// 2^r for |r| ≤ 1/2; 2^0 is exactly 1.
template <class B>
XSOFTMAX_ALWAYS_INLINE B exp2_fraction(B r)
{
    using T = value_of<B>;
    constexpr auto& c = exp_constants<T>::coefficients;
    constexpr std::size_t degree = sizeof(c) / sizeof(T);
    B y(c[degree - 1]);
    XSOFTMAX_UNROLL
    for (std::size_t k = 2; k <= degree; ++k) y = multiply_add(y, r, B(c[degree - k]));
    return multiply_add(y, r, B(T(1)));
}

/// A temperature as the kernels use it: constants for u·x/T' with T' = T·unit, where `unit` is a power of two that keeps
/// everything in range.
template <class T>
struct temperature_scale {
    double unit;
    wide<T> temperature;   ///< T' = T·unit
    wide<T> inverse;       ///< 1/T'
    split<T> log2_e_over;  ///< log2(e)/T'
    split<T> ln_2_times;   ///< T'·ln 2, the high part short
    T cutoff;              ///< x − maximum below it is negligible

    XSOFTMAX_ALWAYS_INLINE static temperature_scale make(double temperature, double unit);

    /// May a row with this maximum, at an ordinary temperature and unit 1, be reduced without subtracting it? Not if it is
    /// infinite or NaN. Beyond 2^9 or 2^12 powers of two Sterbenz' condition holds for every element that matters; within
    /// them integers stay short enough for the products with ln_2_times.high.
    XSOFTMAX_ALWAYS_INLINE bool is_near(T maximum) const
    {
        const T powers_of_two = maximum * log2_e_over.high;
        return powers_of_two * powers_of_two <= near_limit * near_limit;
    }

    /// The same for each of a batch of maxima.
    template <class B>
    XSOFTMAX_ALWAYS_INLINE bool are_near(B maxima) const
    {
        const B powers_of_two = maxima * B(log2_e_over.high);
        return count_true<B>(powers_of_two * powers_of_two <= B(near_limit * near_limit)) == B::size;
    }

    static constexpr T near_limit = sizeof(T) == 4 ? T(512) : T(4096);
};

/// The leading `bits` bits of x.
XSOFTMAX_ALWAYS_INLINE constexpr double leading_bits(double x, int bits)
{
    const double shifter = x * static_cast<double>((std::uint64_t{1} << (53 - bits)) + 1);
    return shifter - (shifter - x);  // Dekker (1971), Veltkamp's splitting
}

/// T'·ln 2 in two parts, the first of which has few enough bits to be multiplied by an integer exactly.
template <class T>
XSOFTMAX_ALWAYS_INLINE constexpr split<T> split_ln_2(wide<T> ln_2_times)
{
    const extended x = to_extended(ln_2_times);
    const double high = leading_bits(x.high, exp_constants<T>::ln2_high_bits);
    return {static_cast<T>(high), static_cast<T>((x.high - high) + x.low)};
}

template <class T>
inline constexpr temperature_scale<T> unit_temperature = {
    1,
    wide_from<T>(1.0),
    wide_from<T>(1.0),
    split_into<T>(wide_from<T>(log2_e)),
    split_ln_2<T>(wide_from<T>(ln_2)),
    exp_constants<T>::cutoff,
};

template <class T>
XSOFTMAX_ALWAYS_INLINE temperature_scale<T> temperature_scale<T>::make(double temperature, double unit)
{
    const double scaled = temperature * unit;
    // The divisions would stand at the head of a short row's chain of dependent operations: 5 of its 20 ns.
    if (temperature == 1 && unit == 1) [[likely]]
        return unit_temperature<T>;
    temperature_scale s;
    s.unit = unit;
    s.temperature = wide_from<T>(scaled);
    s.inverse = wide_from<T>(1.0) / s.temperature;
    s.log2_e_over = split_into<T>(wide_from<T>(log2_e) / s.temperature);
    s.ln_2_times = split_ln_2<T>(wide_from<T>(ln_2) * s.temperature);
    s.cutoff = exp_constants<T>::cutoff * static_cast<T>(scaled);
    return s;
}

/// Temperatures at which a row may be computed in its own type, at unit 1. Others are rare, and are right rather than fast:
/// rows of float are computed in double, rows of double at another unit.
template <class T>
XSOFTMAX_ALWAYS_INLINE bool is_ordinary(double temperature)
{
    return sizeof(T) == 4 ? temperature >= 0x1p-30 && temperature <= 0x1p30
                          : temperature >= 0x1p-400 && temperature <= 0x1p400;
}

/// The unit in which far_maximum takes differences: a quarter, so that ±the largest number do not overflow, or what
/// brings an extreme temperature back into range.
template <class T>
XSOFTMAX_ALWAYS_INLINE double far_unit(double temperature)
{
    if (is_ordinary<T>(temperature)) return 0.25;
    // A lifted difference only overflows where its quotient by T does.
    if (temperature < 1) return temperature < 0x1p-700 ? 0x1p700 : 0x1p400;
    return 0x1p-900;
}

/// x/T'·log2 e − n, given −n: the step that differs with and without fused multiply-add.
/// Without it, n·ln2_high is exact because ln2_high is short, and so is its difference from x.
template <class B>
XSOFTMAX_ALWAYS_INLINE B reduced(B x, B minus_n, const temperature_scale<value_of<B>>& s)
{
    if constexpr (has_fused_multiply_add<arch_of<B>>) {
        const B r = multiply_add(x, B(s.log2_e_over.high), minus_n);
        return multiply_add(x, B(s.log2_e_over.low), r);
    }
    else {
        const B r = (x + minus_n * B(s.ln_2_times.high)) + minus_n * B(s.ln_2_times.low);
        return r * B(s.log2_e_over.high);
    }
}

/// A number whose bits, shifted into the exponent, are 2^(n + stored_exponent), where n was added to it.
template <class T>
inline constexpr T exponent_base = exp_constants<T>::round_to_integer +
                                   static_cast<T>(exp_constants<T>::exponent_bias + exp_constants<T>::stored_exponent);

/// 2^stored_exponent·exp(difference/T) from the pieces of its argument; exactly 0 below the cutoff; NaN stays NaN.
/// Negligible elements are selected rather than clamped: what xsimd::max does with a NaN differs between its versions. And
/// the power is multiplied by rather than added to the exponent, which could turn a NaN into a number.
template <class B>
XSOFTMAX_ALWAYS_INLINE B assemble(mask_of<B> negligible, B fraction_power, B power_bits)
{
    const B power = shift_bits_left<exp_constants<value_of<B>>::mantissa_bits>(power_bits);
    return zero_where(negligible, B(fraction_power * power));
}

/// What can be known of an exponential before the maximum is: x/T·log2 e = n + r. In short rows this hides the polynomial
/// behind the search for the maximum.
template <class B>
struct exponential_parts {
    B power_bits;      ///< exponent_base + n
    B fraction_power;  ///< 2^r

    XSOFTMAX_ALWAYS_INLINE static exponential_parts of(B x, const temperature_scale<value_of<B>>& scale)
    {
        const B rounder(exp_constants<value_of<B>>::round_to_integer);
        const B rounded = multiply_add(x, B(scale.log2_e_over.high), rounder);
        return {rounded + B(exponent_base<value_of<B>> - exp_constants<value_of<B>>::round_to_integer),
                exp2_fraction(reduced(x, rounder - rounded, scale))};
    }
};

/// Exponentials relative to a maximum of moderate size.
///
/// With x/T·log2 e = n + r, and n' for the maximum, this is 2^(n − n')·2^r: relative to a power of two near the maximum's
/// own exponential, which is divided out with the sum. Integers subtract exactly, and x is never rounded. n' is even, and
/// so is exponent_base: whether or not the maximum is known already, ties of n round alike, and all bits are the same.
template <class B>
class near_maximum {
    using T = value_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE near_maximum(T maximum, const temperature_scale<T>& scale) : near_maximum(B(maximum), scale)
    {
        value_ = maximum;
    }

    /// A maximum for each lane, where the lanes are rows; value() is then not to be asked for.
    XSOFTMAX_ALWAYS_INLINE near_maximum(B maximum, const temperature_scale<T>& scale)
        : maximum_(maximum), scale_(scale), cutoff_(maximum + B(scale.cutoff))
    {
        const B rounder(exp_constants<T>::round_to_even_integer);
        n_ = multiply_add(maximum_, B(scale.log2_e_over.high), rounder) - rounder;
        offset_ = B(exponent_base<T>) - n_;
    }

    /// One row of those whose maxima share a batch: what was computed for all of them together is not computed again.
    XSOFTMAX_ALWAYS_INLINE near_maximum(B maximum, B cutoff, B offset, const temperature_scale<T>& scale)
        : maximum_(maximum), scale_(scale), cutoff_(cutoff), offset_(offset)
    {
    }

    XSOFTMAX_ALWAYS_INLINE near_maximum(T maximum, T cutoff, T offset, const temperature_scale<T>& scale)
        : value_(maximum), maximum_(maximum), scale_(scale), cutoff_(cutoff), offset_(offset)
    {
    }

    XSOFTMAX_ALWAYS_INLINE B cutoff() const { return cutoff_; }
    XSOFTMAX_ALWAYS_INLINE B offset() const { return offset_; }

    XSOFTMAX_ALWAYS_INLINE B exponential(B x) const
    {
        const B power_bits = multiply_add(x, B(scale_.log2_e_over.high), offset_);
        return assemble(x < cutoff_, exp2_fraction(reduced(x, offset_ - power_bits, scale_)), power_bits);
    }

    /// The same from its parts.
    XSOFTMAX_ALWAYS_INLINE B exponential(B x, const exponential_parts<B>& parts) const
    {
        return assemble(x < cutoff_, parts.fraction_power, parts.power_bits - n_);
    }

    /// The exponential of the maximum itself, as it enters the sum.
    XSOFTMAX_ALWAYS_INLINE T own_exponential() const { return first_lane(own_exponentials()); }
    XSOFTMAX_ALWAYS_INLINE B own_exponentials() const { return exponential(maximum_); }

    XSOFTMAX_ALWAYS_INLINE T exponential_of(T x) const { return first_lane(exponential(B(x))); }

    XSOFTMAX_ALWAYS_INLINE mask_of<B> is_maximum(B x) const { return x == maximum_; }

    XSOFTMAX_ALWAYS_INLINE double value() const { return static_cast<double>(value_); }

    /// x − maximum, in the scale's units.
    XSOFTMAX_ALWAYS_INLINE B difference(B x) const { return x - maximum_; }

    XSOFTMAX_ALWAYS_INLINE const temperature_scale<T>& scale() const { return scale_; }

private:
    T value_ = 0;
    B maximum_;
    temperature_scale<T> scale_;
    B cutoff_;
    B n_ = B(T(0));       // n'
    B offset_ = B(T(0));  // exponent_base − n'
};

/// Exponentials relative to any other maximum, and at any temperature: x − maximum is exact for each x that matters, since
/// such an x lies between maximum/2 and 2·maximum (Sterbenz, 1974).
template <class B>
class far_maximum {
    using T = value_of<B>;

public:
    /// Powers of two whose product is the scale's unit: one keeps x − maximum from overflowing, the other lifts
    /// differences at tiny temperatures.
    XSOFTMAX_ALWAYS_INLINE far_maximum(T maximum, const temperature_scale<T>& scale)
        : value_(maximum),
          maximum_(maximum),
          scale_(scale),
          shrink_(static_cast<T>(scale.unit < 1 ? scale.unit : 1)),
          lift_(static_cast<T>(scale.unit > 1 ? scale.unit : 1)),
          shift_(-maximum_ * shrink_),
          cutoff_(scale.cutoff)
    {
    }

    XSOFTMAX_ALWAYS_INLINE B exponential(B x) const
    {
        const B d = difference(x);
        const B base(exponent_base<T>);
        const B power_bits = multiply_add(d, B(scale_.log2_e_over.high), base);
        return assemble(d < cutoff_, exp2_fraction(reduced(d, base - power_bits, scale_)), power_bits);
    }

    XSOFTMAX_ALWAYS_INLINE T own_exponential() const { return exp_constants<T>::stored_factor; }

    XSOFTMAX_ALWAYS_INLINE T exponential_of(T x) const { return first_lane(exponential(B(x))); }

    XSOFTMAX_ALWAYS_INLINE mask_of<B> is_maximum(B x) const { return x == maximum_; }

    XSOFTMAX_ALWAYS_INLINE double value() const { return static_cast<double>(value_); }

    XSOFTMAX_ALWAYS_INLINE B difference(B x) const { return multiply_add(x, shrink_, shift_) * lift_; }

    XSOFTMAX_ALWAYS_INLINE const temperature_scale<T>& scale() const { return scale_; }

private:
    T value_;
    B maximum_;
    temperature_scale<T> scale_;
    B shrink_;
    B lift_;
    B shift_;
    B cutoff_;
};

/// Exponentials relative to a maximum of moderate size (is_near) at an extreme temperature: near_maximum's, of logits times
/// the scale's unit, since x − maximum would be rounded here too. All else is as for far_maximum.
template <class B>
class lifted_near_maximum {
    using T = value_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE lifted_near_maximum(T maximum, const temperature_scale<T>& scale)
        : far_(maximum, scale), unit_(static_cast<T>(scale.unit)), near_(static_cast<T>(maximum * scale.unit), scale)
    {
    }

    XSOFTMAX_ALWAYS_INLINE B exponential(B x) const { return near_.exponential(x * unit_); }
    XSOFTMAX_ALWAYS_INLINE T own_exponential() const { return near_.own_exponential(); }
    XSOFTMAX_ALWAYS_INLINE T exponential_of(T x) const { return first_lane(exponential(B(x))); }
    XSOFTMAX_ALWAYS_INLINE mask_of<B> is_maximum(B x) const { return far_.is_maximum(x); }
    XSOFTMAX_ALWAYS_INLINE double value() const { return far_.value(); }
    XSOFTMAX_ALWAYS_INLINE B difference(B x) const { return far_.difference(x); }
    XSOFTMAX_ALWAYS_INLINE const temperature_scale<T>& scale() const { return far_.scale(); }

private:
    far_maximum<B> far_;
    B unit_;
    near_maximum<B> near_;
};

}  // namespace xsoftmax::kernels
