#pragma once

/// Primitives on xsimd batches, and the one place that knows what differs between xsimd 8.1 and 14.3. Each has its portable
/// form here; what an instruction set does better is an overload in native.hpp's files.
///
/// No name here is one of xsimd's: argument-dependent lookup would find xsimd's as well, and xsimd::store, for one, takes
/// its address to be aligned.

#include "../compiler.hpp"
#include "native.hpp"
#include "scalar.hpp"

#include <xsimd/xsimd.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

// g++ 12 takes the undefined operand of its own AVX-512 intrinsics for a mistake of their users (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {

template <class T>
inline constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T>
inline constexpr T largest = (std::numeric_limits<T>::max)();
template <class T>
inline constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

template <class B>
using value_of = typename B::value_type;
template <class B>
using arch_of = typename B::arch_type;
template <class B>
using mask_of = typename B::batch_bool_type;
/// The doubles that go with a batch of floats, or of doubles.
template <class B>
using doubles_of = xsimd::batch<double, arch_of<B>>;

#if defined(XSIMD_WITH_SVE) && XSIMD_WITH_SVE
template <class Arch>
inline constexpr bool is_sve = std::is_base_of_v<xsimd::sve, Arch>;
#else
template <class Arch>
inline constexpr bool is_sve = false;
#endif

template <class Arch>
inline constexpr bool is_avx512 = std::is_base_of_v<xsimd::avx512f, Arch>;
template <class Arch>
inline constexpr bool is_avx2 = std::is_base_of_v<xsimd::fma3<xsimd::avx2>, Arch>;
template <class Arch>
inline constexpr bool is_x86 =
    std::is_base_of_v<xsimd::sse2, Arch> || std::is_base_of_v<xsimd::avx, Arch> || is_avx512<Arch>;

/// Does `multiply_add` round once? By the architecture rather than the compiler's flags, so that results of an architecture are
/// the same wherever it is compiled.
template <class Arch>
inline constexpr bool has_fused_multiply_add =
    is_avx512<Arch> || is_avx2<Arch> || std::is_base_of_v<xsimd::fma3<xsimd::avx>, Arch> ||
    std::is_base_of_v<xsimd::fma3<xsimd::sse4_2>, Arch> || std::is_base_of_v<xsimd::neon64, Arch> || is_sve<Arch>
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
    || is_scalar<Arch>
#endif
    ;

/// As xsoftmax::architecture() calls it.
template <class Arch>
constexpr const char* architecture_name()
{
    if (is_avx512<Arch>) return "avx512";
    if (is_avx2<Arch>) return "avx2";
    if (std::is_base_of_v<xsimd::avx, Arch>) return "avx without fma";
    if (std::is_base_of_v<xsimd::neon64, Arch>) return "neon64";
#if defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS
    constexpr int bits = __ARM_FEATURE_SVE_BITS;
    if (is_sve<Arch>) return bits == 128 ? "sve128" : bits == 256 ? "sve256" : bits == 512 ? "sve512" : "sve";
#endif
    return Arch::name();
}

/// A batch as its register.
template <class B>
XSOFTMAX_INLINE typename B::register_type in_register_of(B x)
{
    return static_cast<typename B::register_type>(x);
}

// ---- Arithmetic ------------------------------------------------------------------------------------------------------

/// Keeps a value in its register, where compilers would fold it into the instructions around it.
template <class Register>
XSOFTMAX_INLINE Register in_register(Register x)
{
#if defined(__GNUC__) && defined(__x86_64__)
    asm("" : "+v"(x));
#elif defined(__GNUC__) && defined(__aarch64__)
    asm("" : "+w"(x));
#elif defined(__GNUC__) && defined(__FAST_MATH__)
    asm("" : "+m"(x));
#endif
    return x;
}

/// x as it was rounded: -ffast-math would cancel a difference with what it was made of, and every error-free
/// transformation with it.
XSOFTMAX_INLINE double rounded(double x)
{
#if defined(__FAST_MATH__)
    return in_register(x);
#else
    return x;
#endif
}

/// g++ contracts a product and a sum in its default mode, so the barrier stands there too.
template <class T, class Arch>
XSOFTMAX_INLINE xsimd::batch<T, Arch> rounded(xsimd::batch<T, Arch> x)
{
    if constexpr (!is_scalar<Arch>)
        return xsimd::batch<T, Arch>(in_register(in_register_of(x)));
    else {
#if defined(__FAST_MATH__)
        for (T& lane : x.lane) lane = in_register(lane);
#endif
        return x;
    }
}

/// A difference or product that only -ffast-math would take apart: elsewhere nothing keeps compilers from scheduling it.
template <class B>
XSOFTMAX_INLINE B kept_together(B x)
{
#if defined(__FAST_MATH__)
    return rounded(x);
#else
    return x;
#endif
}

/// a·b + c, rounded once where `has_fused_multiply_add`.
template <class B>
XSOFTMAX_INLINE B multiply_add(B a, B b, B c)
{
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch_of<B>>)
        return B(native::multiply_add(in_register_of(a), in_register_of(b), in_register_of(c)));
    else
#endif
        if constexpr (!has_fused_multiply_add<arch_of<B>>)
        return a * b + c;
    else if constexpr (is_scalar<arch_of<B>>)
        return B::of([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return std::fma(a.lane[k], b.lane[k], c.lane[k]); });
    else
        return xsimd::fma(a, b, c);
}

/// The larger of two; which one is returned where either is NaN is not defined.
template <class B>
XSOFTMAX_INLINE B maximum(B a, B b)
{
    if constexpr (is_scalar<arch_of<B>>)
        return B::of([&](std::size_t k)
                         XSOFTMAX_INLINE_LAMBDA { return a.lane[k] < b.lane[k] ? b.lane[k] : a.lane[k]; });
    else
        return (xsimd::max)(a, b);
}

template <class B>
XSOFTMAX_INLINE B where(mask_of<B> condition, B yes, B no)
{
    if constexpr (is_scalar<arch_of<B>>)
        return B::of([&](std::size_t k)
                         XSOFTMAX_INLINE_LAMBDA { return condition.lane[k] ? yes.lane[k] : no.lane[k]; });
    else
        return xsimd::select(condition, yes, no);
}

/// The larger of x and a bound; NaN where x is NaN. (What xsimd::max makes of a NaN differs between its versions.)
template <class B>
XSOFTMAX_INLINE B at_least(B x, B bound)
{
    if constexpr (requires { native::at_least(in_register_of(x), in_register_of(bound)); })
        return B(native::at_least(in_register_of(x), in_register_of(bound)));
    else
        return where(x < bound, bound, x);
}

/// Do all lanes of a condition hold, or any? A NaN's comparisons do not.
template <class B>
XSOFTMAX_INLINE bool any_true(mask_of<B> condition)
{
    if constexpr (is_scalar<arch_of<B>>) {
        for (const bool lane : condition.lane)
            if (lane) return true;
        return false;
    }
    else
        return xsimd::any(condition);
}
template <class B>
XSOFTMAX_INLINE bool all_true(mask_of<B> condition)
{
    if constexpr (is_scalar<arch_of<B>>)
        return !any_true<B>(!condition);
    else
        return xsimd::all(condition);
}

/// The lanes in which a condition holds, as bits.
template <class B>
XSOFTMAX_INLINE unsigned bits_of(mask_of<B> condition)
{
    if constexpr (requires { native::bits_of(condition.data); })
        return native::bits_of(condition.data);
    else {
        alignas(B) value_of<B> lanes[B::size];
        where(condition, B(value_of<B>(1)), B(value_of<B>(0))).store_aligned(lanes);
        unsigned bits = 0;
        for (std::size_t k = 0; k < B::size; ++k) bits |= unsigned{lanes[k] != 0} << k;
        return bits;
    }
}

// ---- Bits ------------------------------------------------------------------------------------------------------------

/// By its bits, since -ffast-math takes all numbers for finite; and from where it is, since even passing it on would be
/// undefined then.
template <class T>
XSOFTMAX_INLINE bool is_minus_infinity(const T& x)
{
    if constexpr (sizeof(T) == 4)
        return __builtin_bit_cast(std::uint32_t, x) == 0xff800000;
    else
        return __builtin_bit_cast(std::uint64_t, x) == 0xfff0000000000000;
}

template <class B, bool Signed>
using integers_of =
    xsimd::batch<std::conditional_t<sizeof(value_of<B>) == 4, std::conditional_t<Signed, std::int32_t, std::uint32_t>,
                                    std::conditional_t<Signed, std::int64_t, std::uint64_t>>,
                 arch_of<B>>;

/// The same bits as a batch of another type.
template <class To, class B>
XSOFTMAX_INLINE To bits_as(B x)
{
    if constexpr (is_scalar<arch_of<B>>)
        return To::of([&](std::size_t k)
                          XSOFTMAX_INLINE_LAMBDA { return __builtin_bit_cast(value_of<To>, x.lane[k]); });
    else if constexpr (std::is_base_of_v<xsimd::neon, arch_of<B>>)
        // xsimd's takes compilers three seconds.
        return To(__builtin_bit_cast(typename To::register_type, in_register_of(x)));
    else
#if XSIMD_VERSION_MAJOR < 9
        return xsimd::bitwise_cast<To>(x);
#else
        return xsimd::bitwise_cast<value_of<To>>(x);
#endif
}

/// The bits of x, moved `Bits` places towards the sign, and away from it with zeros behind.
template <int Bits, class B>
XSOFTMAX_INLINE B shift_bits_left(B x)
{
    using integers = integers_of<B, true>;
    return bits_as<B>(integers(bits_as<integers>(x) << Bits));
}
template <int Bits, class B>
XSOFTMAX_INLINE B shift_bits_right(B x)
{
    using integers = integers_of<B, false>;
    return bits_as<B>(integers(bits_as<integers>(x) >> Bits));
}

/// The bits of a and b, added or subtracted as integers.
template <class B>
XSOFTMAX_INLINE B add_bits(B a, B b)
{
    using integers = integers_of<B, true>;
    return bits_as<B>(integers(bits_as<integers>(a) + bits_as<integers>(b)));
}
template <class B>
XSOFTMAX_INLINE B subtract_bits(B a, B b)
{
    using integers = integers_of<B, true>;
    return bits_as<B>(integers(bits_as<integers>(a) - bits_as<integers>(b)));
}

/// x with the lower half of its significand cut off.
template <class B>
XSOFTMAX_INLINE B leading_half(B x)
{
    using integers = integers_of<B, true>;
    constexpr value_of<integers> lower = (value_of<integers>(1) << (sizeof(value_of<B>) == 4 ? 12 : 27)) - 1;
    return bits_as<B>(integers(bits_as<integers>(x) & integers(~lower)));
}

/// |x|
template <class B>
XSOFTMAX_INLINE B magnitude(B x)
{
    return maximum(x, B(-x));
}

// ---- Loads and stores ------------------------------------------------------------------------------------------------

/// Loads once: a load folded into each instruction that uses it costs double each time where it crosses a cache line, as
/// most do in a row that is not aligned: 5 to 10 % of a row.
template <class B>
XSOFTMAX_INLINE B load_whole(const value_of<B>* from)
{
    if constexpr (is_scalar<arch_of<B>>)
        return B::load_unaligned(from);
    else
        return B(in_register(in_register_of(B(B::load_unaligned(from)))));
}

template <class B>
XSOFTMAX_INLINE void store_whole(value_of<B>* to, B x)
{
    x.store_unaligned(to);
}

/// The first `count` ≤ B::size elements, and those of `fill` in the other lanes; no other memory is read.
template <class B>
XSOFTMAX_INLINE B load_part(const value_of<B>* from, std::size_t count, B fill)
{
    if constexpr (requires { native::load_part(from, count, in_register_of(fill)); })
        return B(native::load_part(from, count, in_register_of(fill)));
    else {
        alignas(B) value_of<B> lanes[B::size];
        fill.store_aligned(lanes);
        for (std::size_t k = 0; k < B::size && k < count; ++k) lanes[k] = from[k];
        return B::load_aligned(lanes);
    }
}

/// Writes the first `count` ≤ B::size lanes, and no other memory.
template <class B>
XSOFTMAX_INLINE void store_part(value_of<B>* to, std::size_t count, B x)
{
    if constexpr (requires { native::store_part(to, count, in_register_of(x)); })
        native::store_part(to, count, in_register_of(x));
    else {
        alignas(B) value_of<B> lanes[B::size];
        x.store_aligned(lanes);
        for (std::size_t k = 0; k < B::size && k < count; ++k) to[k] = lanes[k];
    }
}

/// Stores a vector to memory, whose cache line is not read first, nor kept. `to` is aligned to the vector. Quicker where the
/// whole line is written and does not stay in a cache, ten times slower where it is in one.
template <class B>
XSOFTMAX_INLINE void store_past_caches(value_of<B>* to, B x)
{
    if constexpr (requires { native::store_past_caches(to, in_register_of(x)); })
        native::store_past_caches(to, in_register_of(x));
    else
        x.store_aligned(to);
}

/// What has been stored past the caches is seen before what is stored after this.
XSOFTMAX_INLINE void end_of_stores_past_caches()
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/// Asks for the cache line at `from`, which need not be there.
template <class T>
XSOFTMAX_INLINE void prefetch(const T* from)
{
#if defined(__GNUC__)
    __builtin_prefetch(from);
#else
    static_cast<void>(from);
#endif
}

/// In which lanes is a byte 0? Of B::size bytes.
template <class B>
XSOFTMAX_INLINE mask_of<B> are_zero(const unsigned char* bytes)
{
    if constexpr (requires(typename mask_of<B>::register_type & mask) { native::are_zero(bytes, mask); }) {
        typename mask_of<B>::register_type mask;
        native::are_zero(bytes, mask);
        return mask_of<B>(mask);
    }
    else {
        alignas(B) value_of<B> lanes[B::size];
        for (std::size_t k = 0; k < B::size; ++k) lanes[k] = static_cast<value_of<B>>(bytes[k]);
        return B::load_aligned(lanes) == B(value_of<B>(0));
    }
}

// ---- Tables in registers ---------------------------------------------------------------------------------------------

/// How many entries a table has that look_up finds in one to four instructions; 0 where there is none.
template <class B>
inline constexpr std::size_t table_size = is_avx512<arch_of<B>>      ? 16
                                          : !is_avx2<arch_of<B>>     ? 0
                                          : sizeof(value_of<B>) == 4 ? 8
                                                                     : 4;

/// table[k mod table_size<B>] for the integer k in the low bits of each lane.
template <class B, std::size_t Size>
XSOFTMAX_INLINE B look_up(const value_of<B> (&table)[Size], B index)
{
    return B(native::look_up(table, in_register_of(index)));
}

// ---- Across lanes ----------------------------------------------------------------------------------------------------

/// How two registers, batches or numbers become one. Sums of reductions are by halves, in an order that is the same for a row
/// by itself and for many rows; xsimd's differs between instruction sets and versions.
struct added {
    template <class X>
    XSOFTMAX_INLINE X operator()(X a, X b) const
    {
        if constexpr (requires { native::add(a, b); })
            return native::add(a, b);
        else
            return X(a + b);
    }
};
struct larger {
    template <class X>
    XSOFTMAX_INLINE X operator()(X a, X b) const
    {
        if constexpr (requires { native::larger(a, b); })
            return native::larger(a, b);
        else
            return a < b ? b : a;
    }
};

template <class B>
XSOFTMAX_INLINE value_of<B> first_lane(B x)
{
    if constexpr (requires { native::first(in_register_of(x)); })
        return native::first(in_register_of(x));
    else {
        alignas(B) value_of<B> lanes[B::size];
        x.store_aligned(lanes);
        return lanes[0];
    }
}

/// All lanes of a batch as one number.
template <class B, class Combine>
XSOFTMAX_INLINE value_of<B> reduce(B x, Combine combine)
{
    if constexpr (requires { native::reduce(in_register_of(x), combine); })
        return native::reduce(in_register_of(x), combine);
    else {
        alignas(B) value_of<B> lanes[B::size];
        x.store_aligned(lanes);
        for (std::size_t half = B::size / 2; half != 0; half /= 2)
            for (std::size_t k = 0; k < half; ++k) lanes[k] = combine(lanes[k], lanes[k + half]);
        return lanes[0];
    }
}

/// The largest lane; undefined where one is NaN.
template <class B>
XSOFTMAX_INLINE value_of<B> largest_lane(B x)
{
    return reduce(x, larger{});
}

/// Lane r of the result is all lanes of rows[r], combined as reduce() does it: 3 instructions a row, where one by itself takes
/// about 10.
template <class B, class Combine>
XSOFTMAX_INLINE B reduce_across(const B (&rows)[B::size], Combine combine)
{
    if constexpr (requires(const typename B::register_type* r) { native::reduce_across(r, combine); }) {
        typename B::register_type registers[B::size];
        XSOFTMAX_UNROLL
        for (std::size_t r = 0; r < B::size; ++r) registers[r] = in_register_of(rows[r]);
        return B(native::reduce_across(registers, combine));
    }
    else {
        alignas(B) value_of<B> results[B::size];
        for (std::size_t r = 0; r < B::size; ++r) results[r] = reduce(rows[r], combine);
        return B::load_aligned(results);
    }
}

// ---- Float and double ------------------------------------------------------------------------------------------------

/// The lanes of a batch of float as two batches of double, and back.
template <class D>
struct two_halves {
    D low, high;
};

template <class Arch>
XSOFTMAX_INLINE two_halves<xsimd::batch<double, Arch>> to_doubles(xsimd::batch<float, Arch> x)
{
    using D = xsimd::batch<double, Arch>;
    if constexpr (requires(typename D::register_type & r) { native::to_doubles(in_register_of(x), r, r); }) {
        typename D::register_type low, high;
        native::to_doubles(in_register_of(x), low, high);
        return {D(low), D(high)};
    }
    else {
        alignas(D) double wide[2 * D::size];
        alignas(xsimd::batch<float, Arch>) float narrow[2 * D::size];
        x.store_aligned(narrow);
        for (std::size_t k = 0; k < 2 * D::size; ++k) wide[k] = static_cast<double>(narrow[k]);
        return {D::load_aligned(wide), D::load_aligned(wide + D::size)};
    }
}

template <class Arch>
XSOFTMAX_INLINE xsimd::batch<float, Arch> to_floats(xsimd::batch<double, Arch> low, xsimd::batch<double, Arch> high)
{
    using D = xsimd::batch<double, Arch>;
    using F = xsimd::batch<float, Arch>;
    if constexpr (requires { native::to_floats(in_register_of(low), in_register_of(high)); })
        return F(native::to_floats(in_register_of(low), in_register_of(high)));
    else {
        alignas(D) double wide[2 * D::size];
        alignas(F) float narrow[2 * D::size];
        low.store_aligned(wide);
        high.store_aligned(wide + D::size);
        for (std::size_t k = 0; k < 2 * D::size; ++k) narrow[k] = static_cast<float>(wide[k]);
        return F::load_aligned(narrow);
    }
}

/// The lanes of B as doubles: of double, both are the same.
template <class B>
XSOFTMAX_INLINE two_halves<doubles_of<B>> to_halves(B x)
{
    if constexpr (sizeof(value_of<B>) == 4)
        return to_doubles(x);
    else
        return {x, x};
}

/// What is kept wide of the lanes of B, in its own type: of double, `low`.
template <class B>
XSOFTMAX_INLINE B narrowed(two_halves<doubles_of<B>> wide)
{
    if constexpr (sizeof(value_of<B>) == 4)
        return to_floats<arch_of<B>>(wide.low, wide.high);
    else
        return wide.low;
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
