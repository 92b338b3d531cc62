/* Pure functions over arrays: what each operator computes (ARITHMETIC.md), in plain C and in faster forms.
 *
 * One table per instruction set, all with the same signatures; sim_kernels_select picks one. Every entry of every table
 * gives the same bits. No state, no allocation: scratch memory is the caller's. */
#ifndef SIM_KERNELS_KERNELS_H
#define SIM_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_DTYPE(code, NAME, name, bytes) SIM_##NAME = (code),
enum { /* codes of cnrtDataType_t */
#include "codes.def"
};

/* Of views inside a plan alone, never in a file or at the API: values quantized for the convolutions that read them, one
 * byte each, q + the table's `bytes.zero`. */
enum { SIM_QUANTIZED = 0x100, SIM_BYTE_MAX = 127, SIM_PAST_BYTES = 64 }; /* read, not used, past the last */

#define SIM_FUNCTION(code, NAME, name) SIM_##NAME = (code),
enum {
    SIM_LINEAR,
#include "codes.def"
    SIM_FUNCTIONS,
};

/* Entries of a table over every half; the room behind them is for vectors that read whole words. */
enum { SIM_HALVES = 65536, SIM_PAST_HALVES = 32 };

typedef enum sim_binary { SIM_ADD, SIM_MUL, SIM_SUB, SIM_DIV, SIM_MAX, SIM_MIN, SIM_BINARIES } sim_binary;

#define SIM_REDUCTION(code, NAME, name) SIM_##NAME = (code),
typedef enum sim_reduction {
    SIM_NO_REDUCTION,
#include "codes.def"
    SIM_REDUCTIONS,
} sim_reduction;

static inline size_t sim_dtype_size(uint32_t dtype)
{
    switch (dtype) {
#define SIM_DTYPE(code, NAME, name, bytes) \
    case code: return bytes;
#include "codes.def"
    default: return 1;
    }
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

/* Per output channel; what a layer does not have is the identity: 1 for a factor, -0 for a term (x + -0 is x for every
 * x). Read in whole vectors: past the last channel. */
typedef struct sim_affine {
    const float *scale, *bias, *alpha, *beta;
} sim_affine;

/* Sums of a convolution, [pixels][pitch]. */
typedef struct sim_sums {
    const void *at;
    int32_t pitch;
    bool whole; /* int32, exact; otherwise float32 */
} sim_sums;

/* The bytes of a function of every half as ranges of neighbours, for registers. Half h is of octave h >> 10 and of range r =
 * (base[h >> 10] + (h >> shift[h >> 10])) & 255; from its least half on, a range has least[r], which steps up by one (down,
 * where r < falling) behind each of two low bytes: steps[0][r] and steps[1][r] (255: never). */
enum { SIM_OCTAVES = 64, SIM_RANGES = 256 };

typedef struct sim_ranges {
    uint8_t shift[SIM_OCTAVES], base[SIM_OCTAVES];
    uint8_t least[SIM_RANGES], steps[2][SIM_RANGES];
    uint8_t falling;
} sim_ranges;

/* The bytes of a function of every half. Where eight neighbouring halves that start at a multiple of eight have two bytes at
 * most, which are neighbours too (the rule: few halves share the rounding to a byte), they are also kept in a tenth of the
 * memory that a lookup comes by: the byte of half h is ((s & 0x7fff) + ((h & 7) ^ (s >> 15 ? 7 : 0))) >> 3 with s =
 * steps[h / 8]. */
typedef struct sim_codes {
    uint8_t of[SIM_HALVES + SIM_PAST_HALVES];
    uint16_t steps[SIM_HALVES / 8 + SIM_PAST_HALVES];
    bool stepped; /* `steps` are there */
    sim_ranges ranges;
    bool ranged; /* `ranges` are there: the table of kernels uses them, and the bytes change seldom enough */
} sim_codes;

/* Where the values of a convolution go, and what becomes of them behind the activation: everything as if each step were an
 * operator of its own, which rounds to `dtype`. A view without data is absent. */
typedef struct sim_target {
    uint32_t dtype;         /* FLOAT16 or FLOAT32 */
    bool plain;             /* alpha and beta are the identity, and need not be applied */
    sim_view y;             /* of that dtype */
    sim_view add;           /* is added: FLOAT16 or FLOAT32 */
    sim_view bytes;         /* QUANTIZED: clamp(rint(value * scale)) + zero */
    float scale;            /* of `bytes`; their greatest magnitude is SIM_BYTE_MAX */
    uint8_t zero;           /* of `bytes` */
    const uint16_t *halves; /* the activation of every half, to be looked up; NULL: it is computed */
    const sim_codes *codes; /* the byte of the activation of every half, where nothing is added; NULL: it is computed */
} sim_target;

typedef struct sim_pool {
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    bool count_padding; /* average: divide by the whole window */
} sim_pool;

/* Room that the drivers of tiles have: limits, not sizes, those are the table's. Each table says that its tile keeps to them,
 * where it is compiled. */
enum {
    SIM_MOST_PIXELS = 32, /* of a tile */
    SIM_MOST_SUMS = 4096  /* between two calls of `finish` */
};
#define SIM_TILE_FITS(pixels, channels, chunk)                                    \
    _Static_assert((int)(pixels) <= SIM_MOST_PIXELS && (chunk) % (pixels) == 0 && \
                       (chunk) * (channels) <= SIM_MOST_SUMS,                     \
                   "a chunk is whole tiles that the drivers have room for")

/* float32: a dot product for each of some output pixels and some output channels (a block) at once. All sizes are the
 * instruction set's; a table without such a tile leaves it empty. */
typedef struct sim_float_tile {
    int32_t pixels, channels; /* computed together */
    int32_t chunk;            /* pixels between two calls of `finish`: whole tiles */
    /* y[p][o] = sum over runs r and k < length of x[p][offset[r] + k] * w[r][k][o], in this order, each product and each
     * sum rounded. w and y: 64-byte aligned. */
    void (*dot)(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length, float *y);
} sim_float_tile;

/* Products of int8 weights with quantized bytes (SIM_QUANTIZED), over a stretch of pixels at once. All sizes are the
 * instruction set's; a table without such products leaves it empty. */
typedef struct sim_byte_tile {
    uint8_t zero; /* what a value of 0 is: 128 for products of unsigned with signed bytes, 0 for signed ones */
    int32_t pixels, channels; /* of a register tile; the blocks of the weights are `channels` wide */
    int32_t interleave;       /* consecutive weights of one output channel */
    int32_t multiple;         /* runs are padded to a multiple of this */
    int32_t chunk;            /* pixels of one call at most: whole tiles */
    bool evenly;              /* tiles may be smaller: a pixel costs the same in a stretch of any length */
    void (*begin)(void);      /* before the calls of a task and after them; NULL for nothing */
    void (*end)(void);
    /* Between begin and end, about every 20 pixels of other work, if not NULL: keeps a unit awake that falls asleep. */
    void (*awake)(void);
    /* y[p][o] = start[o] + sum over runs r and k < length of x[p * step + offset[r] + k] * w[r][k / interleave][o][k %
     * interleave], mod 2^32, for p < pixels, any number up to `chunk`; rows of y are `channels` apart. start[o] takes the
     * zeros off again: -zero * (sum of the weights of o). w, start and y: 64-byte aligned. Bytes up to 64 past a run are
     * read and not used; y has room for whole tiles. */
    void (*dot)(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset, int32_t runs,
                int32_t length, const int32_t *start, int32_t *y);
    /* The same over half as many channels, where a last block has no more; NULL where it would not be faster. */
    void (*dot_half)(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset, int32_t runs,
                     int32_t length, const int32_t *start, int32_t *y);
} sim_byte_tile;

/* Products of int16 values, over a stretch of pixels at once, as those of bytes. */
typedef struct sim_word_tile {
    int32_t pixels, channels; /* of a register tile; the blocks of the weights are `channels` wide */
    int32_t interleave;       /* consecutive weights of one output channel */
    int32_t multiple;         /* runs are padded to a multiple of this */
    /* y[p][o] = sum over runs r and k < length of x[p * step + offset[r] + k] * w[r][k / interleave][o][k % interleave],
     * mod 2^32, for p < pixels; rows of y are `channels` apart. w and y: 64-byte aligned. */
    void (*dot)(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset, int32_t runs,
                int32_t length, int32_t *y);
} sim_word_tile;

/* Winograd's transforms (conv/winograd.c): each form computes square tiles of outputs from square tiles of inputs. */
typedef enum sim_winograd_form {
    SIM_WINOGRAD_FOUR,   /* 3x3, stride 1: 4x4 outputs of 6x6 inputs, 36 products */
    SIM_WINOGRAD_TWO,    /* 3x3, stride 1: 2x2 outputs of 4x4 inputs, 16 products */
    SIM_WINOGRAD_STRIDE, /* 3x3, stride 2: 4x4 outputs of 9x9 inputs, 81 products */
    SIM_WINOGRAD_FORMS,
} sim_winograd_form;

typedef struct sim_winograd {
    bool beats_bytes; /* measured: also where the table has products of bytes, if a cache holds the weights */
    int32_t multiple; /* channels of `input` taken at once: it reads and writes whole ones */
    /* `tiles` tiles side by side, from x on (values `pixel` apart along a row, `row` from row to row), mod 2^16:
     * product i of tile t has the values v[i * plane + t * pitch], one per channel. */
    void (*input)(sim_winograd_form form, const int16_t *x, int64_t pixel, int64_t row, int32_t tiles, int32_t channels,
                  int16_t *v, int64_t pitch, int64_t plane);
    /* Back: product i of tile t has its sums at m[i * plane + t * channels]; y: [rows of a tile][outputs of all tiles]
     * [channels], exact where the sums are within the form's range. channels: a multiple of the vectors' width. */
    void (*output)(sim_winograd_form form, const int32_t *m, int64_t plane, int32_t tiles, int32_t channels,
                   int32_t *y);
} sim_winograd;

/* Where the taps of a filter lie in a row: `pitch` elements from input pixel to pixel. */
typedef struct sim_taps {
    int32_t kernel_h, kernel_w, stride, dilation, pitch; /* stride and dilation: along the row */
    int32_t first;                                       /* channel */
} sim_taps;

/* One float32 filter per channel: sums of whole channel vectors. */
typedef struct sim_depthwise {
    int32_t multiple; /* channels are padded to a multiple of this; x may be read (not used) so far past its channels */
    /* y[p][c] = sum over taps (ky, kx) in order of x[ky][(p * stride + kx * dilation) * pitch + first + c] * w[tap][c], p < pixels,
     * c < count (of that multiple); w_pitch: from tap to tap. x: kernel_h rows. */
    void (*run)(const float *const *x, const sim_taps *taps, const float *w, size_t w_pitch, int32_t pixels,
                int32_t count, float *y, size_t y_pitch);
} sim_depthwise;

/* A picture's bytes to quantized ones (SIM_QUANTIZED): byte b of the picture's channel channel[i] becomes zero +
 * table[i * 256 + b] in channel i. */
typedef struct sim_lookup {
    const int16_t *table;
    const int32_t *channel;
    int32_t channels;
    uint8_t zero;
} sim_lookup;

/* What one instruction set gives: a folder with its products (dot.c) and this table (table.c); its vectors (vector.h) and the
 * loops over them (spans.c) may be another folder's. */
typedef struct sim_kernels {
    const char *name;
    bool (*supported)(void); /* by this processor; NULL: by each that the library was built for */
    bool (*ranges)(void);    /* whether `finish` looks bytes up by sim_ranges on this processor; NULL: it does not */
    sim_byte_tile bytes;     /* for int8 weights */
    /* Of the same zero: for layers of at most so many products of one pixel in a block, too few for `bytes`. 0: there are none. */
    int32_t thin_products;
    sim_byte_tile thin;
    sim_word_tile words; /* for int8 and int16 weights */
    sim_float_tile float32;
    sim_winograd winograd;
    sim_depthwise depthwise;

    /* y[i] = clamp(rint(x[i] * scale)) for count elements. */
    void (*quantize)(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y);
    /* Quantized bytes as the int8 values that they stand for: x[i] - zero. */
    void (*widen)(const uint8_t *x, uint8_t zero, size_t count, int16_t *y);
    /* Whole pixels, `x_pitch` bytes apart, to pixels without gaps. */
    void (*look_up)(const sim_lookup *lookup, const uint8_t *x, int32_t x_pitch, size_t pixels, uint8_t *y);
    /* QUANTIZED y[i] = clamp(rint(x[i] * scale)) + zero, their greatest magnitude SIM_BYTE_MAX. NULL: a plan for this table
     * keeps nothing quantized between layers (the reference: it is the definition). */
    void (*encode)(const void *x, uint32_t dtype, size_t count, float scale, uint8_t zero, uint8_t *y);
    /* y[i] = the greater of the QUANTIZED a[i] and b[i]; y may be a. zero: 0 or 128. */
    void (*greater)(const uint8_t *a, const uint8_t *b, size_t count, uint8_t zero, uint8_t *y);
    /* Copies with a change of dtype between FLOAT16 and FLOAT32 (one rounding), or without one. */
    void (*convert)(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count);

    /* The end of a convolution for `channels` channels of `pixels` neighbours: scale, bias, batch-norm, rounding, activation
     * and what the target says. Its views start at the first pixel and channel. */
    void (*finish)(const sim_sums *sums, int32_t pixels, int32_t channels, const sim_affine *affine,
                   const sim_activation *activation, const sim_target *target);

    void (*activate)(const sim_activation *activation, const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype,
                     size_t count);
    void (*binary)(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                   uint32_t y_dtype, size_t count);
    /* One output row. */
    void (*max_pool)(const sim_pool *pool, const sim_view *x, const sim_view *y, int32_t n, int32_t row);
} sim_kernels;

extern const sim_kernels SIM_KERNELS_REFERENCE; /* plain C: what every table must equal */

/* The table called `name`, or the fastest for NULL; NULL if this processor or build has none of that name. */
const sim_kernels *sim_kernels_select(const char *name);
/* The name of the i-th table that this processor can run, NULL past the last. */
const char *sim_kernels_name(unsigned i);
/* Likewise of those in this build, whether this processor can run them or not. */
const char *sim_kernels_known(unsigned i);

/* functions.c: the functions of one value. */
float sim_exp(float x);
float sim_expm1(float x);
float sim_log(float x); /* of positive normal numbers */
float sim_erf(float x);
float sim_activation_value(const sim_activation *activation, float x); /* all but SIM_PRELU, which needs a channel */
bool sim_activation_is_fast(uint32_t function); /* the fast tables have it, and `finish` knows it */

/* finish.c: the plain form of a table's `finish`. */
void sim_finish(const sim_sums *sums, int32_t pixels, int32_t channels, const sim_affine *affine,
                const sim_activation *activation, const sim_target *target);

/* tables.c: functions of a half by table; of halves: SIM_HALVES + SIM_PAST_HALVES entries. */
void sim_table_of_halves(const sim_kernels *kernels, const sim_activation *activation, uint16_t *table);
void sim_table_of_codes(const sim_kernels *kernels, const sim_activation *activation, float scale, uint8_t zero,
                        sim_codes *codes);

/* ranges.c: the ranges of the bytes of every half; false: they are too many, or do more than step. */
bool sim_ranges_of(const uint8_t *codes, sim_ranges *ranges);

/* values.c: values in memory. */
float sim_load(const void *data, uint32_t dtype, size_t index);        /* UINT8, FLOAT16, FLOAT32 */
void sim_store(void *data, uint32_t dtype, size_t index, float value); /* FLOAT16, FLOAT32: rounds once */
float sim_rounded(float value, uint32_t dtype);                        /* to what a tensor of that dtype keeps */
int32_t sim_quantize_value(float x, float scale, float qmax);
void sim_look_up(const sim_lookup *lookup, const uint8_t *x, int32_t x_pitch, size_t pixels, uint8_t *y);
float sim_binary_value(sim_binary kind, float a, float b);
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
/* softmax.c: `count` softmaxes of `length` values. Distances in elements from one to the next, and along each: the values
 * of each are consecutive, or those of neighbours are (x_next and y_next are 1). */
typedef struct sim_softmax {
    size_t count, length, x_next, x_along, y_next, y_along;
    uint32_t x_dtype, y_dtype;
} sim_softmax;

void sim_softmax_run(const sim_kernels *kernels, const sim_softmax *softmax, const void *x, void *y);

/* layer_norm.c: over the channels of each pixel. gamma and beta: NULL for none. */
enum { SIM_NORM_PIXELS = 8 };

typedef struct sim_layer_norm {
    float eps;
    const float *gamma, *beta;
} sim_layer_norm;

/* Pixels [first, first + count), which count through all rows and images; at most SIM_NORM_PIXELS. */
void sim_layer_norm_run(const sim_kernels *kernels, const sim_layer_norm *norm, const sim_view *x, const sim_view *y,
                        size_t first, size_t count);

/* matmul.c: y = a * b of the matrices (rows W, columns C) of each image and H; a turned one lies columns first. */
typedef struct sim_matmul {
    int32_t rows, depth, columns; /* of y, what is summed over, of y */
    bool turned_a, turned_b;
    sim_affine affine; /* of one block: scale and a bias of -0 in each place, and 16 places more */
} sim_matmul;

/* Rows [row, row + rows) and blocks of columns [block, block + blocks) of matrix `matrix`, all images counted. */
typedef struct sim_matmul_task {
    int32_t matrix, row, rows, block, blocks;
} sim_matmul_task;

int32_t sim_matmul_columns(const sim_kernels *kernels);                                          /* of a block */
size_t sim_matmul_scratch(const sim_kernels *kernels, const sim_matmul *matmul, int32_t blocks); /* bytes */
/* scratch: 64-byte aligned, for as many blocks as the task has. */
void sim_matmul_run(const sim_kernels *kernels, const sim_matmul *matmul, const sim_view *a, const sim_view *b,
                    const sim_view *y, const sim_matmul_task *task, void *scratch);

/* detection.c */
enum { SIM_MAX_HEADS = 8, SIM_MAX_CANDIDATES = 32768, SIM_DETECTION_HEAD = 64, SIM_DETECTION_ROW = 7 };

#define SIM_DETECTION(code, NAME, name) SIM_##NAME = (code),
typedef enum sim_detection_kind {
    SIM_NO_DETECTION,
#include "codes.def"
    SIM_DETECTIONS,
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
void sim_detection_run(const sim_kernels *kernels, const sim_detection *detection, const sim_view *heads,
                       const sim_view *y, int32_t n, void *scratch);

#endif
