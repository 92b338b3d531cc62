/* AArch64 Advanced SIMD, as every ARMv8-A has it. Multiplications and additions round separately (-ffp-contract=off). */
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "half.h"
#include "kernels.h"

enum { PIXELS = 4, CHANNELS = 16, STEP = 4 };

/* ---- loads, stores, roundings ---- */

static inline float32x4_t load4(const void *x, uint32_t dtype, size_t i)
{
    if (dtype == SIM_FLOAT16) {
        return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)x + i)));
    }
    return vld1q_f32((const float *)x + i);
}

static inline uint16x4_t half4(float32x4_t v) /* canonical NaN: any magnitude above infinity's becomes 0x7e00 */
{
    const uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(v));
    const uint16x4_t nan = vcgt_u16(vand_u16(h, vdup_n_u16(0x7fff)), vdup_n_u16(0x7c00));
    return vbsl_u16(nan, vdup_n_u16(SIM_HALF_NAN), h);
}

static inline void store4(void *y, uint32_t dtype, size_t i, float32x4_t v)
{
    if (dtype == SIM_FLOAT16) {
        vst1_u16((uint16_t *)y + i, half4(v));
    } else {
        const uint32x4_t number = vceqq_f32(v, v);
        vst1q_f32((float *)y + i, vbslq_f32(number, v, vreinterpretq_f32_u32(vdupq_n_u32(SIM_FLOAT_NAN))));
    }
}

static inline float32x4_t round4(float32x4_t v, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? vcvt_f32_f16(vcvt_f16_f32(v)) : v;
}

static inline float32x4_t greater(float32x4_t a, float32x4_t b) /* a > b ? a : b */
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline float32x4_t less(float32x4_t a, float32x4_t b) /* a < b ? a : b */
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

/* ---- activation functions ---- */

static inline float32x4_t exp4(float32x4_t x)
{
    x = less(greater(x, vdupq_n_f32(-86.0f)), vdupq_n_f32(88.0f));
    const float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(1.44269504088896341f)));
    float32x4_t r = vsubq_f32(x, vmulq_f32(n, vdupq_n_f32(0.693359375f)));
    r = vsubq_f32(r, vmulq_f32(n, vdupq_n_f32(-2.12194440e-4f)));
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(1.3981999507e-3f));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(8.3334519073e-3f));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(4.1665795894e-2f));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(1.6666665459e-1f));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(5.0000001201e-1f));
    const float32x4_t y = vaddq_f32(vaddq_f32(vmulq_f32(p, vmulq_f32(r, r)), r), vdupq_n_f32(1.0f));
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(y), vshlq_n_s32(vcvtnq_s32_f32(n), 23)));
}

static inline float32x4_t sigmoid4(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    return vdivq_f32(one, vaddq_f32(one, exp4(vnegq_f32(x))));
}

static inline float32x4_t relu6_4(float32x4_t x)
{
    return less(greater(x, vdupq_n_f32(0.0f)), vdupq_n_f32(6.0f));
}

static inline float32x4_t activate4(uint32_t function, float32x4_t a, float32x4_t b, float32x4_t x)
{
    const float32x4_t zero = vdupq_n_f32(0.0f), three = vdupq_n_f32(3.0f), six = vdupq_n_f32(6.0f);
    switch (function) {
    case SIM_RELU: return greater(x, zero);
    case SIM_LEAKY_RELU: return vbslq_f32(vcgtq_f32(x, zero), x, vmulq_f32(x, a));
    case SIM_SIGMOID: return sigmoid4(x);
    case SIM_SILU: return vmulq_f32(x, sigmoid4(x));
    case SIM_HARDSWISH: return vdivq_f32(vmulq_f32(x, relu6_4(vaddq_f32(x, three))), six);
    case SIM_RELU6: return relu6_4(x);
    case SIM_HARDSIGMOID: return vdivq_f32(relu6_4(vaddq_f32(x, three)), six);
    case SIM_CLIP: return less(greater(x, a), b);
    default: return x;
    }
}

/* ---- spans ---- */

static inline int16x4_t quantize4(const void *x, uint32_t dtype, size_t i, float scale, float32x4_t low,
                                  float32x4_t high)
{
    const float32x4_t v = vmulq_f32(load4(x, dtype, i), vdupq_n_f32(scale));
    return vmovn_s32(vcvtnq_s32_f32(less(greater(v, low), high)));
}

static void quantize(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y)
{
    const float32x4_t low = vdupq_n_f32(-qmax), high = vdupq_n_f32(qmax);
    size_t i = 0;
    if (dtype == SIM_FLOAT16) {
        for (; i + 4 <= count; i += 4) {
            vst1_s16(y + i, quantize4(x, SIM_FLOAT16, i, scale, low, high));
        }
    } else if (dtype == SIM_FLOAT32) {
        for (; i + 4 <= count; i += 4) {
            vst1_s16(y + i, quantize4(x, SIM_FLOAT32, i, scale, low, high));
        }
    }
    for (; i < count; i++) {
        y[i] = (int16_t)sim_quantize_value(sim_load(x, dtype, i), scale, qmax);
    }
}

static void convert(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count)
{
    if (x_dtype == y_dtype || x_dtype == SIM_UINT8) {
        SIM_KERNELS_REFERENCE.convert(x, x_dtype, y, y_dtype, count);
        return;
    }
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        store4(y, y_dtype, i, load4(x, x_dtype, i));
    }
    for (; i < count; i++) {
        sim_store(y, y_dtype, i, sim_load(x, x_dtype, i));
    }
}

static inline void activate_as(uint32_t function, const sim_activation *activation, const void *x, uint32_t x_dtype,
                               void *y, uint32_t y_dtype, size_t count)
{
    const float32x4_t a = vdupq_n_f32(activation->a), b = vdupq_n_f32(activation->b);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        store4(y, y_dtype, i, activate4(function, a, b, load4(x, x_dtype, i)));
    }
    for (; i < count; i++) {
        sim_store(y, y_dtype, i, sim_activation_value(activation, sim_load(x, x_dtype, i)));
    }
}

static inline float32x4_t binary4(sim_binary kind, float32x4_t a, float32x4_t b)
{
    switch (kind) {
    case SIM_ADD: return vaddq_f32(a, b);
    case SIM_MUL: return vmulq_f32(a, b);
    case SIM_SUB: return vsubq_f32(a, b);
    case SIM_DIV: return vdivq_f32(a, b);
    case SIM_MAX: return greater(a, b);
    default: return less(a, b);
    }
}

static inline void binary_as(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                             uint32_t y_dtype, size_t count)
{
    const size_t whole = a_dtype == SIM_UINT8 || b_dtype == SIM_UINT8 ? 0 : count / 4 * 4;
    size_t i = 0;
    for (; i < whole; i += 4) {
        store4(y, y_dtype, i, binary4(kind, load4(a, a_dtype, i), load4(b, b_dtype, i)));
    }
    for (; i < count; i++) {
        sim_store(y, y_dtype, i, sim_binary_value(kind, sim_load(a, a_dtype, i), sim_load(b, b_dtype, i)));
    }
}

/* ---- max-pool: one output row ---- */

static inline void max_pool_pixel(const sim_view *x, const sim_view *y, const char *image, const int32_t *window,
                                  char *out)
{
    const size_t pitch = (size_t)x->pitch * sim_dtype_size(x->dtype);
    int32_t c = 0;
    for (; c + 4 <= y->c; c += 4) {
        float32x4_t m = vdupq_n_f32(-INFINITY);
        for (int32_t iy = window[0]; iy < window[1]; iy++) {
            const char *at = image + ((size_t)iy * (size_t)x->w + (size_t)window[2]) * pitch;
            for (int32_t ix = window[2]; ix < window[3]; ix++, at += pitch) {
                m = greater(load4(at, x->dtype, (size_t)c), m);
            }
        }
        store4(out, y->dtype, (size_t)c, m);
    }
    for (; c < y->c; c++) {
        float m = -INFINITY;
        for (int32_t iy = window[0]; iy < window[1]; iy++) {
            for (int32_t ix = window[2]; ix < window[3]; ix++) {
                const float v = sim_load(image + ((size_t)iy * (size_t)x->w + (size_t)ix) * pitch, x->dtype, (size_t)c);
                m = v > m ? v : m;
            }
        }
        sim_store(out, y->dtype, (size_t)c, m);
    }
}

static void max_pool(const sim_pool *pool, const sim_view *x, const sim_view *y, int32_t n, int32_t row)
{
    if (x->dtype == SIM_UINT8) {
        SIM_KERNELS_REFERENCE.max_pool(pool, x, y, n, row);
        return;
    }
    const size_t step = (size_t)y->pitch * sim_dtype_size(y->dtype);
    const char *image = x->data + (size_t)n * (size_t)x->h * (size_t)x->w * (size_t)x->pitch * sim_dtype_size(x->dtype);
    char *out = y->data + ((size_t)n * (size_t)y->h + (size_t)row) * (size_t)y->w * step;
    const int32_t y0 = row * pool->stride_h - pool->pad_top, y1 = y0 + pool->kernel_h;
    for (int32_t column = 0; column < y->w; column++, out += step) {
        const int32_t x0 = column * pool->stride_w - pool->pad_left, x1 = x0 + pool->kernel_w;
        const int32_t window[4] = {y0 > 0 ? y0 : 0, y1 < x->h ? y1 : x->h, x0 > 0 ? x0 : 0, x1 < x->w ? x1 : x->w};
        max_pool_pixel(x, y, image, window, out);
    }
}

/* ---- convolution: register tiles of 4 pixels x 16 channels, weights [k][16] ---- */

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

static void dot_s8(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                   float *y)
{
    const int16_t *p0 = x[0], *p1 = x[1], *p2 = x[2], *p3 = x[3], *w = weights;
    int32x4_t sum[PIXELS][4];
    for (int p = 0; p < PIXELS; p++) {
        sum[p][0] = sum[p][1] = sum[p][2] = sum[p][3] = vdupq_n_s32(0);
    }
    for (int32_t r = 0; r < runs; r++) {
        const int16_t *x0 = p0 + offset[r], *x1 = p1 + offset[r], *x2 = p2 + offset[r], *x3 = p3 + offset[r];
        for (int32_t k = 0; k < length; k += STEP, w += 16 * STEP) {
            const int16x4_t in[PIXELS] = {vld1_s16(x0 + k), vld1_s16(x1 + k), vld1_s16(x2 + k), vld1_s16(x3 + k)};
            ALL_PIXELS(0) ALL_PIXELS(1) ALL_PIXELS(2) ALL_PIXELS(3)
        }
    }
    for (int p = 0; p < PIXELS; p++) {
        for (int i = 0; i < 4; i++) {
            vst1q_f32(y + p * CHANNELS + 4 * i, vcvtq_f32_s32(sum[p][i]));
        }
    }
}

static void dot_s16(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                    float *y)
{
    for (int p = 0; p < PIXELS; p++) {
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
        for (int o = 0; o < CHANNELS; o++) {
            int64_t exact[2];
            vst1q_s64(exact, sum[o / 2]);
            y[p * CHANNELS + o] = (float)exact[o & 1];
        }
    }
}

static void dot_f32(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                    float *y)
{
    const float *in[PIXELS] = {x[0], x[1], x[2], x[3]}, *w = weights;
    float32x4_t sum[PIXELS][4];
    for (int p = 0; p < PIXELS; p++) {
        sum[p][0] = sum[p][1] = sum[p][2] = sum[p][3] = vdupq_n_f32(0.0f);
    }
    for (int32_t r = 0; r < runs; r++) {
        for (int32_t k = offset[r]; k < offset[r] + length; k++, w += 16) {
            const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4), w2 = vld1q_f32(w + 8), w3 = vld1q_f32(w + 12);
            for (int p = 0; p < PIXELS; p++) {
                const float32x4_t value = vdupq_n_f32(in[p][k]);
                sum[p][0] = vaddq_f32(sum[p][0], vmulq_f32(value, w0));
                sum[p][1] = vaddq_f32(sum[p][1], vmulq_f32(value, w1));
                sum[p][2] = vaddq_f32(sum[p][2], vmulq_f32(value, w2));
                sum[p][3] = vaddq_f32(sum[p][3], vmulq_f32(value, w3));
            }
        }
    }
    for (int p = 0; p < PIXELS; p++) {
        for (int i = 0; i < 4; i++) {
            vst1q_f32(y + p * CHANNELS + 4 * i, sum[p][i]);
        }
    }
}

static void depthwise(const float *const *x, const float *w, int32_t w_pitch, const int32_t *offset, int32_t taps,
                      int32_t count, float *y)
{
    for (int32_t c = 0; c < count; c += 8) {
        float32x4_t low[PIXELS], high[PIXELS];
        for (int p = 0; p < PIXELS; p++) {
            low[p] = high[p] = vdupq_n_f32(0.0f);
        }
        for (int32_t t = 0; t < taps; t++) {
            const float *weights = w + (size_t)t * (size_t)w_pitch + c;
            const float32x4_t w_low = vld1q_f32(weights), w_high = vld1q_f32(weights + 4);
            const intptr_t at = offset[t] + c;
            for (int p = 0; p < PIXELS; p++) {
                low[p] = vaddq_f32(low[p], vmulq_f32(vld1q_f32(x[p] + at), w_low));
                high[p] = vaddq_f32(high[p], vmulq_f32(vld1q_f32(x[p] + at + 4), w_high));
            }
        }
        for (int p = 0; p < PIXELS; p++) {
            vst1q_f32(y + (size_t)p * (size_t)count + c, low[p]);
            vst1q_f32(y + (size_t)p * (size_t)count + c + 4, high[p]);
        }
    }
}

static inline void finish_as(uint32_t function, uint32_t dtype, const float *acc, int32_t acc_pitch, int32_t pixels,
                             int32_t channels, const sim_affine *affine, const sim_activation *activation, char *y,
                             int32_t pitch)
{
    const float32x4_t a = vdupq_n_f32(activation->a), b = vdupq_n_f32(activation->b);
    const size_t size = sim_dtype_size(dtype), step = (size_t)pitch * size;
    for (int32_t c = 0; c < channels; c += 4) {
        const float32x4_t scale = vld1q_f32(affine->scale + c), bias = vld1q_f32(affine->bias + c);
        const float32x4_t alpha = vld1q_f32(affine->alpha + c), beta = vld1q_f32(affine->beta + c);
        char *out = y + (size_t)c * size;
        for (int32_t p = 0; p < pixels; p++, out += step) {
            float32x4_t v = vaddq_f32(vmulq_f32(vld1q_f32(acc + (size_t)p * (size_t)acc_pitch + c), scale), bias);
            v = vaddq_f32(vmulq_f32(v, alpha), beta);
            if (function != SIM_LINEAR) {
                v = activate4(function, a, b, round4(v, dtype));
            }
            if (c + 4 <= channels) {
                store4(out, dtype, 0, v);
            } else {
                char part[16];
                store4(part, dtype, 0, v);
                memcpy(out, part, (size_t)(channels - c) * size);
            }
        }
    }
}

#include "dispatch.h"

const sim_kernels SIM_KERNELS_NEON = {
    .name = "neon",
    .int8 = {SIM_INT16, PIXELS, CHANNELS, 1, STEP, 96, dot_s8},
    .int16 = {SIM_INT16, PIXELS, CHANNELS, 1, STEP, 96, dot_s16},
    .float32 = {SIM_FLOAT32, PIXELS, CHANNELS, 1, 1, 96, dot_f32},
    .depthwise = {PIXELS, 8, 16, 256, depthwise},
    .quantize = quantize,
    .convert = convert,
    .finish = finish,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
