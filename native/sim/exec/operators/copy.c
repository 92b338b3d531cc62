/* The step that moves elements: CONCAT, SLICE, RESHAPE, PERMUTE, CAST, and outputs that have no buffer of their own. */
#include "copy.h"

#include <string.h>

#include "invocation.h"

enum { TOGETHER = 16, COLUMNS = 32 };

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
    s->host_bytes = 0;
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
        copy->together = 1;
        sim_copy_note_traffic(s, copy);
    }
    *step = s;
    return copy;
}

void sim_copy_turn(sim_step *s, sim_copy *copy)
{
    copy->together = TOGETHER;
    sim_plan_set_units(s, copy->dims[0] * ((copy->dims[1] + TOGETHER - 1) / TOGETHER));
}

/* A part of a tensor with elements of one size: `rows` of dims[1] from i1 on, at their place along dims[2]; a tile of columns
 * at a time, so that a cache line that is read is used for all rows before it is lost. A caller's buffer may begin
 * anywhere, so elements are copied as bytes, of which compilers make one move. */
#define MOVE(size)                                                                           \
    static void move_##size(const sim_copy *c, const char *x, char *y, int64_t rows)         \
    {                                                                                        \
        for (int64_t first = 0; first < c->dims[3]; first += COLUMNS) {                      \
            const int64_t end = first + COLUMNS < c->dims[3] ? first + COLUMNS : c->dims[3]; \
            for (int64_t r = 0; r < rows; r++) {                                             \
                for (int64_t i = first; i < end; i++) {                                      \
                    memcpy(y + (r * c->y_stride[1] + i * c->y_stride[3]) * (size),           \
                           x + (r * c->x_stride[1] + i * c->x_stride[3]) * (size), (size));  \
                }                                                                            \
            }                                                                                \
        }                                                                                    \
    }
MOVE(1)
MOVE(2)
MOVE(4)

static void move_elements(const sim_invocation *v, const sim_copy *c, const char *x, char *y, int64_t rows)
{
    const size_t x_size = sim_dtype_size(v->x.dtype), y_size = sim_dtype_size(v->y.dtype);
    if (v->x.dtype == v->y.dtype) {
        (x_size == 1 ? move_1 : x_size == 2 ? move_2 : move_4)(c, x, y, rows);
    } else {
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t i = 0; i < c->dims[3]; i++) {
                sim_run_move(v, x + (size_t)(r * c->x_stride[1] + i * c->x_stride[3]) * x_size,
                             y + (size_t)(r * c->y_stride[1] + i * c->y_stride[3]) * y_size, 1);
            }
        }
    }
}

static void move_spans(const sim_invocation *v, const sim_copy *c, const char *x, char *y)
{
    const size_t x_size = sim_dtype_size(v->x.dtype), y_size = sim_dtype_size(v->y.dtype);
    const bool whole = c->x_stride[2] == c->dims[3] && c->y_stride[2] == c->dims[3];
    const int64_t spans = whole ? 1 : c->dims[2], length = whole ? c->dims[2] * c->dims[3] : c->dims[3];
    for (int64_t i2 = 0; i2 < spans; i2++) {
        sim_run_move(v, x + (size_t)(i2 * c->x_stride[2]) * x_size, y + (size_t)(i2 * c->y_stride[2]) * y_size,
                     (size_t)length);
    }
}

void sim_copy_run(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const sim_copy *c = v->step->parameters;
    const int64_t per_image = (c->dims[1] + c->together - 1) / c->together;
    const int64_t i0 = (int64_t)unit / per_image, i1 = (int64_t)unit % per_image * c->together, left = c->dims[1] - i1;
    const size_t x_size = sim_dtype_size(v->x.dtype), y_size = sim_dtype_size(v->y.dtype);
    const char *x = v->x.data + (size_t)(c->x_first + i0 * c->x_stride[0] + i1 * c->x_stride[1]) * x_size;
    char *y = v->y.data + (size_t)(c->y_first + i0 * c->y_stride[0] + i1 * c->y_stride[1]) * y_size;
    if (c->x_stride[3] == 1 && c->y_stride[3] == 1) {
        move_spans(v, c, x, y);
        return;
    }
    for (int64_t i2 = 0; i2 < c->dims[2]; i2++) {
        move_elements(v, c, x + (size_t)(i2 * c->x_stride[2]) * x_size, y + (size_t)(i2 * c->y_stride[2]) * y_size,
                      left < c->together ? left : c->together);
    }
}
