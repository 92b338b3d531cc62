/* The products of bytes in the matrix extension (FEAT_I8MM): register tiles of 6 pixels x 16 channels, signed bytes.
 *
 * One instruction multiplies 8 inputs of two pixels with those of two channels: 24 accumulators of 2 x 2 sums, 3 vectors
 * of inputs, and the weights one after the other. */
#include <arm_neon.h>

#include "dot.h"

enum { PAIRS = BYTE_PIXELS / 2, COLUMNS = BYTE_CHANNELS / 2 };

/* The row of `sums` (0 or 1) of two accumulators, beside each other. */
static inline int32x4_t row_of(int row, int32x4_t left, int32x4_t right)
{
    return row == 0 ? vcombine_s32(vget_low_s32(left), vget_low_s32(right))
                    : vcombine_s32(vget_high_s32(left), vget_high_s32(right));
}

/* second: bytes from the first pixel of the last pair to its second; 0 where there is none. */
static inline __attribute__((always_inline)) void tile(int pairs, const int8_t *x, int64_t step, int64_t second,
                                                       const int8_t *w, const int32_t *offset, int32_t runs,
                                                       int32_t length, const int32_t *start, int32_t *y)
{
    int32x4_t sum[PAIRS][COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        const int32x2_t both = vld1_s32(start + 2 * i);
        for (int p = 0; p < pairs; p++) {
            sum[p][i] = vcombine_s32(both, both);
        }
    }
    for (int32_t r = 0; r < runs; r++) {
        const int8_t *at = x + offset[r], *end = at + length;
        for (; at < end; at += BYTE_STEP) {
            int8x16_t in[PAIRS];
            for (int p = 0; p < pairs; p++) {
                const int8_t *pixel = at + 2 * p * step;
                in[p] = vcombine_s8(vld1_s8(pixel), vld1_s8(pixel + (p + 1 == pairs ? second : step)));
            }
            for (int i = 0; i < COLUMNS; i++, w += 2 * BYTE_STEP) {
                const int8x16_t weights = vld1q_s8(w);
                for (int p = 0; p < pairs; p++) {
                    sum[p][i] = vmmlaq_s32(sum[p][i], in[p], weights);
                }
            }
        }
    }
    for (int p = 0; p < 2 * pairs; p++) {
        for (int i = 0; i < COLUMNS; i += 2) {
            vst1q_s32(y + p * BYTE_CHANNELS + 2 * i, row_of(p % 2, sum[p / 2][i], sum[p / 2][i + 1]));
        }
    }
}

void sim_i8mm_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                        int32_t runs, int32_t length, const int32_t *start, int32_t *y)
{
    const int8_t *in = (const int8_t *)x;
    for (; pixels >= BYTE_PIXELS; pixels -= BYTE_PIXELS) {
        tile(PAIRS, in, step, step, w, offset, runs, length, start, y);
        in += BYTE_PIXELS * step;
        y += BYTE_PIXELS * BYTE_CHANNELS;
    }
    const int64_t second = pixels % 2 == 0 ? step : 0;
    switch ((pixels + 1) / 2) {
    case 1: tile(1, in, step, second, w, offset, runs, length, start, y); break;
    case 2: tile(2, in, step, second, w, offset, runs, length, start, y); break;
    case 3: tile(3, in, step, second, w, offset, runs, length, start, y); break;
    default: break;
    }
}
