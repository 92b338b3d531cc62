/* AVX2 + F16C. Compiled with -mavx2 -mf16c and without -mfma: every multiplication and addition rounds by itself. */
#include <immintrin.h>
#include <string.h>

#include "avx2.h"
#include "half.h"

/* ---- loads, stores, roundings ---- */

static inline __m256 load8(const void *x, uint32_t dtype, size_t i)
{
    return dtype == SIM_FLOAT16
               ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)x + i)))
               : _mm256_loadu_ps((const float *)x + i);
}

static inline __m128i half8(__m256 v) /* canonical NaN: any magnitude above infinity's becomes 0x7e00 */
{
    const __m128i h = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
    const __m128i nan = _mm_cmpgt_epi16(_mm_and_si128(h, _mm_set1_epi16(0x7fff)), _mm_set1_epi16(0x7c00));
    return _mm_blendv_epi8(h, _mm_set1_epi16(SIM_HALF_NAN), nan);
}

static inline void store8(void *y, uint32_t dtype, size_t i, __m256 v)
{
    if (dtype == SIM_FLOAT16) {
        _mm_storeu_si128((__m128i *)(void *)((uint16_t *)y + i), half8(v));
    } else {
        const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
        _mm256_storeu_ps((float *)y + i,
                         _mm256_blendv_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(SIM_FLOAT_NAN)), nan));
    }
}

static inline __m256 round8(__m256 v, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)) : v;
}

/* ---- activation functions ---- */

/* LANES vectors go through every step together: one alone leaves the processor waiting for each result. */
enum { LANES = 4 };
#define EACH(statement)               \
    for (int i = 0; i < LANES; i++) { \
        statement;                    \
    }

static inline void exp_all(__m256 *x)
{
    __m256 r[LANES], p[LANES];
    __m256i exponent[LANES];
    EACH(x[i] = _mm256_max_ps(x[i], _mm256_set1_ps(-86.0f))) /* the second operand if x is a NaN */
    EACH(x[i] = _mm256_min_ps(x[i], _mm256_set1_ps(88.0f)))
    EACH(p[i] = _mm256_mul_ps(x[i], _mm256_set1_ps(1.44269504088896341f)))
    EACH(p[i] = _mm256_round_ps(p[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
    EACH(r[i] = _mm256_sub_ps(x[i], _mm256_mul_ps(p[i], _mm256_set1_ps(0.693359375f))))
    EACH(r[i] = _mm256_sub_ps(r[i], _mm256_mul_ps(p[i], _mm256_set1_ps(-2.12194440e-4f))))
    EACH(exponent[i] = _mm256_slli_epi32(_mm256_cvtps_epi32(p[i]), 23))
    EACH(p[i] = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(1.9875691500e-4f), r[i]), _mm256_set1_ps(1.3981999507e-3f)))
    EACH(p[i] = _mm256_add_ps(_mm256_mul_ps(p[i], r[i]), _mm256_set1_ps(8.3334519073e-3f)))
    EACH(p[i] = _mm256_add_ps(_mm256_mul_ps(p[i], r[i]), _mm256_set1_ps(4.1665795894e-2f)))
    EACH(p[i] = _mm256_add_ps(_mm256_mul_ps(p[i], r[i]), _mm256_set1_ps(1.6666665459e-1f)))
    EACH(p[i] = _mm256_add_ps(_mm256_mul_ps(p[i], r[i]), _mm256_set1_ps(5.0000001201e-1f)))
    EACH(p[i] = _mm256_add_ps(_mm256_mul_ps(p[i], _mm256_mul_ps(r[i], r[i])), r[i]))
    EACH(p[i] = _mm256_add_ps(p[i], _mm256_set1_ps(1.0f)))
    EACH(x[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p[i]), exponent[i])))
}

static inline void sigmoid_all(__m256 *x)
{
    EACH(x[i] = _mm256_xor_ps(x[i], _mm256_set1_ps(-0.0f)))
    exp_all(x);
    EACH(x[i] = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_add_ps(_mm256_set1_ps(1.0f), x[i])))
}

static inline void relu6_all(__m256 *x)
{
    EACH(x[i] = _mm256_min_ps(_mm256_max_ps(x[i], _mm256_setzero_ps()), _mm256_set1_ps(6.0f)))
}

static inline void activate_all(uint32_t function, __m256 a, __m256 b, __m256 *x)
{
    const __m256 zero = _mm256_setzero_ps(), three = _mm256_set1_ps(3.0f), six = _mm256_set1_ps(6.0f);
    __m256 s[LANES];
    switch (function) {
    case SIM_RELU: EACH(x[i] = _mm256_max_ps(x[i], zero)) break;
    case SIM_LEAKY_RELU:
        EACH(x[i] = _mm256_blendv_ps(_mm256_mul_ps(x[i], a), x[i], _mm256_cmp_ps(x[i], zero, _CMP_GT_OQ))) break;
    case SIM_SIGMOID: sigmoid_all(x); break;
    case SIM_SILU:
        EACH(s[i] = x[i])
        sigmoid_all(s);
        EACH(x[i] = _mm256_mul_ps(x[i], s[i]))
        break;
    case SIM_RELU6: relu6_all(x); break;
    case SIM_HARDSIGMOID:
    case SIM_HARDSWISH:
        EACH(s[i] = _mm256_add_ps(x[i], three))
        relu6_all(s);
        EACH(x[i] = _mm256_div_ps(function == SIM_HARDSWISH ? _mm256_mul_ps(x[i], s[i]) : s[i], six))
        break;
    case SIM_CLIP: EACH(x[i] = _mm256_min_ps(_mm256_max_ps(x[i], a), b)) break; /* the second operand if x is a NaN */
    default: break;
    }
}

/* ---- spans ---- */

static inline __m256i quantize8(const void *x, uint32_t dtype, size_t i, __m256 scale, __m256 low, __m256 high)
{
    const __m256 v = _mm256_mul_ps(load8(x, dtype, i), scale);
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, low), high));
}

static inline void quantize_as(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y)
{
    const __m256 s = _mm256_set1_ps(scale), low = _mm256_set1_ps(-qmax), high = _mm256_set1_ps(qmax);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m256i packed =
            _mm256_packs_epi32(quantize8(x, dtype, i, s, low, high), quantize8(x, dtype, i + 8, s, low, high));
        _mm256_storeu_si256((__m256i *)(void *)(y + i), _mm256_permute4x64_epi64(packed, 0xd8));
    }
    for (; i + 8 <= count; i += 8) {
        const __m256i v = quantize8(x, dtype, i, s, low, high);
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
    }
    for (; i < count; i++) {
        y[i] = (int16_t)sim_quantize_value(sim_load(x, dtype, i), scale, qmax);
    }
}

static void quantize(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y)
{
    if (dtype == SIM_FLOAT16) {
        quantize_as(x, SIM_FLOAT16, count, scale, qmax, y);
    } else if (dtype == SIM_FLOAT32) {
        quantize_as(x, SIM_FLOAT32, count, scale, qmax, y);
    } else {
        SIM_KERNELS_REFERENCE.quantize(x, dtype, count, scale, qmax, y);
    }
}

static void convert(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count)
{
    if (x_dtype == y_dtype || x_dtype == SIM_UINT8) {
        SIM_KERNELS_REFERENCE.convert(x, x_dtype, y, y_dtype, count);
        return;
    }
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        store8(y, y_dtype, i, load8(x, x_dtype, i));
    }
    for (; i < count; i++) {
        sim_store(y, y_dtype, i, sim_load(x, x_dtype, i));
    }
}

static inline void activate_as(uint32_t function, const sim_activation *activation, const void *x, uint32_t x_dtype,
                               void *y, uint32_t y_dtype, size_t count)
{
    const __m256 a = _mm256_set1_ps(activation->a), b = _mm256_set1_ps(activation->b);
    size_t at = 0;
    for (; at + 8 * LANES <= count; at += 8 * LANES) {
        __m256 v[LANES];
        EACH(v[i] = load8(x, x_dtype, at + 8 * (size_t)i))
        activate_all(function, a, b, v);
        EACH(store8(y, y_dtype, at + 8 * (size_t)i, v[i]))
    }
    for (; at < count; at++) {
        sim_store(y, y_dtype, at, sim_activation_value(activation, sim_load(x, x_dtype, at)));
    }
}

static inline __m256 binary8(sim_binary kind, __m256 a, __m256 b)
{
    switch (kind) {
    case SIM_ADD: return _mm256_add_ps(a, b);
    case SIM_MUL: return _mm256_mul_ps(a, b);
    case SIM_SUB: return _mm256_sub_ps(a, b);
    case SIM_DIV: return _mm256_div_ps(a, b);
    case SIM_MAX: return _mm256_max_ps(a, b); /* b unless a > b */
    default: return _mm256_min_ps(a, b);      /* b unless a < b */
    }
}

static inline void binary_as(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                             uint32_t y_dtype, size_t count)
{
    const size_t whole = a_dtype == SIM_UINT8 || b_dtype == SIM_UINT8 ? 0 : count / 8 * 8;
    size_t i = 0;
    for (; i < whole; i += 8) {
        store8(y, y_dtype, i, binary8(kind, load8(a, a_dtype, i), load8(b, b_dtype, i)));
    }
    for (; i < count; i++) {
        sim_store(y, y_dtype, i, sim_binary_value(kind, sim_load(a, a_dtype, i), sim_load(b, b_dtype, i)));
    }
}

/* ---- max-pool: one output row ---- */

typedef struct window {
    int32_t y0, y1, x0, x1; /* taps inside the picture */
} window;

static window window_at(const sim_pool *pool, const sim_view *x, int32_t row, int32_t column)
{
    const int32_t y0 = row * pool->stride_h - pool->pad_top, x0 = column * pool->stride_w - pool->pad_left;
    const int32_t y1 = y0 + pool->kernel_h, x1 = x0 + pool->kernel_w;
    return (window){y0 > 0 ? y0 : 0, y1 < x->h ? y1 : x->h, x0 > 0 ? x0 : 0, x1 < x->w ? x1 : x->w};
}

static inline void max_pool_pixel(const sim_view *x, const sim_view *y, int32_t n, window w, char *out, uint32_t dtype)
{
    const size_t size = sim_dtype_size(dtype), pitch = (size_t)x->pitch * size;
    const char *image = x->data + (size_t)n * (size_t)x->h * (size_t)x->w * pitch;
    int32_t c = 0;
    for (; c + 8 <= y->c; c += 8) {
        __m256 m = _mm256_set1_ps(-__builtin_inff());
        for (int32_t iy = w.y0; iy < w.y1; iy++) {
            const char *at = image + ((size_t)iy * (size_t)x->w + (size_t)w.x0) * pitch;
            for (int32_t ix = w.x0; ix < w.x1; ix++, at += pitch) {
                m = _mm256_max_ps(load8(at, dtype, (size_t)c), m); /* the second operand unless x > m */
            }
        }
        store8(out, y->dtype, (size_t)c, m);
    }
    for (; c < y->c; c++) {
        float m = -__builtin_inff();
        for (int32_t iy = w.y0; iy < w.y1; iy++) {
            for (int32_t ix = w.x0; ix < w.x1; ix++) {
                const float v = sim_load(image + ((size_t)iy * (size_t)x->w + (size_t)ix) * pitch, dtype, (size_t)c);
                m = v > m ? v : m;
            }
        }
        sim_store(out, y->dtype, (size_t)c, m);
    }
}

static void max_pool(const sim_pool *pool, const sim_view *x, const sim_view *y, int32_t n, int32_t row)
{
    const size_t step = (size_t)y->pitch * sim_dtype_size(y->dtype);
    char *out = y->data + ((size_t)n * (size_t)y->h + (size_t)row) * (size_t)y->w * step;
    if (x->dtype == SIM_UINT8) {
        SIM_KERNELS_REFERENCE.max_pool(pool, x, y, n, row);
        return;
    }
    for (int32_t column = 0; column < y->w; column++, out += step) {
        if (x->dtype == SIM_FLOAT16) {
            max_pool_pixel(x, y, n, window_at(pool, x, row, column), out, SIM_FLOAT16);
        } else {
            max_pool_pixel(x, y, n, window_at(pool, x, row, column), out, SIM_FLOAT32);
        }
    }
}

/* ---- the end of a convolution ---- */

/* Eight channels of LANES pixels: sums in, values of the output's type out. `known`: pixels that exist. */
static inline void finish_lanes(uint32_t function, uint32_t dtype, const float *acc, size_t acc_step,
                                const __m256 *affine, const __m256 *bounds, char *y, size_t y_step, int32_t known,
                                size_t part_bytes)
{
    __m256 v[LANES];
    EACH(v[i] = _mm256_loadu_ps(acc + (i < known ? (size_t)i * acc_step : 0)))
    EACH(v[i] = _mm256_add_ps(_mm256_mul_ps(v[i], affine[0]), affine[1]))
    EACH(v[i] = _mm256_add_ps(_mm256_mul_ps(v[i], affine[2]), affine[3]))
    if (function != SIM_LINEAR) {
        EACH(v[i] = round8(v[i], dtype))
        activate_all(function, bounds[0], bounds[1], v);
    }
    if (part_bytes == 0 && known >= LANES) {
        EACH(store8(y + (size_t)i * y_step, dtype, 0, v[i]))
        return;
    }
    for (int32_t i = 0; i < known && i < LANES; i++) {
        char part[32];
        store8(part, dtype, 0, v[i]);
        memcpy(y + (size_t)i * y_step, part, part_bytes ? part_bytes : 8 * sim_dtype_size(dtype));
    }
}

static inline void finish_as(uint32_t function, uint32_t dtype, const float *acc, int32_t acc_pitch, int32_t pixels,
                             int32_t channels, const sim_affine *affine, const sim_activation *activation, char *y,
                             int32_t pitch)
{
    const __m256 bounds[2] = {_mm256_set1_ps(activation->a), _mm256_set1_ps(activation->b)};
    const size_t size = sim_dtype_size(dtype), acc_step = (size_t)acc_pitch, y_step = (size_t)pitch * size;
    for (int32_t c = 0; c < channels; c += 8) {
        const __m256 terms[4] = {_mm256_loadu_ps(affine->scale + c), _mm256_loadu_ps(affine->bias + c),
                                 _mm256_loadu_ps(affine->alpha + c), _mm256_loadu_ps(affine->beta + c)};
        const size_t part_bytes = c + 8 <= channels ? 0 : (size_t)(channels - c) * size;
        char *out = y + (size_t)c * size;
        int32_t p = 0;
        if (part_bytes == 0) {
            for (; p + LANES <= pixels; p += LANES) {
                finish_lanes(function, dtype, acc + (size_t)p * acc_step + c, acc_step, terms, bounds,
                             out + (size_t)p * y_step, y_step, LANES, 0);
            }
        }
        for (; p < pixels; p += LANES) {
            finish_lanes(function, dtype, acc + (size_t)p * acc_step + c, acc_step, terms, bounds,
                         out + (size_t)p * y_step, y_step, pixels - p, part_bytes);
        }
    }
}

#include "dispatch.h"

const sim_kernels SIM_KERNELS_AVX2 = {
    .name = "avx2",
    .int8 = {SIM_INT16, SIM_AVX2_PIXELS, SIM_AVX2_CHANNELS, 2, 2, 96, sim_avx2_dot_s8},
    .int16 = {SIM_INT16, SIM_AVX2_PIXELS, SIM_AVX2_CHANNELS, 2, 2, 96, sim_avx2_dot_s16},
    .float32 = {SIM_FLOAT32, SIM_AVX2_PIXELS, SIM_AVX2_CHANNELS, 1, 1, 96, sim_avx2_dot_f32},
    .depthwise = {SIM_AVX2_PIXELS, 8, 16, 256, sim_avx2_depthwise},
    .quantize = quantize,
    .convert = convert,
    .finish = finish,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
