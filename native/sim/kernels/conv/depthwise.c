/* One float32 filter per channel: sums of whole channel vectors, row by row. */
#include <string.h>

#include "direct.h"

enum { BLOCK = 64, MOST_CHANNELS = 512, TASKS = 8 }; /* channels of a block, computed together; tasks of an image */

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static sim_rows rows_of(const sim_conv *conv)
{
    return sim_rows_of(conv, sizeof(float), conv->in_c);
}

static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    if (!kernels->depthwise.run || conv->weight_dtype != SIM_FLOAT32 || conv->groups == 1 ||
        conv->groups != conv->in_c || conv->out_c != conv->in_c) {
        return false;
    }
    const sim_rows rows = rows_of(conv);
    return sim_rows_fit(conv, &rows);
}

/* Channels of a tap in the packed weights. */
static int32_t padded(const sim_kernels *kernels, int32_t channels)
{
    return (int32_t)sim_up_to(channels, kernels->depthwise.multiple);
}

/* Enough tasks for a team, of rows that the memory of the driver holds. */
static int32_t rows_of_task(const sim_conv *conv, const sim_rows *rows)
{
    return least(sim_rows_of_task(conv, rows), (conv->out_h + TASKS - 1) / TASKS);
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    const sim_rows rows = rows_of(conv);
    return (sim_conv_sizes){
        .rows = rows_of_task(conv, &rows),
        .blocks = (conv->out_c + BLOCK - 1) / BLOCK,
        .affine = conv->out_c + kernels->depthwise.multiple,
        .scratch_bytes = sim_rows_bytes(conv, &rows),
        .packed_bytes =
            (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)padded(kernels, conv->in_c) * sizeof(float),
    };
}

/* [tap][channel], zeros in the channels that fill a vector up. */
static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    const size_t taps = (size_t)conv->kernel_h * (size_t)conv->kernel_w, pitch = (size_t)padded(kernels, conv->in_c);
    const float *from = weights;
    float *to = packed;
    memset(to, 0, taps * pitch * sizeof(float));
    for (size_t t = 0; t < taps; t++) {
        for (size_t c = 0; c < (size_t)conv->in_c; c++) {
            to[t * pitch + c] = from[c * taps + t];
        }
    }
}

/* A task's input in scratch memory: rows of its channels alone, with the padding, filled when they are first needed. */
typedef struct band {
    const sim_kernels *kernels;
    const sim_conv *conv;
    const sim_view *x;
    int32_t n, first, channels; /* channels of x */
    int32_t top, filled;        /* row of x that is the first of the band; rows that it holds */
    float *rows;
    int64_t width; /* pixels of a row, padding included */
} band;

static float *band_row(const band *b, int32_t row)
{
    return b->rows + (size_t)row * (size_t)b->width * (size_t)b->channels;
}

static void widen_pixels(const band *b, const char *from, int64_t pixels, float *to)
{
    const size_t size = sim_dtype_size(b->x->dtype), channels = (size_t)b->channels;
    const bool dense = b->channels == b->x->pitch;
    const size_t spans = dense ? 1 : (size_t)pixels, length = dense ? (size_t)pixels * channels : channels;
    for (size_t i = 0; i < spans; i++) {
        b->kernels->convert(from + i * (size_t)b->x->pitch * size, b->x->dtype, to + i * length, SIM_FLOAT32, length);
    }
}

static void fill_row(band *b)
{
    const sim_view *x = b->x;
    const size_t channels = (size_t)b->channels;
    const int64_t row = (int64_t)b->top + b->filled;
    const int64_t left = b->conv->pad_left < b->width ? b->conv->pad_left : b->width;
    const int64_t inside = row < 0 || row >= x->h ? 0 : x->w < b->width - left ? x->w : b->width - left;
    float *to = band_row(b, b->filled++);
    memset(to, 0, (size_t)left * channels * sizeof *to);
    if (inside > 0) {
        const size_t at =
            (((size_t)b->n * (size_t)x->h + (size_t)row) * (size_t)x->w * (size_t)x->pitch + (size_t)b->first);
        widen_pixels(b, x->data + at * sim_dtype_size(x->dtype), inside, to + (size_t)left * channels);
    }
    memset(to + (size_t)(left + inside) * channels, 0, (size_t)(b->width - left - inside) * channels * sizeof *to);
}

/* One output row, in pieces that the sums have room for. */
static void run_row(const band *b, const sim_taps *taps, int32_t row, sim_output *output)
{
    _Alignas(64) float sums[SIM_MOST_SUMS];
    const sim_conv *conv = b->conv;
    const int32_t count = padded(b->kernels, b->channels), most = SIM_MOST_SUMS / count;
    const float *rows[SIM_MOST_RUNS];
    for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
        rows[ky] = band_row(b, row * conv->stride_h + ky * conv->dilation_h);
    }
    for (int32_t at = 0; at < conv->out_w; at += most) {
        const int32_t pixels = least(most, conv->out_w - at);
        b->kernels->depthwise.run(rows, taps, (const float *)conv->packed + b->first,
                                  (size_t)padded(b->kernels, conv->in_c), pixels, count, sums, (size_t)count);
        sim_output_finish(output, &(sim_sums){sums, count, false}, pixels);
        for (int32_t ky = 0; ky < conv->kernel_h; ky++) {
            rows[ky] += (size_t)most * (size_t)conv->stride_w * (size_t)b->channels;
        }
    }
}

static void run_channels(band *b, const sim_target *target, const sim_conv_task *task)
{
    const sim_conv *conv = b->conv;
    const sim_taps taps = {conv->kernel_h, conv->kernel_w, conv->stride_w, conv->dilation_w, b->channels, 0};
    sim_output output = sim_output_start(b->kernels, conv, target, task, b->first, b->channels);
    for (int32_t row = 0; row < task->rows; row++) {
        const int32_t needed = row * conv->stride_h + (conv->kernel_h - 1) * conv->dilation_h + 1;
        while (b->filled < needed) {
            fill_row(b);
        }
        run_row(b, &taps, row, &output);
    }
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    const int32_t end = least((task->block + task->blocks) * BLOCK, conv->out_c);
    for (int32_t c = task->block * BLOCK; c < end; c += MOST_CHANNELS) {
        band b = {.kernels = kernels,
                  .conv = conv,
                  .x = x,
                  .n = task->n,
                  .first = c,
                  .channels = least(MOST_CHANNELS, end - c),
                  .top = task->row * conv->stride_h - conv->pad_top,
                  .rows = scratch,
                  .width = rows_of(conv).width};
        run_channels(&b, target, task);
    }
}

const sim_conv_algorithm SIM_CONV_DEPTHWISE = {"depthwise", fits, sizes, pack, run};
