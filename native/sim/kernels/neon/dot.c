/* The products of a convolution in Advanced SIMD: register tiles of 4 pixels x 16 channels, weights [k][16]. */
#include <arm_neon.h>

#include "entries.h"

#define MULTIPLY(p, lane)                                                   \
    sum[p][0] = vmlal_lane_s16(sum[p][0], vget_low_s16(low), in[p], lane);  \
    sum[p][1] = vmlal_high_lane_s16(sum[p][1], low, in[p], lane);           \
    sum[p][2] = vmlal_lane_s16(sum[p][2], vget_low_s16(high), in[p], lane); \
    sum[p][3] = vmlal_high_lane_s16(sum[p][3], high, in[p], lane);
#define ALL_PIXELS(lane)                                                                         \
    {                                                                                            \
        const int16x8_t low = vld1q_s16(w + 16 * (lane)), high = vld1q_s16(w + 16 * (lane) + 8); \
        MULTIPLY(0, lane) MULTIPLY(1, lane) MULTIPLY(2, lane) MULTIPLY(3, lane)                  \
    }

/* Pixels past the last are computed like it and not stored. */
static inline void word_tile(const int16_t *const *x, int32_t pixels, const int16_t *w, const int32_t *offset,
                             int32_t runs, int32_t length, int32_t *y)
{
    const int16_t *p0 = x[0], *p1 = x[1], *p2 = x[2], *p3 = x[3];
    int32x4_t sum[TILE_PIXELS][4];
    for (int p = 0; p < TILE_PIXELS; p++) {
        sum[p][0] = sum[p][1] = sum[p][2] = sum[p][3] = vdupq_n_s32(0);
    }
    for (int32_t r = 0; r < runs; r++) {
        const int16_t *x0 = p0 + offset[r], *x1 = p1 + offset[r], *x2 = p2 + offset[r], *x3 = p3 + offset[r];
        for (int32_t k = 0; k < length; k += STEP, w += 16 * STEP) {
            const int16x4_t in[TILE_PIXELS] = {vld1_s16(x0 + k), vld1_s16(x1 + k), vld1_s16(x2 + k), vld1_s16(x3 + k)};
            ALL_PIXELS(0) ALL_PIXELS(1) ALL_PIXELS(2) ALL_PIXELS(3)
        }
    }
    for (int32_t p = 0; p < pixels; p++) {
        for (int i = 0; i < 4; i++) {
            vst1q_s32(y + p * TILE_CHANNELS + 4 * i, sum[p][i]);
        }
    }
}

void sim_neon_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                        int32_t runs, int32_t length, int32_t *y)
{
    for (int32_t first = 0; first < pixels; first += TILE_PIXELS) {
        const int32_t left = pixels - first, now = left < TILE_PIXELS ? left : TILE_PIXELS;
        const int16_t *four[TILE_PIXELS];
        for (int32_t p = 0; p < TILE_PIXELS; p++) {
            four[p] = x + (first + (p < now ? p : now - 1)) * step;
        }
        word_tile(four, now, w, offset, runs, length, y + (int64_t)first * TILE_CHANNELS);
    }
}

void sim_neon_dot_f32(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                      float *y)
{
    const float *in[TILE_PIXELS] = {x[0], x[1], x[2], x[3]}, *w = weights;
    float32x4_t sum[TILE_PIXELS][4];
    for (int p = 0; p < TILE_PIXELS; p++) {
        sum[p][0] = sum[p][1] = sum[p][2] = sum[p][3] = vdupq_n_f32(0.0f);
    }
    for (int32_t r = 0; r < runs; r++) {
        for (int32_t k = offset[r]; k < offset[r] + length; k++, w += 16) {
            const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4), w2 = vld1q_f32(w + 8), w3 = vld1q_f32(w + 12);
            for (int p = 0; p < TILE_PIXELS; p++) {
                const float32x4_t value = vdupq_n_f32(in[p][k]);
                sum[p][0] = vaddq_f32(sum[p][0], vmulq_f32(value, w0));
                sum[p][1] = vaddq_f32(sum[p][1], vmulq_f32(value, w1));
                sum[p][2] = vaddq_f32(sum[p][2], vmulq_f32(value, w2));
                sum[p][3] = vaddq_f32(sum[p][3], vmulq_f32(value, w3));
            }
        }
    }
    for (int p = 0; p < TILE_PIXELS; p++) {
        for (int i = 0; i < 4; i++) {
            vst1q_f32(y + p * TILE_CHANNELS + 4 * i, sum[p][i]);
        }
    }
}
