/* The products of a convolution in AVX-512 BW. One step is 4 bytes of each pixel: a pair of int16 inputs, or one float32. */
#include "dot.h"

#include <immintrin.h>
#include <string.h>

#include "entries.h"

/* ---- float32: register tiles of 12 pixels x 32 channels ---- */

void sim_avx512_dot_f32(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                        float *y)
{
    __m512 sum[TILE_PIXELS][2];
    const float *w = weights;
#pragma GCC unroll 12
    for (int p = 0; p < TILE_PIXELS; p++) {
        sum[p][0] = sum[p][1] = _mm512_setzero_ps();
    }
    for (int32_t r = 0; r < runs; r++) {
        for (int64_t at = offset[r], end = at + length; at < end; at++, w += TILE_CHANNELS) {
            const __m512 low = _mm512_load_ps(w), high = _mm512_load_ps(w + 16);
#pragma GCC unroll 12
            for (int p = 0; p < TILE_PIXELS; p++) {
                const __m512 all = _mm512_set1_ps(((const float *)x[p])[at]);
                sum[p][0] = _mm512_add_ps(sum[p][0], _mm512_mul_ps(all, low));
                sum[p][1] = _mm512_add_ps(sum[p][1], _mm512_mul_ps(all, high));
                __asm__ volatile("" : "+v"(sum[p][0]), "+v"(sum[p][1])); /* gcc would keep products, and spill sums */
            }
        }
    }
#pragma GCC unroll 12
    for (int p = 0; p < TILE_PIXELS; p++, y += TILE_CHANNELS) {
        _mm512_store_ps(y, sum[p][0]);
        _mm512_store_ps(y + 16, sum[p][1]);
    }
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
