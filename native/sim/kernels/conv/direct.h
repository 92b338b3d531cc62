/* What algorithms share that multiply elements of the input's rows.
 *
 * A task first copies the input rows under it into scratch memory, as the elements that its products take and with the
 * padding written out; then every output pixel is a dot product over a few runs of consecutive elements. An algorithm
 * brings the elements and the products; copying, walking and finishing are here. */
#ifndef SIM_KERNELS_CONV_DIRECT_H
#define SIM_KERNELS_CONV_DIRECT_H

#include "algorithm.h"

enum { SIM_MOST_RUNS = 256 /* of an output pixel: a limit of the driver */ };

static inline int64_t sim_up_to(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* ---- rows of the input in scratch memory ---- */

typedef struct sim_rows {
    size_t element;                 /* bytes */
    int64_t width;                  /* pixels, padding included */
    int64_t pixel_pitch, row_pitch; /* elements from pixel to pixel, from row to row */
    /* Rows may be dealt to planes in turn, so that those of one kernel row under consecutive output rows lie `row_pitch`
     * apart: row r is row r / every of plane r % every, and missing if there is none. 1, 1 and 0: all rows in one plane. */
    int32_t every, planes;
    int64_t plane_pitch;
} sim_rows;

/* How an algorithm makes its elements of `count` values of the input, and of whole pixels where the layer has a lookup. */
typedef struct sim_elements {
    void (*span)(const sim_kernels *kernels, const sim_conv *conv, const void *x, uint32_t dtype, size_t count,
                 void *out);
    void (*lookup)(const sim_kernels *kernels, const sim_conv *conv, const uint8_t *x, int32_t x_pitch, size_t pixels,
                   void *out, int64_t out_pitch);
    uint8_t padding; /* each byte of it */
} sim_elements;

extern const sim_elements SIM_INT16_ELEMENTS;   /* quantized */
extern const sim_elements SIM_FLOAT32_ELEMENTS; /* widened; no layer of float32 weights has a lookup */

/* element: bytes; channels: values of a pixel, those that fill it up included. */
sim_rows sim_rows_of(const sim_conv *conv, size_t element, int64_t channels);
/* The driver can run a layer with such rows: no transposed one, none of too many taps, none whose rows are too large. */
bool sim_rows_fit(const sim_conv *conv, const sim_rows *rows);
/* Packed, the weights are not many times what they are in a file, which could ask for gigabytes by groups of few channels. */
bool sim_packs_well(const sim_conv *conv, size_t packed_bytes);
int32_t sim_rows_of_task(const sim_conv *conv, const sim_rows *rows); /* output rows */
void sim_rows_deal(const sim_conv *conv, sim_rows *rows);             /* by the rows' stride */
size_t sim_rows_bytes(const sim_conv *conv, const sim_rows *rows);    /* of scratch memory */
void sim_rows_copy(const sim_kernels *kernels, const sim_conv *conv, const sim_rows *rows, const sim_elements *elements,
                   const sim_view *x, const sim_conv_task *task, char *scratch);
/* Where the runs of an output pixel start: one run per kernel row, or one per tap. */
void sim_rows_offsets(const sim_conv *conv, const sim_rows *rows, int32_t runs, int32_t *offset);

/* ---- the output pixels of a task, row by row ---- */

typedef struct sim_walk {
    const char *at, *row_start;
    size_t pixel_step, row_step;
    int32_t x, width;
} sim_walk;

/* channel: the first that is read of each pixel. */
static inline sim_walk sim_walk_start(const sim_conv *conv, const sim_rows *rows, const char *scratch, int32_t channel)
{
    const char *at = scratch + (size_t)channel * rows->element;
    return (sim_walk){at,
                      at,
                      rows->element * (size_t)rows->pixel_pitch * (size_t)conv->stride_w,
                      rows->element * (size_t)rows->row_pitch * (size_t)conv->stride_h,
                      0,
                      conv->out_w};
}

static inline const char *sim_walk_next(sim_walk *w)
{
    const char *here = w->at;
    w->at += w->pixel_step;
    if (++w->x == w->width) {
        w->x = 0;
        w->row_start += w->row_step;
        w->at = w->row_start;
    }
    return here;
}

/* ---- the end: sums into values of the output ---- */

typedef struct sim_output {
    const sim_kernels *kernels;
    const sim_activation *activation;
    sim_affine affine;
    sim_target target; /* from the next pixel on */
    int32_t channels;
} sim_output;

sim_output sim_output_start(const sim_kernels *kernels, const sim_conv *conv, const sim_target *target,
                            const sim_conv_task *task, int32_t channel, int32_t channels);
void sim_output_finish(sim_output *output, const sim_sums *sums, int32_t pixels); /* the next pixels */

#endif
