/* One unit of the steps that run.c leaves: mostly an output row, which a kernel of operators.c computes. */
#include "plan.h"

static void table_row(const sim_invocation *v, int32_t n, int32_t row)
{
    const sim_view *x = &v->x, *y = &v->y;
    const size_t first = ((size_t)n * (size_t)y->h + (size_t)row) * (size_t)y->w;
    for (size_t i = 0; i < (size_t)y->w; i++) {
        const uint16_t *in = (const uint16_t *)(const void *)x->data + (first + i) * (size_t)x->pitch;
        uint16_t *out = (uint16_t *)(void *)y->data + (first + i) * (size_t)y->pitch;
        for (int32_t c = 0; c < y->c; c++) {
            out[c] = v->step->table[in[c]];
        }
    }
}

static void detection_image(const sim_invocation *v, int32_t n, unsigned member)
{
    const sim_step *s = v->step;
    sim_view heads[SIM_MAX_HEADS];
    for (int32_t i = 0; i < s->detection.heads; i++) {
        heads[i] = sim_run_view(v, &s->heads[i]);
    }
    sim_detection_run(&s->detection, heads, &v->y, n, (char *)sim_run_scratch(v, member) + SIM_SCRATCH_HEAD);
}

void sim_run_more(const sim_invocation *v, size_t unit, unsigned member)
{
    const sim_step *s = v->step;
    const sim_kernels *k = v->plan->kernels;
    const int32_t n = (int32_t)(unit / (size_t)v->y.h), row = (int32_t)(unit % (size_t)v->y.h);
    switch (s->kind) {
    case SIM_STEP_TABLE: table_row(v, n, row); break;
    case SIM_STEP_PRELU: sim_prelu_row(k, s->mean, &v->x, &v->y, n, row); break;
    case SIM_STEP_AFFINE: sim_affine_row(k, s->mean, s->std, &v->x, &v->y, n, row); break;
    case SIM_STEP_AVERAGE_POOL: sim_average_pool_row(k, &s->pool, &v->x, &v->y, n, row); break;
    case SIM_STEP_REDUCE: sim_reduce_row(k, s->reduction, &v->x, &v->y, n, row); break;
    case SIM_STEP_RESIZE: sim_resize_row(k, s->align_corners, &v->x, &v->y, n, row); break;
    case SIM_STEP_PAD: sim_pad_row(k, s->factor_h, s->factor_w, s->value, &v->x, &v->y, n, row); break;
    case SIM_STEP_L2_NORMALIZE: sim_l2_normalize_row(k, s->mean, s->value, &v->x, &v->y, n, row); break;
    case SIM_STEP_DETECTION: detection_image(v, n, member); break;
    default: break; /* run.c's own */
    }
}
