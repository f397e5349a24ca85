#pragma once

/// Registers of AVX-512 (F, CD, DQ, BW, VL: what every processor has that xsimd takes for it).

#include "../compiler.hpp"
#include "avx.hpp"

#include <immintrin.h>

#include <cstddef>

// g++ 12 takes the undefined operand of its own AVX-512 intrinsics for a mistake of their users (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace xsoftmax::kernels {
inline namespace XSOFTMAX_TARGET {
namespace native {

/// xsimd 8.1 has none.
XSOFTMAX_INLINE __m512 multiply_add(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
XSOFTMAX_INLINE __m512d multiply_add(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }

XSOFTMAX_INLINE __m512 at_least(__m512 x, __m512 bound) { return _mm512_max_ps(bound, x); }
XSOFTMAX_INLINE __m512d at_least(__m512d x, __m512d bound) { return _mm512_max_pd(bound, x); }

XSOFTMAX_INLINE __m512 load_part(const float* from, std::size_t count, __m512 fill)
{
    return _mm512_mask_loadu_ps(fill, static_cast<__mmask16>((1u << count) - 1), from);
}
XSOFTMAX_INLINE __m512d load_part(const double* from, std::size_t count, __m512d fill)
{
    return _mm512_mask_loadu_pd(fill, static_cast<__mmask8>((1u << count) - 1), from);
}
XSOFTMAX_INLINE void store_part(float* to, std::size_t count, __m512 x)
{
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), x);
}
XSOFTMAX_INLINE void store_part(double* to, std::size_t count, __m512d x)
{
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1), x);
}

XSOFTMAX_INLINE void store_past_caches(float* to, __m512 x) { _mm512_stream_ps(to, x); }
XSOFTMAX_INLINE void store_past_caches(double* to, __m512d x) { _mm512_stream_pd(to, x); }

XSOFTMAX_INLINE float first(__m512 x) { return _mm512_cvtss_f32(x); }
XSOFTMAX_INLINE double first(__m512d x) { return _mm512_cvtsd_f64(x); }

XSOFTMAX_INLINE __m512 add(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
XSOFTMAX_INLINE __m512d add(__m512d a, __m512d b) { return _mm512_add_pd(a, b); }
XSOFTMAX_INLINE __m512 larger(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
XSOFTMAX_INLINE __m512d larger(__m512d a, __m512d b) { return _mm512_max_pd(a, b); }

template <class Combine>
XSOFTMAX_INLINE float reduce(__m512 x, Combine combine)
{
    const __m256d upper = _mm512_extractf64x4_pd(_mm512_castps_pd(x), 1);
    return reduce(combine(_mm512_castps512_ps256(x), _mm256_castpd_ps(upper)), combine);
}
template <class Combine>
XSOFTMAX_INLINE double reduce(__m512d x, Combine combine)
{
    return reduce(combine(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1)), combine);
}

template <class Combine>
XSOFTMAX_INLINE __m512 reduce_across(const __m512* row, Combine combine)
{
    const auto halves = [&](__m512 a, __m512 b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    };
    const auto quarters = [&](__m512 a, __m512 b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    };
    const auto pairs = [&](__m512 a, __m512 b) XSOFTMAX_INLINE_LAMBDA {
        const __m512d u = _mm512_castps_pd(a), v = _mm512_castps_pd(b);
        return combine(_mm512_castpd_ps(_mm512_unpacklo_pd(u, v)), _mm512_castpd_ps(_mm512_unpackhi_pd(u, v)));
    };
    __m512 four[4];
    XSOFTMAX_UNROLL
    for (std::size_t k = 0; k < 4; ++k) four[k] = quarters(halves(row[k], row[k + 4]), halves(row[k + 8], row[k + 12]));
    const __m512 low = pairs(four[0], four[1]), high = pairs(four[2], four[3]);
    return combine(_mm512_shuffle_ps(low, high, 0x88), _mm512_shuffle_ps(low, high, 0xdd));
}
template <class Combine>
XSOFTMAX_INLINE __m512d reduce_across(const __m512d* row, Combine combine)
{
    const auto halves = [&](__m512d a, __m512d b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm512_shuffle_f64x2(a, b, 0x44), _mm512_shuffle_f64x2(a, b, 0xee));
    };
    const auto quarters = [&](__m512d a, __m512d b) XSOFTMAX_INLINE_LAMBDA {
        return combine(_mm512_shuffle_f64x2(a, b, 0x88), _mm512_shuffle_f64x2(a, b, 0xdd));
    };
    const __m512d even = quarters(halves(row[0], row[2]), halves(row[4], row[6]));
    const __m512d odd = quarters(halves(row[1], row[3]), halves(row[5], row[7]));
    return combine(_mm512_unpacklo_pd(even, odd), _mm512_unpackhi_pd(even, odd));
}

XSOFTMAX_INLINE unsigned bits_of(__mmask16 mask) { return mask; }
XSOFTMAX_INLINE unsigned bits_of(__mmask8 mask) { return mask; }

XSOFTMAX_INLINE void to_doubles(__m512 x, __m512d& low, __m512d& high)
{
    low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
}
XSOFTMAX_INLINE __m512 to_floats(__m512d low, __m512d high)
{
    const __m512d lower = _mm512_castps_pd(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)));
    return _mm512_castpd_ps(_mm512_insertf64x4(lower, _mm256_castps_pd(_mm512_cvtpd_ps(high)), 1));
}

XSOFTMAX_INLINE __m512 look_up(const float (&table)[16], __m512 index)
{
    return _mm512_permutexvar_ps(_mm512_castps_si512(index), _mm512_load_ps(table));
}
XSOFTMAX_INLINE __m512d look_up(const double (&table)[16], __m512d index)
{
    return _mm512_permutex2var_pd(_mm512_load_pd(table), _mm512_castpd_si512(index), _mm512_load_pd(table + 8));
}

#if defined(__AVX512VL__) && defined(__AVX512BW__)
XSOFTMAX_INLINE void are_zero(const unsigned char* bytes, __mmask16& result)
{
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    result = _mm_testn_epi8_mask(x, x);
}
XSOFTMAX_INLINE void are_zero(const unsigned char* bytes, __mmask8& result)
{
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    result = static_cast<__mmask8>(_mm_testn_epi8_mask(x, x));
}
#endif

}  // namespace native
}  // namespace XSOFTMAX_TARGET
}  // namespace xsoftmax::kernels

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
