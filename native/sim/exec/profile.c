/* Times of a plan's steps: an object beside the plan, which any number of running invocations fill. */
#include "profile.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct step_times {
    _Atomic uint64_t nanoseconds, least, calls;
} step_times;

struct sim_profile {
    uint32_t step_count;
    step_times times[];
};

sim_profile *sim_profile_create(const sim_plan *plan)
{
    sim_profile *profile = calloc(1, sizeof *profile + plan->step_count * sizeof(step_times));
    if (profile) {
        profile->step_count = plan->step_count;
    }
    return profile;
}

void sim_profile_free(sim_profile *profile)
{
    free(profile);
}

uint64_t sim_profile_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void sim_profile_record(sim_profile *profile, uint32_t step, uint64_t nanoseconds)
{
    step_times *t = &profile->times[step];
    atomic_fetch_add_explicit(&t->nanoseconds, nanoseconds, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->calls, 1, memory_order_relaxed);
    uint64_t least = atomic_load_explicit(&t->least, memory_order_relaxed);
    while ((least == 0 || nanoseconds < least) &&
           !atomic_compare_exchange_weak_explicit(&t->least, &least, nanoseconds, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static double mean_ms(const step_times *t)
{
    const uint64_t calls = atomic_load(&t->calls);
    return calls ? (double)atomic_load(&t->nanoseconds) / 1e6 / (double)calls : 0.0;
}

static double rate(double products, double ms) /* in 10^9 multiplications per second */
{
    return ms > 0 ? products / ms / 1e6 : 0.0;
}

/* Adds up the least times of each kind of step, in the order of the first of each. */
static void print_kinds(const sim_profile *profile, const sim_plan *plan, double least)
{
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const char *kind = plan->steps[i].kind;
        double ms = 0;
        bool seen = false;
        for (uint32_t k = 0; k < plan->step_count; k++) {
            const bool same = strcmp(plan->steps[k].kind, kind) == 0;
            seen |= same && k < i;
            ms += same ? (double)atomic_load(&profile->times[k].least) / 1e6 : 0;
        }
        if (!seen && ms > 0) {
            fprintf(stderr, " %s %.1f %%", kind, 100.0 * ms / least);
        }
    }
}

void sim_profile_print(const sim_profile *profile, const sim_plan *plan)
{
    double mean = 0, least = 0, products = 0;
    fprintf(stderr, "cnrt simulator profile: kernels %s, %llu runs\n%10s %10s %8s  %s\n", plan->kernels->name,
            (unsigned long long)atomic_load(&profile->times[0].calls), "mean ms", "least ms", "GMAC/s", "step");
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const sim_step *s = &plan->steps[i];
        const step_times *t = &profile->times[i];
        const double ms = (double)atomic_load(&t->least) / 1e6;
        fprintf(stderr, "%10.3f %10.3f %8.1f  %s %s %dx%dx%d -> %dx%dx%d\n", mean_ms(t), ms,
                rate(s->multiplications, ms), s->kind, s->name, s->x.dims[1], s->x.dims[2], s->x.dims[3], s->y.dims[1],
                s->y.dims[2], s->y.dims[3]);
        mean += mean_ms(t);
        least += ms;
        products += s->multiplications;
    }
    fprintf(stderr, "%10.3f %10.3f %8.1f  all:", mean, least, rate(products, least));
    print_kinds(profile, plan, least);
    fprintf(stderr, "\n");
}
