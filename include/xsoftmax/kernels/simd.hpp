#pragma once

/// Primitives on xsimd batches, and the one place that knows what differs between xsimd 8.1 and 14.3.
///
/// No name here is one of xsimd's: argument-dependent lookup would find xsimd's as well, and xsimd::store, for one, takes
/// its address to be aligned.
///
/// Where a primitive holds an intrinsic, xsimd lacks it in some supported version, and the portable twin stands beside it.

#include "compiler.hpp"
#include "scalar.hpp"

#include <xsimd/xsimd.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

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
inline constexpr T largest = std::numeric_limits<T>::max();

/// Is x this number? By their bits, since -ffast-math takes all numbers for finite.
template <class T>
XSOFTMAX_ALWAYS_INLINE bool has_bits_of(T x, T number)
{
    using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return __builtin_bit_cast(bits, x) == __builtin_bit_cast(bits, number);
}

template <class T>
inline constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

template <class B>
using value_of = typename B::value_type;

template <class B>
using arch_of = typename B::arch_type;

template <class B>
using mask_of = typename B::batch_bool_type;

#if defined(XSIMD_WITH_SVE) && XSIMD_WITH_SVE
template <class Arch>
inline constexpr bool is_sve = std::is_base_of_v<xsimd::sve, Arch>;
#else
template <class Arch>
inline constexpr bool is_sve = false;
#endif

/// Does `multiply_add` round once? Deciding from the architecture rather than from the compiler's flags keeps the
/// results of an architecture the same wherever it is compiled.
template <class Arch>
inline constexpr bool has_fused_multiply_add =
    std::is_base_of_v<xsimd::avx512f, Arch> || std::is_base_of_v<xsimd::fma3<xsimd::avx2>, Arch> ||
    std::is_base_of_v<xsimd::fma3<xsimd::avx>, Arch> || std::is_base_of_v<xsimd::fma3<xsimd::sse4_2>, Arch> ||
    std::is_base_of_v<xsimd::neon64, Arch> || is_sve<Arch>
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
    || is_scalar<Arch>
#endif
    ;

template <class Arch>
inline constexpr bool is_avx512 = std::is_base_of_v<xsimd::avx512f, Arch>;

template <class Arch>
inline constexpr bool is_avx = std::is_base_of_v<xsimd::avx, Arch>;

template <class Arch>
inline constexpr bool is_sse = std::is_base_of_v<xsimd::sse2, Arch>;

template <class Arch>
inline constexpr bool is_x86 = is_sse<Arch> || is_avx<Arch> || is_avx512<Arch>;

/// As xsoftmax::architecture() calls it.
template <class Arch>
constexpr const char* architecture_name()
{
    if (is_avx512<Arch>) return "avx512";
    if (std::is_base_of_v<xsimd::fma3<xsimd::avx2>, Arch>) return "avx2";
    if (is_avx<Arch>) return "avx without fma";
    if (std::is_base_of_v<xsimd::neon64, Arch>) return "neon64";
#if defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS
    constexpr int bits = __ARM_FEATURE_SVE_BITS;
    if (is_sve<Arch>) return bits == 128 ? "sve128" : bits == 256 ? "sve256" : bits == 512 ? "sve512" : "sve";
#endif
    return Arch::name();
}

/// a·b + c, rounded once where `has_fused_multiply_add`. xsimd 8.1 has no fma of its own for AVX-512.
template <class B>
XSOFTMAX_ALWAYS_INLINE B multiply_add(B a, B b, B c)
{
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch_of<B>>) {
        if constexpr (sizeof(value_of<B>) == 4)
            return B(_mm512_fmadd_ps(a, b, c));
        else
            return B(_mm512_fmadd_pd(a, b, c));
    }
    else
#endif
        if constexpr (is_scalar<arch_of<B>> && has_fused_multiply_add<arch_of<B>>)
        return B::of([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA {
            if constexpr (sizeof(value_of<B>) == 4)
                return ::fmaf(a.lane[k], b.lane[k], c.lane[k]);
            else
                return ::fma(a.lane[k], b.lane[k], c.lane[k]);
        });
    else if constexpr (has_fused_multiply_add<arch_of<B>>)
        return xsimd::fma(a, b, c);
    else
        return a * b + c;
}

/// Keeps a value in its register, where compilers would fold it into the instructions around it.
template <class Register>
XSOFTMAX_ALWAYS_INLINE Register in_register(Register x)
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
XSOFTMAX_ALWAYS_INLINE double rounded(double x) { return in_register(x); }

template <class T, class Arch>
XSOFTMAX_ALWAYS_INLINE xsimd::batch<T, Arch> rounded(xsimd::batch<T, Arch> x)
{
    if constexpr (!is_scalar<Arch>)
        return xsimd::batch<T, Arch>(in_register(static_cast<typename xsimd::batch<T, Arch>::register_type>(x)));
    else {
        // Elsewhere compilers are left to see through a loop over lanes.
#if defined(__FAST_MATH__)
        for (T& lane : x.lane) lane = in_register(lane);
#endif
        return x;
    }
}

/// A difference or product that only -ffast-math would take apart: elsewhere nothing keeps compilers from scheduling it.
template <class B>
XSOFTMAX_ALWAYS_INLINE B kept_together(B x)
{
#if defined(__FAST_MATH__)
    return rounded(x);
#else
    return x;
#endif
}

/// The larger of two; which one is returned where either is NaN is not defined.
template <class B>
XSOFTMAX_ALWAYS_INLINE B maximum(B a, B b)
{
    if constexpr (is_scalar<arch_of<B>>)
        return B::of([&](std::size_t k)
                         XSOFTMAX_INLINE_LAMBDA { return a.lane[k] < b.lane[k] ? b.lane[k] : a.lane[k]; });
    else
        return xsimd::max(a, b);
}

template <class B>
XSOFTMAX_ALWAYS_INLINE B where(mask_of<B> condition, B yes, B no)
{
    if constexpr (is_scalar<arch_of<B>>)
        return B::of([&](std::size_t k)
                         XSOFTMAX_INLINE_LAMBDA { return condition.lane[k] ? yes.lane[k] : no.lane[k]; });
    else
        return xsimd::select(condition, yes, no);
}

/// !(x < bound), so also where x is NaN. In one instruction, whose result `kept_where` takes as it is.
template <class B>
XSOFTMAX_ALWAYS_INLINE mask_of<B> not_below(B x, B bound)
{
    using arch [[maybe_unused]] = arch_of<B>;
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch> && sizeof(value_of<B>) == 4)
        return mask_of<B>(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ));
    else if constexpr (is_avx512<arch>)
        return mask_of<B>(_mm512_cmp_pd_mask(x, bound, _CMP_NLT_UQ));
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<arch> && sizeof(value_of<B>) == 4)
        return mask_of<B>(_mm256_cmp_ps(x, bound, _CMP_NLT_UQ));
    else if constexpr (is_avx<arch>)
        return mask_of<B>(_mm256_cmp_pd(x, bound, _CMP_NLT_UQ));
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch> && sizeof(value_of<B>) == 4)
        return mask_of<B>(_mm_cmpnlt_ps(x, bound));
    else if constexpr (is_sse<arch>)
        return mask_of<B>(_mm_cmpnlt_pd(x, bound));
    else
#endif
        return !(x < bound);
}

/// `value` where `condition` holds, +0 elsewhere. One instruction for the three or four of a general selection, and none
/// where AVX-512 puts the mask into the instruction that computes the value.
template <class B>
XSOFTMAX_ALWAYS_INLINE B kept_where(mask_of<B> condition, B value)
{
    using arch [[maybe_unused]] = arch_of<B>;
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch> && sizeof(value_of<B>) == 4)
        return B(_mm512_maskz_mov_ps(condition, value));
    else if constexpr (is_avx512<arch>)
        return B(_mm512_maskz_mov_pd(condition, value));
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<arch> && sizeof(value_of<B>) == 4)
        return B(_mm256_and_ps(condition, value));
    else if constexpr (is_avx<arch>)
        return B(_mm256_and_pd(condition, value));
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch> && sizeof(value_of<B>) == 4)
        return B(_mm_and_ps(condition, value));
    else if constexpr (is_sse<arch>)
        return B(_mm_and_pd(condition, value));
    else
#endif
        return where(condition, value, B(value_of<B>(0)));
}

/// a·b + c where `condition` holds, +0 elsewhere: g++ 12 does not put the mask into the multiplication by itself, which is
/// a tenth of an exponential.
template <class B>
XSOFTMAX_ALWAYS_INLINE B multiply_add_where(mask_of<B> condition, B a, B b, B c)
{
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch_of<B>> && sizeof(value_of<B>) == 4)
        return B(_mm512_maskz_fmadd_ps(condition, a, b, c));
    else if constexpr (is_avx512<arch_of<B>>)
        return B(_mm512_maskz_fmadd_pd(condition, a, b, c));
    else
#endif
        return kept_where(condition, multiply_add(a, b, c));
}

/// +0 where `condition` holds, `value` elsewhere. One instruction for the three or four of a general selection.
template <class B>
XSOFTMAX_ALWAYS_INLINE B zero_where(mask_of<B> condition, B value)
{
    using arch [[maybe_unused]] = arch_of<B>;
#if defined(__AVX__)
    if constexpr (is_avx<arch> && sizeof(value_of<B>) == 4)
        return B(_mm256_andnot_ps(condition, value));
    else if constexpr (is_avx<arch>)
        return B(_mm256_andnot_pd(condition, value));
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch> && sizeof(value_of<B>) == 4)
        return B(_mm_andnot_ps(condition, value));
    else if constexpr (is_sse<arch>)
        return B(_mm_andnot_pd(condition, value));
    else
#endif
        return where(condition, B(value_of<B>(0)), value);
}

/// a·b where `condition` holds, +0 elsewhere, also where a or b is NaN.
template <class B>
XSOFTMAX_ALWAYS_INLINE B multiply_where(mask_of<B> condition, B a, B b)
{
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch_of<B>> && sizeof(value_of<B>) == 4)
        return B(_mm512_maskz_mul_ps(condition, a, b));
    else if constexpr (is_avx512<arch_of<B>>)
        return B(_mm512_maskz_mul_pd(condition, a, b));
    else
#endif
        return kept_where(condition, B(a * b));
}

/// The same bits as a batch of another type.
template <class To, class B>
XSOFTMAX_ALWAYS_INLINE To bits_as(B x)
{
    if constexpr (is_scalar<arch_of<B>>)
        return To::of([&](std::size_t k)
                          XSOFTMAX_INLINE_LAMBDA { return __builtin_bit_cast(value_of<To>, x.lane[k]); });
    else
#if XSIMD_VERSION_MAJOR < 9
        return xsimd::bitwise_cast<To>(x);
#else
        return xsimd::bitwise_cast<value_of<To>>(x);
#endif
}

/// The bits of `x`, as a batch of integers.
template <class Integers, class B>
XSOFTMAX_ALWAYS_INLINE Integers bits_of(B x)
{
    return bits_as<Integers>(x);
}

/// The float whose bits are what `change` makes of the bits of `x`, a batch of integers.
template <class B, class Change>
XSOFTMAX_ALWAYS_INLINE B with_bits(B x, Change&& change)
{
    using integer = std::conditional_t<sizeof(value_of<B>) == 4, std::int32_t, std::int64_t>;
    using integers = xsimd::batch<integer, arch_of<B>>;
    const integers changed = change(bits_of<integers>(x));
    return bits_as<B>(changed);
}

/// The float whose bits are those of `x`, moved `Bits` places towards the sign.
template <int Bits, class B>
XSOFTMAX_ALWAYS_INLINE B shift_bits_left(B x)
{
    return with_bits(x, [](auto bits) XSOFTMAX_INLINE_LAMBDA { return bits << Bits; });
}

/// The same away from the sign, and zeros come after.
template <int Bits, class B>
XSOFTMAX_ALWAYS_INLINE B shift_bits_right(B x)
{
    using integer = std::conditional_t<sizeof(value_of<B>) == 4, std::uint32_t, std::uint64_t>;
    using integers = xsimd::batch<integer, arch_of<B>>;
    const integers shifted = bits_of<integers>(x) >> Bits;
    return bits_as<B>(shifted);
}

/// The bits of `a` and `b`, added or subtracted as integers.
template <class B>
XSOFTMAX_ALWAYS_INLINE B add_bits(B a, B b)
{
    return with_bits(a, [b](auto bits) XSOFTMAX_INLINE_LAMBDA { return bits + bits_of<decltype(bits)>(b); });
}

template <class B>
XSOFTMAX_ALWAYS_INLINE B subtract_bits(B a, B b)
{
    return with_bits(a, [b](auto bits) XSOFTMAX_INLINE_LAMBDA { return bits - bits_of<decltype(bits)>(b); });
}

/// x with the lower half of its significand cut off.
template <class B>
XSOFTMAX_ALWAYS_INLINE B leading_half(B x)
{
    return with_bits(x, [](auto bits) XSOFTMAX_INLINE_LAMBDA {
        using integers = decltype(bits);
        return bits & ~integers((typename integers::value_type(1) << (sizeof(value_of<B>) == 4 ? 12 : 27)) - 1);
    });
}

/// |x|
template <class B>
XSOFTMAX_ALWAYS_INLINE B magnitude(B x)
{
    if constexpr (is_scalar<arch_of<B>>)
        return B::of([&](std::size_t k) XSOFTMAX_INLINE_LAMBDA { return x.lane[k] < 0 ? -x.lane[k] : x.lane[k]; });
    else
        return xsimd::abs(x);
}

template <class B>
XSOFTMAX_ALWAYS_INLINE value_of<B> first_lane(B x)
{
    using arch [[maybe_unused]] = arch_of<B>;
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch> && sizeof(value_of<B>) == 4)
        return _mm512_cvtss_f32(x);
    else if constexpr (is_avx512<arch>)
        return _mm512_cvtsd_f64(x);
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<arch> && sizeof(value_of<B>) == 4)
        return _mm256_cvtss_f32(x);
    else if constexpr (is_avx<arch>)
        return _mm256_cvtsd_f64(x);
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch> && sizeof(value_of<B>) == 4)
        return _mm_cvtss_f32(x);
    else if constexpr (is_sse<arch>)
        return _mm_cvtsd_f64(x);
    else
#endif
    {
        alignas(B) value_of<B> lanes[B::size];
        x.store_aligned(lanes);
        return lanes[0];
    }
}

// ---- Loads and stores ------------------------------------------------------------------------------------------------
// `Stored` is the type in memory; the batch's own type is the one computed in.

/// Loads once: a load folded into each instruction that uses it costs double each time where it crosses a cache line, as
/// most do in a row that is not aligned: 5 to 10 % of a row.
///
/// Elements of another type are converted here: xsimd does it by std::copy, which would be shared by all architectures.
template <class B, class Stored>
XSOFTMAX_ALWAYS_INLINE B load_whole(const Stored* from)
{
    if constexpr (is_scalar<arch_of<B>> && std::is_same_v<Stored, value_of<B>>)
        return B::load_unaligned(from);
    else if constexpr (!std::is_same_v<Stored, value_of<B>>) {
        alignas(B) value_of<B> lanes[B::size];
        for (std::size_t k = 0; k < B::size; ++k) lanes[k] = static_cast<value_of<B>>(from[k]);
        return B::load_aligned(lanes);
    }
    else
        return B(in_register(static_cast<typename B::register_type>(B(B::load_unaligned(from)))));
}

template <class B, class Stored>
XSOFTMAX_ALWAYS_INLINE void store_whole(Stored* to, B x)
{
    if constexpr (std::is_same_v<Stored, value_of<B>>)
        x.store_unaligned(to);
    else {
        alignas(B) value_of<B> lanes[B::size];
        x.store_aligned(lanes);
        for (std::size_t k = 0; k < B::size; ++k) to[k] = static_cast<Stored>(lanes[k]);
    }
}

/// Stores a vector to memory, whose cache line is not read first, nor kept. `to` is aligned to the vector. Quicker where the
/// whole line is written and does not stay in a cache, ten times slower where it is in one.
template <class B>
XSOFTMAX_ALWAYS_INLINE void store_past_caches(value_of<B>* to, B x)
{
    using T [[maybe_unused]] = value_of<B>;
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch_of<B>>) {
        if constexpr (sizeof(T) == 4)
            return _mm512_stream_ps(to, x);
        else
            return _mm512_stream_pd(to, x);
    }
#endif
#if defined(__AVX__)
    if constexpr (is_avx<arch_of<B>> && B::size * sizeof(T) == 32) {
        if constexpr (sizeof(T) == 4)
            return _mm256_stream_ps(to, x);
        else
            return _mm256_stream_pd(to, x);
    }
#endif
#if defined(__SSE2__)
    if constexpr (is_sse<arch_of<B>> && B::size * sizeof(T) == 16) {
        if constexpr (sizeof(T) == 4)
            return _mm_stream_ps(to, x);
        else
            return _mm_stream_pd(to, x);
    }
#endif
    x.store_aligned(to);
}

/// What has been stored past the caches is seen before what is stored after this.
template <class Arch>
XSOFTMAX_ALWAYS_INLINE void end_of_stores_past_caches()
{
#if defined(__SSE2__)
    if constexpr (is_x86<Arch>) _mm_sfence();
#endif
}

/// Asks for the cache line at `from`, which need not be there.
template <class T>
XSOFTMAX_ALWAYS_INLINE void prefetch(const T* from)
{
#if defined(__GNUC__)
    __builtin_prefetch(from);
#else
    static_cast<void>(from);
#endif
}

#if defined(__AVX__)
/// `count` entries from `&avx_lane_masks<I>[8 - count]` have their sign set: vmaskmov's mask for the first lanes.
/// A sliding window costs one load where building the mask from a comparison costs about 20 instructions on AVX2.
alignas(64) inline constexpr std::int32_t avx_lane_masks_32[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                                   0,  0,  0,  0,  0,  0,  0,  0};
alignas(64) inline constexpr std::int64_t avx_lane_masks_64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
#endif

/// Lanes from the first `count` of 16 or 8, as AVX-512 masks them.
#if defined(__AVX512F__)
template <class Mask>
XSOFTMAX_ALWAYS_INLINE Mask first_lanes(std::size_t count)
{
    return static_cast<Mask>((1u << count) - 1);
}
#endif

/// The first `count` ≤ B::size elements, and `fill` in the other lanes; no other memory is read.
///
/// A half-full AVX-512 vector goes by its half: a masked access of 64 bytes waits for a store to any of those bytes, masked
/// or not, and short rows often lie next to each other (38 ns against 20 for a row of 8 written beside the next input).
template <class B, class Stored>
XSOFTMAX_ALWAYS_INLINE B load_part(const Stored* from, std::size_t count, value_of<B> fill)
{
    using arch [[maybe_unused]] = arch_of<B>;
    [[maybe_unused]] constexpr bool plain = std::is_same_v<Stored, value_of<B>>;
    if (count == B::size) return load_whole<B>(from);
#if defined(__AVX512VL__)
    if constexpr (plain && is_avx512<arch> && sizeof(Stored) == 4) {
        if (count > B::size / 2) return B(_mm512_mask_loadu_ps(B(fill), first_lanes<__mmask16>(count), from));
        const __m256 half = _mm256_mask_loadu_ps(_mm256_set1_ps(fill), first_lanes<__mmask8>(count), from);
        return B(_mm512_mask_broadcast_f32x4(_mm512_castps256_ps512(half), 0xff00, _mm_set1_ps(fill)));
    }
    else if constexpr (plain && is_avx512<arch>) {
        if (count > B::size / 2) return B(_mm512_mask_loadu_pd(B(fill), first_lanes<__mmask8>(count), from));
        const __m256d half = _mm256_mask_loadu_pd(_mm256_set1_pd(fill), first_lanes<__mmask8>(count), from);
        return B(_mm512_mask_broadcastsd_pd(_mm512_castpd256_pd512(half), 0xf0, _mm_set1_pd(fill)));
    }
    else
#endif
#if defined(__AVX__)
        if constexpr (plain && is_avx<arch> && sizeof(Stored) == 4) {
        const __m256i lanes =
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(avx_lane_masks_32 + (B::size - count)));
        return B(_mm256_blendv_ps(B(fill), _mm256_maskload_ps(from, lanes), _mm256_castsi256_ps(lanes)));
    }
    else if constexpr (plain && is_avx<arch>) {
        const __m256i lanes =
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(avx_lane_masks_64 + (B::size - count)));
        return B(_mm256_blendv_pd(B(fill), _mm256_maskload_pd(from, lanes), _mm256_castsi256_pd(lanes)));
    }
    else
#endif
#if defined(__SSE2__)
        if constexpr (plain && is_sse<arch> && sizeof(Stored) == 4) {
        const __m128 fills = _mm_set1_ps(fill);
        if (count == 1) return B(_mm_move_ss(fills, _mm_load_ss(from)));
        const __m128 two = _mm_loadl_pi(fills, reinterpret_cast<const __m64*>(from));
        return count == 2 ? B(two) : B(_mm_movelh_ps(two, _mm_move_ss(fills, _mm_load_ss(from + 2))));
    }
    else if constexpr (plain && is_sse<arch>)
        return B(_mm_move_sd(_mm_set1_pd(fill), _mm_load_sd(from)));
    else
#endif
    {
        alignas(B) value_of<B> lanes[B::size];
        for (std::size_t k = 0; k < B::size; ++k) lanes[k] = k < count ? static_cast<value_of<B>>(from[k]) : fill;
        return B::load_aligned(lanes);
    }
}

/// x with another number in lane k.
template <class B>
XSOFTMAX_ALWAYS_INLINE B with_lane(B x, std::size_t k, value_of<B> number)
{
    alignas(B) value_of<B> lanes[B::size];
    x.store_aligned(lanes);
    lanes[k] = number;
    return B::load_aligned(lanes);
}

/// Writes the first `count` ≤ B::size lanes, and no other memory. The half is kept in a register since g++ 12 makes of the
/// cast and the store a masked vextractf64x4, which faults on lanes that it does not write.
template <class B, class Stored>
XSOFTMAX_ALWAYS_INLINE void store_part(Stored* to, std::size_t count, B x)
{
    using arch [[maybe_unused]] = arch_of<B>;
    [[maybe_unused]] constexpr bool plain = std::is_same_v<Stored, value_of<B>>;
    if (count == B::size) return store_whole(to, x);
#if defined(__AVX512VL__)
    if constexpr (plain && is_avx512<arch> && sizeof(Stored) == 4) {
        if (count > B::size / 2) return _mm512_mask_storeu_ps(to, first_lanes<__mmask16>(count), x);
        _mm256_mask_storeu_ps(to, first_lanes<__mmask8>(count), in_register(_mm512_castps512_ps256(x)));
    }
    else if constexpr (plain && is_avx512<arch>) {
        if (count > B::size / 2) return _mm512_mask_storeu_pd(to, first_lanes<__mmask8>(count), x);
        _mm256_mask_storeu_pd(to, first_lanes<__mmask8>(count), in_register(_mm512_castpd512_pd256(x)));
    }
    else
#endif
#if defined(__AVX__)
        if constexpr (plain && is_avx<arch> && sizeof(Stored) == 4)
        _mm256_maskstore_ps(
            to, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(avx_lane_masks_32 + (B::size - count))), x);
    else if constexpr (plain && is_avx<arch>)
        _mm256_maskstore_pd(
            to, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(avx_lane_masks_64 + (B::size - count))), x);
    else
#endif
#if defined(__SSE2__)
        if constexpr (plain && is_sse<arch> && sizeof(Stored) == 4) {
        if (count == 1) return _mm_store_ss(to, x);
        _mm_storel_pi(reinterpret_cast<__m64*>(to), x);
        if (count == 3) _mm_store_ss(to + 2, _mm_movehl_ps(x, x));
    }
    else if constexpr (plain && is_sse<arch>)
        _mm_store_sd(to, x);
    else
#endif
    {
        alignas(B) value_of<B> lanes[B::size];
        x.store_aligned(lanes);
        for (std::size_t k = 0; k < count; ++k) to[k] = static_cast<Stored>(lanes[k]);
    }
}

/// The first `count` ≤ B::size lanes, for loading and storing many rows of the same length: what load_part and store_part
/// do, but the count is looked at once, and halves are nothing special.
template <class B>
class leading_lanes {
    using T = value_of<B>;
    using arch [[maybe_unused]] = arch_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE explicit leading_lanes(std::size_t count) : lanes_(make(count)) {}

    XSOFTMAX_ALWAYS_INLINE B load(const T* from, T fill) const
    {
#if defined(__AVX512F__)
        if constexpr (is_avx512<arch> && sizeof(T) == 4)
            return B(_mm512_mask_loadu_ps(B(fill), lanes_, from));
        else if constexpr (is_avx512<arch>)
            return B(_mm512_mask_loadu_pd(B(fill), lanes_, from));
        else
#endif
#if defined(__AVX__)
            if constexpr (is_avx<arch> && sizeof(T) == 4)
            return B(_mm256_blendv_ps(B(fill), _mm256_maskload_ps(from, lanes_), _mm256_castsi256_ps(lanes_)));
        else if constexpr (is_avx<arch>)
            return B(_mm256_blendv_pd(B(fill), _mm256_maskload_pd(from, lanes_), _mm256_castsi256_pd(lanes_)));
        else
#endif
            return load_part<B>(from, lanes_, fill);
    }

    XSOFTMAX_ALWAYS_INLINE void store(T* to, B x) const
    {
#if defined(__AVX512F__)
        if constexpr (is_avx512<arch> && sizeof(T) == 4)
            _mm512_mask_storeu_ps(to, lanes_, x);
        else if constexpr (is_avx512<arch>)
            _mm512_mask_storeu_pd(to, lanes_, x);
        else
#endif
#if defined(__AVX__)
            if constexpr (is_avx<arch> && sizeof(T) == 4)
            _mm256_maskstore_ps(to, lanes_, x);
        else if constexpr (is_avx<arch>)
            _mm256_maskstore_pd(to, lanes_, x);
        else
#endif
            store_part(to, lanes_, x);
    }

private:
    XSOFTMAX_ALWAYS_INLINE static auto make(std::size_t count)
    {
#if defined(__AVX512F__)
        if constexpr (is_avx512<arch> && sizeof(T) == 4)
            return first_lanes<__mmask16>(count);
        else if constexpr (is_avx512<arch>)
            return first_lanes<__mmask8>(count);
        else
#endif
#if defined(__AVX__)
            if constexpr (is_avx<arch> && sizeof(T) == 4)
            return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(avx_lane_masks_32 + (B::size - count)));
        else if constexpr (is_avx<arch>)
            return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(avx_lane_masks_64 + (B::size - count)));
        else
#endif
            return count;
    }

    decltype(make(0)) lanes_;
};

// ---- Tables in registers ---------------------------------------------------------------------------------------------

/// How many entries a table has that look_up finds in one to four instructions; 0 where there is none. xsimd 8.1 has no swizzle at
/// run time, and 14.3 takes 17 instructions for AVX2's.
template <class B>
inline constexpr std::size_t table_size = is_avx512<arch_of<B>>                                      ? 16
                                          : !std::is_base_of_v<xsimd::fma3<xsimd::avx2>, arch_of<B>> ? 0
                                          : sizeof(value_of<B>) == 4                                 ? 8
                                                                                                     : 4;

/// table[k mod table_size<B>] for the integer k in the low bits of each lane.
template <class B, std::size_t Size>
XSOFTMAX_ALWAYS_INLINE B look_up(const value_of<B> (&table)[Size], B index)
{
    using arch [[maybe_unused]] = arch_of<B>;
    using integer = std::conditional_t<sizeof(value_of<B>) == 4, std::int32_t, std::int64_t>;
    using integers = xsimd::batch<integer, arch>;
    const auto k = bits_of<integers>(index);
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch> && sizeof(integer) == 4 && Size == 16)
        return B(_mm512_permutexvar_ps(k, _mm512_load_ps(table)));
    else if constexpr (is_avx512<arch> && sizeof(integer) == 8 && Size == 16)
        return B(_mm512_permutex2var_pd(_mm512_load_pd(table), k, _mm512_load_pd(table + 8)));
    else
#endif
#if defined(__AVX2__)
        if constexpr (is_avx<arch> && sizeof(integer) == 4 && Size == 8)
        return B(_mm256_permutevar8x32_ps(_mm256_load_ps(table), k));
    else if constexpr (is_avx<arch> && sizeof(integer) == 8 && Size == 4) {
        // As floats 2k and 2k + 1 of eight.
        const __m256i low = _mm256_shuffle_epi32(k, 0xA0);
        const __m256i halves = _mm256_add_epi32(_mm256_add_epi32(low, low), _mm256_set1_epi64x(1LL << 32));
        return B(_mm256_castsi256_pd(
            _mm256_permutevar8x32_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(table)), halves)));
    }
    else
#endif
    {
        alignas(integers) integer entries[B::size];
        alignas(B) value_of<B> lanes[B::size];
        k.store_aligned(entries);
        for (std::size_t lane = 0; lane < B::size; ++lane)
            lanes[lane] = table[static_cast<std::size_t>(entries[lane]) % Size];
        return B::load_aligned(lanes);
    }
}

// ---- Across lanes ----------------------------------------------------------------------------------------------------

#if defined(__SSE2__)
/// Registers combined lane by lane.
struct register_sum {
    XSOFTMAX_ALWAYS_INLINE __m128 operator()(__m128 a, __m128 b) const { return _mm_add_ps(a, b); }
    XSOFTMAX_ALWAYS_INLINE __m128d operator()(__m128d a, __m128d b) const { return _mm_add_pd(a, b); }
#if defined(__AVX512F__)
    XSOFTMAX_ALWAYS_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_add_ps(a, b); }
    XSOFTMAX_ALWAYS_INLINE __m256d operator()(__m256d a, __m256d b) const { return _mm256_add_pd(a, b); }
#endif
};

struct register_maximum {
    XSOFTMAX_ALWAYS_INLINE __m128 operator()(__m128 a, __m128 b) const { return _mm_max_ps(a, b); }
    XSOFTMAX_ALWAYS_INLINE __m128d operator()(__m128d a, __m128d b) const { return _mm_max_pd(a, b); }
#if defined(__AVX512F__)
    XSOFTMAX_ALWAYS_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_max_ps(a, b); }
    XSOFTMAX_ALWAYS_INLINE __m256d operator()(__m256d a, __m256d b) const { return _mm256_max_pd(a, b); }
#endif
};

/// All lanes of a register, combined by halves.
template <class Combine>
XSOFTMAX_ALWAYS_INLINE float fold(__m128 x, Combine combine)
{
    const __m128 pair = combine(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(combine(pair, _mm_shuffle_ps(pair, pair, 1)));
}

template <class Combine>
XSOFTMAX_ALWAYS_INLINE double fold(__m128d x, Combine combine)
{
    return _mm_cvtsd_f64(combine(x, _mm_unpackhi_pd(x, x)));
}
#endif

#if defined(__AVX__)
template <class Combine>
XSOFTMAX_ALWAYS_INLINE float fold(__m256 x, Combine combine)
{
    return fold(combine(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)), combine);
}

template <class Combine>
XSOFTMAX_ALWAYS_INLINE double fold(__m256d x, Combine combine)
{
    return fold(combine(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1)), combine);
}
#endif

#if defined(__AVX512F__)
template <class Combine>
XSOFTMAX_ALWAYS_INLINE float fold(__m512 x, Combine combine)
{
    const __m256d upper = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);
    return fold(combine(_mm512_castps512_ps256(x), _mm256_castpd_ps(upper)), combine);
}

template <class Combine>
XSOFTMAX_ALWAYS_INLINE double fold(__m512d x, Combine combine)
{
    return fold(combine(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1)), combine);
}
#endif

/// All lanes of a batch, combined by halves in memory.
template <class B, class Combine>
XSOFTMAX_ALWAYS_INLINE value_of<B> fold_in_memory(B x, Combine combine)
{
    alignas(B) value_of<B> lanes[B::size];
    x.store_aligned(lanes);
    XSOFTMAX_UNROLL
    for (std::size_t half = B::size / 2; half != 0; half /= 2) {
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < half; ++k) lanes[k] = combine(lanes[k], lanes[k + half]);
    }
    return lanes[0];
}

/// Σ lanes, by halves, as reduce_across adds them; xsimd's order differs between instruction sets and versions.
template <class B>
XSOFTMAX_ALWAYS_INLINE value_of<B> horizontal_sum(B x)
{
    using T = value_of<B>;
#if defined(__SSE2__)
    if constexpr (is_x86<arch_of<B>>)
        return fold(static_cast<typename B::register_type>(x), register_sum{});
    else
#endif
        return fold_in_memory(x, [](T a, T b) XSOFTMAX_INLINE_LAMBDA { return a + b; });
}

/// The largest lane; undefined where one is NaN. xsimd 8.1 has nothing for it, and 14.3 takes 5 ns longer with AVX-512.
template <class B>
XSOFTMAX_ALWAYS_INLINE value_of<B> horizontal_maximum(B x)
{
    using T = value_of<B>;
#if defined(__SSE2__)
    if constexpr (is_x86<arch_of<B>>)
        return fold(static_cast<typename B::register_type>(x), register_maximum{});
    else
#endif
#if XSIMD_VERSION_MAJOR >= 9
        if constexpr (!is_scalar<arch_of<B>>)
        return xsimd::reduce_max(x);
    else
#endif
        return fold_in_memory(x, [](T a, T b) XSOFTMAX_INLINE_LAMBDA { return a < b ? b : a; });
}

/// Lane r of the result is all lanes of rows(r), combined by halves: the same tree for every row, in whatever company.
/// 3 instructions a row, where reducing one by itself takes about 10. Which rows meet at each level leaves them in order.
/// Each is asked for once, when it is wanted: few of them need a register at a time.
template <class B, class Rows, class Combine>
XSOFTMAX_ALWAYS_INLINE B reduce_across(const Rows& rows, Combine combine)
{
    using arch [[maybe_unused]] = arch_of<B>;
    [[maybe_unused]] constexpr bool floats = sizeof(value_of<B>) == 4;
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch> && floats) {
        const auto halves = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm512_shuffle_f32x4(a, b, 0x44)), B(_mm512_shuffle_f32x4(a, b, 0xee)));
        };
        const auto quarters = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm512_shuffle_f32x4(a, b, 0x88)), B(_mm512_shuffle_f32x4(a, b, 0xdd)));
        };
        const auto pairs = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            const __m512d u = _mm512_castps_pd(a), v = _mm512_castps_pd(b);
            return combine(B(_mm512_castpd_ps(_mm512_unpacklo_pd(u, v))),
                           B(_mm512_castpd_ps(_mm512_unpackhi_pd(u, v))));
        };
        const auto singles = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm512_shuffle_ps(a, b, 0x88)), B(_mm512_shuffle_ps(a, b, 0xdd)));
        };
        B four[4];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < 4; ++k)
            four[k] = quarters(halves(rows(k), rows(k + 4)), halves(rows(k + 8), rows(k + 12)));
        return singles(pairs(four[0], four[1]), pairs(four[2], four[3]));
    }
    else if constexpr (is_avx512<arch>) {
        const auto halves = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm512_shuffle_f64x2(a, b, 0x44)), B(_mm512_shuffle_f64x2(a, b, 0xee)));
        };
        const auto quarters = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm512_shuffle_f64x2(a, b, 0x88)), B(_mm512_shuffle_f64x2(a, b, 0xdd)));
        };
        B two[4];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < 4; ++k) {
            const std::size_t r = k / 2 + 4 * (k % 2);
            const B a = rows(r), b = rows(r + 2);
            two[k] = halves(a, b);
        }
        const B even = quarters(two[0], two[1]), odd = quarters(two[2], two[3]);
        return combine(B(_mm512_unpacklo_pd(even, odd)), B(_mm512_unpackhi_pd(even, odd)));
    }
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<arch> && floats) {
        const auto halves = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm256_permute2f128_ps(a, b, 0x20)), B(_mm256_permute2f128_ps(a, b, 0x31)));
        };
        const auto pairs = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            const __m256d u = _mm256_castps_pd(a), v = _mm256_castps_pd(b);
            return combine(B(_mm256_castpd_ps(_mm256_unpacklo_pd(u, v))),
                           B(_mm256_castpd_ps(_mm256_unpackhi_pd(u, v))));
        };
        const B low = pairs(halves(rows(0), rows(4)), halves(rows(1), rows(5)));
        const B high = pairs(halves(rows(2), rows(6)), halves(rows(3), rows(7)));
        return combine(B(_mm256_shuffle_ps(low, high, 0x88)), B(_mm256_shuffle_ps(low, high, 0xdd)));
    }
    else if constexpr (is_avx<arch>) {
        const auto halves = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm256_permute2f128_pd(a, b, 0x20)), B(_mm256_permute2f128_pd(a, b, 0x31)));
        };
        const B even = halves(rows(0), rows(2)), odd = halves(rows(1), rows(3));
        return combine(B(_mm256_unpacklo_pd(even, odd)), B(_mm256_unpackhi_pd(even, odd)));
    }
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch> && floats) {
        const auto halves = [&](B a, B b) XSOFTMAX_INLINE_LAMBDA {
            return combine(B(_mm_movelh_ps(a, b)), B(_mm_movehl_ps(b, a)));
        };
        const B low = halves(rows(0), rows(1)), high = halves(rows(2), rows(3));
        return combine(B(_mm_shuffle_ps(low, high, 0x88)), B(_mm_shuffle_ps(low, high, 0xdd)));
    }
    else if constexpr (is_sse<arch>)
        return combine(B(_mm_unpacklo_pd(rows(0), rows(1))), B(_mm_unpackhi_pd(rows(0), rows(1))));
    else
#endif
    {
        alignas(B) value_of<B> lanes[2 * B::size] = {};
        alignas(B) value_of<B> results[B::size];
        for (std::size_t r = 0; r < B::size; ++r) {
            B x = rows(r);
            for (std::size_t half = B::size / 2; half != 0; half /= 2) {
                x.store_aligned(lanes);
                x = combine(x, B(B::load_unaligned(lanes + half)));
            }
            results[r] = first_lane(x);
        }
        return B::load_aligned(results);
    }
}

/// The same where a row takes some computing. Unrolled, rows mix, and few of them wait in registers; with 16 registers that
/// takes up to 1.7 times as long as a loop.
template <class B, bool Unrolls, class Rows, class Combine>
XSOFTMAX_ALWAYS_INLINE B reduce_across_computed(const Rows& rows, Combine combine)
{
    if constexpr (Unrolls && is_avx512<arch_of<B>>)
        return reduce_across<B>(rows, combine);
    else {
        B computed[B::size];
        for (std::size_t r = 0; r < B::size; ++r) computed[r] = rows(r);
        return reduce_across<B>([&](std::size_t r) XSOFTMAX_INLINE_LAMBDA { return computed[r]; }, combine);
    }
}

/// The value of a lane for which a condition holds, of those in several batches; not defined where it holds for none.
template <class B>
class picked_lane {
    using arch [[maybe_unused]] = arch_of<B>;

public:
    XSOFTMAX_ALWAYS_INLINE void look_in(mask_of<B> condition, B x)
    {
        values_ = where(condition, x, values_);
        if constexpr (is_avx512<arch>) found_ = found_ | condition;
    }

    XSOFTMAX_ALWAYS_INLINE value_of<B> value() const
    {
#if defined(__AVX512F__)
        if constexpr (is_avx512<arch> && sizeof(value_of<B>) == 4)
            return _mm512_cvtss_f32(_mm512_maskz_compress_ps(found_, values_));
        else if constexpr (is_avx512<arch>)
            return _mm512_cvtsd_f64(_mm512_maskz_compress_pd(found_, values_));
        else
#endif
            return horizontal_maximum(values_);
    }

private:
    struct nothing {};

    B values_ = B(-infinity<value_of<B>>);
    [[no_unique_address]] std::conditional_t<is_avx512<arch>, mask_of<B>, nothing> found_{};
};

/// How many lanes of a condition hold.
template <class B>
XSOFTMAX_ALWAYS_INLINE std::size_t count_true(mask_of<B> condition)
{
    using arch [[maybe_unused]] = arch_of<B>;
#if defined(__AVX512F__)
    if constexpr (is_avx512<arch>) {
        std::conditional_t<sizeof(value_of<B>) == 4, __mmask16, __mmask8> lanes = condition;
#if defined(__GNUC__)
        // g++ 12 would widen a mask that it has no register for, store one byte of it, and count the bits of four.
        asm("" : "+r"(lanes));
#endif
        return static_cast<std::size_t>(_mm_popcnt_u32(lanes));
    }
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<arch> && sizeof(value_of<B>) == 4)
        return static_cast<std::size_t>(_mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_ps(condition))));
    else if constexpr (is_avx<arch>)
        return static_cast<std::size_t>(_mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_pd(condition))));
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch>) {
        // Entry k is the number of bits in k: this instruction set has no popcnt.
        constexpr std::uint64_t bits_of = 0x4332'3221'3221'2110;
        if constexpr (sizeof(value_of<B>) == 4)
            return static_cast<std::size_t>(bits_of >> (4 * _mm_movemask_ps(condition)) & 7);
        else
            return static_cast<std::size_t>(bits_of >> (4 * _mm_movemask_pd(condition)) & 7);
    }
    else
#endif
        return static_cast<std::size_t>(horizontal_sum(where(condition, B(value_of<B>(1)), B(value_of<B>(0)))));
}

/// Do all lanes of a condition hold?
template <class B>
XSOFTMAX_ALWAYS_INLINE bool all_true(mask_of<B> condition)
{
    if constexpr (is_scalar<arch_of<B>>)
        return count_true<B>(condition) == B::size;
    else
        return xsimd::all(condition);
}

/// In which lanes is a byte 0? Of B::size bytes.
template <class B>
XSOFTMAX_ALWAYS_INLINE mask_of<B> are_zero(const unsigned char* bytes)
{
    using T = value_of<B>;
    using arch [[maybe_unused]] = arch_of<B>;
#if defined(__AVX512VL__) && defined(__AVX512BW__)
    if constexpr (is_avx512<arch> && sizeof(T) == 4) {
        const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
        return mask_of<B>(_mm_testn_epi8_mask(x, x));
    }
    else if constexpr (is_avx512<arch>) {
        const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
        return mask_of<B>(static_cast<__mmask8>(_mm_testn_epi8_mask(x, x)));
    }
    else
#endif
#if defined(__AVX2__)
        if constexpr (is_avx<arch> && sizeof(T) == 4) {
        const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
        return mask_of<B>(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, _mm256_setzero_si256())));
    }
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<arch> && sizeof(T) == 4) {
        std::int32_t four;
        std::memcpy(&four, bytes, sizeof four);
        const __m128i zero = _mm_setzero_si128(), x = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero);
        return mask_of<B>(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_unpacklo_epi16(x, zero), zero)));
    }
    else
#endif
    {
        alignas(B) T lanes[B::size];
        XSOFTMAX_UNROLL
        for (std::size_t k = 0; k < B::size; ++k) lanes[k] = static_cast<T>(bytes[k]);
        return B::load_aligned(lanes) == B(T(0));
    }
}

/// Does any?
template <class B>
XSOFTMAX_ALWAYS_INLINE bool any_true(mask_of<B> condition)
{
    if constexpr (is_scalar<arch_of<B>>)
        return count_true<B>(condition) != 0;
    else
        return xsimd::any(condition);
}

// ---- Float and double -------------------------------------------------------------------------------------------------

/// x with the bits cut off that a float does not have.
XSOFTMAX_ALWAYS_INLINE double float_part(double x)
{
#if defined(__SSE2__)
    // In its register: through an integer one it would take three times as long.
    return _mm_cvtsd_f64(_mm_and_pd(_mm_set_sd(x), _mm_castsi128_pd(_mm_set1_epi64x(-(std::int64_t{1} << 29)))));
#else
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) & ~((std::uint64_t{1} << 29) - 1));
#endif
}

template <class Arch>
XSOFTMAX_ALWAYS_INLINE xsimd::batch<double, Arch> float_part(xsimd::batch<double, Arch> x)
{
    return with_bits(x,
                     [](auto bits) XSOFTMAX_INLINE_LAMBDA { return bits & decltype(bits)(-(std::int64_t{1} << 29)); });
}

/// The lanes of a batch of float as two batches of double.
template <class Arch>
struct widened {
    xsimd::batch<double, Arch> low, high;
};

template <class Arch>
XSOFTMAX_ALWAYS_INLINE widened<Arch> to_doubles(xsimd::batch<float, Arch> x)
{
#if defined(__AVX512F__)
    if constexpr (is_avx512<Arch>) {
        const __m512 v = x;
        return {_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)))};
    }
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<Arch>) {
        const __m256 v = x;
        return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
    }
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<Arch>) {
        const __m128 v = x;
        return {_mm_cvtps_pd(v), _mm_cvtps_pd(_mm_movehl_ps(v, v))};
    }
    else
#endif
    {
        using doubles = xsimd::batch<double, Arch>;
        alignas(doubles) double lanes[2 * doubles::size];
        alignas(xsimd::batch<float, Arch>) float narrow[2 * doubles::size];
        x.store_aligned(narrow);
        for (std::size_t k = 0; k < 2 * doubles::size; ++k) lanes[k] = static_cast<double>(narrow[k]);
        return {doubles::load_aligned(lanes), doubles::load_aligned(lanes + doubles::size)};
    }
}

/// Floats ≥ 0 as doubles that lack a factor of scaled_doubles_factor, in any order of the lanes, for adding up.
///
/// On AVX-512 a shift moves sign, exponent and significand to where a double has them, short of the difference between the
/// exponents' biases; it takes 0.4 of a cycle less a vector than the conversion, which goes through the ports that add. Of
/// infinity and NaN it makes numbers ≥ 2^128, as are no sums of exponentials.
template <class Arch>
inline constexpr double scaled_doubles_factor = is_avx512<Arch> ? 0x1p896 : 1;

template <class Arch>
XSOFTMAX_ALWAYS_INLINE widened<Arch> to_scaled_doubles(xsimd::batch<float, Arch> x)
{
#if defined(__AVX512F__)
    if constexpr (is_avx512<Arch>) {
        const __m512i pairs = _mm512_castps_si512(x);
        const __m512i even =
            _mm512_mul_epu32(pairs, _mm512_set1_epi64(1 << 29));  // one instruction less than two shifts
        const __m512i odd = _mm512_srli_epi64(_mm512_maskz_mov_epi32(0xaaaa, pairs), 3);
        return {_mm512_castsi512_pd(even), _mm512_castsi512_pd(odd)};
    }
    else
#endif
        return to_doubles(x);
}

/// The other way, rounded.
template <class Arch>
XSOFTMAX_ALWAYS_INLINE xsimd::batch<float, Arch> to_floats(widened<Arch> x)
{
    using floats = xsimd::batch<float, Arch>;
#if defined(__AVX512F__)
    if constexpr (is_avx512<Arch>) {
        const __m512d low = _mm512_castps_pd(_mm512_castps256_ps512(_mm512_cvtpd_ps(x.low)));
        const __m256d high = _mm256_castps_pd(_mm512_cvtpd_ps(x.high));
        return floats(_mm512_castpd_ps(_mm512_insertf64x4(low, high, 1)));
    }
    else
#endif
#if defined(__AVX__)
        if constexpr (is_avx<Arch>)
        return floats(_mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(x.low)), _mm256_cvtpd_ps(x.high), 1));
    else
#endif
#if defined(__SSE2__)
        if constexpr (is_sse<Arch>)
        return floats(_mm_movelh_ps(_mm_cvtpd_ps(x.low), _mm_cvtpd_ps(x.high)));
    else
#endif
    {
        using doubles = xsimd::batch<double, Arch>;
        alignas(doubles) double lanes[2 * doubles::size];
        alignas(floats) float narrow[2 * doubles::size];
        x.low.store_aligned(lanes);
        x.high.store_aligned(lanes + doubles::size);
        for (std::size_t k = 0; k < 2 * doubles::size; ++k) narrow[k] = static_cast<float>(lanes[k]);
        return floats::load_aligned(narrow);
    }
}

}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
