/* int8 weights over quantized bytes (sim_byte_tile): exact sums mod 2^32, which the loader's bound of the kernel volume
 * keeps within 32 bits.
 *
 * A task works on rows of bytes: the input's own memory where the layer is 1x1 over a quantized tensor, otherwise copies
 * in scratch memory with the padding written out. Output pixels that lie a constant step apart are one stretch. */
#include <string.h>

#include "direct.h"

enum { NEAR_BLOCKS = 8, NEAR_BYTES = 256 * 1024 };

typedef struct cut { /* of a layer for a tile */
    sim_rows rows;
    int32_t runs, run_length; /* stretches of consecutive bytes that one output pixel reads */
    int32_t inputs, outputs;  /* channels of a group */
    int32_t blocks;           /* of a group */
    size_t block_weights;     /* bytes */
} cut;

static cut cut_of(const sim_conv *conv, const sim_byte_tile *tile)
{
    const int64_t width =
        sim_up_to((int64_t)(conv->out_w - 1) * conv->stride_w + (int64_t)(conv->kernel_w - 1) * conv->dilation_w + 1,
                  conv->stride_w);
    cut c = {.rows = {1, width, conv->in_c, width * conv->in_c, 1, 1, 0},
             .inputs = conv->in_c / conv->groups,
             .outputs = conv->out_c / conv->groups};
    sim_rows_deal(conv, &c.rows);
    const bool merged = conv->groups == 1 && conv->dilation_w == 1;
    c.runs = merged ? conv->kernel_h : conv->kernel_h * conv->kernel_w;
    c.run_length = (int32_t)sim_up_to(merged ? (int64_t)conv->kernel_w * conv->in_c : c.inputs, tile->multiple);
    c.blocks = (c.outputs + tile->channels - 1) / tile->channels;
    c.block_weights = (size_t)c.runs * (size_t)c.run_length * (size_t)tile->channels;
    return c;
}

/* A tile of many products at once waits for its sums longer than a thin layer has products. */
static const sim_byte_tile *tile_of(const sim_kernels *kernels, const sim_conv *conv)
{
    const int64_t volume = (int64_t)conv->kernel_h * conv->kernel_w * (conv->in_c / conv->groups);
    const int32_t outputs = conv->out_c / conv->groups, half = kernels->bytes.channels / 2;
    const int64_t products = volume * (outputs <= half ? half : kernels->bytes.channels);
    return products <= kernels->thin_products ? &kernels->thin : &kernels->bytes;
}

/* Channels that a block computes of which `rest` exist. */
static int32_t lanes_of(const sim_byte_tile *tile, int32_t rest)
{
    return tile->dot_half && rest <= tile->channels / 2 ? tile->channels / 2 : tile->channels;
}

/* ---- weights: those of all blocks, then the start of each output channel ---- */

static size_t start_at(const sim_conv *conv, const cut *c)
{
    return (size_t)sim_up_to((int64_t)((size_t)conv->groups * (size_t)c->blocks * c->block_weights), 64);
}

static size_t packed_bytes(const sim_conv *conv, const cut *c, const sim_byte_tile *tile)
{
    return start_at(conv, c) + (size_t)conv->groups * (size_t)c->blocks * (size_t)tile->channels * sizeof(int32_t);
}

/* Groups of few outputs would leave most of a block empty. */
static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    if (!kernels->bytes.dot || conv->weight_dtype != SIM_INT8 || conv->transposed ||
        (conv->groups > 1 && conv->out_c / conv->groups < 4)) {
        return false;
    }
    const cut c = cut_of(conv, tile_of(kernels, conv));
    return sim_rows_fit(conv, &c.rows) && sim_packs_well(conv, packed_bytes(conv, &c, tile_of(kernels, conv)));
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    const sim_byte_tile *tile = tile_of(kernels, conv);
    const cut c = cut_of(conv, tile);
    return (sim_conv_sizes){
        .rows = sim_rows_of_task(conv, &c.rows),
        .blocks = conv->groups * c.blocks,
        .affine = conv->out_c + tile->channels,
        .scratch_bytes = sim_rows_bytes(conv, &c.rows),
        .packed_bytes = packed_bytes(conv, &c, tile),
    };
}

/* `count` weights of one output channel, the parts of `interleave` spread `to_step` apart. */
static inline void spread(const int8_t *from, size_t count, size_t interleave, int8_t *to, size_t to_step)
{
    size_t k = 0;
    for (; k + interleave <= count; k += interleave, to += to_step) {
        memcpy(to, from + k, interleave);
    }
    memcpy(to, from + k, count - k);
}

static int32_t sum_of(const int8_t *from, size_t count)
{
    int32_t sum = 0; /* the loader has bounded the volume */
    for (size_t k = 0; k < count; k++) {
        sum += from[k];
    }
    return sum;
}

/* One block, [run][length / interleave][lanes][interleave]: a cache line of each channel at a time, whose places in the
 * block are close enough to stay in the first cache until the next channel writes beside them. */
static inline void pack_block(const cut *c, const int8_t *from, size_t volume, size_t channels, size_t lanes,
                              size_t interleave, int8_t *to)
{
    enum { LINE = 64 };
    const size_t real = volume / (size_t)c->runs, length = (size_t)c->run_length;
    if (channels < lanes || real < length) { /* zeros where there is no weight */
        memset(to, 0, c->block_weights);
    }
    for (size_t r = 0; r < (size_t)c->runs; r++, from += real, to += length * lanes) {
        for (size_t k = 0; k < real; k += LINE) {
            const size_t count = real - k < LINE ? real - k : LINE;
            for (size_t o = 0; o < channels; o++) {
                spread(from + o * volume + k, count, interleave, to + k * lanes + o * interleave, lanes * interleave);
            }
        }
    }
}

/* [group][block][run][length / interleave][lanes][interleave] */
static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    const sim_byte_tile *tile = tile_of(kernels, conv);
    const cut c = cut_of(conv, tile);
    const size_t volume = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)c.inputs;
    const int8_t *from = weights;
    int8_t *to = packed;
    int32_t *start = (int32_t *)(void *)(to + start_at(conv, &c));
    for (int32_t block = 0; block < conv->groups * c.blocks; block++) {
        const int32_t rest = c.outputs - block % c.blocks * tile->channels, lanes = lanes_of(tile, rest),
                      channels = rest < lanes ? rest : lanes;
        if (tile->interleave == 4) { /* a number that the compiler knows: a copy is one instruction */
            pack_block(&c, from, volume, (size_t)channels, (size_t)lanes, 4, to);
        } else {
            pack_block(&c, from, volume, (size_t)channels, (size_t)lanes, (size_t)tile->interleave, to);
        }
        for (int32_t o = 0; o < tile->channels; o++) {
            const int32_t sum = o < channels ? sum_of(from + (size_t)o * volume, volume) : 0;
            start[o] = (int32_t)(0u - (uint32_t)tile->zero * (uint32_t)sum);
        }
        from += (size_t)channels * volume;
        to += c.block_weights;
        start += tile->channels;
    }
}

/* ---- rows of bytes ---- */

static void quantize_span(const sim_kernels *kernels, const sim_conv *conv, const void *x, uint32_t dtype, size_t count,
                          void *out)
{
    if (dtype == SIM_QUANTIZED) {
        memcpy(out, x, count);
    } else {
        kernels->encode(x, dtype, count, conv->quant_scale, kernels->bytes.zero, out);
    }
}

static void look_up(const sim_kernels *kernels, const sim_conv *conv, const uint8_t *x, int32_t x_pitch, size_t pixels,
                    void *elements, int64_t out_pitch)
{
    (void)out_pitch; /* pixels have no gaps here */
    const sim_lookup lookup = {conv->lookup, conv->lookup_channel, conv->in_c, kernels->bytes.zero};
    kernels->look_up(&lookup, x, x_pitch, pixels, elements);
}

/* ---- a task ---- */

/* Where the first output pixel's bytes are, and how the others lie. */
typedef struct source {
    const uint8_t *at;
    int64_t step; /* from output pixel to output pixel */
    /* From output row to output row, in pixels: `width` of the layer, and columns that are nobody's. */
    int32_t pitch;
    int32_t rows; /* that are one stretch: 1, or all of the task's */
    int32_t offset[SIM_MOST_RUNS];
} source;

/* The bytes under the task as they are, if no value needs to be made or moved. */
static bool reads_input(const sim_conv *conv, const sim_view *x)
{
    return x->dtype == SIM_QUANTIZED && conv->kernel_h == 1 && conv->kernel_w == 1 && conv->stride_h == 1 &&
           conv->stride_w == 1 && conv->pad_top == 0 && conv->pad_left == 0;
}

static void find_source(const sim_kernels *kernels, const sim_byte_tile *tile, const sim_conv *conv, const cut *c,
                        const sim_view *x, const sim_conv_task *task, char *scratch, source *s)
{
    const bool in_place = reads_input(conv, x);
    const sim_rows rows = in_place ? (sim_rows){1, x->w, x->pitch, (int64_t)x->w * x->pitch, 1, 1, 0} : c->rows;
    if (in_place) {
        s->at = (const uint8_t *)x->data + ((int64_t)task->n * x->h + task->row) * rows.row_pitch;
    } else {
        const sim_elements elements = {quantize_span, look_up, kernels->bytes.zero};
        if (!task->fresh) {
            sim_rows_copy(kernels, conv, &rows, &elements, x, task, scratch);
        }
        s->at = (const uint8_t *)scratch;
    }
    s->step = rows.pixel_pitch * conv->stride_w;
    s->pitch = (int32_t)(rows.width / conv->stride_w);
    /* Columns that are nobody's cost nothing where the last tile of a row would compute as many. */
    const int64_t computed = tile->evenly ? conv->out_w : sim_up_to(conv->out_w, tile->pixels);
    s->rows = s->pitch <= computed ? task->rows : 1;
    sim_rows_offsets(conv, &rows, c->runs, s->offset);
}

/* Blocks of output channels whose weights stay in a cache while pixels pass by. */
typedef struct band {
    int32_t count;
    const uint8_t *x[NEAR_BLOCKS]; /* of the first output pixel */
    const int8_t *w[NEAR_BLOCKS];
    const int32_t *start[NEAR_BLOCKS];
    int32_t lanes[NEAR_BLOCKS];
    sim_output output[NEAR_BLOCKS];
} band;

static void start_band(const sim_kernels *kernels, const sim_byte_tile *tile, const sim_conv *conv, const cut *c,
                       const source *s, const sim_target *target, const sim_conv_task *task, int32_t block, band *b)
{
    const int32_t channels = tile->channels;
    const int8_t *w = conv->packed;
    const int32_t *start = (const int32_t *)(const void *)(w + start_at(conv, c));
    for (int32_t i = 0; i < b->count; i++, block++) {
        const int32_t group = block / c->blocks, first = block % c->blocks * channels, rest = c->outputs - first;
        b->x[i] = s->at + group * c->inputs;
        b->w[i] = w + (size_t)block * c->block_weights;
        b->start[i] = start + (size_t)block * (size_t)channels;
        b->lanes[i] = lanes_of(tile, rest);
        b->output[i] = sim_output_start(kernels, conv, target, task, group * c->outputs + first,
                                        rest < channels ? rest : channels);
    }
}

/* Of `pixels` to be finished how many before the products' unit wants to be kept awake: parts of one size. */
static int32_t part_of(const sim_byte_tile *tile, int32_t pixels)
{
    enum { MOST = 24, MULTIPLE = 4 };
    const int32_t parts = (pixels + MOST - 1) / MOST;
    return tile->awake && parts > 1 ? (int32_t)sim_up_to((pixels + parts - 1) / parts, MULTIPLE) : pixels;
}

/* `pixels` neighbours. */
static void finish_pixels(const sim_byte_tile *tile, int32_t lanes, sim_output *output, const int32_t *sums,
                          int32_t pixels)
{
    const int32_t part = part_of(tile, pixels);
    for (int32_t p = 0; p < pixels; p += part) {
        const int32_t count = pixels - p < part ? pixels - p : part;
        sim_output_finish(output, &(sim_sums){sums + (ptrdiff_t)p * lanes, lanes, true}, count);
        if (tile->awake) {
            tile->awake();
        }
    }
}

/* The pixels among `count` places of a stretch from place `at` on. */
static void finish_places(const sim_byte_tile *tile, const source *s, int32_t width, int32_t lanes, sim_output *output,
                          const int32_t *sums, int32_t at, int32_t count)
{
    if (s->pitch == width) {
        finish_pixels(tile, lanes, output, sums, count);
        return;
    }
    for (int32_t done = 0; done < count;) {
        const int32_t x = (at + done) % s->pitch, left = count - done, pixels = width - x < left ? width - x : left;
        if (pixels > 0) {
            finish_pixels(tile, lanes, output, sums + (ptrdiff_t)done * lanes, pixels);
        }
        done += s->pitch - x;
    }
}

/* All pixels of the task, a chunk of them through one block after the other. */
static void run_band(const sim_byte_tile *tile, const cut *c, const source *s, const sim_conv *conv,
                     const sim_conv_task *task, band *b)
{
    _Alignas(64) int32_t sums[SIM_MOST_SUMS];
    for (int32_t row = 0; row < task->rows; row += s->rows) {
        const int32_t places = (s->rows - 1) * s->pitch + conv->out_w,
                      chunks = (places + tile->chunk - 1) / tile->chunk;
        const int32_t chunk = (int32_t)sim_up_to((places + chunks - 1) / chunks, tile->pixels);
        for (int32_t at = 0; at < places; at += chunk) {
            const int32_t count = places - at < chunk ? places - at : chunk;
            const int64_t first = ((int64_t)row * s->pitch + at) * s->step;
            for (int32_t i = 0; i < b->count; i++) {
                (b->lanes[i] < tile->channels ? tile->dot_half : tile->dot)(
                    b->x[i] + first, s->step, count, b->w[i], s->offset, c->runs, c->run_length, b->start[i], sums);
                finish_places(tile, s, conv->out_w, b->lanes[i], &b->output[i], sums, at, count);
            }
        }
    }
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    const sim_byte_tile *tile = tile_of(kernels, conv);
    const cut c = cut_of(conv, tile);
    const int32_t near = (int32_t)(NEAR_BYTES / c.block_weights), most = near < NEAR_BLOCKS ? near : NEAR_BLOCKS;
    source s;
    band b;
    find_source(kernels, tile, conv, &c, x, task, scratch, &s);
    if (tile->begin) {
        tile->begin();
    }
    for (int32_t done = 0; done < task->blocks; done += b.count) {
        const int32_t left = task->blocks - done;
        b.count = most < 1 ? 1 : most < left ? most : left;
        start_band(kernels, tile, conv, &c, &s, target, task, task->block + done, &b);
        run_band(tile, &c, &s, conv, task, &b);
    }
    if (tile->end) {
        tile->end();
    }
}

const sim_conv_algorithm SIM_CONV_BYTES = {"bytes", fits, sizes, pack, run};
