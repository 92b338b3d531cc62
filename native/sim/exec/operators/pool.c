/* MAX_POOL and AVERAGE_POOL. */
#include "build.h"
#include "check.h"
#include "invocation.h"

static sim_result check_max_pool(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (!sim_same_batch_and_channels(c) || !sim_window_fits(in[1], out[1], a[0], a[2], a[4], 1) ||
        !sim_window_fits(in[2], out[2], a[1], a[3], a[5], 1)) {
        return WRONG(c, "has a window, stride or padding that does not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_average_pool(const sim_check *c)
{
    const sim_result result = check_max_pool(c);
    if (result != SIM_OK) {
        return result;
    }
    return sim_in_range(c->op->attributes[6], 0, 1) ? SIM_OK
                                                    : WRONG(c, "has a count_include_pad that is neither 0 nor 1");
}

static sim_result plan_pool(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const int32_t *a = op->attributes;
    sim_pool *pool = sim_plan_parameters(b, sim_plan_new_step(b, op), sizeof *pool);
    if (!pool) {
        return SIM_NO_MEMORY;
    }
    *pool = (sim_pool){a[0], a[1], a[2], a[3], a[4], a[5], op->opcode == SIM_OP_AVERAGE_POOL && a[6]};
    return SIM_OK;
}

static void run_max_pool(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    v->plan->kernels->max_pool(v->step->parameters, &v->x, &v->y, sim_run_image(v, unit), sim_run_row(v, unit));
}

static void run_average_pool(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    sim_average_pool_row(v->plan->kernels, v->step->parameters, &v->x, &v->y, sim_run_image(v, unit),
                         sim_run_row(v, unit));
}

const sim_row sim_row_max_pool = {.kind = "max_pool", .check = check_max_pool, .plan = plan_pool, .run = run_max_pool};

const sim_row sim_row_average_pool = {
    .kind = "average_pool", .check = check_average_pool, .plan = plan_pool, .run = run_average_pool};
