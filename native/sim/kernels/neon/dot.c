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

void sim_neon_dot_s8(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                     float *y)
{
    const int16_t *p0 = x[0], *p1 = x[1], *p2 = x[2], *p3 = x[3], *w = weights;
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
    for (int p = 0; p < TILE_PIXELS; p++) {
        for (int i = 0; i < 4; i++) {
            vst1q_f32(y + p * TILE_CHANNELS + 4 * i, vcvtq_f32_s32(sum[p][i]));
        }
    }
}

void sim_neon_dot_s16(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                      float *y)
{
    for (int p = 0; p < TILE_PIXELS; p++) {
        const int16_t *in = x[p], *w = weights;
        int64x2_t sum[8];
        for (int i = 0; i < 8; i++) {
            sum[i] = vdupq_n_s64(0);
        }
        for (int32_t r = 0; r < runs; r++) {
            for (int32_t k = 0; k < length; k++, w += 16) {
                const int16x4_t value = vdup_n_s16(in[offset[r] + k]);
                for (int i = 0; i < 4; i++) {
                    const int32x4_t product = vmull_s16(value, vld1_s16(w + 4 * i));
                    sum[2 * i] = vaddw_s32(sum[2 * i], vget_low_s32(product));
                    sum[2 * i + 1] = vaddw_high_s32(sum[2 * i + 1], product);
                }
            }
        }
        for (int o = 0; o < TILE_CHANNELS; o++) {
            int64_t exact[2];
            vst1q_s64(exact, sum[o / 2]);
            y[p * TILE_CHANNELS + o] = (float)exact[o & 1];
        }
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
