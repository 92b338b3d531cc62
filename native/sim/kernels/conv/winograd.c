/* 3x3 convolutions with fewer multiplications, exact: Winograd's minimal filtering in integers.
 *
 * Along one axis, outputs y of a tile are A (G g . B d): d are inputs, g the three weights, and . multiplies place by
 * place. Rows of G and A with fractions are scaled to whole numbers, so that A (G g . B d) is s * y; both axes give
 * s * s * y. All sums are taken mod 2^32, where 576 = 9 * 64 and 36 = 9 * 4 are undone by the inverse of 9 and a shift:
 * exact for every y that fits 32 - shift bits, whatever the sums before it did. So two things are to be proved:
 *
 * - Factors fit int16. |q| <= 127 and |w| <= 127; with the sums of magnitudes of the rows of B and G, data is at most
 *   100 * 127 = 12700 (F4), 4 * 127 (F2), 36 * 127 = 4572 (stride 2), weights 144 * 127 = 18288, 9 * 127, 36 * 127. Sums
 *   of two products, as the instructions take them, then fit 32 bits; only -32768 * -32768 twice would not.
 * - |y| < 2^(31 - shift): |y| <= 127 * (sum of |w| of the output channel), of which `in_range` asks each channel.
 *
 * A task quantizes the rows under it, transforms all their tiles into scratch memory, and then goes through its blocks of
 * output channels: products of a stretch of tiles, place by place, and back to pixels. */
#include <string.h>

#include "direct.h"

enum {
    MOST_PLACES = 9,
    NEAR = 320 * 1024, /* bytes of scratch memory of a task: they stay in a cache beside the weights */
    FAR = 1024 * 1024, /* with weights that do not: each task reads them once, so fewer tasks read less */
    SCRATCH_LIMIT = 64 * 1024 * 1024, /* one row of tiles */
    MOST_TILES = 30,                  /* between products and outputs: whole ones of the table's */
    STRIP = 32,                       /* input channels whose weights are transformed together */
};

typedef struct form {
    sim_winograd_form form;
    int32_t kernel, stride; /* of the layers that it computes */
    int32_t fold; /* 2: pixels of 2x2 are taken as one of four times the channels; then a kernel of 6 is one of 3 */
    int32_t size, out; /* places of a tile along one axis; outputs */
    int32_t shift;     /* s * s is 2^shift, or 9 * 2^shift */
    int8_t g[MOST_PLACES][3];
} form;

#define G_FOUR {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4}, {1, 2, 4}, {1, -2, 4}, {0, 0, 12}}

static const form FOUR = {SIM_WINOGRAD_FOUR, 3, 1, 1, 6, 4, 6, G_FOUR};
static const form TWO = {SIM_WINOGRAD_TWO, 3, 1, 1, 4, 2, 2, {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}}};
/* Even places: F(4, 2) of the outer weights; odd places: the middle weight. */
static const form STRIDE = {
    SIM_WINOGRAD_STRIDE,
    3,
    2,
    1,
    9,
    4,
    2,
    {{3, 0, 0}, {-3, 0, -3}, {-1, 0, 1}, {1, 0, 2}, {0, 0, 6}, {0, 6, 0}, {0, 6, 0}, {0, 6, 0}, {0, 6, 0}}};
static const form STEM = {SIM_WINOGRAD_FOUR, 6, 2, 2, 6, 4, 6, G_FOUR};

typedef struct cut { /* of a layer for a form */
    sim_conv whole;  /* the layer with whole tiles */
    sim_rows rows;
    int32_t across, down; /* tiles of a task along each axis */
    int32_t places;       /* products of a tile */
    int32_t inputs;       /* channels of a place */
    int32_t length;       /* of its products */
    int64_t pitch, plane; /* transformed values from tile to tile, from place to place */
    int32_t blocks;
    /* Of scratch memory, in this order, and then outputs of a chunk: whole vectors read past the first two into what follows
     * them. */
    size_t row_bytes, input_bytes, sum_bytes;
} cut;

/* ---- sizes ---- */

static int32_t tiles_together(const sim_word_tile *tile)
{
    return MOST_TILES / tile->pixels * tile->pixels;
}

/* Transformed values of `down` rows of tiles and the rows under them: bytes. */
static int64_t bytes_of(const cut *c, const form *f, int64_t down)
{
    const int64_t rows = (down * f->out - 1) * f->stride + f->kernel;
    return 2 * (rows * c->rows.row_pitch + c->places * down * c->across * c->pitch);
}

static int32_t tiles_down(const cut *c, const form *f, int32_t out_h)
{
    const int32_t all = (out_h + f->out - 1) / f->out;
    const int64_t weights = 2LL * c->places * c->length * c->whole.out_c, target = weights <= FAR ? NEAR : FAR;
    int32_t most = 1;
    while (most < all && bytes_of(c, f, most + 1) <= target) {
        most++;
    }
    const int32_t tasks = (all + most - 1) / most;
    return (all + tasks - 1) / tasks;
}

static cut cut_of(const sim_kernels *kernels, const sim_conv *conv, const form *f)
{
    const sim_word_tile *tile = &kernels->words;
    cut c = {.whole = *conv, .places = f->size * f->size, .inputs = conv->in_c * f->fold * f->fold};
    c.across = (conv->out_w + f->out - 1) / f->out;
    c.whole.out_w = c.across * f->out;
    c.rows = sim_rows_of(&c.whole, sizeof(int16_t), conv->in_c);
    c.length = (int32_t)sim_up_to(c.inputs, tile->multiple);
    /* The last vector of a fold's second row starts after the first row's values. Tiles 1 KiB apart would share cache
     * sets. */
    c.pitch = sim_up_to(sim_up_to(c.inputs, kernels->winograd.multiple) + (f->fold - 1) * conv->in_c * f->fold,
                        kernels->winograd.multiple);
    c.pitch += c.pitch % 512 ? 0 : 32;
    c.down = tiles_down(&c, f, conv->out_h);
    c.plane = c.pitch * c.across * c.down;
    c.blocks = (conv->out_c + tile->channels - 1) / tile->channels;
    c.row_bytes = (size_t)sim_up_to(bytes_of(&c, f, c.down) - 2 * c.places * c.plane, 64);
    c.input_bytes = (size_t)sim_up_to(2 * c.places * c.plane, 64);
    c.sum_bytes = (size_t)c.places * (size_t)tiles_together(tile) * (size_t)tile->channels * sizeof(int32_t);
    return c;
}

static size_t block_weights(const sim_kernels *kernels, const cut *c)
{
    return (size_t)c->places * (size_t)c->length * (size_t)kernels->words.channels;
}

static sim_conv_sizes sizes_of(const sim_kernels *kernels, const sim_conv *conv, const form *f)
{
    const cut c = cut_of(kernels, conv, f);
    const size_t outputs =
        (size_t)(tiles_together(&kernels->words) * f->out * f->out * kernels->words.channels) * sizeof(int32_t);
    return (sim_conv_sizes){
        .rows = c.down * f->out,
        .blocks = c.blocks,
        .affine = conv->out_c + kernels->words.channels,
        .scratch_bytes = c.row_bytes + c.input_bytes + c.sum_bytes + outputs,
        .packed_bytes = (size_t)c.blocks * block_weights(kernels, &c) * sizeof(int16_t),
    };
}

/* ---- which layers ---- */

static bool in_range(const sim_conv *conv, const form *f)
{
    const int8_t *w = conv->weights;
    const int64_t volume = (int64_t)conv->kernel_h * conv->kernel_w * conv->in_c;
    for (int32_t o = 0; o < conv->out_c; o++, w += volume) {
        int64_t sum = 0;
        for (int64_t k = 0; k < volume; k++) {
            sum += w[k] < 0 ? -w[k] : w[k];
        }
        if (127 * sum >= (1LL << (31 - f->shift))) {
            return false;
        }
    }
    return true;
}

static bool fits_form(const sim_kernels *kernels, const sim_conv *conv, const form *f)
{
    if (!kernels->words.dot || !kernels->winograd.input || conv->weight_dtype != SIM_INT8 || conv->groups != 1 ||
        conv->transposed || conv->kernel_h != f->kernel || conv->kernel_w != f->kernel || conv->stride_h != f->stride ||
        conv->stride_w != f->stride || conv->dilation_h != 1 || conv->dilation_w != 1 || conv->in_c > 1 << 20 ||
        (f->fold > 1 && conv->in_c > 16)) {
        return false;
    }
    const cut c = cut_of(kernels, conv, f);
    return sim_rows_fit(&c.whole, &c.rows) && bytes_of(&c, f, 1) <= SCRATCH_LIMIT && in_range(conv, f);
}

/* ---- weights ---- */

/* [place][channel] = G g G' of the 3x3 weights, `across` and `down` apart, of `count` neighbouring input channels. */
static void transform_weights(const form *f, const int8_t *w, int64_t down, int64_t across, size_t count,
                              int16_t (*out)[STRIP])
{
    for (int32_t i = 0; i < f->size; i++) {
        int16_t row[3][STRIP];
        for (int32_t k = 0; k < 3; k++) {
            const int8_t *a = w + k * across, *b = a + down, *c = b + down;
            for (size_t n = 0; n < count; n++) {
                row[k][n] = (int16_t)(f->g[i][0] * a[n] + f->g[i][1] * b[n] + f->g[i][2] * c[n]);
            }
        }
        for (int32_t j = 0; j < f->size; j++, out++) {
            for (size_t n = 0; n < count; n++) {
                (*out)[n] = (int16_t)(f->g[j][0] * row[0][n] + f->g[j][1] * row[1][n] + f->g[j][2] * row[2][n]);
            }
        }
    }
}

/* Parts of `interleave` values, `step` apart. */
static void spread(const int16_t *from, size_t count, size_t interleave, int16_t *to, size_t step)
{
    if (interleave == 2) {
        for (; count >= 2; count -= 2, from += 2, to += step) {
            memcpy(to, from, 2 * sizeof *to);
        }
    }
    for (size_t n = 0; n < count; n++) {
        to[n / interleave * step + n % interleave] = from[n];
    }
}

/* Output channels [first, last) of one block and inputs [k, k + count): all channels write to the same lines in turn. */
static void pack_strip(const sim_kernels *kernels, const sim_conv *conv, const form *f, const cut *c,
                       const int8_t *weights, size_t first, size_t last, size_t k, size_t count, int16_t *to)
{
    const size_t lanes = (size_t)kernels->words.channels, interleave = (size_t)kernels->words.interleave;
    const int64_t row = (int64_t)conv->in_c * f->kernel, folded = (int64_t)conv->in_c * f->fold;
    const int64_t at = (int64_t)k / folded * row + (int64_t)k % folded;
    for (size_t o = first; o < last; o++, to += interleave) {
        int16_t places[MOST_PLACES * MOST_PLACES][STRIP];
        transform_weights(f, weights + (int64_t)o * row * f->kernel + at, row * f->fold, folded, count, places);
        int16_t *place = to;
        for (int32_t p = 0; p < c->places; p++, place += (size_t)c->length * lanes) {
            spread(places[p], count, interleave, place + k * lanes, lanes * interleave);
        }
    }
}

/* [block][place][length / interleave][channels of the tile][interleave], zeros where there is no weight. */
static void pack_form(const sim_kernels *kernels, const sim_conv *conv, const form *f, const void *weights,
                      void *packed)
{
    const cut c = cut_of(kernels, conv, f);
    const size_t lanes = (size_t)kernels->words.channels, outputs = (size_t)conv->out_c;
    const size_t folded = (size_t)(conv->in_c * f->fold), inputs = (size_t)c.inputs;
    int16_t *to = packed;
    memset(packed, 0, sizes_of(kernels, conv, f).packed_bytes);
    for (size_t first = 0; first < outputs; first += lanes, to += block_weights(kernels, &c)) {
        const size_t last = outputs - first < lanes ? outputs : first + lanes;
        for (size_t k = 0, count; k < inputs; k += count) { /* of a fold's first row of pixels, then of its second */
            const size_t left = folded - k % folded;
            count = left < STRIP ? left : STRIP;
            pack_strip(kernels, conv, f, &c, weights, first, last, k, count, to);
        }
    }
}

/* ---- a task ---- */

typedef struct run_state {
    const sim_kernels *kernels;
    const sim_conv *conv;
    const form *f;
    const cut *c;
    const sim_target *target;
    const sim_conv_task *task;
    const int16_t *values; /* transformed */
    int32_t *sums, *outputs;
} run_state;

static void transform_input(const run_state *s, const sim_view *x, char *rows, int16_t *values)
{
    const form *f = s->f;
    const cut *c = s->c;
    const int32_t down = (s->task->rows + f->out - 1) / f->out;
    sim_conv_task task = *s->task;
    task.rows = down * f->out;
    sim_rows_copy(s->kernels, &c->whole, &c->rows, &SIM_INT16_ELEMENTS, x, &task, rows);
    const int64_t pixel = c->rows.pixel_pitch * f->fold, row = c->rows.row_pitch * f->fold;
    const int32_t channels = c->inputs / f->fold;
    for (int32_t t = 0; t < down; t++) {
        const int16_t *at = (const int16_t *)(const void *)rows + t * f->out * f->stride * c->rows.row_pitch;
        for (int32_t i = 0; i < f->fold; i++) {
            s->kernels->winograd.input(f->form, at + i * c->rows.row_pitch, pixel, row, c->across, channels,
                                       values + t * c->across * c->pitch + i * channels, c->pitch, c->plane);
        }
    }
}

/* Tiles [tile, tile + tiles) of one row of them, whose sums start at `sums`. */
static void finish_tiles(const run_state *s, int32_t channel, int32_t tile, int32_t tiles, int64_t plane,
                         const int32_t *sums)
{
    const int32_t out = s->f->out, lanes = s->kernels->words.channels, rest = s->conv->out_c - channel;
    const int32_t row = tile / s->c->across * out, column = tile % s->c->across * out;
    const int32_t wanted = s->conv->out_w - column, pixels = wanted < tiles * out ? wanted : tiles * out;
    s->kernels->winograd.output(s->f->form, sums, plane, tiles, lanes, s->outputs);
    for (int32_t r = 0; r < out && row + r < s->task->rows; r++) {
        const sim_conv_task at = {.n = s->task->n, .row = s->task->row + row + r};
        sim_output output = sim_output_start(s->kernels, s->conv, s->target, &at, channel, rest < lanes ? rest : lanes);
        output.target = sim_target_at(&output.target, (size_t)column, 0);
        sim_output_finish(&output, &(sim_sums){s->outputs + (int64_t)r * tiles * out * lanes, lanes, true}, pixels);
    }
}

static void run_block(const run_state *s, int32_t block)
{
    static const int32_t START = 0;
    const sim_word_tile *tile = &s->kernels->words;
    const cut *c = s->c;
    const int32_t all = (s->task->rows + s->f->out - 1) / s->f->out * c->across, most = tiles_together(tile);
    const int16_t *weights = (const int16_t *)s->conv->packed + (size_t)block * block_weights(s->kernels, c);
    for (int32_t first = 0, count; first < all; first += count) {
        const int32_t chunks = (all - first + most - 1) / most;
        count = (all - first + chunks - 1) / chunks;
        const int64_t plane = sim_up_to(count, tile->pixels) * tile->channels;
        for (int32_t p = 0; p < c->places; p++) {
            tile->dot(s->values + p * c->plane + first * c->pitch, c->pitch, count,
                      weights + (int64_t)p * c->length * tile->channels, &START, 1, c->length, s->sums + p * plane);
        }
        for (int32_t t = first, tiles; t < first + count; t += tiles) {
            const int32_t in_row = c->across - t % c->across, left = first + count - t;
            tiles = in_row < left ? in_row : left;
            finish_tiles(s, block * tile->channels, t, tiles, plane, s->sums + (t - first) * tile->channels);
        }
    }
}

static void run_form(const sim_kernels *kernels, const sim_conv *conv, const form *f, const sim_view *x,
                     const sim_target *target, const sim_conv_task *task, char *scratch)
{
    const cut c = cut_of(kernels, conv, f);
    int16_t *values = (int16_t *)(void *)(scratch + c.row_bytes);
    char *sums = scratch + c.row_bytes + c.input_bytes;
    const run_state s = {.kernels = kernels,
                         .conv = conv,
                         .f = f,
                         .c = &c,
                         .target = target,
                         .task = task,
                         .values = values,
                         .sums = (int32_t *)(void *)sums,
                         .outputs = (int32_t *)(void *)(sums + c.sum_bytes)};
    if (!task->fresh) {
        transform_input(&s, x, scratch, values);
    }
    for (int32_t block = task->block; block < task->block + task->blocks; block++) {
        run_block(&s, block);
    }
}

/* ---- the algorithms ---- */

#define ENTRIES(FORM, name)                                                                                      \
    static bool fits_##name(const sim_kernels *kernels, const sim_conv *conv)                                    \
    {                                                                                                            \
        return fits_form(kernels, conv, &FORM);                                                                  \
    }                                                                                                            \
    static sim_conv_sizes sizes_##name(const sim_kernels *kernels, const sim_conv *conv)                         \
    {                                                                                                            \
        return sizes_of(kernels, conv, &FORM);                                                                   \
    }                                                                                                            \
    static void pack_##name(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed) \
    {                                                                                                            \
        pack_form(kernels, conv, &FORM, weights, packed);                                                        \
    }                                                                                                            \
    static void run_##name(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x,                  \
                           const sim_target *target, const sim_conv_task *task, void *scratch)                   \
    {                                                                                                            \
        run_form(kernels, conv, &FORM, x, target, task, scratch);                                                \
    }

ENTRIES(FOUR, four)
ENTRIES(TWO, two)
ENTRIES(STRIDE, stride)
ENTRIES(STEM, stem)

const sim_conv_algorithm SIM_CONV_WINOGRAD4 = {"winograd4", fits_four, sizes_four, pack_four, run_four};
const sim_conv_algorithm SIM_CONV_WINOGRAD2 = {"winograd2", fits_two, sizes_two, pack_two, run_two};
const sim_conv_algorithm SIM_CONV_WINOGRAD_STRIDE = {"winograd stride 2", fits_stride, sizes_stride, pack_stride,
                                                     run_stride};
const sim_conv_algorithm SIM_CONV_WINOGRAD_STEM = {"winograd stem", fits_stem, sizes_stem, pack_stem, run_stem};
