/* One float32 filter per channel: sums of whole channel vectors, tap by tap. */
#include <string.h>

#include "direct.h"

/* Channels of a pixel in scratch memory, and of a tap in the packed weights. */
static int32_t padded(const sim_kernels *kernels, const sim_conv *conv)
{
    return (int32_t)sim_up_to(conv->in_c, kernels->depthwise.multiple);
}

static sim_rows rows_of(const sim_kernels *kernels, const sim_conv *conv)
{
    return sim_rows_of(conv, sizeof(float), padded(kernels, conv));
}

static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    if (!kernels->depthwise.run || conv->weight_dtype != SIM_FLOAT32 || conv->groups == 1 ||
        conv->groups != conv->in_c || conv->out_c != conv->in_c) {
        return false;
    }
    const sim_rows rows = rows_of(kernels, conv);
    return sim_rows_fit(conv, &rows);
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    const sim_rows rows = rows_of(kernels, conv);
    const int32_t block = kernels->depthwise.block;
    return (sim_conv_sizes){
        .rows = sim_rows_of_task(conv, &rows),
        .blocks = (conv->out_c + block - 1) / block,
        .affine = conv->out_c + block,
        .scratch_bytes = sim_rows_bytes(conv, &rows),
        .packed_bytes = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)padded(kernels, conv) * sizeof(float),
    };
}

/* [tap][channel], zeros in the channels that fill a vector up. */
static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    const size_t taps = (size_t)conv->kernel_h * (size_t)conv->kernel_w, pitch = (size_t)padded(kernels, conv);
    const float *from = weights;
    float *to = packed;
    memset(to, 0, taps * pitch * sizeof(float));
    for (size_t t = 0; t < taps; t++) {
        for (size_t c = 0; c < (size_t)conv->in_c; c++) {
            to[t * pitch + c] = from[c * taps + t];
        }
    }
}

/* Channels [channel, channel + output->channels) of all pixels of the task. */
static void run_channels(const sim_kernels *kernels, const sim_conv *conv, int32_t channel, const int32_t *offset,
                         sim_walk *pixels, sim_output *output, int32_t left)
{
    _Alignas(64) float sums[SIM_MOST_SUMS];
    const sim_depthwise *k = &kernels->depthwise;
    const int32_t count = (int32_t)sim_up_to(output->channels, k->multiple), pitch = padded(kernels, conv),
                  taps = conv->kernel_h * conv->kernel_w;
    const float *w = (const float *)conv->packed + channel;
    while (left > 0) {
        const int32_t tile = left < k->pixels ? left : k->pixels;
        const float *x[SIM_MOST_PIXELS];
        for (int32_t i = 0; i < k->pixels; i++) {
            x[i] = i < tile ? (const float *)(const void *)sim_walk_next(pixels) : x[i - 1];
        }
        k->run(x, w, pitch, offset, taps, count, sums);
        sim_output_finish(output, sums, count, tile);
        left -= tile;
    }
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_view *y,
                const sim_conv_task *task, void *scratch)
{
    const sim_rows rows = rows_of(kernels, conv);
    const int32_t block = kernels->depthwise.block, most = kernels->depthwise.chunk;
    const int32_t end = (task->block + task->blocks) * block, last = end < conv->out_c ? end : conv->out_c;
    int32_t offset[SIM_MOST_RUNS];
    sim_rows_offsets(conv, &rows, conv->kernel_h * conv->kernel_w, offset);
    if (!task->fresh) {
        sim_rows_copy(kernels, conv, &rows, &SIM_FLOAT32_ELEMENTS, x, task, scratch);
    }
    for (int32_t c = task->block * block; c < last; c += most) {
        sim_walk pixels = sim_walk_start(conv, &rows, scratch, c);
        sim_output output = sim_output_start(kernels, conv, y, task, c, last - c < most ? last - c : most);
        run_channels(kernels, conv, c, offset, &pixels, &output, task->rows * conv->out_w);
    }
}

const sim_conv_algorithm SIM_CONV_DEPTHWISE = {"depthwise", fits, sizes, pack, run};
