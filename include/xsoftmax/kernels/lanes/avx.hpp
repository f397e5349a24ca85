#pragma once

/// Registers of AVX and AVX2.

#include "../compiler.hpp"
#include "sse2.hpp"

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {
namespace native {

XSOFTMAX_INLINE __m256 at_least(__m256 x, __m256 bound) { return _mm256_max_ps(bound, x); }
XSOFTMAX_INLINE __m256d at_least(__m256d x, __m256d bound) { return _mm256_max_pd(bound, x); }

/// From the entry 8 − count on, `count` have their sign set: a sliding window costs one load, a mask made by comparing about 20
/// instructions.
alignas(64) inline constexpr std::int32_t sliding_mask_32[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                                 0,  0,  0,  0,  0,  0,  0,  0};
alignas(64) inline constexpr std::int64_t sliding_mask_64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

XSOFTMAX_INLINE __m256i first_lanes_32(std::size_t count)
{
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sliding_mask_32 + (8 - count)));
}
XSOFTMAX_INLINE __m256i first_lanes_64(std::size_t count)
{
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sliding_mask_64 + (4 - count)));
}

XSOFTMAX_INLINE __m256 load_part(const float* from, std::size_t count, __m256 fill)
{
    const __m256i lanes = first_lanes_32(count);
    return _mm256_blendv_ps(fill, _mm256_maskload_ps(from, lanes), _mm256_castsi256_ps(lanes));
}
XSOFTMAX_INLINE __m256d load_part(const double* from, std::size_t count, __m256d fill)
{
    const __m256i lanes = first_lanes_64(count);
    return _mm256_blendv_pd(fill, _mm256_maskload_pd(from, lanes), _mm256_castsi256_pd(lanes));
}
XSOFTMAX_INLINE void store_part(float* to, std::size_t count, __m256 x)
{
    _mm256_maskstore_ps(to, first_lanes_32(count), x);
}
XSOFTMAX_INLINE void store_part(double* to, std::size_t count, __m256d x)
{
    _mm256_maskstore_pd(to, first_lanes_64(count), x);
}

XSOFTMAX_INLINE void store_past_caches(float* to, __m256 x) { _mm256_stream_ps(to, x); }
XSOFTMAX_INLINE void store_past_caches(double* to, __m256d x) { _mm256_stream_pd(to, x); }

XSOFTMAX_INLINE float first(__m256 x) { return _mm256_cvtss_f32(x); }
XSOFTMAX_INLINE double first(__m256d x) { return _mm256_cvtsd_f64(x); }

XSOFTMAX_INLINE __m256 add(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
XSOFTMAX_INLINE __m256d add(__m256d a, __m256d b) { return _mm256_add_pd(a, b); }
XSOFTMAX_INLINE __m256 larger(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
XSOFTMAX_INLINE __m256d larger(__m256d a, __m256d b) { return _mm256_max_pd(a, b); }

template <class Combine>
XSOFTMAX_INLINE float reduce(__m256 x, Combine combine)
{
    return reduce(combine(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)), combine);
}
template <class Combine>
XSOFTMAX_INLINE double reduce(__m256d x, Combine combine)
{
    return reduce(combine(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1)), combine);
}

template <class Combine>
XSOFTMAX_INLINE __m256 reduce_across(const __m256* row, Combine combine)
{
    const auto halves = [&](__m256 a, __m256 b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    };
    const auto pairs = [&](__m256 a, __m256 b) XSOFTMAX_INLINE_LAMBDA {
        const __m256d u = _mm256_castps_pd(a), v = _mm256_castps_pd(b);
        return combine(_mm256_castpd_ps(_mm256_unpacklo_pd(u, v)), _mm256_castpd_ps(_mm256_unpackhi_pd(u, v)));
    };
    const __m256 low = pairs(halves(row[0], row[4]), halves(row[1], row[5]));
    const __m256 high = pairs(halves(row[2], row[6]), halves(row[3], row[7]));
    return combine(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xdd));
}
template <class Combine>
XSOFTMAX_INLINE __m256d reduce_across(const __m256d* row, Combine combine)
{
    const auto halves = [&](__m256d a, __m256d b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm256_permute2f128_pd(a, b, 0x20), _mm256_permute2f128_pd(a, b, 0x31));
    };
    const __m256d even = halves(row[0], row[2]), odd = halves(row[1], row[3]);
    return combine(_mm256_unpacklo_pd(even, odd), _mm256_unpackhi_pd(even, odd));
}

XSOFTMAX_INLINE unsigned bits_of(__m256 mask) { return static_cast<unsigned>(_mm256_movemask_ps(mask)); }
XSOFTMAX_INLINE unsigned bits_of(__m256d mask) { return static_cast<unsigned>(_mm256_movemask_pd(mask)); }

XSOFTMAX_INLINE void to_doubles(__m256 x, __m256d& low, __m256d& high)
{
    low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
    high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}
XSOFTMAX_INLINE __m256 to_floats(__m256d low, __m256d high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high), 1);
}

#if defined(__AVX2__)
/// xsimd 8.1 has no swizzle at run time, and 14.3 takes 17 instructions for it.
XSOFTMAX_INLINE __m256 look_up(const float (&table)[8], __m256 index)
{
    return _mm256_permutevar8x32_ps(_mm256_load_ps(table), _mm256_castps_si256(index));
}
/// As floats 2k and 2k + 1 of eight.
XSOFTMAX_INLINE __m256d look_up(const double (&table)[4], __m256d index)
{
    const __m256i low = _mm256_shuffle_epi32(_mm256_castpd_si256(index), 0xA0);
    const __m256i halves = _mm256_add_epi32(_mm256_add_epi32(low, low), _mm256_set1_epi64x(1LL << 32));
    return _mm256_castsi256_pd(
        _mm256_permutevar8x32_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(table)), halves));
}

XSOFTMAX_INLINE void are_zero(const unsigned char* bytes, __m256& result)
{
    const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
    result = _mm256_castsi256_ps(_mm256_cmpeq_epi32(x, _mm256_setzero_si256()));
}
#endif

}  // namespace native
}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels
