/* The products of bytes in AVX-512 VNNI: register tiles of 8 pixels x 32 channels. */
#include <immintrin.h>
#include <string.h>

#include "dot.h"

/* One step is 4 bytes of each pixel: u8 x s8 into 32 bits, which never saturates (vpdpbusd, not vpdpbusds). */
static inline __attribute__((always_inline)) void tile(int pixels, const uint8_t *x, int64_t step, const int8_t *w,
                                                       const int32_t *offset, int32_t runs, int32_t length,
                                                       const int32_t *start, int32_t *y)
{
    __m512i sum[BYTE_PIXELS][2];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++) {
        sum[p][0] = _mm512_loadu_si512(start);
        sum[p][1] = _mm512_loadu_si512(start + 16);
    }
    for (int32_t r = 0; r < runs; r++) {
        const uint8_t *at = x + offset[r];
        for (int32_t k = 0; k < length; k += 4, w += 4 * BYTE_CHANNELS) {
            const __m512i low = _mm512_load_si512(w), high = _mm512_load_si512(w + 64);
#pragma GCC unroll 8
            for (int p = 0; p < pixels; p++) {
                int32_t four;
                memcpy(&four, at + p * step + k, sizeof four);
                const __m512i all = _mm512_set1_epi32(four);
                sum[p][0] = _mm512_dpbusd_epi32(sum[p][0], all, low);
                sum[p][1] = _mm512_dpbusd_epi32(sum[p][1], all, high);
            }
        }
    }
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++) {
        _mm512_store_si512(y + p * BYTE_CHANNELS, sum[p][0]);
        _mm512_store_si512(y + p * BYTE_CHANNELS + 16, sum[p][1]);
    }
}

void sim_avx512vnni_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                              int32_t runs, int32_t length, const int32_t *start, int32_t *y)
{
    for (; pixels >= BYTE_PIXELS; pixels -= BYTE_PIXELS) {
        tile(BYTE_PIXELS, x, step, w, offset, runs, length, start, y);
        x += BYTE_PIXELS * step;
        y += BYTE_PIXELS * BYTE_CHANNELS;
    }
    switch (pixels) {
    case 1: tile(1, x, step, w, offset, runs, length, start, y); break;
    case 2: tile(2, x, step, w, offset, runs, length, start, y); break;
    case 3: tile(3, x, step, w, offset, runs, length, start, y); break;
    case 4: tile(4, x, step, w, offset, runs, length, start, y); break;
    case 5: tile(5, x, step, w, offset, runs, length, start, y); break;
    case 6: tile(6, x, step, w, offset, runs, length, start, y); break;
    case 7: tile(7, x, step, w, offset, runs, length, start, y); break;
    default: break;
    }
}
