/* REDUCE. */
#include "build.h"
#include "check.h"
#include "invocation.h"

typedef struct reduce_step {
    sim_reduction kind;
} reduce_step;

static sim_result check_reduce(const sim_check *c)
{
    const int32_t kind = c->op->attributes[0], mask = c->op->attributes[1];
    if (!sim_in_range(kind, SIM_NO_REDUCTION + 1, SIM_REDUCTIONS - 1) || !sim_in_range(mask, 1, 15)) {
        return WRONG(c, "has a kind outside 1..3 or axes outside 1..15");
    }
    for (int k = 0; k < 4; k++) {
        if (c->y->dims[k] != (mask >> k & 1 ? 1 : c->x->dims[k])) {
            return WRONG(c, "has axes that do not fit its tensors");
        }
    }
    return SIM_OK;
}

static sim_result plan_reduce(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    reduce_step *p = sim_plan_parameters(b, sim_plan_new_step(b, op), sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->kind = (sim_reduction)op->attributes[0];
    return SIM_OK;
}

static void run_reduce(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const reduce_step *p = v->step->parameters;
    sim_reduce_row(v->plan->kernels, p->kind, &v->x, &v->y, sim_run_image(v, unit), sim_run_row(v, unit));
}

const sim_row sim_row_reduce = {.kind = "reduce", .check = check_reduce, .plan = plan_reduce, .run = run_reduce};
