/* UPSAMPLE_NEAREST and RESIZE_BILINEAR. */
#include "build.h"
#include "check.h"
#include "invocation.h"

typedef struct upsample_step {
    int32_t factor_h, factor_w;
} upsample_step;

typedef struct resize_step {
    bool align_corners;
} resize_step;

static sim_result check_upsample(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (a[0] < 1 || a[1] < 1 || in[0] != out[0] || in[3] != out[3] || out[1] != (int64_t)in[1] * a[0] ||
        out[2] != (int64_t)in[2] * a[1]) {
        return WRONG(c, "has factors that do not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_resize(const sim_check *c)
{
    if (!sim_same_batch_and_channels(c)) {
        return WRONG(c, "has sizes that do not fit its tensors");
    }
    return sim_in_range(c->op->attributes[0], 0, 1) ? SIM_OK : WRONG(c, "has an align_corners that is neither 0 nor 1");
}

static sim_result plan_upsample(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    upsample_step *p = sim_plan_parameters(b, sim_plan_new_step(b, op), sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    *p = (upsample_step){op->attributes[0], op->attributes[1]};
    return SIM_OK;
}

static sim_result plan_resize(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    resize_step *p = sim_plan_parameters(b, sim_plan_new_step(b, op), sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->align_corners = op->attributes[0] != 0;
    return SIM_OK;
}

static void run_upsample(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const upsample_step *p = v->step->parameters;
    const size_t n = unit / (size_t)v->y.h;
    const char *x = sim_row_of(&v->x, n * (size_t)v->x.h + unit % (size_t)v->y.h / (size_t)p->factor_h);
    char *y = sim_row_of(&v->y, unit);
    for (int32_t i = 0; i < v->x.w; i++, x += sim_pixel_bytes(&v->x)) {
        for (int32_t k = 0; k < p->factor_w; k++, y += sim_pixel_bytes(&v->y)) {
            sim_run_move(v, x, y, (size_t)v->y.c);
        }
    }
}

static void run_resize(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    const resize_step *p = v->step->parameters;
    sim_resize_row(v->plan->kernels, p->align_corners, &v->x, &v->y, sim_run_image(v, unit), sim_run_row(v, unit));
}

const sim_row sim_row_upsample_nearest = {
    .kind = "upsample", .check = check_upsample, .plan = plan_upsample, .run = run_upsample, .passes = true};

const sim_row sim_row_resize_bilinear = {
    .kind = "resize", .check = check_resize, .plan = plan_resize, .run = run_resize};
