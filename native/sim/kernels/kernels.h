/* Pure functions over arrays: what each operator computes (ARITHMETIC.md), in plain C and in faster forms.
 *
 * One table per instruction set, all with the same signatures; sim_kernels_select picks one. Every entry of every table
 * gives the same bits. No state, no allocation: scratch memory is the caller's. */
#ifndef SIM_KERNELS_KERNELS_H
#define SIM_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Codes of cnrtDataType_t. */
enum { SIM_UINT8 = 0x31, SIM_FLOAT16 = 0x12, SIM_FLOAT32 = 0x13, SIM_INT8 = 0x21, SIM_INT16 = 0x22 };

enum {
    SIM_LINEAR,
    SIM_RELU,
    SIM_LEAKY_RELU,
    SIM_SIGMOID,
    SIM_SILU,
    SIM_HARDSWISH,
    SIM_MISH,
    SIM_RELU6,
    SIM_TANH,
    SIM_PRELU,
    SIM_HARDSIGMOID,
    SIM_EXP,
    SIM_SQRT,
    SIM_SOFTPLUS,
    SIM_ELU,
    SIM_CLIP,
    SIM_FUNCTIONS,
};

typedef enum sim_binary { SIM_ADD, SIM_MUL, SIM_SUB, SIM_DIV, SIM_MAX, SIM_MIN, SIM_BINARIES } sim_binary;
typedef enum sim_reduction { SIM_REDUCE_SUM = 1, SIM_REDUCE_MEAN = 2, SIM_REDUCE_MAX = 3 } sim_reduction;

enum {
    SIM_OC_BLOCK = 16,   /* output channels computed together */
    SIM_MAX_PIXELS = 8,  /* largest register tile of any table, in pixels */
    SIM_PIXEL_CHUNK = 96 /* output pixels between two calls of `finish` */
};

static inline size_t sim_dtype_size(uint32_t dtype)
{
    return dtype == SIM_FLOAT32 ? 4 : dtype == SIM_FLOAT16 || dtype == SIM_INT16 ? 2 : 1;
}

/* A tensor in memory: N, H, W, C with `pitch` elements from pixel to pixel (>= c). */
typedef struct sim_view {
    char *data;
    int32_t n, h, w, c;
    int32_t pitch;
    uint32_t dtype;
} sim_view;

typedef struct sim_activation {
    uint32_t function;
    float a, b;
} sim_activation;

/* Per output channel, each array readable up to SIM_OC_BLOCK elements past the last channel; what a layer does not have
 * is the identity: 1 for a factor, -0 for a term (x + -0 is x for every x). */
typedef struct sim_affine {
    const float *scale, *bias, *alpha, *beta;
} sim_affine;

/* How the tiled driver cuts a convolution; filled by sim_conv_prepare. */
typedef struct sim_conv_tiling {
    bool tiled;          /* false: the plain C kernel runs this layer */
    bool depthwise;      /* one float filter per channel */
    int32_t rows;        /* output rows of one task */
    int32_t blocks;      /* blocks of SIM_OC_BLOCK output channels in one group */
    int32_t pixel_pitch; /* scratch elements from pixel to pixel */
    int32_t row_pitch;   /* scratch elements from row to row */
    int32_t pad_left, scratch_rows;
    int32_t runs;         /* stretches of consecutive scratch elements that one output pixel reads */
    int32_t run_length;   /* elements of one run, padded to the table's multiple */
    size_t scratch_bytes; /* per team member */
    size_t packed_bytes;
} sim_conv_tiling;

typedef struct sim_conv {
    int32_t in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
    bool transposed; /* DECONV: the windows lie over the output */
    uint32_t weight_dtype;
    float quant_scale;
    sim_affine affine;
    sim_activation activation; /* after the rounding to the output's dtype */
    /* A fused NORMALIZE of a uint8 picture: quantized value of each byte, [in_c][256], and the byte's channel. */
    const int16_t *lookup;
    const int32_t *lookup_channel;
    const void *packed; /* weights as sim_conv_pack left them */
    sim_conv_tiling tiling;
} sim_conv;

typedef struct sim_pool {
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    bool count_padding; /* average: divide by the whole window */
} sim_pool;

typedef struct sim_kernels {
    const char *name;
    bool tiled;         /* has the entries of the tiled convolution below */
    int32_t pixels;     /* register tile: pixels */
    int32_t interleave; /* consecutive weights of one output channel */
    int32_t multiple;   /* runs are padded to a multiple of this (quantized layers) */

    /* y[i] = clamp(rint(x[i] * scale)) for count elements. */
    void (*quantize)(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y);
    /* Copies with a change of dtype between FLOAT16 and FLOAT32 (one rounding), or without one. */
    void (*convert)(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count);

    /* y[p][o] = float32(sum over runs r and k of x[p][offset[r] + k] * w[...]), o in [0, SIM_OC_BLOCK). */
    void (*dot_s8)(const int16_t *const *x, const int16_t *w, const int32_t *offset, int32_t runs, int32_t length,
                   float *y);
    void (*dot_s16)(const int16_t *const *x, const int16_t *w, const int32_t *offset, int32_t runs, int32_t length,
                    float *y);
    void (*dot_f32)(const float *const *x, const float *w, const int32_t *offset, int32_t runs, int32_t length,
                    float *y);
    /* y[p][c] = sum over taps t of x[p][offset[t] + c] * w[t * w_pitch + c], c in [0, count), a multiple of 8. */
    void (*depthwise)(const float *const *x, const float *w, int32_t w_pitch, const int32_t *offset, int32_t taps,
                      int32_t count, float *y);
    /* Scale, bias, batch-norm, rounding, activation, rounding of `pixels` rows of `channels` values (`acc_pitch` apart). */
    void (*finish)(const float *acc, int32_t acc_pitch, int32_t pixels, int32_t channels, const sim_affine *affine,
                   const sim_activation *activation, void *y, uint32_t dtype, int32_t pitch);

    void (*activate)(const sim_activation *activation, const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype,
                     size_t count);
    void (*binary)(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                   uint32_t y_dtype, size_t count);
    /* One output row. */
    void (*max_pool)(const sim_pool *pool, const sim_view *x, const sim_view *y, int32_t n, int32_t row);
} sim_kernels;

extern const sim_kernels SIM_KERNELS_REFERENCE;
#if defined(__x86_64__)
extern const sim_kernels SIM_KERNELS_AVX2;
#endif
#if defined(__aarch64__)
extern const sim_kernels SIM_KERNELS_NEON;
#endif

/* The table called `name`, or the fastest for NULL; NULL if this processor or build has none of that name. */
const sim_kernels *sim_kernels_select(const char *name);
/* The name of the i-th table that this processor can run, NULL past the last. */
const char *sim_kernels_name(unsigned i);

/* Chooses tiling and sizes from the shape. x_dtype, y_dtype: of the tensors. */
void sim_conv_prepare(const sim_kernels *kernels, sim_conv *conv);
/* weights: [O][kh][kw][I / groups] of conv->weight_dtype; packed: tiling.packed_bytes, 64-byte aligned. */
void sim_conv_pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed);
/* Output rows [row, row + rows) of image n, blocks [block, block + blocks) of output channels (of all groups in order).
 * `fresh`: scratch already holds these input rows, left there by the last call. scratch: tiling.scratch_bytes, 64-byte
 * aligned. */
void sim_conv_run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_view *y, int32_t n,
                  int32_t row, int32_t rows, int32_t block, int32_t blocks, void *scratch, bool fresh);
/* Blocks of output channels over all groups, the unit of sim_conv_run. */
int32_t sim_conv_blocks(const sim_conv *conv);

/* The same in plain C, without packing or tiling; scratch holds one patch: kernel_h * kernel_w * in_c * 4 bytes. */
void sim_conv_reference(const sim_conv *conv, const sim_view *x, const sim_view *y, int32_t n, int32_t row,
                        int32_t rows, int32_t channel, int32_t channels, void *scratch);

/* functions.c: the functions of one value. */
float sim_exp(float x);
float sim_expm1(float x);
float sim_log(float x);                                                /* of positive normal numbers */
float sim_activation_value(const sim_activation *activation, float x); /* all but SIM_PRELU, which needs a channel */
bool sim_activation_is_fast(uint32_t function); /* the fast tables have it, and `finish` knows it */

/* reference.c: values in memory. */
float sim_load(const void *data, uint32_t dtype, size_t index);        /* UINT8, FLOAT16, FLOAT32 */
void sim_store(void *data, uint32_t dtype, size_t index, float value); /* FLOAT16, FLOAT32: rounds once */
int32_t sim_quantize_value(float x, float scale, float qmax);
float sim_binary_value(sim_binary kind, float a, float b);
void sim_softmax(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count, size_t x_stride,
                 size_t y_stride);
float sim_normalize_value(float x, float mean, float std);

/* operators.c: operators with one plain form, which works on spans of float32; a table only widens and rounds for it.
 * Each computes one output row of image n. */
void sim_prelu_row(const sim_kernels *kernels, const float *slope, const sim_view *x, const sim_view *y, int32_t n,
                   int32_t row);
void sim_affine_row(const sim_kernels *kernels, const float *alpha, const float *beta, const sim_view *x,
                    const sim_view *y, int32_t n, int32_t row);
void sim_average_pool_row(const sim_kernels *kernels, const sim_pool *pool, const sim_view *x, const sim_view *y,
                          int32_t n, int32_t row);
void sim_reduce_row(const sim_kernels *kernels, sim_reduction kind, const sim_view *x, const sim_view *y, int32_t n,
                    int32_t row);
void sim_resize_row(const sim_kernels *kernels, bool align_corners, const sim_view *x, const sim_view *y, int32_t n,
                    int32_t row);
void sim_pad_row(const sim_kernels *kernels, int32_t top, int32_t left, float value, const sim_view *x,
                 const sim_view *y, int32_t n, int32_t row);
/* scale: NULL for none. */
void sim_l2_normalize_row(const sim_kernels *kernels, const float *scale, float eps, const sim_view *x,
                          const sim_view *y, int32_t n, int32_t row);

/* detection.c */
enum { SIM_MAX_HEADS = 8, SIM_MAX_CANDIDATES = 32768, SIM_DETECTION_HEAD = 64, SIM_DETECTION_ROW = 7 };
/* yolov4 thrice: plain, with the distance of centres in the suppression, with one class per box. */
typedef enum sim_detection_kind {
    SIM_YOLOV3 = 1,
    SIM_YOLOV5,
    SIM_YOLOV4,
    SIM_YOLOV4_DISTANCE,
    SIM_YOLOV4_SINGLE,
} sim_detection_kind;

typedef struct sim_detection {
    sim_detection_kind kind;
    int32_t heads, classes, anchors; /* anchors per head */
    int32_t image_h, image_w, max_boxes;
    float confidence, iou, beta;
    const float *anchor;    /* [heads][anchors][width, height] in pixels */
    const float *scale_x_y; /* [heads] */
} sim_detection;

size_t sim_detection_scratch(const sim_detection *detection); /* bytes */
/* Image n of the heads into image n of y, which is [N, 1, 1, 64 + 7 * max_boxes]. scratch: 64-byte aligned. */
void sim_detection_run(const sim_detection *detection, const sim_view *heads, const sim_view *y, int32_t n,
                       void *scratch);

#endif
