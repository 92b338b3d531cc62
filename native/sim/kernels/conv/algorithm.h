/* Convolution layers and the algorithms that compute them.
 *
 * An algorithm is one file: it says which layers it can take with a table of kernels, how large its tasks and its memory
 * are, how it keeps the weights, and computes a task. choose.c picks one per layer when a model is loaded. All give the
 * same bits. Who runs a layer knows this file alone; an algorithm knows the table it is given and nothing above. */
#ifndef SIM_KERNELS_CONV_ALGORITHM_H
#define SIM_KERNELS_CONV_ALGORITHM_H

#include "kernels.h"

/* A layer: what it computes, not how. */
typedef struct sim_conv {
    int32_t in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
    bool transposed; /* DECONV: the windows lie over the output */
    uint32_t weight_dtype;
    float quant_scale;
    sim_affine affine;
    sim_activation activation; /* after the rounding to the output's dtype */
    /* A fused NORMALIZE of a uint8 picture: quantized value of each byte, [in_c][256], and the byte's channel.
     * With integer weights only. */
    const int16_t *lookup;
    const int32_t *lookup_channel;
    const void *weights; /* as `pack` takes them, for `fits` alone: whoever runs a layer need not have them */
    const void *packed;  /* weights as the algorithm's `pack` left them */
} sim_conv;

/* The largest quantized input of a layer with integer weights. */
static inline float sim_conv_qmax(const sim_conv *conv)
{
    return conv->weight_dtype == SIM_INT8 ? 127.0f : 32767.0f;
}

typedef struct sim_conv_sizes {
    int32_t rows;         /* output rows of one task at most */
    int32_t blocks;       /* blocks of output channels over all groups; tasks are whole blocks */
    int32_t affine;       /* elements that each array of sim_conv.affine must have */
    size_t scratch_bytes; /* per member of a team */
    size_t packed_bytes;
} sim_conv_sizes;

/* Output rows [row, row + rows) of image n, blocks [block, block + blocks). */
typedef struct sim_conv_task {
    int32_t n, row, rows, block, blocks;
    bool fresh; /* the scratch memory is as the last task left it, and that was of the same rows of this layer */
} sim_conv_task;

static inline void sim_view_move(sim_view *view, size_t pixel, int32_t channel)
{
    if (view->data) {
        view->data += (pixel * (size_t)view->pitch + (size_t)channel) * sim_dtype_size(view->dtype);
    }
}

/* The target from that pixel (all rows and images count) and channel on, as `finish` wants it. */
static inline sim_target sim_target_at(const sim_target *target, size_t pixel, int32_t channel)
{
    sim_target here = *target;
    sim_view_move(&here.y, pixel, channel);
    sim_view_move(&here.add, pixel, channel);
    sim_view_move(&here.bytes, pixel, channel);
    return here;
}

typedef struct sim_conv_algorithm {
    const char *name;
    /* It can compute this layer with these kernels. */
    bool (*fits)(const sim_kernels *kernels, const sim_conv *conv);
    /* The three below: of a layer that fits. `sizes` and `pack` look at neither affine nor packed. */
    sim_conv_sizes (*sizes)(const sim_kernels *kernels, const sim_conv *conv);
    /* weights: [O][kh][kw][I / groups] of conv->weight_dtype; packed: packed_bytes, 64-byte aligned. */
    void (*pack)(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed);
    /* scratch: scratch_bytes, 64-byte aligned. */
    void (*run)(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch);
} sim_conv_algorithm;

extern const sim_conv_algorithm SIM_CONV_BYTES, SIM_CONV_DEPTHWISE, SIM_CONV_FLOAT, SIM_CONV_REFERENCE,
    SIM_CONV_WINOGRAD4, SIM_CONV_WINOGRAD2, SIM_CONV_WINOGRAD_STRIDE, SIM_CONV_WINOGRAD_STEM, SIM_CONV_WORDS;

/* The algorithm for this layer: the first that fits and is the fastest there, as choose.c has it. */
const sim_conv_algorithm *sim_conv_choose(const sim_kernels *kernels, const sim_conv *conv);
/* The i-th of all algorithms in the order of choice, NULL past the last. */
const sim_conv_algorithm *sim_conv_algorithm_at(size_t i);

#endif
