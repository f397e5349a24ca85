#pragma once

/// Registers of SSE2, and what AVX's halves are made of.

#include "../compiler.hpp"

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {
namespace native {

/// The second operand is what these instructions return where one is NaN.
XSOFTMAX_INLINE __m128 at_least(__m128 x, __m128 bound) { return _mm_max_ps(bound, x); }
XSOFTMAX_INLINE __m128d at_least(__m128d x, __m128d bound) { return _mm_max_pd(bound, x); }

XSOFTMAX_INLINE __m128 load_part(const float* from, std::size_t count, __m128 fill)
{
    if (count == 0) return fill;
    if (count == 1) return _mm_move_ss(fill, _mm_load_ss(from));
    const __m128 two = _mm_loadl_pi(fill, reinterpret_cast<const __m64*>(from));
    if (count == 2) return two;
    if (count == 3) return _mm_movelh_ps(two, _mm_move_ss(_mm_movehl_ps(fill, fill), _mm_load_ss(from + 2)));
    return _mm_loadu_ps(from);
}
XSOFTMAX_INLINE __m128d load_part(const double* from, std::size_t count, __m128d fill)
{
    if (count == 0) return fill;
    return count == 1 ? _mm_move_sd(fill, _mm_load_sd(from)) : _mm_loadu_pd(from);
}

XSOFTMAX_INLINE void store_part(float* to, std::size_t count, __m128 x)
{
    if (count == 0) return;
    if (count == 4) return _mm_storeu_ps(to, x);
    if (count == 1) return _mm_store_ss(to, x);
    _mm_storel_pi(reinterpret_cast<__m64*>(to), x);
    if (count == 3) _mm_store_ss(to + 2, _mm_movehl_ps(x, x));
}
XSOFTMAX_INLINE void store_part(double* to, std::size_t count, __m128d x)
{
    if (count == 0) return;
    count == 1 ? _mm_store_sd(to, x) : _mm_storeu_pd(to, x);
}

XSOFTMAX_INLINE void store_past_caches(float* to, __m128 x) { _mm_stream_ps(to, x); }
XSOFTMAX_INLINE void store_past_caches(double* to, __m128d x) { _mm_stream_pd(to, x); }

XSOFTMAX_INLINE float first(__m128 x) { return _mm_cvtss_f32(x); }
XSOFTMAX_INLINE double first(__m128d x) { return _mm_cvtsd_f64(x); }

// Halves, for reductions; those of 16 bytes stay in the register.
XSOFTMAX_INLINE __m128 add(__m128 a, __m128 b) { return _mm_add_ps(a, b); }
XSOFTMAX_INLINE __m128d add(__m128d a, __m128d b) { return _mm_add_pd(a, b); }
XSOFTMAX_INLINE __m128 larger(__m128 a, __m128 b) { return _mm_max_ps(a, b); }
XSOFTMAX_INLINE __m128d larger(__m128d a, __m128d b) { return _mm_max_pd(a, b); }
XSOFTMAX_INLINE __m128 upper_half(__m128 x) { return _mm_movehl_ps(x, x); }
XSOFTMAX_INLINE __m128 second_lane(__m128 x) { return _mm_shuffle_ps(x, x, 1); }
XSOFTMAX_INLINE __m128d upper_half(__m128d x) { return _mm_unpackhi_pd(x, x); }

template <class Combine>
XSOFTMAX_INLINE float reduce(__m128 x, Combine combine)
{
    const __m128 pair = combine(x, upper_half(x));
    return first(combine(pair, second_lane(pair)));
}
template <class Combine>
XSOFTMAX_INLINE double reduce(__m128d x, Combine combine)
{
    return first(combine(x, upper_half(x)));
}

template <class Combine>
XSOFTMAX_INLINE __m128 reduce_across(const __m128* row, Combine combine)
{
    const auto halves = [&](__m128 a, __m128 b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
    };
    const __m128 low = halves(row[0], row[1]), high = halves(row[2], row[3]);
    return combine(_mm_shuffle_ps(low, high, 0x88), _mm_shuffle_ps(low, high, 0xdd));
}
template <class Combine>
XSOFTMAX_INLINE __m128d reduce_across(const __m128d* row, Combine combine)
{
    return combine(_mm_unpacklo_pd(row[0], row[1]), _mm_unpackhi_pd(row[0], row[1]));
}

/// The signs of the lanes, as bits.
XSOFTMAX_INLINE unsigned bits_of(__m128 mask) { return static_cast<unsigned>(_mm_movemask_ps(mask)); }
XSOFTMAX_INLINE unsigned bits_of(__m128d mask) { return static_cast<unsigned>(_mm_movemask_pd(mask)); }

XSOFTMAX_INLINE void to_doubles(__m128 x, __m128d& low, __m128d& high)
{
    low = _mm_cvtps_pd(x);
    high = _mm_cvtps_pd(_mm_movehl_ps(x, x));
}
XSOFTMAX_INLINE __m128 to_floats(__m128d low, __m128d high)
{
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}

XSOFTMAX_INLINE void are_zero(const unsigned char* bytes, __m128& result)
{
    std::int32_t four;
    std::memcpy(&four, bytes, sizeof four);
    const __m128i zero = _mm_setzero_si128(), x = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero);
    result = _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_unpacklo_epi16(x, zero), zero));
}

}  // namespace native
}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
