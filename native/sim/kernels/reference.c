/* The plain C form of every operator: the executable definition of native/ARITHMETIC.md. Written to be read. */
#include <math.h>

#include "half.h"
#include "kernels.h"

float sim_load(const void *data, uint32_t dtype, size_t index)
{
    const char *at = (const char *)data + index * sim_dtype_size(dtype);
    if (dtype == SIM_UINT8) {
        return (float)*(const uint8_t *)at;
    }
    if (dtype == SIM_FLOAT16) {
        uint16_t half;
        memcpy(&half, at, sizeof half);
        return sim_float_from_half(half);
    }
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

void sim_store(void *data, uint32_t dtype, size_t index, float value)
{
    char *at = (char *)data + index * sim_dtype_size(dtype);
    if (dtype == SIM_FLOAT16) {
        const uint16_t half = sim_half_from_float(value);
        memcpy(at, &half, sizeof half);
        return;
    }
    const float kept = sim_float_canonical(value);
    memcpy(at, &kept, sizeof kept);
}

static float rounded(float value, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? sim_float_from_half(sim_half_from_float(value)) : value;
}

int32_t sim_quantize_value(float x, float scale, float qmax)
{
    float v = x * scale;
    v = v > -qmax ? v : -qmax;
    v = v < qmax ? v : qmax;
    return (int32_t)rintf(v);
}

float sim_binary_value(sim_binary kind, float a, float b)
{
    switch (kind) {
    case SIM_ADD: return a + b;
    case SIM_MUL: return a * b;
    case SIM_SUB: return a - b;
    case SIM_DIV: return a / b;
    case SIM_MAX: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

float sim_normalize_value(float x, float mean, float std)
{
    return (x - mean) / std;
}

/* Where a tap lies in the input along one axis, or -1: outside, or between two pixels of a transposed convolution. */
static int64_t tap_at(bool transposed, int64_t out, int64_t tap, int64_t stride, int64_t pad, int64_t dilation,
                      int64_t size)
{
    int64_t at = out * stride - pad + tap * dilation;
    if (transposed) {
        const int64_t fine = out + pad - tap * dilation;
        at = fine >= 0 && fine % stride == 0 ? fine / stride : -1;
    }
    return at >= 0 && at < size ? at : -1;
}

/* The input values under one output pixel, [kh][kw][in_c], zero outside the picture; quantized or float. */
static void gather_patch(const sim_conv *conv, const sim_view *x, int32_t n, int32_t oy, int32_t ox, float qmax,
                         int16_t *q, float *f)
{
    size_t k = 0;
    for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
        for (int32_t kx = 0; kx < conv->kernel_w; kx++) {
            const int64_t iy =
                tap_at(conv->transposed, oy, ky, conv->stride_h, conv->pad_top, conv->dilation_h, conv->in_h);
            const int64_t ix =
                tap_at(conv->transposed, ox, kx, conv->stride_w, conv->pad_left, conv->dilation_w, conv->in_w);
            const bool inside = iy >= 0 && ix >= 0;
            const size_t pixel =
                inside ? (((size_t)n * (size_t)x->h + (size_t)iy) * (size_t)x->w + (size_t)ix) * (size_t)x->pitch : 0;
            for (int32_t i = 0; i < conv->in_c; i++, k++) {
                if (f) {
                    f[k] = inside ? sim_load(x->data, x->dtype, pixel + (size_t)i) : 0.0f;
                } else if (!inside) {
                    q[k] = 0;
                } else if (conv->lookup) {
                    const uint8_t byte = ((const uint8_t *)x->data)[pixel + (size_t)conv->lookup_channel[i]];
                    q[k] = conv->lookup[i * 256 + byte];
                } else {
                    q[k] = (int16_t)sim_quantize_value(sim_load(x->data, x->dtype, pixel + (size_t)i),
                                                       conv->quant_scale, qmax);
                }
            }
        }
    }
}

static float dot_patch(const sim_conv *conv, int32_t o, const int16_t *q, const float *f)
{
    const size_t per_group = (size_t)(conv->in_c / conv->groups);
    const size_t group = (size_t)(o / (conv->out_c / conv->groups));
    const size_t taps = (size_t)conv->kernel_h * (size_t)conv->kernel_w;
    const size_t first = (size_t)o * taps * per_group;
    int64_t exact = 0;
    float sum = 0.0f;
    for (size_t t = 0; t < taps; t++) {
        const size_t xs = t * (size_t)conv->in_c + group * per_group, ws = first + t * per_group;
        if (f) {
            const float *w = (const float *)conv->packed + ws;
            for (size_t i = 0; i < per_group; i++) {
                sum = sum + f[xs + i] * w[i];
            }
        } else if (conv->weight_dtype == SIM_INT8) {
            const int8_t *w = (const int8_t *)conv->packed + ws;
            int32_t part = 0; /* the loader has bounded the sum of all taps to 32 bits */
            for (size_t i = 0; i < per_group; i++) {
                part += q[xs + i] * w[i];
            }
            exact += part;
        } else {
            const int16_t *w = (const int16_t *)conv->packed + ws;
            for (size_t i = 0; i < per_group; i++) {
                exact += (int64_t)q[xs + i] * w[i];
            }
        }
    }
    return f ? sum : (float)exact;
}

void sim_conv_reference(const sim_conv *conv, const sim_view *x, const sim_view *y, int32_t n, int32_t row,
                        int32_t rows, int32_t channel, int32_t channels, void *scratch)
{
    const bool is_float = conv->weight_dtype == SIM_FLOAT32;
    int16_t *q = is_float ? NULL : scratch;
    float *f = is_float ? scratch : NULL;
    for (int32_t oy = row; oy < row + rows; oy++) {
        for (int32_t ox = 0; ox < conv->out_w; ox++) {
            gather_patch(conv, x, n, oy, ox, conv->weight_dtype == SIM_INT8 ? 127.0f : 32767.0f, q, f);
            const size_t pixel =
                (((size_t)n * (size_t)y->h + (size_t)oy) * (size_t)y->w + (size_t)ox) * (size_t)y->pitch;
            for (int32_t o = channel; o < channel + channels; o++) {
                float v = dot_patch(conv, o, q, f);
                v = v * conv->affine.scale[o];
                v = v + conv->affine.bias[o];
                v = v * conv->affine.alpha[o];
                v = v + conv->affine.beta[o];
                if (conv->activation.function != SIM_LINEAR) {
                    v = sim_activation_value(&conv->activation, rounded(v, y->dtype));
                }
                sim_store(y->data, y->dtype, pixel + (size_t)o, v);
            }
        }
    }
}

void sim_softmax(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count, size_t x_stride,
                 size_t y_stride)
{
    float m = -INFINITY, s = 0.0f;
    for (size_t i = 0; i < count; i++) {
        const float v = sim_load(x, x_dtype, i * x_stride);
        m = v > m ? v : m;
    }
    for (size_t i = 0; i < count; i++) {
        s = s + sim_exp(sim_load(x, x_dtype, i * x_stride) - m);
    }
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i * y_stride, sim_exp(sim_load(x, x_dtype, i * x_stride) - m) / s);
    }
}

static void quantize(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y)
{
    for (size_t i = 0; i < count; i++) {
        y[i] = (int16_t)sim_quantize_value(sim_load(x, dtype, i), scale, qmax);
    }
}

static void convert(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count)
{
    if (x_dtype == y_dtype) { /* a copy keeps every bit */
        memcpy(y, x, count * sim_dtype_size(x_dtype));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i, sim_load(x, x_dtype, i));
    }
}

static void activate(const sim_activation *activation, const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i, sim_activation_value(activation, sim_load(x, x_dtype, i)));
    }
}

static void binary(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                   uint32_t y_dtype, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i, sim_binary_value(kind, sim_load(a, a_dtype, i), sim_load(b, b_dtype, i)));
    }
}

static void max_pool(const sim_pool *pool, const sim_view *x, const sim_view *y, int32_t n, int32_t row)
{
    for (int32_t ox = 0; ox < y->w; ox++) {
        for (int32_t c = 0; c < y->c; c++) {
            float m = -INFINITY;
            for (int32_t ky = 0; ky < pool->kernel_h; ky++) {
                for (int32_t kx = 0; kx < pool->kernel_w; kx++) {
                    const int64_t iy = (int64_t)row * pool->stride_h - pool->pad_top + ky;
                    const int64_t ix = (int64_t)ox * pool->stride_w - pool->pad_left + kx;
                    if (iy < 0 || iy >= x->h || ix < 0 || ix >= x->w) {
                        continue;
                    }
                    const size_t pixel = ((size_t)n * (size_t)x->h + (size_t)iy) * (size_t)x->w + (size_t)ix;
                    const float v = sim_load(x->data, x->dtype, pixel * (size_t)x->pitch + (size_t)c);
                    m = v > m ? v : m;
                }
            }
            const size_t pixel = ((size_t)n * (size_t)y->h + (size_t)row) * (size_t)y->w + (size_t)ox;
            sim_store(y->data, y->dtype, pixel * (size_t)y->pitch + (size_t)c, m);
        }
    }
}

const sim_kernels SIM_KERNELS_REFERENCE = {
    .name = "reference",
    .quantize = quantize,
    .convert = convert,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
