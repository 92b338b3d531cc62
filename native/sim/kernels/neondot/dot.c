/* The products of bytes in the dot product extension of ARMv8.2: register tiles of 6 pixels x 16 channels, signed bytes.
 *
 * 24 accumulators, 6 vectors of inputs and one or two of weights are all 32 registers. */
#include <arm_neon.h>

#include "dot.h"

#define STEP_OF(lane)                                                     \
    for (int i = 0; i < 4; i++, w += 16) {                                \
        const int8x16_t weights = vld1q_s8(w);                            \
        for (int p = 0; p < pixels; p++) {                                \
            sum[p][i] = vdotq_laneq_s32(sum[p][i], weights, in[p], lane); \
        }                                                                 \
    }

static inline __attribute__((always_inline)) void tile(int pixels, const int8_t *x, int64_t step, const int8_t *w,
                                                       const int32_t *offset, int32_t runs, int32_t length,
                                                       const int32_t *start, int32_t *y)
{
    int32x4_t sum[BYTE_PIXELS][4];
    int8x16_t in[BYTE_PIXELS];
    for (int p = 0; p < pixels; p++) {
        for (int i = 0; i < 4; i++) {
            sum[p][i] = vld1q_s32(start + 4 * i);
        }
    }
    for (int32_t r = 0; r < runs; r++) {
        const int8_t *at = x + offset[r];
        int32_t k = 0;
        for (; k + 4 * BYTE_STEP <= length; k += 4 * BYTE_STEP, at += 4 * BYTE_STEP) {
            for (int p = 0; p < pixels; p++) {
                in[p] = vld1q_s8(at + p * step);
            }
            STEP_OF(0) STEP_OF(1) STEP_OF(2) STEP_OF(3)
        }
        for (; k < length; k += BYTE_STEP, at += BYTE_STEP) {
            for (int p = 0; p < pixels; p++) {
                in[p] = vld1q_s8(at + p * step);
            }
            STEP_OF(0)
        }
    }
    for (int p = 0; p < pixels; p++) {
        for (int i = 0; i < 4; i++) {
            vst1q_s32(y + p * BYTE_CHANNELS + 4 * i, sum[p][i]);
        }
    }
}

void sim_neondot_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                           int32_t runs, int32_t length, const int32_t *start, int32_t *y)
{
    const int8_t *in = (const int8_t *)x;
    for (; pixels >= BYTE_PIXELS; pixels -= BYTE_PIXELS) {
        tile(BYTE_PIXELS, in, step, w, offset, runs, length, start, y);
        in += BYTE_PIXELS * step;
        y += BYTE_PIXELS * BYTE_CHANNELS;
    }
    switch (pixels) {
    case 1: tile(1, in, step, w, offset, runs, length, start, y); break;
    case 2: tile(2, in, step, w, offset, runs, length, start, y); break;
    case 3: tile(3, in, step, w, offset, runs, length, start, y); break;
    case 4: tile(4, in, step, w, offset, runs, length, start, y); break;
    case 5: tile(5, in, step, w, offset, runs, length, start, y); break;
    default: break;
    }
}
