/* The step that moves elements: CONCAT, SLICE, RESHAPE, PERMUTE, CAST, and outputs that have no buffer of their own. */
#include "copy.h"

#include <string.h>

#include "invocation.h"

void sim_copy_strides(const sim_place *place, int64_t *strides)
{
    strides[3] = 1;
    strides[2] = place->pitch;
    strides[1] = strides[2] * place->dims[2];
    strides[0] = strides[1] * place->dims[1];
}

void sim_copy_note_traffic(sim_step *s, const sim_copy *copy)
{
    s->moved_elements = (int64_t)copy->dims[0] * copy->dims[1] * copy->dims[2] * copy->dims[3];
    s->further_bytes = 0;
}

sim_copy *sim_copy_add(sim_builder *b, const sim_operator *op, sim_step **step)
{
    sim_step *s = sim_plan_new_step(b, op);
    sim_copy *copy = sim_plan_parameters(b, s, sizeof *copy);
    if (copy) {
        sim_copy_strides(&s->x, copy->x_stride);
        sim_copy_strides(&s->y, copy->y_stride);
        for (int k = 0; k < 4; k++) {
            copy->dims[k] = s->y.dims[k];
        }
        sim_copy_note_traffic(s, copy);
    }
    *step = s;
    return copy;
}

static void copy_element(const sim_invocation *v, int64_t from, int64_t to)
{
    sim_run_move(v, v->x.data + (size_t)from * sim_dtype_size(v->x.dtype),
                 v->y.data + (size_t)to * sim_dtype_size(v->y.dtype), 1);
}

void sim_copy_run(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const sim_copy *c = v->step->parameters;
    const int64_t i0 = (int64_t)unit / c->dims[1], i1 = (int64_t)unit % c->dims[1];
    const int64_t from = c->x_first + i0 * c->x_stride[0] + i1 * c->x_stride[1],
                  to = c->y_first + i0 * c->y_stride[0] + i1 * c->y_stride[1];
    const size_t x_size = sim_dtype_size(v->x.dtype), y_size = sim_dtype_size(v->y.dtype);
    if (c->x_stride[3] != 1 || c->y_stride[3] != 1) {
        for (int64_t i2 = 0; i2 < c->dims[2]; i2++) {
            for (int64_t i3 = 0; i3 < c->dims[3]; i3++) {
                copy_element(v, from + i2 * c->x_stride[2] + i3 * c->x_stride[3],
                             to + i2 * c->y_stride[2] + i3 * c->y_stride[3]);
            }
        }
        return;
    }
    const bool whole = c->x_stride[2] == c->dims[3] && c->y_stride[2] == c->dims[3];
    const int64_t spans = whole ? 1 : c->dims[2], length = whole ? c->dims[2] * c->dims[3] : c->dims[3];
    for (int64_t i2 = 0; i2 < spans; i2++) {
        sim_run_move(v, v->x.data + (size_t)(from + i2 * c->x_stride[2]) * x_size,
                     v->y.data + (size_t)(to + i2 * c->y_stride[2]) * y_size, (size_t)length);
    }
}
