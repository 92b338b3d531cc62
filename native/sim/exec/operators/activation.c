/* ACTIVATION: by a kernel, by a table of all halves, or with a slope per channel (prelu). */
#include <math.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "invocation.h"

enum { TABLE_ELEMENTS = 4096 };

typedef struct activation_step {
    sim_activation activation;
    const uint16_t *table; /* of run_table alone */
} activation_step;

static sim_result check_activation(const sim_check *c)
{
    const float a = sim_float_of(c->op, 1), b = sim_float_of(c->op, 2);
    const int32_t function = c->op->attributes[0];
    if (!sim_in_range(function, SIM_RELU, SIM_FUNCTIONS - 1)) {
        return WRONG(c, "has an activation function that is not known");
    }
    if (c->op->constant_count != (function == SIM_PRELU)) {
        return WRONG(c, "needs a constant exactly if its function is prelu");
    }
    if (function == SIM_PRELU && !sim_floats(sim_constant_of(c, 0), 1) &&
        !sim_floats(sim_constant_of(c, 0), c->y->dims[3])) {
        return WRONG(c, "needs one float32 slope, or one per channel");
    }
    if (!isfinite(a) || !isfinite(b) || (function == SIM_CLIP && a > b)) {
        return WRONG(c, "has parameters that are not finite, or bounds in the wrong order");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

/* Taken over by the operator before it if that can, and nobody else sees what lies between. */
static void fuse_activation(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_fact *x = &b->facts[op->inputs[0]];
    const uint32_t dtype = sim_tensor_of(b, op->output)->dtype, function = (uint32_t)op->attributes[0];
    const bool tabled = !b->for_costs && dtype == SIM_FLOAT16 && function != SIM_PRELU;
    const bool known = sim_activation_is_fast(function) || tabled;
    if (known && x->conv != NONE && b->fused[x->conv] == NONE && b->added[x->conv] == NONE && x->uses == 1 &&
        x->output == NONE && sim_tensor_of(b, op->inputs[0])->dtype == dtype) {
        b->fused[x->conv] = o;
        b->skipped[o] = true;
        b->facts[op->output].conv = x->conv;
    }
}

static void run_activation(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const activation_step *p = v->step->parameters;
    const bool whole = sim_is_dense(&v->x) && sim_is_dense(&v->y);
    const size_t count = (size_t)v->y.c * (whole ? (size_t)v->y.w : 1);
    const char *x = sim_row_of(&v->x, unit);
    char *y = sim_row_of(&v->y, unit);
    for (int32_t i = 0; i < (whole ? 1 : v->y.w); i++, x += sim_pixel_bytes(&v->x), y += sim_pixel_bytes(&v->y)) {
        v->plan->kernels->activate(&p->activation, x, v->x.dtype, y, v->y.dtype, count);
    }
}

static void run_table(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const activation_step *p = v->step->parameters;
    const char *x = sim_row_of(&v->x, unit);
    char *y = sim_row_of(&v->y, unit);
    for (int32_t i = 0; i < v->y.w; i++, x += sim_pixel_bytes(&v->x), y += sim_pixel_bytes(&v->y)) {
        for (int32_t c = 0; c < v->y.c; c++) { /* a caller's buffer may begin anywhere */
            uint16_t half;
            memcpy(&half, x + 2 * c, sizeof half);
            memcpy(y + 2 * c, &p->table[half], sizeof half);
        }
    }
}

static void run_prelu(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    sim_prelu_row(v->plan->kernels, v->step->memory, &v->x, &v->y, sim_run_image(v, unit), sim_run_row(v, unit));
}

static sim_result make_table(sim_builder *b, sim_step *s, activation_step *p)
{
    s->kind = "table";
    s->run = run_table;
    p->table = sim_plan_halves(b, &p->activation);
    return p->table ? SIM_OK : SIM_NO_MEMORY;
}

static sim_result plan_activation(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    if (op->attributes[0] == SIM_PRELU) {
        s->kind = "prelu";
        s->run = run_prelu;
        return sim_plan_take_floats(b, s, op, s->y.dims[3]);
    }
    activation_step *p = sim_plan_parameters(b, s, sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->activation = (sim_activation){(uint32_t)op->attributes[0], sim_float_of(op, 1), sim_float_of(op, 2)};
    const int64_t elements = sim_tensor_of(b, op->output)->bytes / 2;
    const bool halves = s->x.dtype == SIM_FLOAT16 && s->y.dtype == SIM_FLOAT16;
    const bool looked_up = halves && elements >= TABLE_ELEMENTS && sim_plan_is_tabled(&p->activation);
    return looked_up ? make_table(b, s, p) : SIM_OK;
}

const sim_row sim_row_activation = {
    .kind = "activate",
    .check = check_activation,
    .plan = plan_activation,
    .run = run_activation,
    .fuse = fuse_activation,
};
