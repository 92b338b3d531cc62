/* Sixteen float32 values in AVX-512 (F, BW, DQ, VL), as spans.inc wants them. */
#ifndef SIM_KERNELS_AVX512_VECTOR_H
#define SIM_KERNELS_AVX512_VECTOR_H

#include <immintrin.h>

#include "half.h"
#include "kernels.h"

typedef __m512 vec;

/* One vector alone leaves the processor waiting for each result of a function: TOGETHER of them take every step. */
enum { WIDTH = 16, TOGETHER = 4 };

static inline vec vec_load(const void *x, uint32_t dtype, size_t i)
{
    return dtype == SIM_FLOAT16
               ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)x + i)))
               : _mm512_loadu_ps((const float *)x + i);
}

static inline vec vec_load_int32(const int32_t *x) /* one rounding */
{
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(x));
}

static inline __m256i vec_half(vec v) /* canonical NaN */
{
    const __m256i h = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    return _mm256_mask_mov_epi16(h, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), _mm256_set1_epi16(SIM_HALF_NAN));
}

static inline void vec_store(void *y, uint32_t dtype, size_t i, vec v)
{
    if (dtype == SIM_FLOAT16) {
        _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)y + i), vec_half(v));
    } else {
        const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        _mm512_storeu_ps((float *)y + i,
                         _mm512_mask_mov_ps(v, nan, _mm512_castsi512_ps(_mm512_set1_epi32(SIM_FLOAT_NAN))));
    }
}

static inline void vec_store_raw(float *y, vec v) /* every bit kept */
{
    _mm512_storeu_ps(y, v);
}

static inline vec vec_rounded(vec v, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)) : v;
}

static inline void vec_store_int16(int16_t *y, vec v) /* nearest even */
{
    _mm256_storeu_si256((__m256i *)(void *)y, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
}

static inline void vec_store_two_int16(int16_t *y, vec a, vec b)
{
    vec_store_int16(y, a);
    vec_store_int16(y + WIDTH, b);
}

static inline void vec_store_bytes(uint8_t *y, vec v, uint8_t zero) /* nearest even of -127..127, plus zero */
{
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
    _mm_storeu_si128((__m128i *)(void *)y, _mm_add_epi8(bytes, _mm_set1_epi8((char)zero)));
}

/* ---- functions of a half by table; a lookup reads 32 bits, and any NaN will do ---- */

#define VEC_LOOKS_UP

static inline __m512i vec_places(vec v)
{
    return _mm512_cvtepu16_epi32(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

static inline void vec_look_up_halves(const uint16_t *table, vec v, uint16_t *out)
{
    _mm256_storeu_si256((__m256i *)(void *)out,
                        _mm512_cvtepi32_epi16(_mm512_i32gather_epi32(vec_places(v), table, sizeof *table)));
}

static inline void vec_look_up_bytes(const uint8_t *table, vec v, uint8_t *out)
{
    _mm_storeu_si128((__m128i *)(void *)out,
                     _mm512_cvtepi32_epi8(_mm512_i32gather_epi32(vec_places(v), table, sizeof *table)));
}

static inline vec vec_all(float value)
{
    return _mm512_set1_ps(value);
}

static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

static inline vec vec_greater(vec a, vec b) /* a > b ? a : b */
{
    return _mm512_max_ps(a, b);
}

static inline vec vec_less(vec a, vec b) /* a < b ? a : b */
{
    return _mm512_min_ps(a, b);
}

static inline vec vec_if_positive(vec x, vec a, vec b) /* x > 0 ? a : b */
{
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), a);
}

static inline vec vec_negative(vec v)
{
    return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f));
}

static inline vec vec_nearest(vec v) /* even */
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vec vec_scaled(vec v, vec n) /* v * 2^n for whole n, by adding to the exponent */
{
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23)));
}

#endif
