/* ADD, SUB, MUL, DIV, MAX, MIN. */
#include "build.h"
#include "check.h"
#include "invocation.h"

typedef struct binary_step {
    sim_binary kind;
    sim_place second;
} binary_step;

static bool per_channel(const sim_tensor *a, const sim_tensor *y)
{
    return a->dims[0] == y->dims[0] && a->dims[1] == 1 && a->dims[2] == 1 && a->dims[3] == y->dims[3];
}

static sim_result check_binary(const sim_check *c)
{
    const sim_tensor *a = c->x, *b = &c->model->tensors[c->op->inputs[1]];
    const bool fits = (sim_same_dims(a, c->y) && (sim_same_dims(b, c->y) || per_channel(b, c->y))) ||
                      (sim_same_dims(b, c->y) && per_channel(a, c->y));
    return fits ? SIM_OK : WRONG(c, "has operands that do not fit its output");
}

static sim_binary kind_of(uint32_t opcode)
{
    switch (opcode) {
    case SIM_OP_ADD: return SIM_ADD;
    case SIM_OP_MUL: return SIM_MUL;
    case SIM_OP_SUB: return SIM_SUB;
    case SIM_OP_DIV: return SIM_DIV;
    case SIM_OP_MAX: return SIM_MAX;
    default: return SIM_MIN;
    }
}

/* Whether the convolution that ends in input `which` can add the other one, written before it. */
static bool adds(const sim_builder *b, const sim_operator *op, int which)
{
    const sim_fact *own = &b->facts[op->inputs[which]], *other = &b->facts[op->inputs[1 - which]];
    const sim_tensor *x = sim_tensor_of(b, op->inputs[which]), *y = sim_tensor_of(b, op->output),
                     *z = sim_tensor_of(b, op->inputs[1 - which]);
    return own->conv != NONE && b->added[own->conv] == NONE && own->uses == 1 && own->output == NONE &&
           other->producer < own->conv && sim_same_dims(x, z) && x->dtype == y->dtype && z->dtype == y->dtype;
}

/* A sum is taken over by the convolution before it, behind its activation, if nobody else sees what lies between. */
static void fuse_add(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    for (int which = 0; which < 2 && !b->for_costs; which++) {
        if (adds(b, op, which)) {
            const int32_t conv = b->facts[op->inputs[which]].conv;
            b->added[conv] = o;
            b->skipped[o] = true;
            b->facts[op->output].conv = conv;
            return;
        }
    }
}

static sim_result plan_binary(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    binary_step *p = sim_plan_parameters(b, sim_plan_new_step(b, op), sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->kind = kind_of(op->opcode);
    p->second = sim_plan_place_of(b, op->inputs[1]);
    return SIM_OK;
}

/* An operand of one pixel per image is read again for every pixel. */
static void run_binary(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const binary_step *p = v->step->parameters;
    const sim_view second = sim_run_view(v, &p->second), *a = &v->x, *b = &second, *y = &v->y;
    const bool one_a = a->h != y->h || a->w != y->w, one_b = b->h != y->h || b->w != y->w;
    const bool whole = !one_a && !one_b && sim_is_dense(a) && sim_is_dense(b) && sim_is_dense(y);
    const size_t n = unit / (size_t)y->h, count = (size_t)y->c * (whole ? (size_t)y->w : 1);
    const char *pa = one_a ? a->data + n * sim_pixel_bytes(a) : sim_row_of(a, unit),
               *pb = one_b ? b->data + n * sim_pixel_bytes(b) : sim_row_of(b, unit);
    char *py = sim_row_of(y, unit);
    for (int32_t i = 0; i < (whole ? 1 : y->w); i++) {
        v->plan->kernels->binary(p->kind, pa, a->dtype, pb, b->dtype, py, y->dtype, count);
        pa += one_a ? 0 : sim_pixel_bytes(a);
        pb += one_b ? 0 : sim_pixel_bytes(b);
        py += sim_pixel_bytes(y);
    }
}

#define ROW .kind = "binary", .check = check_binary, .plan = plan_binary, .run = run_binary
const sim_row sim_row_add = {ROW, .fuse = fuse_add};
const sim_row sim_row_sub = {ROW}, sim_row_mul = {ROW}, sim_row_div = {ROW}, sim_row_max = {ROW}, sim_row_min = {ROW};
