/* Eight float32 values in AVX2 + F16C, as spans.inc wants them. */
#ifndef SIM_KERNELS_AVX2_VECTOR_H
#define SIM_KERNELS_AVX2_VECTOR_H

#include <immintrin.h>

#include "half.h"
#include "kernels.h"

typedef __m256 vec;

/* One vector alone leaves the processor waiting for each result of a function: TOGETHER of them take every step. */
enum { WIDTH = 8, TOGETHER = 4 };

static inline vec vec_load(const void *x, uint32_t dtype, size_t i)
{
    return dtype == SIM_FLOAT16
               ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)x + i)))
               : _mm256_loadu_ps((const float *)x + i);
}

static inline vec vec_load_int32(const int32_t *x) /* one rounding */
{
    return _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)x));
}

static inline __m128i vec_half(vec v) /* canonical NaN: any magnitude above infinity's becomes 0x7e00 */
{
    const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    const __m128i nan = _mm_cmpgt_epi16(_mm_and_si128(h, _mm_set1_epi16(0x7fff)), _mm_set1_epi16(0x7c00));
    return _mm_blendv_epi8(h, _mm_set1_epi16(SIM_HALF_NAN), nan);
}

static inline void vec_store(void *y, uint32_t dtype, size_t i, vec v)
{
    if (dtype == SIM_FLOAT16) {
        _mm_storeu_si128((__m128i *)(void *)((uint16_t *)y + i), vec_half(v));
    } else {
        const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
        _mm256_storeu_ps((float *)y + i,
                         _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(SIM_FLOAT_NAN)), nan));
    }
}

static inline void vec_store_raw(float *y, vec v) /* every bit kept */
{
    _mm256_storeu_ps(y, v);
}

static inline vec vec_rounded(vec v, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)) : v;
}

static inline void vec_store_int16(int16_t *y, vec v) /* nearest even */
{
    const __m256i i = _mm256_cvtps_epi32(v);
    _mm_storeu_si128((__m128i *)(void *)y, _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
}

static inline void vec_store_two_int16(int16_t *y, vec a, vec b)
{
    const __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    _mm256_storeu_si256((__m256i *)(void *)y, _mm256_permute4x64_epi64(packed, 0xd8));
}

/* To each of v[0..3], at out + i * step: clamp(rint(v * scale)) + zero. A NaN becomes the most negative integer, which is
 * below the least code. */
static inline void vec_store_codes(const vec *v, float scale, uint8_t zero, uint8_t *out, size_t step)
{
    const __m256 factor = _mm256_set1_ps(scale), most = _mm256_set1_ps(SIM_BYTE_MAX);
    __m256i q[4];
    for (int i = 0; i < 4; i++) { /* the minimum gives its second operand if that is a NaN */
        q[i] = _mm256_cvtps_epi32(_mm256_min_ps(most, _mm256_mul_ps(v[i], factor)));
    }
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i codes =
        _mm256_add_epi8(_mm256_max_epi8(packed, _mm256_set1_epi8(-SIM_BYTE_MAX)), _mm256_set1_epi8((char)zero));
    const __m256i all = _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m128i low = _mm256_castsi256_si128(all), high = _mm256_extracti128_si256(all, 1);
    _mm_storel_epi64((__m128i *)(void *)out, low);
    _mm_storel_epi64((__m128i *)(void *)(out + step), _mm_unpackhi_epi64(low, low));
    _mm_storel_epi64((__m128i *)(void *)(out + 2 * step), high);
    _mm_storel_epi64((__m128i *)(void *)(out + 3 * step), _mm_unpackhi_epi64(high, high));
}

/* The halves of v, four each. Scalar loads from a table beat gathers on many processors. */
static inline void vec_indices(vec v, uint64_t *four)
{
    const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    four[0] = (uint64_t)_mm_cvtsi128_si64(h);
    four[1] = (uint64_t)_mm_extract_epi64(h, 1);
}

static inline void vec_look_up_codes(const uint8_t *table, const vec *v, uint8_t *out, size_t step)
{
    for (int i = 0; i < 4; i++) {
        uint64_t at[2];
        vec_indices(v[i], at);
        __m128i y = _mm_cvtsi32_si128(table[at[0] & 0xffff]);
        y = _mm_insert_epi8(y, table[at[0] >> 16 & 0xffff], 1);
        y = _mm_insert_epi8(y, table[at[0] >> 32 & 0xffff], 2);
        y = _mm_insert_epi8(y, table[at[0] >> 48], 3);
        y = _mm_insert_epi8(y, table[at[1] & 0xffff], 4);
        y = _mm_insert_epi8(y, table[at[1] >> 16 & 0xffff], 5);
        y = _mm_insert_epi8(y, table[at[1] >> 32 & 0xffff], 6);
        y = _mm_insert_epi8(y, table[at[1] >> 48], 7);
        _mm_storel_epi64((__m128i *)(void *)(out + (size_t)i * step), y);
    }
}

static inline __m128i vec_looked_up(const uint16_t *table, vec v)
{
    uint64_t at[2];
    vec_indices(v, at);
    __m128i y = _mm_cvtsi32_si128(table[at[0] & 0xffff]);
    y = _mm_insert_epi16(y, table[at[0] >> 16 & 0xffff], 1);
    y = _mm_insert_epi16(y, table[at[0] >> 32 & 0xffff], 2);
    y = _mm_insert_epi16(y, table[at[0] >> 48], 3);
    y = _mm_insert_epi16(y, table[at[1] & 0xffff], 4);
    y = _mm_insert_epi16(y, table[at[1] >> 16 & 0xffff], 5);
    y = _mm_insert_epi16(y, table[at[1] >> 32 & 0xffff], 6);
    return _mm_insert_epi16(y, table[at[1] >> 48], 7);
}

static inline void vec_look_up_halves(const uint16_t *table, const vec *v, char *out, size_t step)
{
    for (int i = 0; i < 4; i++) {
        _mm_storeu_si128((__m128i *)(void *)(out + (size_t)i * step), vec_looked_up(table, v[i]));
    }
}

static inline void vec_look_up(const uint16_t *table, vec *v)
{
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_cvtph_ps(vec_looked_up(table, v[i]));
    }
}

static inline vec vec_all(float value)
{
    return _mm256_set1_ps(value);
}

static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

static inline vec vec_greater(vec a, vec b) /* a > b ? a : b */
{
    return _mm256_max_ps(a, b);
}

static inline vec vec_less(vec a, vec b) /* a < b ? a : b */
{
    return _mm256_min_ps(a, b);
}

static inline vec vec_if_positive(vec x, vec a, vec b) /* x > 0 ? a : b */
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
}

static inline vec vec_negative(vec v)
{
    return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f));
}

static inline vec vec_nearest(vec v) /* even */
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vec vec_scaled(vec v, vec n) /* v * 2^n for whole n, by adding to the exponent */
{
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}

#endif
