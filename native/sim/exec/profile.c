/* The profile that CNRT_SIMULATOR_PROFILE=1 prints when a plan is freed. */
#include <stdio.h>

#include "plan.h"

static const char *const KINDS[SIM_STEP_KINDS] = {
    [SIM_STEP_CONV] = "conv",
    [SIM_STEP_MAX_POOL] = "max_pool",
    [SIM_STEP_UPSAMPLE] = "upsample",
    [SIM_STEP_COPY] = "copy",
    [SIM_STEP_BINARY] = "binary",
    [SIM_STEP_ACTIVATE] = "activate",
    [SIM_STEP_TABLE] = "table",
    [SIM_STEP_SOFTMAX] = "softmax",
    [SIM_STEP_NORMALIZE] = "normalize",
    [SIM_STEP_PRELU] = "prelu",
    [SIM_STEP_AFFINE] = "affine",
    [SIM_STEP_AVERAGE_POOL] = "average_pool",
    [SIM_STEP_REDUCE] = "reduce",
    [SIM_STEP_RESIZE] = "resize",
    [SIM_STEP_PAD] = "pad",
    [SIM_STEP_L2_NORMALIZE] = "l2_normalize",
    [SIM_STEP_DETECTION] = "detection",
};

static double mean_ms(const sim_step *s)
{
    const uint64_t calls = atomic_load(&s->calls);
    return calls ? (double)atomic_load(&s->nanoseconds) / 1e6 / (double)calls : 0.0;
}

static double rate(double products, double ms) /* in 10^9 multiplications per second */
{
    return ms > 0 ? products / ms / 1e6 : 0.0;
}

void sim_plan_report(const sim_plan *plan)
{
    double mean = 0, least = 0, products = 0, kinds[SIM_STEP_KINDS] = {0};
    fprintf(stderr, "cnrt simulator profile: kernels %s, %llu runs\n%10s %10s %8s  %s\n", plan->kernels->name,
            (unsigned long long)atomic_load(&plan->steps[0].calls), "mean ms", "least ms", "GMAC/s", "step");
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const sim_step *s = &plan->steps[i];
        const double ms = (double)atomic_load(&s->least) / 1e6;
        fprintf(stderr, "%10.3f %10.3f %8.1f  %s %s %dx%dx%d -> %dx%dx%d\n", mean_ms(s), ms,
                rate(s->multiplications, ms), KINDS[s->kind], s->name, s->x.dims[1], s->x.dims[2], s->x.dims[3],
                s->y.dims[1], s->y.dims[2], s->y.dims[3]);
        mean += mean_ms(s);
        least += ms;
        products += s->multiplications;
        kinds[s->kind] += ms;
    }
    fprintf(stderr, "%10.3f %10.3f %8.1f  all:", mean, least, rate(products, least));
    for (int k = 0; k < SIM_STEP_KINDS; k++) {
        if (kinds[k] > 0) {
            fprintf(stderr, " %s %.1f %%", KINDS[k], 100.0 * kinds[k] / least);
        }
    }
    fprintf(stderr, "\n");
}
