/* What the checks of the operators share. */
#ifndef SIM_EXEC_CHECK_H
#define SIM_EXEC_CHECK_H

#include <string.h>

#include "row.h"

#define WRONG(c, text)                                                                                        \
    sim_fail((c)->error, SIM_BAD_FILE, "The model's network is corrupt: operator %u (%.*s) %s.", (c)->number, \
             (int)((c)->op->name_length < 64 ? (c)->op->name_length : 64), (c)->op->name, text)

enum { SIM_MOST_KERNEL = 1024, SIM_MOST_EXTENT = 4096, SIM_MOST_STEP = 65536 };

static inline bool sim_in_range(int32_t value, int32_t low, int32_t high)
{
    return value >= low && value <= high;
}

static inline bool sim_same_dims(const sim_tensor *a, const sim_tensor *b)
{
    return memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

static inline const sim_constant *sim_constant_of(const sim_check *c, int which)
{
    return c->op->constants[which] == SIM_ABSENT ? NULL : &c->model->constants[c->op->constants[which]];
}

static inline bool sim_same_batch_and_channels(const sim_check *c)
{
    return c->x->dims[0] == c->y->dims[0] && c->x->dims[3] == c->y->dims[3];
}

/* A float32 array of `elements`. */
static inline bool sim_floats(const sim_constant *constant, int64_t elements)
{
    return constant && constant->dtype == SIM_FLOAT32 && constant->elements == (uint64_t)elements;
}

static inline bool sim_positive(const sim_constant *constant)
{
    for (uint64_t i = 0; i < constant->elements; i++) {
        float value;
        memcpy(&value, constant->data + 4 * i, sizeof value);
        if (!(value > 0.0f)) {
            return false;
        }
    }
    return true;
}

/* A kernel, stride and dilation within the limits; *extent: input elements that it spans. */
static inline bool sim_window_is_valid(int32_t kernel, int32_t stride, int32_t pad, int32_t dilation, int64_t *extent)
{
    if (!sim_in_range(kernel, 1, SIM_MOST_KERNEL) || !sim_in_range(stride, 1, SIM_MOST_STEP) ||
        !sim_in_range(dilation, 1, SIM_MOST_EXTENT)) {
        return false;
    }
    *extent = (int64_t)(kernel - 1) * dilation + 1;
    return *extent <= SIM_MOST_EXTENT && pad >= 0 && pad < *extent;
}

/* One axis of a window operator: begins within the padding, and the last window touches the picture. */
static inline bool sim_window_fits(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad,
                                   int32_t dilation)
{
    int64_t extent;
    return sim_window_is_valid(kernel, stride, pad, dilation, &extent) && (int64_t)(out - 1) * stride - pad < in;
}

#endif
