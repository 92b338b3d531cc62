/* NORMALIZE, AFFINE, L2_NORMALIZE, LAYER_NORM, SOFTMAX. */
#include "normalize.h"

#include <math.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "invocation.h"

typedef struct normalize_step {
    const float *mean, *std;
    const int32_t *sources; /* channel of the input */
} normalize_step;

typedef struct l2_normalize_step {
    float eps;
} l2_normalize_step;

typedef struct softmax_step {
    int32_t axis;
} softmax_step;

enum { SOFTMAX_PIXELS = 32 }; /* of a unit along the channels */

static sim_result check_normalize(const sim_check *c)
{
    const sim_constant *mean = sim_constant_of(c, 0), *std = sim_constant_of(c, 1);
    const uint32_t channels = (uint32_t)c->y->dims[3];
    if (memcmp(c->x->dims, c->y->dims, 3 * sizeof(int32_t)) != 0 || c->op->attribute_count != channels) {
        return WRONG(c, "has sizes that do not fit its tensors");
    }
    if (!mean || !std || mean->dtype != SIM_FLOAT32 || std->dtype != SIM_FLOAT32 || mean->elements != channels ||
        std->elements != channels || !sim_positive(std)) {
        return WRONG(c, "needs a mean and a positive std per channel");
    }
    for (uint32_t i = 0; i < channels; i++) {
        if (!sim_in_range(c->op->attributes[i], 0, c->x->dims[3] - 1)) {
            return WRONG(c, "reads a channel that its input does not have");
        }
    }
    return SIM_OK;
}

static sim_result check_affine(const sim_check *c)
{
    const int32_t channels = c->y->dims[3];
    if (!sim_floats(sim_constant_of(c, 0), channels) || !sim_floats(sim_constant_of(c, 1), channels)) {
        return WRONG(c, "needs a float32 alpha and beta per channel");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static sim_result check_l2_normalize(const sim_check *c)
{
    const sim_constant *scale = sim_constant_of(c, 0);
    const float eps = sim_float_of(c->op, 0);
    if ((scale && !sim_floats(scale, c->y->dims[3])) || !isfinite(eps) || !(eps > 0.0f)) {
        return WRONG(c, "needs a positive eps and, if any, a float32 scale per channel");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static sim_result check_layer_norm(const sim_check *c)
{
    const sim_constant *gamma = sim_constant_of(c, 0), *beta = sim_constant_of(c, 1);
    const int32_t channels = c->y->dims[3];
    const float eps = sim_float_of(c->op, 0);
    if ((gamma && !sim_floats(gamma, channels)) || (beta && !sim_floats(beta, channels)) || !isfinite(eps) ||
        !(eps > 0.0f)) {
        return WRONG(c, "needs a positive eps and, if any, a float32 gamma and beta per channel");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static sim_result check_softmax(const sim_check *c)
{
    return sim_same_dims(c->x, c->y) && sim_in_range(c->op->attributes[0], 1, 3)
               ? SIM_OK
               : WRONG(c, "has an axis or sizes that are not valid");
}

/* A uint8 picture is normalized by its readers, through tables, if all of them can. */
static void fuse_normalize(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_fact *y = &b->facts[op->output];
    if (sim_tensor_of(b, op->inputs[0])->dtype == SIM_UINT8 && y->output == NONE && y->uses > 0 &&
        y->byte_uses == y->uses) {
        y->folded = true;
        b->skipped[o] = true;
    }
}

static const float *floats_of(const sim_builder *b, const sim_operator *op, int which)
{
    return (const float *)(const void *)b->model->constants[op->constants[which]].data;
}

int32_t sim_normalize_source(const sim_operator *op, int32_t channel)
{
    return op->attributes[channel];
}

float sim_normalize_byte(const sim_builder *b, const sim_operator *op, int32_t channel, int32_t byte)
{
    const uint32_t dtype = sim_tensor_of(b, op->output)->dtype;
    float kept[1];
    sim_store(kept, dtype, 0,
              sim_normalize_value((float)byte, floats_of(b, op, 0)[channel], floats_of(b, op, 1)[channel]));
    return sim_load(kept, dtype, 0);
}

static sim_result plan_normalize(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    normalize_step *p = sim_plan_parameters(b, s, sizeof *p);
    const size_t channels = (size_t)s->y.dims[3];
    if (!p || sim_plan_allocate(b, s, (int64_t)(channels * 12)) != SIM_OK) {
        return SIM_NO_MEMORY;
    }
    float *mean = s->memory, *std = mean + channels;
    int32_t *sources = (int32_t *)(void *)(std + channels);
    memcpy(mean, floats_of(b, op, 0), 4 * channels);
    memcpy(std, floats_of(b, op, 1), 4 * channels);
    memcpy(sources, op->attributes, 4 * channels);
    *p = (normalize_step){mean, std, sources};
    return SIM_OK;
}

static sim_result plan_affine(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    return sim_plan_take_floats(b, s, op, s->y.dims[3]);
}

static sim_result plan_l2_normalize(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    l2_normalize_step *p = sim_plan_parameters(b, s, sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->eps = sim_float_of(op, 0);
    return op->constants[0] == SIM_ABSENT ? SIM_OK : sim_plan_take_floats(b, s, op, s->y.dims[3]);
}

static int64_t pixels_of(const sim_place *p)
{
    return (int64_t)p->dims[0] * p->dims[1] * p->dims[2];
}

static sim_result plan_layer_norm(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    sim_layer_norm *p = sim_plan_parameters(b, s, sizeof *p);
    const int64_t channels = s->y.dims[3];
    if (!p || sim_plan_allocate(b, s, 2 * channels * (int64_t)sizeof(float)) != SIM_OK) {
        return SIM_NO_MEMORY;
    }
    const float **arrays[] = {&p->gamma, &p->beta};
    p->eps = sim_float_of(op, 0);
    for (int i = 0; i < 2; i++) {
        if (op->constants[i] != SIM_ABSENT) {
            float *own = (float *)s->memory + i * channels;
            memcpy(own, floats_of(b, op, i), (size_t)channels * sizeof *own);
            *arrays[i] = own;
        }
    }
    sim_plan_set_units(s, (pixels_of(&s->y) + SIM_NORM_PIXELS - 1) / SIM_NORM_PIXELS);
    return SIM_OK;
}

static sim_result plan_softmax(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    softmax_step *p = sim_plan_parameters(b, s, sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->axis = op->attributes[0];
    const int64_t columns = (int64_t)s->y.dims[0] * s->y.dims[p->axis == 1 ? 2 : 1];
    sim_plan_set_units(s, p->axis == 3 ? (pixels_of(&s->y) + SOFTMAX_PIXELS - 1) / SOFTMAX_PIXELS : columns);
    return SIM_OK;
}

static void run_normalize(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const normalize_step *p = v->step->parameters;
    const char *x = sim_row_of(&v->x, unit);
    char *y = sim_row_of(&v->y, unit);
    for (int32_t i = 0; i < v->y.w; i++, x += sim_pixel_bytes(&v->x), y += sim_pixel_bytes(&v->y)) {
        for (int32_t c = 0; c < v->y.c; c++) {
            const float value = sim_load(x, v->x.dtype, (size_t)p->sources[c]);
            sim_store(y, v->y.dtype, (size_t)c, sim_normalize_value(value, p->mean[c], p->std[c]));
        }
    }
}

static void run_affine(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const float *alpha = v->step->memory, *beta = alpha + v->y.c;
    sim_affine_row(v->plan->kernels, alpha, beta, &v->x, &v->y, sim_run_image(v, unit), sim_run_row(v, unit));
}

/* Without a scale the step has no memory. */
static void run_l2_normalize(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const l2_normalize_step *p = v->step->parameters;
    sim_l2_normalize_row(v->plan->kernels, v->step->memory, p->eps, &v->x, &v->y, sim_run_image(v, unit),
                         sim_run_row(v, unit));
}

/* Unit: some pixels. */
static void run_layer_norm(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const size_t first = unit * SIM_NORM_PIXELS, left = (size_t)pixels_of(&v->step->y) - first;
    sim_layer_norm_run(v->plan->kernels, v->step->parameters, &v->x, &v->y, first,
                       left < SIM_NORM_PIXELS ? left : SIM_NORM_PIXELS);
}

/* Unit: some pixels for the channels, a row for the columns, a column for the rows. */
static void run_softmax(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const softmax_step *p = v->step->parameters;
    if (p->axis == 3) {
        const size_t start = unit * SOFTMAX_PIXELS, left = (size_t)pixels_of(&v->step->y) - start;
        const sim_softmax along = {left < SOFTMAX_PIXELS ? left : SOFTMAX_PIXELS,
                                   (size_t)v->y.c,
                                   (size_t)v->x.pitch,
                                   1,
                                   (size_t)v->y.pitch,
                                   1,
                                   v->x.dtype,
                                   v->y.dtype};
        sim_softmax_run(v->plan->kernels, &along, v->x.data + start * sim_pixel_bytes(&v->x),
                        v->y.data + start * sim_pixel_bytes(&v->y));
        return;
    }
    const size_t w = (size_t)v->y.w, h = (size_t)v->y.h, c = (size_t)v->y.c;
    const size_t x_pitch = (size_t)v->x.pitch, y_pitch = (size_t)v->y.pitch;
    const sim_softmax axes[] = {{c, h, 1, w * x_pitch, 1, w * y_pitch, v->x.dtype, v->y.dtype},
                                {c, w, 1, x_pitch, 1, y_pitch, v->x.dtype, v->y.dtype}};
    const size_t first = p->axis == 1 ? unit / w * h * w + unit % w : unit * w;
    sim_softmax_run(v->plan->kernels, &axes[p->axis - 1], v->x.data + first * sim_pixel_bytes(&v->x),
                    v->y.data + first * sim_pixel_bytes(&v->y));
}

const sim_row sim_row_normalize = {
    .kind = "normalize",
    .check = check_normalize,
    .plan = plan_normalize,
    .run = run_normalize,
    .fuse = fuse_normalize,
};

const sim_row sim_row_affine = {.kind = "affine", .check = check_affine, .plan = plan_affine, .run = run_affine};

const sim_row sim_row_l2_normalize = {
    .kind = "l2_normalize", .check = check_l2_normalize, .plan = plan_l2_normalize, .run = run_l2_normalize};

const sim_row sim_row_layer_norm = {
    .kind = "layer_norm", .check = check_layer_norm, .plan = plan_layer_norm, .run = run_layer_norm};

const sim_row sim_row_softmax = {.kind = "softmax", .check = check_softmax, .plan = plan_softmax, .run = run_softmax};
