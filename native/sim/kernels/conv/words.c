/* int8 and int16 weights over int16 values (sim_word_tile), exact.
 *
 * Sums of int8 weights are taken mod 2^32, and the loader's bound of the kernel volume keeps them within 32 bits. For int16
 * weights every value is split, x = 256 * high + low with magnitudes of at most 128: products are at most 2^22 then, and
 * fewer than 512 of them fit 32 bits. Sums of so many are added up, 256 times the high ones and the low ones, as
 * whole numbers in float64: exact below 2^53, which a bound of the kernel volume keeps. */
#include <string.h>

#include "direct.h"

enum {
    MOST_VOLUME = 1 << 22, /* of int16 weights: sums of at most 2^52 */
    MOST_TERMS = 511,      /* of a sum of split values */
    PLAIN_SUMS = 2048,     /* between two calls of `finish` */
    SPLIT_SUMS = 1024,     /* likewise */
};

typedef struct cut { /* of a layer for a tile */
    sim_rows rows;
    int32_t runs, length;    /* stretches of consecutive values that one output pixel reads */
    int32_t per_call, piece; /* runs of one call of the products, and how much of them */
    int32_t inputs, outputs; /* channels of a group */
    int32_t blocks;          /* of a group */
    size_t block_weights;
    bool split;
} cut;

static cut cut_of(const sim_kernels *kernels, const sim_conv *conv)
{
    const sim_word_tile *tile = &kernels->words;
    cut c = {.rows = sim_rows_of(conv, sizeof(int16_t), conv->in_c),
             .inputs = conv->in_c / conv->groups,
             .outputs = conv->out_c / conv->groups,
             .split = conv->weight_dtype == SIM_INT16};
    const bool merged = conv->groups == 1 && conv->dilation_w == 1 && c.rows.pixel_pitch == conv->in_c;
    c.runs = merged ? conv->kernel_h : conv->kernel_h * conv->kernel_w;
    c.length = (int32_t)sim_up_to(merged ? (int64_t)conv->kernel_w * conv->in_c : c.inputs, tile->multiple);
    c.per_call = c.runs;
    c.piece = c.length;
    if (c.split) {
        const int32_t most = MOST_TERMS / tile->multiple * tile->multiple;
        c.per_call = c.length <= most ? most / c.length : 1;
        c.piece = c.length <= most ? c.length : most;
    }
    c.blocks = (c.outputs + tile->channels - 1) / tile->channels;
    c.block_weights = (size_t)c.runs * (size_t)c.length * (size_t)tile->channels;
    return c;
}

static size_t packed_bytes(const sim_conv *conv, const cut *c)
{
    return (size_t)conv->groups * (size_t)c->blocks * c->block_weights * sizeof(int16_t);
}

/* Groups of few outputs would leave most of a block empty. */
static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    if (!kernels->words.dot || conv->weight_dtype == SIM_FLOAT32 || conv->transposed ||
        (conv->groups > 1 && conv->out_c / conv->groups < 4)) {
        return false;
    }
    const int64_t volume = (int64_t)conv->kernel_h * conv->kernel_w * (conv->in_c / conv->groups);
    const cut c = cut_of(kernels, conv);
    return sim_rows_fit(conv, &c.rows) && (conv->weight_dtype == SIM_INT8 || volume <= MOST_VOLUME) &&
           sim_packs_well(conv, packed_bytes(conv, &c));
}

/* Of one plane of scratch memory: the values, or their low parts; a split layer has another one of the high parts. */
static size_t plane_bytes(const sim_conv *conv, const cut *c)
{
    return (size_t)sim_up_to((int64_t)sim_rows_bytes(conv, &c->rows), 64);
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    const cut c = cut_of(kernels, conv);
    return (sim_conv_sizes){
        .rows = sim_rows_of_task(conv, &c.rows),
        .blocks = conv->groups * c.blocks,
        .affine = conv->out_c + kernels->words.channels,
        .scratch_bytes = (c.split ? 2 : 1) * plane_bytes(conv, &c),
        .packed_bytes = packed_bytes(conv, &c),
    };
}

static int16_t weight_at(const void *weights, uint32_t dtype, size_t at)
{
    return dtype == SIM_INT8 ? ((const int8_t *)weights)[at] : ((const int16_t *)weights)[at];
}

/* [group][block][run][length / interleave][channels of the tile][interleave], zeros where there is no weight. */
static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    const cut c = cut_of(kernels, conv);
    const size_t lanes = (size_t)kernels->words.channels, interleave = (size_t)kernels->words.interleave;
    const size_t runs = (size_t)c.runs, length = (size_t)c.length,
                 real = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)c.inputs / runs;
    memset(packed, 0, sizes(kernels, conv).packed_bytes);
    for (size_t o = 0, from = 0; o < (size_t)conv->out_c; o++) {
        const size_t group = o / (size_t)c.outputs, in_group = o % (size_t)c.outputs;
        int16_t *to = (int16_t *)packed + (group * (size_t)c.blocks + in_group / lanes) * c.block_weights +
                      in_group % lanes * interleave;
        for (size_t r = 0; r < runs; r++, to += length * lanes) {
            for (size_t k = 0; k < real; k++, from++) {
                to[k / interleave * lanes * interleave + k % interleave] = weight_at(weights, conv->weight_dtype, from);
            }
        }
    }
}

/* ---- values ---- */

static void quantize_span(const sim_kernels *kernels, const sim_conv *conv, const void *x, uint32_t dtype, size_t count,
                          void *out)
{
    if (dtype == SIM_QUANTIZED) {
        kernels->widen(x, kernels->bytes.zero, count, out);
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

static void split_values(int16_t *low, int16_t *high, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int16_t x = low[i];
        high[i] = (int16_t)((x + 128) >> 8);
        low[i] = (int16_t)(x - high[i] * 256);
    }
}

/* ---- a task ---- */

typedef struct source { /* of one block's products */
    const sim_word_tile *tile;
    const cut *c;
    const int16_t *w;
    int64_t step, high; /* values from output pixel to output pixel, from low parts to high ones */
    int32_t offset[SIM_MOST_RUNS];
} source;

static void add_plain(const source *s, const int16_t *x, int32_t pixels, sim_output *output)
{
    _Alignas(64) int32_t sums[PLAIN_SUMS];
    s->tile->dot(x, s->step, pixels, s->w, s->offset, s->c->runs, s->c->length, sums);
    sim_output_finish(output, &(sim_sums){sums, s->tile->channels, true}, pixels);
}

static void add_split(const source *s, const int16_t *x, int32_t pixels, sim_output *output)
{
    _Alignas(64) int32_t low[SPLIT_SUMS], high[SPLIT_SUMS];
    double exact[SPLIT_SUMS] = {0};
    float values[SPLIT_SUMS];
    const cut *c = s->c;
    const int32_t channels = s->tile->channels, count = pixels * channels;
    for (int32_t r = 0; r < c->runs; r += c->per_call) {
        const int32_t runs = c->runs - r < c->per_call ? c->runs - r : c->per_call;
        for (int32_t k = 0; k < c->length; k += c->piece) {
            const int32_t length = c->length - k < c->piece ? c->length - k : c->piece;
            const int16_t *w = s->w + ((int64_t)r * c->length + k) * channels;
            s->tile->dot(x + k, s->step, pixels, w, s->offset + r, runs, length, low);
            s->tile->dot(x + k + s->high, s->step, pixels, w, s->offset + r, runs, length, high);
            for (int32_t i = 0; i < count; i++) {
                exact[i] += 256.0 * high[i] + low[i];
            }
        }
    }
    for (int32_t i = 0; i < count; i++) {
        values[i] = (float)exact[i];
    }
    sim_output_finish(output, &(sim_sums){values, channels, false}, pixels);
}

/* One block of output channels for all pixels of the task. A stretch: output pixels that lie `step` apart. */
static void run_block(const source *s, const sim_conv *conv, const sim_conv_task *task, const int16_t *x,
                      sim_output *output)
{
    const int64_t row_step = s->c->rows.row_pitch * conv->stride_h;
    const int32_t rows = s->step * conv->out_w == row_step ? task->rows : 1, stretch = rows * conv->out_w;
    const int32_t tile = s->tile->pixels,
                  most = (s->c->split ? SPLIT_SUMS : PLAIN_SUMS) / s->tile->channels / tile * tile;
    for (int32_t row = 0; row < task->rows; row += rows, x += row_step) {
        for (int32_t p = 0, count; p < stretch; p += count) {
            count = stretch - p < most ? stretch - p : most;
            if (s->c->split) {
                add_split(s, x + p * s->step, count, output);
            } else {
                add_plain(s, x + p * s->step, count, output);
            }
        }
    }
}

static void fill_rows(const sim_kernels *kernels, const sim_conv *conv, const cut *c, const sim_view *x,
                      const sim_conv_task *task, char *scratch)
{
    sim_rows_copy(kernels, conv, &c->rows, &SIM_INT16_ELEMENTS, x, task, scratch);
    if (c->split) {
        const size_t plane = plane_bytes(conv, c);
        split_values((int16_t *)(void *)scratch, (int16_t *)(void *)(scratch + plane), plane / sizeof(int16_t));
    }
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    const int32_t channels = kernels->words.channels;
    const cut c = cut_of(kernels, conv);
    source s = {.tile = &kernels->words,
                .c = &c,
                .step = c.rows.pixel_pitch * conv->stride_w,
                .high = (int64_t)(plane_bytes(conv, &c) / sizeof(int16_t))};
    sim_rows_offsets(conv, &c.rows, c.runs, s.offset);
    if (!task->fresh) {
        fill_rows(kernels, conv, &c, x, task, scratch);
    }
    for (int32_t block = task->block; block < task->block + task->blocks; block++) {
        const int32_t group = block / c.blocks, first = block % c.blocks * channels, rest = c.outputs - first;
        s.w = (const int16_t *)conv->packed + (size_t)block * c.block_weights;
        sim_output output =
            sim_output_start(kernels, conv, target, task, group * c.outputs + first, rest < channels ? rest : channels);
        run_block(&s, conv, task, (const int16_t *)scratch + group * c.inputs, &output);
    }
}

const sim_conv_algorithm SIM_CONV_WORDS = {"words", fits, sizes, pack, run};
