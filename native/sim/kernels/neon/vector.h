/* Four float32 values in AArch64 Advanced SIMD, as spans.inc wants them. */
#ifndef SIM_KERNELS_NEON_VECTOR_H
#define SIM_KERNELS_NEON_VECTOR_H

#include <arm_neon.h>

#include "half.h"
#include "kernels.h"

typedef float32x4_t vec;

enum { WIDTH = 4, TOGETHER = 1 };

static inline vec vec_load(const void *x, uint32_t dtype, size_t i)
{
    if (dtype == SIM_FLOAT16) {
        return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)x + i)));
    }
    return vld1q_f32((const float *)x + i);
}

static inline vec vec_load_int32(const int32_t *x) /* one rounding */
{
    return vcvtq_f32_s32(vld1q_s32(x));
}

static inline uint16x4_t vec_half(vec v) /* canonical NaN: any magnitude above infinity's becomes 0x7e00 */
{
    const uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(v));
    const uint16x4_t nan = vcgt_u16(vand_u16(h, vdup_n_u16(0x7fff)), vdup_n_u16(0x7c00));
    return vbsl_u16(nan, vdup_n_u16(SIM_HALF_NAN), h);
}

static inline void vec_store(void *y, uint32_t dtype, size_t i, vec v)
{
    if (dtype == SIM_FLOAT16) {
        vst1_u16((uint16_t *)y + i, vec_half(v));
    } else {
        const uint32x4_t number = vceqq_f32(v, v);
        vst1q_f32((float *)y + i, vbslq_f32(number, v, vreinterpretq_f32_u32(vdupq_n_u32(SIM_FLOAT_NAN))));
    }
}

static inline void vec_store_raw(float *y, vec v) /* every bit kept */
{
    vst1q_f32(y, v);
}

static inline vec vec_rounded(vec v, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? vcvt_f32_f16(vcvt_f16_f32(v)) : v;
}

static inline void vec_store_int16(int16_t *y, vec v) /* nearest even */
{
    vst1_s16(y, vmovn_s32(vcvtnq_s32_f32(v)));
}

static inline void vec_store_two_int16(int16_t *y, vec a, vec b)
{
    vst1q_s16(y, vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a)), vmovn_s32(vcvtnq_s32_f32(b))));
}

/* Of v[0] alone, since TOGETHER is 1: clamp(rint(v * scale)) + zero. A NaN becomes the least code. */
static inline void vec_store_codes(const vec *v, float scale, uint8_t zero, uint8_t *out, size_t step)
{
    (void)step;
    const float32x4_t x = vmulq_n_f32(v[0], scale), least = vdupq_n_f32(-SIM_BYTE_MAX),
                      most = vdupq_n_f32(SIM_BYTE_MAX);
    const float32x4_t above = vbslq_f32(vcgtq_f32(x, least), x, least);
    const int16x4_t words = vmovn_s32(vcvtnq_s32_f32(vminq_f32(above, most)));
    const uint8x8_t bytes = vadd_u8(vreinterpret_u8_s8(vmovn_s16(vcombine_s16(words, words))), vdup_n_u8(zero));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
    memcpy(out, &four, sizeof four);
}

static inline uint64_t vec_indices(vec v)
{
    return vget_lane_u64(vreinterpret_u64_f16(vcvt_f16_f32(v)), 0);
}

static inline void vec_look_up_codes(const uint8_t *table, const vec *v, uint8_t *out, size_t step)
{
    (void)step;
    const uint64_t at = vec_indices(v[0]);
    const uint32_t four = table[at & 0xffff] | (uint32_t)table[at >> 16 & 0xffff] << 8 |
                          (uint32_t)table[at >> 32 & 0xffff] << 16 | (uint32_t)table[at >> 48] << 24;
    memcpy(out, &four, sizeof four);
}

static inline uint64_t vec_looked_up(const uint16_t *table, vec v)
{
    const uint64_t at = vec_indices(v);
    return table[at & 0xffff] | (uint64_t)table[at >> 16 & 0xffff] << 16 | (uint64_t)table[at >> 32 & 0xffff] << 32 |
           (uint64_t)table[at >> 48] << 48;
}

static inline void vec_look_up_halves(const uint16_t *table, const vec *v, char *out, size_t step)
{
    (void)step;
    const uint64_t four = vec_looked_up(table, v[0]);
    memcpy(out, &four, sizeof four);
}

static inline void vec_look_up(const uint16_t *table, vec *v)
{
    v[0] = vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(vec_looked_up(table, v[0]))));
}

static inline vec vec_all(float value)
{
    return vdupq_n_f32(value);
}

static inline vec vec_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return vdivq_f32(a, b);
}

static inline vec vec_greater(vec a, vec b) /* a > b ? a : b */
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline vec vec_less(vec a, vec b) /* a < b ? a : b */
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline vec vec_if_positive(vec x, vec a, vec b) /* x > 0 ? a : b */
{
    return vbslq_f32(vcgtq_f32(x, vdupq_n_f32(0.0f)), a, b);
}

static inline vec vec_negative(vec v)
{
    return vnegq_f32(v);
}

static inline vec vec_nearest(vec v) /* even */
{
    return vrndnq_f32(v);
}

static inline vec vec_scaled(vec v, vec n) /* v * 2^n for whole n, by adding to the exponent */
{
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), vshlq_n_s32(vcvtnq_s32_f32(n), 23)));
}

#endif
