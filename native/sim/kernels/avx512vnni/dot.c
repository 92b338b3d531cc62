/* The products of bytes in AVX-512 VNNI: register tiles of at most 14 pixels x 32 channels. */
#include <immintrin.h>
#include <string.h>

#include "dot.h"

/* An index is 0, 1 or 2 steps from one of five pointers, so that few registers address all pixels. */
enum { POINTERS = (BYTE_PIXELS + 2) / 3 };

/* One step is 4 bytes of each pixel: u8 x s8 into 32 bits, which never saturates (vpdpbusd, not vpdpbusds). 28 sums, two
 * vectors of weights and two of inputs are all 32 registers. */
static inline __attribute__((always_inline)) void tile(int pixels, const uint8_t *x, int64_t step, const int8_t *w,
                                                       const int32_t *offset, int32_t runs, int32_t length,
                                                       const int32_t *start, int32_t *y)
{
    __m512i sum[BYTE_PIXELS][2];
#pragma GCC unroll 14
    for (int p = 0; p < pixels; p++) {
        sum[p][0] = _mm512_load_si512(start);
        sum[p][1] = _mm512_load_si512(start + 16);
    }
    for (int32_t r = 0; r < runs; r++) {
        const uint8_t *at[POINTERS];
#pragma GCC unroll 5
        for (int i = 0; i < POINTERS; i++) {
            at[i] = x + offset[r] + 3 * i * step;
            __asm__("" : "+r"(at[i])); /* not as sums of the first */
        }
        const int8_t *end = w + (int64_t)length * BYTE_CHANNELS;
        do {
            const __m512i low = _mm512_load_si512(w), high = _mm512_load_si512(w + 64);
#pragma GCC unroll 14
            for (int p = 0; p < pixels; p++) {
                int32_t four;
                memcpy(&four, at[p / 3] + p % 3 * step, sizeof four);
                const __m512i all = _mm512_set1_epi32(four);
                sum[p][0] = _mm512_dpbusd_epi32(sum[p][0], all, low);
                sum[p][1] = _mm512_dpbusd_epi32(sum[p][1], all, high);
            }
#pragma GCC unroll 5
            for (int i = 0; i < POINTERS; i++) {
                at[i] += 4;
            }
            w += 4 * BYTE_CHANNELS;
        } while (w != end);
    }
#pragma GCC unroll 14
    for (int p = 0; p < pixels; p++) {
        _mm512_store_si512(y + p * BYTE_CHANNELS, sum[p][0]);
        _mm512_store_si512(y + p * BYTE_CHANNELS + 16, sum[p][1]);
    }
}

/* Tiles of nearly one size: a narrow last one would wait for its sums. */
void sim_avx512vnni_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                              int32_t runs, int32_t length, const int32_t *start, int32_t *y)
{
    for (int32_t tiles = (pixels + BYTE_PIXELS - 1) / BYTE_PIXELS; tiles > 0; tiles--) {
        const int32_t now = (pixels + tiles - 1) / tiles;
#define TILE(n) \
    case n: tile(n, x, step, w, offset, runs, length, start, y); break
        switch (now) {
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
            TILE(5);
            TILE(6);
            TILE(7);
            TILE(8);
            TILE(9);
            TILE(10);
            TILE(11);
            TILE(12);
            TILE(13);
        default: tile(14, x, step, w, offset, runs, length, start, y); break;
        }
#undef TILE
        pixels -= now;
        x += now * step;
        y += now * BYTE_CHANNELS;
    }
}
