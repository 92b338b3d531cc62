/* The products of a convolution in AVX-512 BW. One step is 4 bytes of each pixel: a pair of int16 inputs, or one float32. */
#include "dot.h"

#include <immintrin.h>
#include <string.h>

#include "entries.h"

/* ---- register tiles of 12 pixels x 32 channels ---- */

typedef enum kind { PAIRS, SINGLES } kind;

static inline __attribute__((always_inline)) __m512i add_products(kind k, __m512i sum, __m512i x, __m512i w)
{
    if (k == PAIRS) {
        return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
    }
    const __m512 product = _mm512_mul_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w));
    return _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(sum), product));
}

static inline __attribute__((always_inline)) void tile(kind k, const void *const *x, const char *w,
                                                       const int32_t *offset, int32_t runs, int64_t bytes, float *y)
{
    const int64_t element = k == PAIRS ? 2 : 4;
    __m512i sum[TILE_PIXELS][2];
#pragma GCC unroll 12
    for (int p = 0; p < TILE_PIXELS; p++) {
        sum[p][0] = sum[p][1] = _mm512_setzero_si512();
    }
    for (int32_t r = 0; r < runs; r++) {
        for (int64_t at = offset[r] * element, end = at + bytes; at < end; at += 4, w += 4 * TILE_CHANNELS) {
            const __m512i low = _mm512_load_si512(w), high = _mm512_load_si512(w + 64);
#pragma GCC unroll 12
            for (int p = 0; p < TILE_PIXELS; p++) {
                int32_t four;
                memcpy(&four, (const char *)x[p] + at, sizeof four);
                const __m512i all = _mm512_set1_epi32(four);
                sum[p][0] = add_products(k, sum[p][0], all, low);
                sum[p][1] = add_products(k, sum[p][1], all, high);
                __asm__ volatile("" : "+v"(sum[p][0]), "+v"(sum[p][1])); /* gcc would keep products, and spill sums */
            }
        }
    }
#pragma GCC unroll 12
    for (int p = 0; p < TILE_PIXELS; p++, y += TILE_CHANNELS) {
        _mm512_store_ps(y, k == PAIRS ? _mm512_cvtepi32_ps(sum[p][0]) : _mm512_castsi512_ps(sum[p][0]));
        _mm512_store_ps(y + 16, k == PAIRS ? _mm512_cvtepi32_ps(sum[p][1]) : _mm512_castsi512_ps(sum[p][1]));
    }
}

void sim_avx512_dot_s8(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                       float *y)
{
    tile(PAIRS, x, w, offset, runs, 2 * (int64_t)length, y);
}

void sim_avx512_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                        float *y)
{
    tile(SINGLES, x, w, offset, runs, 4 * (int64_t)length, y);
}

/* ---- words over a stretch of pixels ---- */

/* 26 sums, two vectors of weights, one of inputs and one of products leave two registers. */
#define NAME add_words
#define ELEMENT int16_t
#define VECTOR __m512i
#define LANES 16
#define PIXELS 13
#define VECTORS 2
#define LOAD(at) _mm512_load_si512(at)
#define STORE(at, v) _mm512_store_si512(at, v)
#define BROADCAST(four) _mm512_set1_epi32(four)
#define ADD_PRODUCTS(sum, x, w) _mm512_add_epi32(sum, _mm512_madd_epi16(x, w))
#include "products.inc"

void sim_avx512_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                          int32_t runs, int32_t length, int32_t *y)
{
    static const _Alignas(64) int32_t NOTHING[TILE_CHANNELS];
    add_words(x, step, pixels, w, offset, runs, length, NOTHING, y);
}
