/* Sixteen float32 values in AVX-512 (F, BW, DQ, VL), as spans.inc wants them. */
#ifndef SIM_KERNELS_AVX512_VECTOR_H
#define SIM_KERNELS_AVX512_VECTOR_H

#include <immintrin.h>

#include "half.h"
#include "kernels.h"

typedef __m512 vec;

/* One vector alone leaves the processor waiting for each result of a function: TOGETHER of them take every step. */
enum { WIDTH = 16, TOGETHER = 4 };

/* Vectors of half the width: a processor with AVX-512 has AVX2. */
extern const sim_kernels SIM_KERNELS_AVX2;
#define HALF_AS_WIDE SIM_KERNELS_AVX2

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

/* Four packed vectors of bytes, as the packs of 128-bit lanes leave them: those of each at out + i * step. */
static inline void vec_store_bytes_apart(__m512i packed, uint8_t *out, size_t step)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i all = _mm512_permutexvar_epi32(order, packed);
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_castsi512_si128(all));
    _mm_storeu_si128((__m128i *)(void *)(out + step), _mm512_extracti32x4_epi32(all, 1));
    _mm_storeu_si128((__m128i *)(void *)(out + 2 * step), _mm512_extracti32x4_epi32(all, 2));
    _mm_storeu_si128((__m128i *)(void *)(out + 3 * step), _mm512_extracti32x4_epi32(all, 3));
}

/* The 32-bit words of a table at the halves of v, `size` bytes each. */
#define VEC_GATHERED(table, v, size) \
    _mm512_i32gather_epi32(_mm512_cvtepu16_epi32(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)), table, size)

static inline void vec_look_up_codes(const uint8_t *table, const vec *v, uint8_t *out, size_t step)
{
    __m512i q[4];
    for (int i = 0; i < 4; i++) {
        q[i] = _mm512_and_si512(VEC_GATHERED(table, v[i], 1), _mm512_set1_epi32(0xff));
    }
    vec_store_bytes_apart(_mm512_packus_epi16(_mm512_packus_epi32(q[0], q[1]), _mm512_packus_epi32(q[2], q[3])), out,
                          step);
}

/* By steps (sim_codes): the part of the table that a layer uses stays in the first cache. */
#define VEC_STEPS

static inline void vec_look_up_steps(const uint16_t *steps, const vec *v, uint8_t *out, size_t step)
{
    const __m512i even =
        _mm512_setr_epi32(0x20000, 0x60004, 0xa0008, 0xe000c, 0x120010, 0x160014, 0x1a0018, 0x1e001c, 0x220020,
                          0x260024, 0x2a0028, 0x2e002c, 0x320030, 0x360034, 0x3a0038, 0x3e003c);
    for (int i = 0; i < 4; i += 2, out += 2 * step) {
        const __m256i first = _mm512_cvtps_ph(v[i], _MM_FROUND_TO_NEAREST_INT),
                      second = _mm512_cvtps_ph(v[i + 1], _MM_FROUND_TO_NEAREST_INT);
        const __m512i a = _mm512_i32gather_epi32(_mm512_cvtepu16_epi32(_mm256_srli_epi16(first, 3)), steps, 2),
                      b = _mm512_i32gather_epi32(_mm512_cvtepu16_epi32(_mm256_srli_epi16(second, 3)), steps, 2);
        const __m512i s = _mm512_permutex2var_epi16(a, even, b);
        const __m512i place = _mm512_ternarylogic_epi32(_mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1),
                                                        _mm512_srai_epi16(s, 15), _mm512_set1_epi16(7), 0x28);
        const __m256i codes = _mm512_cvtepi16_epi8(
            _mm512_srli_epi16(_mm512_add_epi16(_mm512_and_si512(s, _mm512_set1_epi16(0x7fff)), place), 3));
        _mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(codes));
        _mm_storeu_si128((__m128i *)(void *)(out + step), _mm256_extracti128_si256(codes, 1));
    }
}

static inline void vec_look_up_halves(const uint16_t *table, const vec *v, char *out, size_t step)
{
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(out + (size_t)i * step),
                            _mm512_cvtepi32_epi16(VEC_GATHERED(table, v[i], 2)));
    }
}

static inline void vec_look_up(const uint16_t *table, vec *v)
{
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(VEC_GATHERED(table, v[i], 2)));
    }
}

/* To each of v[0..3], at out + i * step: clamp(rint(v * scale)) + zero. A NaN becomes the most negative integer, which is
 * below the least code. */
static inline void vec_store_codes(const vec *v, float scale, uint8_t zero, uint8_t *out, size_t step)
{
    const __m512 factor = _mm512_set1_ps(scale), most = _mm512_set1_ps(SIM_BYTE_MAX);
    __m512i q[4];
    for (int i = 0; i < 4; i++) { /* the minimum gives its second operand if that is a NaN */
        q[i] = _mm512_cvtps_epi32(_mm512_min_ps(most, _mm512_mul_ps(v[i], factor)));
    }
    const __m512i packed = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
    const __m512i codes =
        _mm512_add_epi8(_mm512_max_epi8(packed, _mm512_set1_epi8(-SIM_BYTE_MAX)), _mm512_set1_epi8((char)zero));
    vec_store_bytes_apart(codes, out, step);
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
