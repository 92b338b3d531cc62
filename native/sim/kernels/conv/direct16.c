/* int8 and int16 weights over int16 elements: exact sums in 32 or 64 bits. */
#include "direct.h"

static const sim_tile *tile_of(const sim_kernels *kernels, const sim_conv *conv)
{
    return conv->weight_dtype == SIM_INT8 ? &kernels->int8 : &kernels->int16;
}

static void quantize_span(const sim_kernels *kernels, const sim_conv *conv, const void *x, uint32_t dtype, size_t count,
                          void *out)
{
    if (dtype == SIM_QUANTIZED) {
        int16_t *y = out;
        for (size_t i = 0; i < count; i++) {
            y[i] = (int8_t)(uint8_t)(((const uint8_t *)x)[i] - kernels->bytes.zero);
        }
        return;
    }
    kernels->quantize(x, dtype, count, conv->quant_scale, sim_conv_qmax(conv), out);
}

static void look_up(const sim_kernels *kernels, const sim_conv *conv, const uint8_t *x, int32_t x_pitch, size_t pixels,
                    void *elements, int64_t out_pitch)
{
    (void)kernels;
    const int16_t *table = conv->lookup;
    const int32_t *channel = conv->lookup_channel;
    int16_t *out = elements;
    if (conv->in_c == 3) { /* nearly every first layer */
        const int32_t r = channel[0], g = channel[1], b = channel[2];
        for (size_t p = 0; p < pixels; p++, x += x_pitch, out += out_pitch) {
            const int16_t q0 = table[x[r]], q1 = table[256 + x[g]], q2 = table[512 + x[b]];
            out[0] = q0;
            out[1] = q1;
            out[2] = q2;
        }
        return;
    }
    for (size_t p = 0; p < pixels; p++, x += x_pitch, out += out_pitch) {
        for (int32_t i = 0; i < conv->in_c; i++) {
            out[i] = table[i * 256 + x[channel[i]]];
        }
    }
}

const sim_elements SIM_INT16_ELEMENTS = {quantize_span, look_up, 0};

static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    const sim_tile *tile = tile_of(kernels, conv);
    return conv->weight_dtype != SIM_FLOAT32 && tile->element == SIM_INT16 && sim_direct_fits(conv, tile);
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    return sim_direct_sizes(conv, tile_of(kernels, conv));
}

static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    sim_direct_pack(conv, tile_of(kernels, conv), weights, packed);
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    sim_direct_run(kernels, conv, tile_of(kernels, conv), &SIM_INT16_ELEMENTS, x, target, task, scratch);
}

const sim_conv_algorithm SIM_CONV_DIRECT16 = {"direct16", fits, sizes, pack, run};
