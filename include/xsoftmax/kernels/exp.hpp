#pragma once

/// exp((x − maximum)/T) for the elements x of a row, without the rounding of x − maximum.
///
/// Rounding x − maximum costs 10 to 20 ULP of the result: half an ULP of a difference near −50 is 2^-19, and exp turns an
/// absolute error of its argument into a relative one. It is the largest error of most softmax implementations. Here
/// x/T is split into powers of two and a remainder by itself, as the maximum is, and integers and remainders subtract
/// exactly. Relative to its own exponential the maximum's is 1 at every temperature.
///
/// Reduction: Cody & Waite, Software Manual for the Elementary Functions (1980), in base 2 where multiplying and adding is one
/// instruction, else in base e; with temperature folded into the constants. Tables with what rounding took from their entries: Tang (ACM TOMS 15 (1989)), and Gal & Bachelis (ACM
/// TOMS 17 (1991)). Polynomials: minimax in the relative error (Remez). Each constant is recomputed by
/// tests/exp2_coefficients.py.

#include "compiler.hpp"
#include "simd.hpp"
#include "sum.hpp"

#include <bit>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

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
    /// How far a guess at the maximum may be off (is_good_guess): the sum of 2^24 exponentials is then below 2^119, so that
    /// its reciprocal is still normal, and nothing above the smallest denormal is cut off.
    static constexpr float guess_limit = 20;
    /// The sum of a row of up to 128 elements tells that its maximum is not too far below the guess.
    static constexpr float least_sum_of_guess = 0x1p43f;
    /// 1.5·2^23: adding it to a small number rounds that to an integer, which its low bits then hold.
    static constexpr float round_to_integer = 0x1.8p23f;
    static constexpr float round_to_even_integer = 0x1.8p24f;
    /// Bits of ln 2 in its high part, so that its product with an integer below 2^10 is exact without fused multiply-add.
    static constexpr int ln2_high_bits = 14;
};

template <>
struct exp_constants<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;
    static constexpr int stored_exponent = 257;
    static constexpr double stored_factor = 0x1p257;
    static constexpr double cutoff = -880.0;
    static constexpr double guess_limit = 100;
    static constexpr double round_to_integer = 0x1.8p52;
    static constexpr int ln2_high_bits = 40;
};

/// 2^(r/Steps) ≈ 1 + c0 + r·(c1 + r·(c2 + …)) for |r| ≤ 1/2. These begin with c1.
template <class T, std::size_t Steps>
inline constexpr T exp2_coefficients[1] = {};

template <>
inline constexpr float exp2_coefficients<float, 1>[] = {0x1.62e43p-1f, 0x1.ebfbdcp-3f,  0x1.c6af7ap-5f,
                                                        0x1.3b2dep-7f, 0x1.5f09a4p-10f, 0x1.416d1cp-13f};
template <>
inline constexpr float exp2_coefficients<float, 8>[] = {0x1.62e43p-4f, 0x1.ec0f9ap-9f, 0x1.c6b3e4p-14f};
template <>
inline constexpr float exp2_coefficients<float, 16>[] = {0x1.62e43p-5f, 0x1.ebfff8p-11f, 0x1.c6acdcp-17f};
template <>
inline constexpr double exp2_coefficients<double, 1>[] = {
    0x1.62e42fefa39efp-1,  0x1.ebfbdff82c59dp-3,  0x1.c6b08d704a0d6p-5,  0x1.3b2ab6fba0fa8p-7,
    0x1.5d87fe78b35adp-10, 0x1.4309130c72838p-13, 0x1.ffcbfbfaa9d7bp-17, 0x1.62bfccc32b272p-20,
    0x1.b526091047c74p-24, 0x1.e6138dd1522b7p-28, 0x1.e8172b7f287ebp-32};
template <>
inline constexpr double exp2_coefficients<double, 4>[] = {
    0x1.62e42fefa39edp-3,  0x1.ebfbdff82c589p-7,  0x1.c6b08d7051285p-11, 0x1.3b2ab6fbb2f36p-15,
    0x1.5d87fdb2e7859p-20, 0x1.430910cca0557p-25, 0x1.ffebcfdc7acfcp-31, 0x1.62f59d93a71d2p-36};
template <>
inline constexpr double exp2_coefficients<double, 16>[] = {
    0x1.62e42fefa39efp-5,  0x1.ebfbdff82c58fp-11, 0x1.c6b08d70504bcp-17, 0x1.3b2ab6fb628bp-23,
    0x1.5d87f89c71345p-30, 0x1.4309f742d6c57p-37, 0x1.030d8b69a92bdp-44};

/// e^r ≈ 1 + (r + r²·(c2 + r·(c3 + …))) for |r| ≤ ln 2/2. These begin with c2.
template <class T>
inline constexpr T exp_coefficients[1] = {};

template <>
inline constexpr float exp_coefficients<float>[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558bcp-5f, 0x1.1239c6p-7f,
                                                    0x1.6a415ep-10f};
template <>
inline constexpr double exp_coefficients<double>[] = {
    0x1.000000000000ap-1,  0x1.5555555555503p-3,  0x1.55555555506dfp-5,  0x1.1111111126267p-7,  0x1.6c16c18475aafp-10,
    0x1.a01a0130e44e5p-13, 0x1.a019994ba0678p-16, 0x1.71df1947e63bep-19, 0x1.28ae236540b8cp-22, 0x1.ad90401ad74p-26};

/// c0: with a table it costs nothing, as a part of what is added to 1 anyway. With eighths it takes a quarter of the
/// polynomial's error, with sixteenths there is nothing to take.
template <class T, std::size_t Steps>
inline constexpr T exp2_constant = 0;
template <>
inline constexpr float exp2_constant<float, 8> = -0x1.3d7af4p-26f;

/// 2^(j/16), rounded, and what rounding took from it, relative to the rounded.
template <class T>
struct exp2_sixteenths;

template <>
struct exp2_sixteenths<float> {
    static constexpr float powers[16] = {0x1p+0f,        0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f,
                                         0x1.306fep+0f,  0x1.3dea64p+0f, 0x1.4bfdaep+0f, 0x1.5ab07ep+0f,
                                         0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f,
                                         0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};
    static constexpr float residuals[16] = {0x0p+0f,          0x1.8d96d4p-25f,  -0x1.9c0c22p-27f, 0x1.964904p-25f,
                                            0x1.125002p-25f,  0x1.370be4p-25f,  -0x1.0a355p-25f,  -0x1.00d8acp-27f,
                                            0x1.26055cp-26f,  -0x1.05cb44p-25f, 0x1.67a1cap-28f,  0x1.a3b5e4p-28f,
                                            -0x1.f9c304p-27f, -0x1.6961b4p-28f, -0x1.a5217cp-28f, 0x1.61428ep-28f};
};

template <>
struct exp2_sixteenths<double> {
    static constexpr double powers[16] = {0x1p+0,
                                          0x1.0b5586cf9890fp+0,
                                          0x1.172b83c7d517bp+0,
                                          0x1.2387a6e756238p+0,
                                          0x1.306fe0a31b715p+0,
                                          0x1.3dea64c123422p+0,
                                          0x1.4bfdad5362a27p+0,
                                          0x1.5ab07dd485429p+0,
                                          0x1.6a09e667f3bcdp+0,
                                          0x1.7a11473eb0187p+0,
                                          0x1.8ace5422aa0dbp+0,
                                          0x1.9c49182a3f09p+0,
                                          0x1.ae89f995ad3adp+0,
                                          0x1.c199bdd85529cp+0,
                                          0x1.d5818dcfba487p+0,
                                          0x1.ea4afa2a490dap+0};
    static constexpr double residuals[16] = {0x0p+0,
                                             0x1.79aa65d837b6dp-54,
                                             -0x1.01b15eaa59348p-55,
                                             0x1.68efde3a8a894p-54,
                                             0x1.34d754db0abb6p-55,
                                             0x1.59f48a72a4c6dp-55,
                                             0x1.690cebb7aafbp-56,
                                             0x1.063e1e21c5409p-54,
                                             -0x1.3b3efbf5e2228p-54,
                                             -0x1.b32dcb94da51dp-56,
                                             0x1.db72fc1f0eab4p-55,
                                             0x1.1affc2b91ce27p-56,
                                             0x1.c1a7792cb3387p-55,
                                             0x1.36eae30af0cb3p-56,
                                             0x1.4a385a63d07a7p-56,
                                             -0x1.ff7128fd391fp-55};
};

/// Entry j stands for 2^(j/Steps), its residual for what rounding took from 1, and for c0. The powers are bit patterns from
/// which j·2^(the place of the lowest exponent bit)/Steps has been taken: adding k, shifted to where its multiples of Steps
/// meet the exponent, makes 2^(k/Steps) of entry k mod Steps.
template <class T, std::size_t Steps>
struct exp2_table {
    alignas(64) T powers[Steps];
    alignas(64) T residuals[Steps];

    static constexpr exp2_table make()
    {
        using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
        exp2_table table{};
        for (std::size_t j = 0; j < Steps; ++j) {
            const std::size_t entry = j * (16 / Steps);
            const bits step = (bits(1) << exp_constants<T>::mantissa_bits) / Steps;
            table.powers[j] =
                std::bit_cast<T>(static_cast<bits>(std::bit_cast<bits>(exp2_sixteenths<T>::powers[entry]) - j * step));
            table.residuals[j] = exp2_sixteenths<T>::residuals[entry] + exp2_constant<T, Steps>;
        }
        return table;
    }
};

template <class T, std::size_t Steps>
alignas(64) inline constexpr exp2_table<T, Steps> exp2_table_of = exp2_table<T, Steps>::make();

/// The table's steps to an octave; 1 where the instruction set has no quick look-up, and the polynomial stands alone.
template <class B>
inline constexpr std::size_t exp2_steps = table_size<B> == 0 ? 1 : table_size<B>;

inline constexpr extended log2_e = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
inline constexpr extended ln_2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};

/// Horner's rule.
template <class B, std::size_t Count>
XSOFTMAX_ALWAYS_INLINE B polynomial(const value_of<B> (&c)[Count], B r)
{
    B y(c[Count - 1]);
    XSOFTMAX_UNROLL
    for (std::size_t k = 2; k <= Count; ++k) y = multiply_add(y, r, B(c[Count - k]));
    return y;
}

/// c1 + r·(c2 + …)
template <std::size_t Steps, class B>
XSOFTMAX_ALWAYS_INLINE B exp2_slope(B r)
{
    return polynomial<B>(exp2_coefficients<value_of<B>, Steps>, r);
}

/// e^r − 1
template <class B>
XSOFTMAX_ALWAYS_INLINE B exp_minus_one(B r)
{
    return r + r * r * polynomial<B>(exp_coefficients<value_of<B>>, r);
}

/// A temperature as the kernels use it: constants for u·x/T' with T' = T·unit, where `unit` is a power of two that keeps
/// everything in range. Powers of two are counted in steps, of which an octave has `Steps`.
template <class T, std::size_t Steps>
struct temperature_scale {
    double unit;
    wide<T> temperature;   ///< T' = T·unit
    wide<T> inverse;       ///< 1/T'
    T inverse_rounded;     ///< 1/T', rounded
    split<T> log2_e_over;  ///< Steps·log2(e)/T'
    split<T> ln_2_times;   ///< T'·ln 2, the high part short
    T cutoff;              ///< x − maximum below it is negligible

    XSOFTMAX_ALWAYS_INLINE static temperature_scale make(double temperature, double unit);

    /// May a row with this maximum, at an ordinary temperature and unit 1, be reduced without subtracting it? Not if it is
    /// infinite or NaN. Beyond 2^9 or 2^12 powers of two Sterbenz' condition holds for every element that matters; within
    /// them integers stay short enough for the products with ln_2_times.high.
    XSOFTMAX_ALWAYS_INLINE bool is_near(T maximum) const
    {
        const T steps = maximum * log2_e_over.high;
        return steps * steps <= near_limit * near_limit;
    }

    /// The same for each of a batch of maxima.
    template <class B>
    XSOFTMAX_ALWAYS_INLINE bool are_near(B maxima) const
    {
        const B steps = maxima * B(log2_e_over.high);
        return all_true<B>(steps * steps <= B(near_limit * near_limit));
    }

    /// May exponentials be relative to `guess` where the maximum is `top`? What is stored must neither overflow nor be cut
    /// off where it matters. Not if either is NaN.
    XSOFTMAX_ALWAYS_INLINE bool is_good_guess(T guess, T top) const
    {
        const T off = top - guess;
        return off * off <= guess_limit() * guess_limit();
    }

    /// The same for each of a batch of guesses, which are off by at most `limit` at temperature 1.
    template <class B>
    XSOFTMAX_ALWAYS_INLINE bool are_good_guesses(B guesses, B tops, T limit) const
    {
        const B off = tops - guesses, most(cutoff * (limit / exp_constants<T>::cutoff));
        return all_true<B>(off * off <= most * most);
    }

    /// Is 0 such a guess at the maximum of a row, of which this batch has the largest element? Asked lane by lane, since a
    /// reduction would be waited for.
    template <class B>
    XSOFTMAX_ALWAYS_INLINE bool is_zero_good_guess(B tops) const
    {
        const B limit(guess_limit());
        return all_true<B>(tops <= limit) && any_true<B>(tops >= -limit);
    }

    /// How far it may be off.
    XSOFTMAX_ALWAYS_INLINE T guess_limit() const
    {
        return cutoff * (exp_constants<T>::guess_limit / exp_constants<T>::cutoff);
    }

    static constexpr T near_limit = static_cast<T>(Steps) * (sizeof(T) == 4 ? T(512) : T(4096));
};

/// As batches B want it.
template <class B>
using scale_for = temperature_scale<value_of<B>, exp2_steps<B>>;

/// T'·ln 2 in two parts, the first of which has few enough bits to be multiplied by an integer exactly.
template <class T>
XSOFTMAX_ALWAYS_INLINE constexpr split<T> split_ln_2(wide<T> ln_2_times)
{
    const extended x = to_extended(ln_2_times);
    const double high = leading_bits(x.high, exp_constants<T>::ln2_high_bits);
    double rest = x.high - high;
    // -ffast-math would add the low part to the whole high one.
    if (!__builtin_is_constant_evaluated()) rest = rounded(rest);
    return {static_cast<T>(high), static_cast<T>(rest + x.low)};
}

/// log2(e)·Steps, exactly.
template <std::size_t Steps>
inline constexpr extended steps_to_e = {log2_e.high* Steps, log2_e.low* Steps};

template <class T, std::size_t Steps>
inline constexpr temperature_scale<T, Steps> unit_temperature = {
    1,
    wide_from<T>(1.0),
    wide_from<T>(1.0),
    1,
    split_into<T>(wide_from<T>(steps_to_e<Steps>)),
    split_ln_2<T>(wide_from<T>(ln_2)),
    exp_constants<T>::cutoff,
};

template <class T, std::size_t Steps>
XSOFTMAX_ALWAYS_INLINE temperature_scale<T, Steps> temperature_scale<T, Steps>::make(double temperature, double unit)
{
    const double scaled = temperature * unit;
    // The divisions would stand at the head of a short row's chain of dependent operations: 5 of its 20 ns.
    if (temperature == 1 && unit == 1) [[likely]]
        return unit_temperature<T, Steps>;
    temperature_scale s;
    s.unit = unit;
    s.temperature = wide_from<T>(scaled);
    s.inverse = wide_from<T>(1.0) / s.temperature;
    s.inverse_rounded = static_cast<T>(to_double(s.inverse));
    s.log2_e_over = split_into<T>(wide_from<T>(steps_to_e<Steps>) / s.temperature);
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

/// multiply_add that -ffast-math takes as it is. x86's fused ones it does anyway.
template <class B>
XSOFTMAX_ALWAYS_INLINE B rounded_multiply_add(B a, B b, B c)
{
    if constexpr (has_fused_multiply_add<arch_of<B>> && is_x86<arch_of<B>>)
        return multiply_add(a, b, c);
    else
        return rounded(multiply_add(a, b, c));
}

/// What is left of x/T' when powers of two are taken from it is a natural logarithm where there is no fused multiply-add, which at
/// T' = 1 saves a product; elsewhere it is counted in steps.
template <class B>
inline constexpr bool is_reduced_to_natural = !has_fused_multiply_add<arch_of<B>>;

/// x/T' − n·ln 2, or x/T'·log2 e − n in steps, given −n. The former without dividing unless `Divides`.
///
/// Without fused multiply-add, n·ln2_high is exact because ln2_high is short, and so is its difference from x.
template <bool Divides, class B>
XSOFTMAX_ALWAYS_INLINE B reduced(B x, B minus_n, const scale_for<B>& s)
{
    if constexpr (is_reduced_to_natural<B>) {
        static_assert(exp2_steps<B> == 1);
        const B r = rounded(B(x + minus_n * B(s.ln_2_times.high))) + minus_n * B(s.ln_2_times.low);
        return Divides ? B(r * B(s.inverse_rounded)) : r;
    }
    else {
        const B r = multiply_add(x, B(s.log2_e_over.high), minus_n);
        return multiply_add(x, B(s.log2_e_over.low), r);
    }
}

/// Calls run(divides) with whether x is to be divided by T' when it is reduced, so that a sweep need not.
template <class B, class Reference, class Run>
XSOFTMAX_ALWAYS_INLINE void with_division(const Reference& reference, const Run& run)
{
    if constexpr (is_reduced_to_natural<B>)
        if (reference.is_undivided()) return run(std::false_type{});
    run(std::true_type{});
}

/// Added to a number of steps n, it rounds that to an integer, and shifted into the exponent (into_exponent) the sum's bits
/// are those of 2^(n/steps + stored_exponent), but for what a table's entry has of them.
template <class B>
inline constexpr value_of<B> exponent_base =
    exp_constants<value_of<B>>::round_to_integer +
    static_cast<value_of<B>>(static_cast<int>(exp2_steps<B>) * exp_constants<value_of<B>>::stored_exponent +
                             (exp2_steps<B> == 1 ? exp_constants<value_of<B>>::exponent_bias : 0));

template <class B>
XSOFTMAX_ALWAYS_INLINE B into_exponent(B counted)
{
    constexpr int steps_bits = std::bit_width(exp2_steps<B>) - 1;
    return shift_bits_left<exp_constants<value_of<B>>::mantissa_bits - steps_bits>(counted);
}

/// 2^stored_exponent·exp(x/T) as two factors: one that lacks nothing but a power of two, which is in the other. In short
/// rows this hides nearly everything behind the search for the maximum.
template <class B>
struct exponential_parts {
    B fraction;  ///< 2^(r/steps), or e^r, or with a table what it, and the entry's residual, add to 1
    B power;     ///< 2^(n/steps + stored_exponent)
    B excess;    ///< without a table: what rounding took from the fraction

    /// With `offset` = exponent_base, or that many steps less.
    template <bool Divides = true>
    XSOFTMAX_ALWAYS_INLINE static exponential_parts of(B x, B offset, const scale_for<B>& scale)
    {
        using T = value_of<B>;
        constexpr std::size_t steps = exp2_steps<B>;
        const B counted = rounded_multiply_add(x, B(scale.log2_e_over.high), offset);
        const B r = reduced<Divides>(x, offset - counted, scale);
        const B one(T(1));
        if constexpr (is_reduced_to_natural<B>) {
            const B rest = rounded(exp_minus_one(r)), fraction = rounded(B(one + rest));
            return {fraction, into_exponent(counted), rounded(B(one - fraction)) + rest};
        }
        else if constexpr (steps == 1) {
            const B slope = exp2_slope<1>(r), fraction = rounded_multiply_add(slope, r, one);
            return {fraction, into_exponent(counted), multiply_add(slope, r, one - fraction)};
        }
        else {
            constexpr auto& table = exp2_table_of<T, steps>;
            return {multiply_add(exp2_slope<steps>(r), r, look_up(table.residuals, counted)),
                    add_bits(look_up(table.powers, counted), into_exponent(counted)), B(T(0))};
        }
    }

    XSOFTMAX_ALWAYS_INLINE static exponential_parts of(B x, const scale_for<B>& scale)
    {
        return of(x, B(exponent_base<B>), scale);
    }

    /// The same by the polynomial that is best, where the table's is 0.16 ULP off.
    XSOFTMAX_ALWAYS_INLINE static exponential_parts precisely_of(B x, B offset, const scale_for<B>& scale)
    {
        using T = value_of<B>;
        constexpr std::size_t steps = exp2_steps<B>;
        exponential_parts result = of(x, offset, scale);
        if constexpr (steps == 8) {
            const B counted = rounded_multiply_add(x, B(scale.log2_e_over.high), offset);
            const B r = reduced<true>(x, offset - counted, scale) * B(T(1) / T(steps));
            const B residual = look_up(exp2_table_of<T, steps>.residuals, counted) - B(exp2_constant<T, steps>);
            result.fraction = multiply_add(exp2_slope<1>(r), r, residual);
        }
        return result;
    }

    /// Their product; exactly 0 where negligible. NaN stays NaN: the fraction is one, whatever has become of its power.
    /// Negligible elements are selected rather than clamped: what xsimd::max does with a NaN differs between its versions.
    XSOFTMAX_ALWAYS_INLINE B product(mask_of<B> counts) const
    {
        if constexpr (exp2_steps<B> == 1)
            return kept_where(counts, B(fraction * power));
        else
            return multiply_add_where(counts, fraction, power, power);
    }

    /// The same before its last rounding, which is half an ULP of the 0.56 to 1.5 that an exponential may be off.
    XSOFTMAX_ALWAYS_INLINE two_parts<B> unrounded_product(mask_of<B> counts) const
    {
        if constexpr (exp2_steps<B> == 1)
            return {kept_where(counts, B(fraction * power)), multiply_where(counts, excess, power)};
        else
            return {kept_where(counts, power), multiply_where(counts, fraction, power)};
    }
};

/// Exponentials relative to a maximum of moderate size.
///
/// With x/T·log2 e = n + r, and n' for the maximum, this is 2^(n − n')·2^r: relative to a power of two near the maximum's
/// own exponential, which is divided out with the sum. Integers subtract exactly, and x is never rounded. n' is even, and
/// so is exponent_base: whether or not the maximum is known already, ties of n round alike, and all bits are the same.
/// All are counted in steps, of which n' is whole octaves.
template <class B>
class near_maximum {
    using T = value_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE near_maximum(T maximum, const scale_for<B>& scale) : near_maximum(B(maximum), scale)
    {
        value_ = maximum;
    }

    /// A maximum for each lane, where the lanes are rows; value() is then not to be asked for.
    XSOFTMAX_ALWAYS_INLINE near_maximum(B maximum, const scale_for<B>& scale)
        : maximum_(maximum), scale_(scale), cutoff_(maximum + B(scale.cutoff))
    {
        constexpr T multiple = exp2_steps<B> == 1 ? T(2) : static_cast<T>(exp2_steps<B>);
        const B rounder(exp_constants<T>::round_to_integer * multiple);
        const B n = rounded_multiply_add(maximum_, B(scale.log2_e_over.high), rounder) - rounder;
        offset_ = B(exponent_base<B>) - n;
    }

    /// One row of those whose maxima share a batch: what was computed for all of them together is not computed again.
    XSOFTMAX_ALWAYS_INLINE near_maximum(B maximum, B cutoff, B offset, const scale_for<B>& scale)
        : maximum_(maximum), scale_(scale), cutoff_(cutoff), offset_(offset)
    {
    }

    XSOFTMAX_ALWAYS_INLINE near_maximum(T maximum, T cutoff, T offset, const scale_for<B>& scale)
        : value_(maximum), maximum_(maximum), scale_(scale), cutoff_(cutoff), offset_(offset)
    {
    }

    /// What is relative to a guess, now that the maximum is known.
    XSOFTMAX_ALWAYS_INLINE near_maximum(T maximum, const near_maximum& guess)
        : value_(maximum), maximum_(maximum), scale_(guess.scale_), cutoff_(guess.cutoff_), offset_(guess.offset_)
    {
    }

    XSOFTMAX_ALWAYS_INLINE static near_maximum relative_to_one(T maximum, const scale_for<B>& scale)
    {
        return {maximum, maximum + scale.cutoff, exponent_base<B>, scale};
    }

    XSOFTMAX_ALWAYS_INLINE B cutoff() const { return cutoff_; }
    XSOFTMAX_ALWAYS_INLINE B offset() const { return offset_; }

    /// Is dividing by T' nothing?
    XSOFTMAX_ALWAYS_INLINE bool is_undivided() const { return scale_.inverse_rounded == T(1); }

    template <bool Divides = true>
    XSOFTMAX_ALWAYS_INLINE B exponential(B x) const
    {
        return exponential_parts<B>::template of<Divides>(x, offset_, scale_).product(not_below(x, cutoff_));
    }

    /// The parts of an exponential relative to 1, made relative to the maximum.
    XSOFTMAX_ALWAYS_INLINE exponential_parts<B> relative(const exponential_parts<B>& parts) const
    {
        const B by = subtract_bits(into_exponent(offset_), into_exponent(B(exponent_base<B>)));
        return {parts.fraction, add_bits(parts.power, by), parts.excess};
    }

    XSOFTMAX_ALWAYS_INLINE B exponential(B x, const exponential_parts<B>& relative_parts) const
    {
        return relative_parts.product(not_below(x, cutoff_));
    }

    /// The same before rounding.
    XSOFTMAX_ALWAYS_INLINE two_parts<B> unrounded_exponential(B x) const
    {
        return unrounded_exponential(x, exponential_parts<B>::of(x, offset_, scale_));
    }

    XSOFTMAX_ALWAYS_INLINE two_parts<B> unrounded_exponential(B x, const exponential_parts<B>& relative_parts) const
    {
        return relative_parts.unrounded_product(not_below(x, cutoff_));
    }

    /// At least two thirds and at most one and a half of exponential(x), in a quarter of the time.
    XSOFTMAX_ALWAYS_INLINE T rough_exponential(T x) const
    {
        const B counted = multiply_add(B(x), B(scale_.log2_e_over.high), offset_);
        if constexpr (exp2_steps<B> == 1)
            return first_lane(into_exponent(counted));
        else
            return first_lane(
                add_bits(look_up(exp2_table_of<T, exp2_steps<B>>.powers, counted), into_exponent(counted)));
    }

    XSOFTMAX_ALWAYS_INLINE wide<T> precise_exponential(T x) const
    {
        return first_sum(unrounded_exponential(B(x), exponential_parts<B>::precisely_of(B(x), offset_, scale_)));
    }

    XSOFTMAX_ALWAYS_INLINE mask_of<B> is_maximum(B x) const { return x == maximum_; }

    XSOFTMAX_ALWAYS_INLINE double value() const { return static_cast<double>(value_); }

    /// x − maximum, in the scale's units. -ffast-math would take something else from the maximum first.
    XSOFTMAX_ALWAYS_INLINE B difference(B x) const { return rounded(B(x - maximum_)); }

    XSOFTMAX_ALWAYS_INLINE const scale_for<B>& scale() const { return scale_; }

private:
    T value_ = 0;
    B maximum_;
    const scale_for<B>& scale_;
    B cutoff_;
    B offset_ = B(T(0));  // exponent_base − n'
};

/// The same where the maximum is not known in advance, or not made use of: no element can be compared with it.
template <class B>
class near_guess : public near_maximum<B> {
public:
    using near_maximum<B>::near_maximum;
    mask_of<B> is_maximum(B) const = delete;
};

/// Can elements be compared with such a maximum?
template <class Maximum, class B>
inline constexpr bool knows_winners = requires(const Maximum& maximum, B x)
{
    maximum.is_maximum(x);
};

/// Exponentials relative to any other maximum, and at any temperature: x − maximum is exact for each x that matters, since
/// such an x lies between maximum/2 and 2·maximum (Sterbenz, 1974).
template <class B>
class far_maximum {
    using T = value_of<B>;

public:
    /// Powers of two whose product is the scale's unit: one keeps x − maximum from overflowing, the other lifts
    /// differences at tiny temperatures.
    XSOFTMAX_ALWAYS_INLINE far_maximum(T maximum, const scale_for<B>& scale)
        : value_(maximum),
          maximum_(maximum),
          scale_(scale),
          shrink_(static_cast<T>(scale.unit < 1 ? scale.unit : 1)),
          lift_(static_cast<T>(scale.unit > 1 ? scale.unit : 1)),
          shift_(-maximum_ * shrink_),
          cutoff_(scale.cutoff)
    {
    }

    XSOFTMAX_ALWAYS_INLINE bool is_undivided() const { return false; }

    template <bool = true>
    XSOFTMAX_ALWAYS_INLINE B exponential(B x) const
    {
        const B d = difference(x);
        return exponential_parts<B>::of(d, scale_).product(not_below(d, cutoff_));
    }

    XSOFTMAX_ALWAYS_INLINE T rough_exponential(T x) const { return first_lane(exponential(B(x))); }

    XSOFTMAX_ALWAYS_INLINE wide<T> precise_exponential(T x) const
    {
        const B d = difference(B(x));
        return first_sum(exponential_parts<B>::precisely_of(d, B(exponent_base<B>), scale_)
                             .unrounded_product(not_below(d, cutoff_)));
    }

    XSOFTMAX_ALWAYS_INLINE mask_of<B> is_maximum(B x) const { return x == maximum_; }

    XSOFTMAX_ALWAYS_INLINE double value() const { return static_cast<double>(value_); }

    XSOFTMAX_ALWAYS_INLINE B difference(B x) const { return rounded(B(multiply_add(x, shrink_, shift_) * lift_)); }

    XSOFTMAX_ALWAYS_INLINE const scale_for<B>& scale() const { return scale_; }

private:
    T value_;
    B maximum_;
    const scale_for<B>& scale_;
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
    XSOFTMAX_ALWAYS_INLINE lifted_near_maximum(T maximum, const scale_for<B>& scale)
        : far_(maximum, scale), unit_(static_cast<T>(scale.unit)), near_(static_cast<T>(maximum * scale.unit), scale)
    {
    }

    XSOFTMAX_ALWAYS_INLINE bool is_undivided() const { return false; }

    template <bool = true>
    XSOFTMAX_ALWAYS_INLINE B exponential(B x) const
    {
        return near_.exponential(x * unit_);
    }
    XSOFTMAX_ALWAYS_INLINE T rough_exponential(T x) const { return first_lane(exponential(B(x))); }

    XSOFTMAX_ALWAYS_INLINE wide<T> precise_exponential(T x) const
    {
        return near_.precise_exponential(static_cast<T>(x * first_lane(unit_)));
    }
    XSOFTMAX_ALWAYS_INLINE mask_of<B> is_maximum(B x) const { return far_.is_maximum(x); }
    XSOFTMAX_ALWAYS_INLINE double value() const { return far_.value(); }
    XSOFTMAX_ALWAYS_INLINE B difference(B x) const { return far_.difference(x); }
    XSOFTMAX_ALWAYS_INLINE const scale_for<B>& scale() const { return far_.scale(); }

private:
    far_maximum<B> far_;
    B unit_;
    near_maximum<B> near_;
};

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
