/* CONCAT, SLICE, RESHAPE, PERMUTE, CAST, PAD. */
#include <math.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "copy.h"
#include "invocation.h"

enum { MAX_DIM = 1 << 24 };

typedef struct pad_step {
    int32_t top, left;
    float value;
} pad_step;

static sim_result check_concat(const sim_check *c)
{
    const int32_t axis = c->op->attributes[0];
    int64_t sum = 0;
    if (!sim_in_range(axis, 1, 3)) {
        return WRONG(c, "has an axis outside 1..3");
    }
    for (uint32_t i = 0; i < c->op->input_count; i++) {
        const sim_tensor *x = &c->model->tensors[c->op->inputs[i]];
        for (int k = 0; k < 4; k++) {
            if (k != axis && x->dims[k] != c->y->dims[k]) {
                return WRONG(c, "joins tensors of different sizes");
            }
        }
        sum += x->dims[axis];
    }
    return sum == c->y->dims[axis] ? SIM_OK : WRONG(c, "joins tensors that do not add up to its output");
}

static sim_result check_slice(const sim_check *c)
{
    const int32_t *begin = c->op->attributes, *step = begin + 4;
    for (int k = 0; k < 4; k++) {
        if (begin[k] < 0 || !sim_in_range(step[k], 1, MAX_DIM) ||
            begin[k] + (int64_t)(c->y->dims[k] - 1) * step[k] >= c->x->dims[k]) {
            return WRONG(c, "takes a slice outside its input");
        }
    }
    return SIM_OK;
}

static int64_t elements(const sim_tensor *t)
{
    return t->bytes / (int64_t)sim_dtype_size(t->dtype);
}

static sim_result check_reshape(const sim_check *c)
{
    return elements(c->x) == elements(c->y) ? SIM_OK : WRONG(c, "changes the number of elements");
}

static sim_result check_permute(const sim_check *c)
{
    uint32_t seen = 0;
    for (int k = 0; k < 4; k++) {
        const int32_t axis = c->op->attributes[k];
        if (!sim_in_range(axis, 0, 3) || c->y->dims[k] != c->x->dims[axis]) {
            return WRONG(c, "has axes that do not fit its tensors");
        }
        seen |= 1u << axis;
    }
    return seen == 15 ? SIM_OK : WRONG(c, "uses an axis twice");
}

static sim_result check_cast(const sim_check *c)
{
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static sim_result check_pad(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    for (int i = 0; i < 4; i++) {
        if (!sim_in_range(a[i], 0, 1 << 24)) {
            return WRONG(c, "has a padding outside 0..2^24");
        }
    }
    if (!sim_same_batch_and_channels(c) || out[1] != (int64_t)in[1] + a[0] + a[2] ||
        out[2] != (int64_t)in[2] + a[1] + a[3]) {
        return WRONG(c, "has a padding that does not fit its tensors");
    }
    return isfinite(sim_float_of(c->op, 4)) ? SIM_OK : WRONG(c, "pads with a value that is not finite");
}

/* One can be a view of the other. */
static bool same_format(const sim_builder *b, uint32_t x, uint32_t y)
{
    return sim_plan_is_bytes(b, x) == sim_plan_is_bytes(b, y) &&
           (sim_plan_is_bytes(b, x) || sim_tensor_of(b, x)->dtype == sim_tensor_of(b, y)->dtype);
}

/* Channels of the same pixels are a view. */
static void share_slice(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_tensor *x = sim_tensor_of(b, op->inputs[0]), *y = sim_tensor_of(b, op->output);
    const uint32_t from = sim_plan_source(b, o, op->inputs[0]), to = sim_plan_kept(b, op->output);
    sim_fact *out = &b->facts[to];
    const bool whole =
        memcmp(x->dims, y->dims, 3 * sizeof(int32_t)) == 0 && (op->attributes[7] == 1 || y->dims[3] == 1);
    if (whole && same_format(b, from, to) && out->output == NONE) {
        out->parent = (int32_t)from;
        out->first_channel = op->attributes[3];
        b->skipped[o] = true;
    }
}

static void share_reshape(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const uint32_t from = sim_plan_source(b, o, op->inputs[0]), to = sim_plan_kept(b, op->output);
    sim_fact *out = &b->facts[to];
    if (same_format(b, from, to) && out->output == NONE && sim_plan_is_dense(b, from)) {
        out->parent = (int32_t)from;
        out->reshaped = true;
        b->skipped[o] = true;
        for (int32_t t = (int32_t)from; t != NONE; t = b->facts[t].parent) {
            b->facts[t].pinned = true;
        }
    }
}

/* A part that lies where the joined tensor has it. */
static bool is_in_place(const sim_builder *b, int32_t o, uint32_t part, int64_t first)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_fact *x = &b->facts[sim_plan_source(b, o, op->inputs[part])];
    return op->attributes[0] == 3 && x->parent == (int32_t)sim_plan_kept(b, op->output) && !x->reshaped &&
           x->first_channel == first;
}

/* Parts that can be written straight into the joined tensor are; the others stay to be copied. */
static void share_concat(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    int32_t channel = 0;
    bool all = true;
    const uint32_t joined = sim_plan_kept(b, op->output);
    for (uint32_t i = 0; i < op->input_count; i++) {
        const uint32_t part = sim_plan_source(b, o, op->inputs[i]);
        sim_fact *x = &b->facts[part];
        const bool free_to_move = op->attributes[0] == 3 && x->parent == NONE && x->input == NONE &&
                                  x->output == NONE && !x->pinned && same_format(b, part, joined) &&
                                  sim_operator_of(b, x->producer)->opcode != SIM_OP_RESHAPE;
        if (free_to_move) {
            x->parent = (int32_t)joined;
            x->first_channel = channel;
        }
        all &= free_to_move;
        channel += sim_tensor_of(b, op->inputs[i])->dims[3];
    }
    b->skipped[o] = all;
}

/* Part `part` of the joined tensor, whose first element along the axis is `first`. */
static sim_result copy_part(sim_builder *b, const sim_operator *op, uint32_t part, int64_t first)
{
    sim_step *s;
    sim_copy *copy = sim_copy_add(b, op, &s);
    if (!copy) {
        return SIM_NO_MEMORY;
    }
    const int32_t axis = op->attributes[0];
    s->x = sim_plan_place_of(b, sim_plan_source(b, b->current, op->inputs[part]));
    sim_copy_strides(&s->x, copy->x_stride);
    copy->dims[axis] = sim_tensor_of(b, op->inputs[part])->dims[axis];
    copy->y_first = first * copy->y_stride[axis];
    sim_copy_note_traffic(s, copy);
    sim_plan_set_units(s, copy->dims[0] * copy->dims[1]);
    return SIM_OK;
}

static sim_result plan_concat(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const int32_t axis = op->attributes[0];
    int64_t first = 0;
    sim_result result = SIM_OK;
    for (uint32_t i = 0; i < op->input_count && result == SIM_OK; i++) {
        result = is_in_place(b, o, i, first) ? SIM_OK : copy_part(b, op, i, first);
        first += sim_tensor_of(b, op->inputs[i])->dims[axis];
    }
    return result;
}

/* `elements` read and written. */
static void cost_moved(sim_builder *b, int32_t o, uint32_t from, double elements)
{
    const sim_operator *op = sim_operator_of(b, o);
    const size_t x = sim_dtype_size(sim_tensor_of(b, from)->dtype),
                 y = sim_dtype_size(sim_tensor_of(b, op->output)->dtype);
    sim_plan_add_cost(b, (uint32_t)o, op)->bytes = elements * (double)(x + y);
}

static double elements_of(const sim_tensor *t)
{
    return (double)t->bytes / (double)sim_dtype_size(t->dtype);
}

static void cost_concat(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    int64_t first = 0;
    for (uint32_t i = 0; i < op->input_count; i++) {
        const sim_tensor *part = sim_tensor_of(b, op->inputs[i]);
        if (!is_in_place(b, o, i, first)) {
            cost_moved(b, o, op->inputs[i], elements_of(part));
        }
        first += part->dims[op->attributes[0]];
    }
}

static void cost_copy(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    cost_moved(b, o, op->inputs[0], elements_of(sim_tensor_of(b, op->output)));
}

static sim_result plan_slice(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s;
    sim_copy *copy = sim_copy_add(b, op, &s);
    if (!copy) {
        return SIM_NO_MEMORY;
    }
    for (int k = 0; k < 4; k++) {
        copy->x_first += op->attributes[k] * copy->x_stride[k];
        copy->x_stride[k] *= op->attributes[4 + k];
    }
    return SIM_OK;
}

static sim_result plan_permute(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s;
    sim_copy *copy = sim_copy_add(b, op, &s);
    if (!copy) {
        return SIM_NO_MEMORY;
    }
    int64_t strides[4];
    memcpy(strides, copy->x_stride, sizeof strides);
    for (int k = 0; k < 4; k++) {
        copy->x_stride[k] = strides[op->attributes[k]];
    }
    if (copy->x_stride[1] == 1 && copy->x_stride[3] != 1) {
        sim_copy_turn(s, copy);
    }
    return SIM_OK;
}

/* Elements in order; the output of a reshape is always dense. */
static sim_result plan_reshape(sim_builder *b, int32_t o)
{
    sim_step *s;
    sim_copy *copy = sim_copy_add(b, sim_operator_of(b, o), &s);
    if (!copy) {
        return SIM_NO_MEMORY;
    }
    sim_place dense = s->x;
    dense.pitch = dense.dims[3];
    sim_copy_strides(&dense, copy->y_stride);
    for (int k = 0; k < 4; k++) {
        copy->dims[k] = s->x.dims[k];
    }
    sim_plan_set_units(s, copy->dims[0] * copy->dims[1]);
    return SIM_OK;
}

static sim_result plan_cast(sim_builder *b, int32_t o)
{
    sim_step *s;
    return sim_copy_add(b, sim_operator_of(b, o), &s) ? SIM_OK : SIM_NO_MEMORY;
}

static sim_result plan_pad(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    pad_step *p = sim_plan_parameters(b, sim_plan_new_step(b, op), sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    *p = (pad_step){op->attributes[0], op->attributes[1], sim_float_of(op, 4)};
    return SIM_OK;
}

static void run_pad(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const pad_step *p = v->step->parameters;
    sim_pad_row(v->plan->kernels, p->top, p->left, p->value, &v->x, &v->y, sim_run_image(v, unit),
                sim_run_row(v, unit));
}

#define COPIES .kind = "copy", .run = sim_copy_run, .passes = true, .cost = cost_copy
const sim_row sim_row_concat = {.kind = "copy",
                                .run = sim_copy_run,
                                .passes = true,
                                .check = check_concat,
                                .plan = plan_concat,
                                .share = share_concat,
                                .cost = cost_concat};
const sim_row sim_row_slice = {COPIES, .check = check_slice, .plan = plan_slice, .share = share_slice};
const sim_row sim_row_reshape = {COPIES, .check = check_reshape, .plan = plan_reshape, .share = share_reshape};
const sim_row sim_row_permute = {COPIES, .check = check_permute, .plan = plan_permute};
const sim_row sim_row_cast = {COPIES, .check = check_cast, .plan = plan_cast};
const sim_row sim_row_pad = {.kind = "pad", .check = check_pad, .plan = plan_pad, .run = run_pad};
