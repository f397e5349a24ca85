#pragma once

/// exp((x − maximum)/T) for the elements x of a row, without the rounding of x − maximum.
///
/// Rounding x − maximum costs 10 to 20 ULP of the result: half an ULP of a difference near −50 is 2^-19, and exp turns an
/// absolute error of its argument into a relative one. It is the largest error of most softmax implementations. Here
/// x/T is split into a power of two and a remainder by itself, as the maximum is, and powers of two divide exactly.
///
/// Reduction: Cody & Waite, Software Manual for the Elementary Functions (1980), in base 2 where multiplying and adding is one
/// instruction, else in base e, with the temperature folded into the constants. Tables with what rounding took from their
/// entries: Tang (ACM TOMS 15 (1989)), and Gal & Bachelis (ACM TOMS 17 (1991)). Polynomials: minimax in the relative error
/// (Remez). Each constant is recomputed by tests/exp2_coefficients.py.

#include "../lanes/batch.hpp"
#include "double_double.hpp"

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
    /// How far the maximum may be above a reference: the sum of 2^24 exponentials is then below 2^119, so that its reciprocal
    /// is normal. How far below shows in the sum: where it is large enough, nothing above the smallest denormal became 0.
    static constexpr float guess_limit = 20;
    static constexpr double least_sum = 0x1p35, most_sum = 0x1p119;
    /// 1.5·2^23: adding it to a small number rounds that to an integer, which its low bits then hold.
    static constexpr float round_to_integer = 0x1.8p23f;
    /// Maxima within so many octaves of 0 need not be subtracted: integers stay short enough for the products with ln 2.
    static constexpr float near_octaves = 512;
    /// Beyond so many, x − maximum has too few digits to be told from the next one's.
    static constexpr float far_octaves = 0x1p17f;
    /// Bits of ln 2 in its high part, so that its product with an integer below 2^10 is exact without fused multiply-add.
    static constexpr int ln2_high_bits = 14;
};

template <>
struct exp_constants<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;
    static constexpr int stored_exponent = 257;
    static constexpr double guess_limit = 100;
    static constexpr double least_sum = 0x1p113, most_sum = 0x1p900;
    static constexpr double round_to_integer = 0x1.8p52;
    static constexpr double near_octaves = 4096;
    static constexpr double far_octaves = 0x1p44;
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

/// e^r ≈ 1 + r + r²·(c2 + r·(c3 + …)) for |r| ≤ ln 2/2. These begin with c2.
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

inline constexpr double_double log2_e = {0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56};
inline constexpr double_double ln_2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};

/// Is what is left of x/T, when powers of two are taken from it, a natural logarithm rather than counted in steps? Without
/// fused multiply-add that saves a product.
template <class B>
inline constexpr bool is_reduced_to_natural = !has_fused_multiply_add<arch_of<B>>;

/// Horner's rule.
template <class B, std::size_t Count>
XSOFTMAX_INLINE B polynomial(const value_of<B> (&c)[Count], B r)
{
    B y(c[Count - 1]);
    XSOFTMAX_UNROLL
    for (std::size_t k = 2; k <= Count; ++k) y = multiply_add(y, r, B(c[Count - k]));
    return y;
}

/// A temperature as the kernels use it: powers of two are counted in steps, of which an octave has `Steps`.
template <class T, std::size_t Steps>
struct temperature_scale {
    static constexpr std::size_t natural_terms = sizeof(T) == 4 ? 6 : 11;

    split<T> log2_e_over;      ///< Steps·log2(e)/T
    split<T> ln_2_times;       ///< T·ln 2, the high part short
    T octave;                  ///< T·ln 2
    T guess_limit;             ///< how far a maximum may be above a reference
    T inverse;                 ///< 1/T
    double octaves;            ///< log2(e)/T
    T natural[natural_terms];  ///< e^r = 1 + r·(natural[0] + r·(…))

    XSOFTMAX_INLINE static constexpr temperature_scale computed(double temperature)
    {
        temperature_scale s{};
        const double_double t{temperature, 0}, log2_e_over_t = quotient(log2_e, temperature);
        s.log2_e_over = split_into<T>({log2_e_over_t.high * Steps, log2_e_over_t.low * Steps});
        s.octaves = log2_e_over_t.high;
        const double octave = ln_2.high * t.high, high = leading_bits(octave, exp_constants<T>::ln2_high_bits);
        s.octave = static_cast<T>(octave);
        s.guess_limit = exp_constants<T>::guess_limit * static_cast<T>(temperature);
        double rest = octave - high;
        if (!__builtin_is_constant_evaluated())
            rest = rounded(rest);  // -ffast-math would add the low part to the whole
        s.ln_2_times = {static_cast<T>(high), static_cast<T>(rest + product_rest(ln_2, t.high, octave))};
        s.inverse = static_cast<T>(1 / temperature);
        s.natural[0] = 1;
        for (std::size_t k = 1; k < natural_terms; ++k) s.natural[k] = exp_coefficients<T>[k - 1];
        return s;
    }

    /// The scale of a temperature, in `room` unless it is that of 1, which is there: its divisions would stand at the head of a
    /// short row's chain of dependent operations, 5 of its 20 ns.
    XSOFTMAX_INLINE static const temperature_scale& make(double temperature, temperature_scale& room);

private:
    /// x/d in two parts.
    XSOFTMAX_INLINE static constexpr double_double quotient(double_double x, double d)
    {
        if (d == 1) return x;
        const double high = x.high / d;
        return {high, (fused(-high, d, x.high) + x.low) / d};
    }
    /// What `rounded_product` lacks of x·d.
    XSOFTMAX_INLINE static constexpr double product_rest(double_double x, double d, double rounded_product)
    {
        return d == 1 ? x.low : fused(x.high, d, -rounded_product) + x.low * d;
    }
};

template <class T, std::size_t Steps>
inline constexpr temperature_scale<T, Steps> scale_at_one = temperature_scale<T, Steps>::computed(1);

template <class T, std::size_t Steps>
XSOFTMAX_INLINE const temperature_scale<T, Steps>& temperature_scale<T, Steps>::make(double temperature,
                                                                                     temperature_scale& room)
{
    if (temperature == 1) [[likely]]
        return scale_at_one<T, Steps>;
    room = computed(temperature);
    return room;
}

/// As batches B want it.
template <class B>
using scale_for = temperature_scale<value_of<B>, exp2_steps<B>>;

/// Temperatures at which a row may be computed in its own type. Others are for rare_row.hpp.
template <class T>
XSOFTMAX_INLINE bool is_ordinary(double temperature)
{
    return sizeof(T) == 4 ? temperature >= 0x1p-30 && temperature <= 0x1p30
                          : temperature >= 0x1p-60 && temperature <= 0x1p60;
}

/// Added to a number of steps n, it rounds that to an integer, and shifted into the exponent the sum's bits are those of
/// 2^(n/steps + stored_exponent), but for what a table's entry has of them.
template <class B>
inline constexpr value_of<B> exponent_base =
    exp_constants<value_of<B>>::round_to_integer +
    static_cast<value_of<B>>(static_cast<int>(exp2_steps<B>) * exp_constants<value_of<B>>::stored_exponent +
                             (exp2_steps<B> == 1 ? exp_constants<value_of<B>>::exponent_bias : 0));

/// multiply_add that -ffast-math takes as it is. x86's fused ones it does anyway.
template <class B>
XSOFTMAX_INLINE B rounded_multiply_add(B a, B b, B c)
{
    if constexpr (has_fused_multiply_add<arch_of<B>> && is_x86<arch_of<B>>)
        return multiply_add(a, b, c);
    else
        return rounded(multiply_add(a, b, c));
}

/// What exponentials are relative to: a power of two near the row's maximum, and what stands before it.
///
/// Near 0, with x/T·log2 e = n + r, and n' for the maximum, exp((x − maximum)/T) is 2^(n − n')·2^r but for a factor that all of
/// the row have: integers subtract exactly, and x is never rounded. Farther off, x − maximum is exact for each x that matters,
/// since such an x lies between maximum/2 and 2·maximum (Sterbenz, 1974).
///
/// What lies below `floor` is taken for it. There the sum of the bits of the power of two is +0: what is so far below the
/// reference, −inf too, becomes exactly 0 without a comparison, and no infinity enters the arithmetic.
template <class B>
struct reference {
    using T = value_of<B>;

    B shift;   ///< subtracted from x first; 0 near 0
    B offset;  ///< exponent_base − n'
    B floor;

    /// For a maximum, or a guess at it, in each lane, that can_be_reference.
    XSOFTMAX_INLINE static reference to(B top, const scale_for<B>& scale)
    {
        using constants = exp_constants<T>;
        constexpr auto steps = static_cast<T>(exp2_steps<B>);
        // n' is whole octaves, and even where those are the steps, so that ties of n round alike whatever it is.
        const B rounder(constants::round_to_integer * (steps == 1 ? T(2) : steps)), zero(T(0));
        const B counted = top * B(scale.log2_e_over.high);
        const auto is_near = magnitude(top) <= B(constants::near_octaves * scale.octave);
        const B n = rounded(B(where(is_near, counted, zero) + rounder)) - rounder;
        const B shift = where(is_near, zero, top);
        constexpr T of_zero = -static_cast<T>(constants::stored_exponent + constants::exponent_bias);
        const B floor = multiply_add(B(n * B(1 / steps) + B(of_zero)), B(scale.octave), shift);
        return {shift, B(exponent_base<B>) - n, floor};
    }

    /// For maxima near 0: no reduction has to be waited for.
    XSOFTMAX_INLINE static reference to_one(const scale_for<B>& scale)
    {
        constexpr T of_zero = -static_cast<T>(exp_constants<T>::stored_exponent + exp_constants<T>::exponent_bias);
        return {B(T(0)), B(exponent_base<B>), B(of_zero * scale.octave)};
    }
};

/// Need x not be subtracted from it?
template <class T, std::size_t Steps>
XSOFTMAX_INLINE bool is_near(T top, const temperature_scale<T, Steps>& scale)
{
    const T most = exp_constants<T>::near_octaves * scale.octave;
    return top <= most && top >= -most;
}

/// Is it a number, and not so far from 0 that x − top has no digits?
template <class T, std::size_t Steps>
XSOFTMAX_INLINE bool can_be_reference(T top, const temperature_scale<T, Steps>& scale)
{
    const T most = exp_constants<T>::far_octaves * scale.octave;
    return top <= most && top >= -most;
}

/// 2^stored_exponent·exp(x/T), relative to a reference, as a fraction and a power of two. With a table the power has its
/// entry's digits, and the fraction is what is added to 1.
template <class B>
struct exponential_parts {
    B fraction, power;
    B remainder, counted;

    /// `Far` for a reference that has a shift; elsewhere subtracting it would cost a tenth of the sweep.
    template <bool Far = false>
    XSOFTMAX_INLINE exponential_parts(B x, const reference<B>& to, const scale_for<B>& s, std::bool_constant<Far> = {})
    {
        using T = value_of<B>;
        constexpr std::size_t steps = exp2_steps<B>;
        constexpr int mantissa_bits = exp_constants<T>::mantissa_bits;
        B d = at_least(x, to.floor);
        if constexpr (Far) d = kept_together(B(d - to.shift));
        counted = rounded_multiply_add(d, B(s.log2_e_over.high), to.offset);
        const B minus_n = to.offset - counted;
        if constexpr (is_reduced_to_natural<B>) {
            // n·ln2_high is exact because ln2_high is short, and so is its difference from x.
            remainder = rounded(B(d + minus_n * B(s.ln_2_times.high))) + minus_n * B(s.ln_2_times.low);
            remainder = remainder * B(s.inverse);
            fraction = multiply_add(polynomial<B>(s.natural, remainder), remainder, B(T(1)));
            power = shift_bits_left<mantissa_bits>(counted);
        }
        else {
            remainder = multiply_add(d, B(s.log2_e_over.low), multiply_add(d, B(s.log2_e_over.high), minus_n));
            const B slope = polynomial<B>(exp2_coefficients<T, steps>, remainder);
            if constexpr (steps == 1) {
                fraction = multiply_add(slope, remainder, B(T(1)));
                power = shift_bits_left<mantissa_bits>(counted);
            }
            else {
                constexpr auto& table = exp2_table_of<T, steps>;
                constexpr int steps_bits = std::bit_width(steps) - 1;
                fraction = multiply_add(slope, remainder, look_up(table.residuals, counted));
                power = add_bits(look_up(table.powers, counted), shift_bits_left<mantissa_bits - steps_bits>(counted));
            }
        }
    }

    XSOFTMAX_INLINE B product() const
    {
        if constexpr (exp2_steps<B> == 1)
            return fraction * power;
        else
            return multiply_add(fraction, power, power);
    }
};

template <bool Far = false, class B>
XSOFTMAX_INLINE B exponential(B x, const reference<B>& to, const scale_for<B>& scale)
{
    return exponential_parts<B>(x, to, scale, std::bool_constant<Far>{}).product();
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
