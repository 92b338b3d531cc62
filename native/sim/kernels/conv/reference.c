/* Every layer, straight from the definition (ARITHMETIC.md): what the other algorithms must equal. Written to be read. */
#include <string.h>

#include "algorithm.h"

enum { BLOCK = 16 }; /* output channels: small enough to share a layer among a team */

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

/* The quantized input at `pixel` (elements from the start), channel i. */
static int16_t quantized_at(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, size_t pixel,
                            int32_t i)
{
    const uint8_t *bytes = (const uint8_t *)x->data + pixel;
    if (conv->lookup) {
        return conv->lookup[i * 256 + bytes[conv->lookup_channel[i]]];
    }
    if (x->dtype == SIM_QUANTIZED) {
        return (int8_t)(uint8_t)(bytes[i] - kernels->bytes.zero);
    }
    return (int16_t)sim_quantize_value(sim_load(x->data, x->dtype, pixel + (size_t)i), conv->quant_scale,
                                       sim_conv_qmax(conv));
}

/* The input values under one output pixel, [kh][kw][in_c], zero outside the picture; quantized or float. */
static void gather_patch(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, int32_t n, int32_t oy,
                         int32_t ox, int16_t *q, float *f)
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
                } else {
                    q[k] = inside ? quantized_at(kernels, conv, x, pixel, i) : 0;
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

static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    (void)kernels;
    (void)conv;
    return true;
}

/* Scratch memory is one patch, packed weights are the weights. */
static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    (void)kernels;
    const size_t taps = (size_t)conv->kernel_h * (size_t)conv->kernel_w;
    return (sim_conv_sizes){
        .rows = 1,
        .blocks = (conv->out_c + BLOCK - 1) / BLOCK,
        .affine = conv->out_c,
        .scratch_bytes = taps * (size_t)conv->in_c * sizeof(float),
        .packed_bytes =
            (size_t)conv->out_c * taps * (size_t)(conv->in_c / conv->groups) * sim_dtype_size(conv->weight_dtype),
    };
}

static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    memcpy(packed, weights, sizes(kernels, conv).packed_bytes);
}

/* Output channels [first, last) of one pixel. */
static void finish_pixel(const sim_conv *conv, int32_t first, int32_t last, const float *sums, const sim_target *target,
                         size_t pixel)
{
    const sim_affine *a = &conv->affine,
                     affine = {a->scale + first, a->bias + first, a->alpha + first, a->beta + first};
    const sim_target here = sim_target_at(target, pixel, first);
    sim_finish(&(sim_sums){sums, BLOCK, false}, 1, last - first, &affine, &conv->activation, &here);
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    const bool is_float = conv->weight_dtype == SIM_FLOAT32;
    int16_t *q = is_float ? NULL : scratch;
    float *f = is_float ? scratch : NULL;
    for (int32_t oy = task->row; oy < task->row + task->rows; oy++) {
        for (int32_t ox = 0; ox < conv->out_w; ox++) {
            gather_patch(kernels, conv, x, task->n, oy, ox, q, f);
            const size_t pixel =
                ((size_t)task->n * (size_t)conv->out_h + (size_t)oy) * (size_t)conv->out_w + (size_t)ox;
            for (int32_t block = task->block; block < task->block + task->blocks; block++) {
                const int32_t first = block * BLOCK, end = first + BLOCK, last = end < conv->out_c ? end : conv->out_c;
                float sums[BLOCK];
                for (int32_t o = first; o < last; o++) {
                    sums[o - first] = dot_patch(conv, o, q, f);
                }
                finish_pixel(conv, first, last, sums, target, pixel);
            }
        }
    }
}

const sim_conv_algorithm SIM_CONV_REFERENCE = {"reference", fits, sizes, pack, run};
