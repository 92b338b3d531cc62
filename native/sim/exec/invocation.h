/* What the runs of the operators need of an invocation. */
#ifndef SIM_EXEC_INVOCATION_H
#define SIM_EXEC_INVOCATION_H

#include "plan.h"

static inline sim_view sim_run_view(const sim_invocation *v, const sim_place *p)
{
    char *base = p->buffer < 0 ? v->workspace : v->buffers[p->buffer];
    return (sim_view){
        base ? base + p->offset : NULL, p->dims[0], p->dims[1], p->dims[2], p->dims[3], p->pitch, p->dtype};
}

static inline sim_scratch_head *sim_run_scratch(const sim_invocation *v, unsigned member)
{
    return (sim_scratch_head *)(void *)(v->workspace + v->plan->arena_bytes + (size_t)member * v->plan->scratch_bytes);
}

/* A unit that is an output row: which image, which row of it. */
static inline int32_t sim_run_image(const sim_invocation *v, size_t unit)
{
    return (int32_t)(unit / (size_t)v->y.h);
}

static inline int32_t sim_run_row(const sim_invocation *v, size_t unit)
{
    return (int32_t)(unit % (size_t)v->y.h);
}

static inline size_t sim_pixel_bytes(const sim_view *v)
{
    return (size_t)v->pitch * sim_dtype_size(v->dtype);
}

/* Start of a row; rows count through all images. */
static inline char *sim_row_of(const sim_view *v, size_t row)
{
    return v->data + row * (size_t)v->w * sim_pixel_bytes(v);
}

/* `count` neighbouring values of the step's x to its y, which may quantize them. */
static inline void sim_run_move(const sim_invocation *v, const char *x, char *y, size_t count)
{
    const sim_kernels *k = v->plan->kernels;
    if (v->y.dtype == SIM_QUANTIZED && v->x.dtype != SIM_QUANTIZED) {
        k->encode(x, v->x.dtype, count, v->step->y.scale, k->bytes.zero, (uint8_t *)y);
    } else {
        k->convert(x, v->x.dtype, y, v->y.dtype, count);
    }
}

static inline bool sim_is_dense(const sim_view *v)
{
    return v->pitch == v->c;
}

#endif
