/* float32 weights over float32 elements: every product and every sum rounds, in the order of the taps. */
#include <string.h>

#include "direct.h"

typedef struct cut { /* of a layer for a tile */
    sim_rows rows;
    int32_t runs, run_length; /* stretches of consecutive elements that one output pixel reads */
    int32_t inputs, outputs;  /* channels of a group */
    int32_t blocks;           /* of a group */
    size_t block_weights;
} cut;

static cut cut_of(const sim_conv *conv, const sim_float_tile *tile)
{
    cut c = {.rows = sim_rows_of(conv, sizeof(float), conv->in_c),
             .inputs = conv->in_c / conv->groups,
             .outputs = conv->out_c / conv->groups};
    const bool merged = conv->groups == 1 && conv->dilation_w == 1 && c.rows.pixel_pitch == conv->in_c;
    c.runs = merged ? conv->kernel_h : conv->kernel_h * conv->kernel_w;
    c.run_length = merged ? conv->kernel_w * conv->in_c : c.inputs;
    c.blocks = (c.outputs + tile->channels - 1) / tile->channels;
    c.block_weights = (size_t)c.runs * (size_t)c.run_length * (size_t)tile->channels;
    return c;
}

/* Groups of few outputs would leave most of a block empty. */
static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    if (!kernels->float32.dot || conv->weight_dtype != SIM_FLOAT32) {
        return false;
    }
    const sim_rows rows = sim_rows_of(conv, sizeof(float), conv->in_c);
    return sim_rows_fit(conv, &rows) && (conv->groups == 1 || conv->out_c / conv->groups >= 4);
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    const sim_float_tile *tile = &kernels->float32;
    const cut c = cut_of(conv, tile);
    return (sim_conv_sizes){
        .rows = sim_rows_of_task(conv, &c.rows),
        .blocks = conv->groups * c.blocks,
        .affine = conv->out_c + tile->channels,
        .scratch_bytes = sim_rows_bytes(conv, &c.rows),
        .packed_bytes = (size_t)conv->groups * (size_t)c.blocks * c.block_weights * c.rows.element,
    };
}

/* [group][block][run][length][channels of the tile], zeros where there is no weight. */
static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    const sim_float_tile *tile = &kernels->float32;
    const cut c = cut_of(conv, tile);
    const size_t volume = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)c.inputs,
                 real = volume / (size_t)c.runs;
    const size_t lanes = (size_t)tile->channels;
    memset(packed, 0, sizes(kernels, conv).packed_bytes);
    for (size_t o = 0; o < (size_t)conv->out_c; o++) {
        const size_t group = o / (size_t)c.outputs, in_group = o % (size_t)c.outputs, lane = in_group % lanes;
        const size_t base = (group * (size_t)c.blocks + in_group / lanes) * c.block_weights;
        for (size_t k = 0; k < volume; k++) {
            const size_t place = k / real * (size_t)c.run_length + k % real;
            const size_t at = base + place * lanes + lane;
            ((float *)packed)[at] = ((const float *)weights)[o * volume + k];
        }
    }
}

/* One block of output channels for all pixels of the task. */
static void run_block(const sim_float_tile *tile, const cut *c, const char *w, const int32_t *offset, sim_walk *pixels,
                      sim_output *output, int32_t left)
{
    _Alignas(64) float sums[SIM_MOST_SUMS];
    const int32_t step = tile->pixels, runs = c->runs, run_length = c->run_length;
    while (left > 0) {
        const int32_t chunk = left < tile->chunk ? left : tile->chunk;
        for (int32_t p = 0; p < chunk; p += step) {
            const void *x[SIM_MOST_PIXELS];
            for (int32_t i = 0; i < step; i++) {
                x[i] = p + i < chunk ? sim_walk_next(pixels) : x[i - 1];
            }
            tile->dot(x, w, offset, runs, run_length, sums + p * tile->channels);
        }
        sim_output_finish(output, &(sim_sums){sums, tile->channels, false}, chunk);
        left -= chunk;
    }
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    const sim_float_tile *tile = &kernels->float32;
    const cut c = cut_of(conv, tile);
    int32_t offset[SIM_MOST_RUNS];
    sim_rows_offsets(conv, &c.rows, c.runs, offset);
    if (!task->fresh) {
        sim_rows_copy(kernels, conv, &c.rows, &SIM_FLOAT32_ELEMENTS, x, task, scratch);
    }
    for (int32_t block = task->block; block < task->block + task->blocks; block++) {
        const int32_t group = block / c.blocks, first = block % c.blocks * tile->channels, rest = c.outputs - first;
        const char *w = (const char *)conv->packed + (size_t)block * c.block_weights * c.rows.element;
        sim_walk pixels = sim_walk_start(conv, &c.rows, scratch, group * c.inputs);
        sim_output output = sim_output_start(kernels, conv, target, task, group * c.outputs + first,
                                             rest < tile->channels ? rest : tile->channels);
        run_block(tile, &c, w, offset, &pixels, &output, task->rows * conv->out_w);
    }
}

const sim_conv_algorithm SIM_CONV_FLOAT = {"float", fits, sizes, pack, run};
