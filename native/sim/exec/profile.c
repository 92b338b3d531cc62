/* Times of a plan's steps: an object beside the plan, which any number of running invocations fill. */
#include "profile.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "limit.h"
#include "network.h"
#include "new_file.h"
#include "plan.h"
#include "step_timing.h"
#include "told.h"

typedef struct step_times {
    _Atomic uint64_t nanoseconds, least, calls;
} step_times;

struct sim_profile {
    const sim_plan *plan;
    const sim_timing *timing; /* or NULL */
    unsigned cores;
    double limit_int8, limit_int16; /* multiplications of one core in a second, or 0 */
    step_times times[];
};

sim_profile *sim_profile_create(const sim_plan *plan, const sim_timing *timing, unsigned cores)
{
    sim_profile *profile = calloc(1, sizeof *profile + plan->step_count * sizeof(step_times));
    if (profile) {
        profile->plan = plan;
        profile->timing = timing;
        profile->cores = cores;
        profile->limit_int8 = sim_limit_of(plan->kernels, SIM_INT8);
        profile->limit_int16 = sim_limit_of(plan->kernels, SIM_INT16);
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

/* Of one core's limit, in thousandths: more than all of it where products are saved or several cores share a step. */
static double share_of(const sim_profile *profile, const sim_step *s, double ms)
{
    const double limit = s->weight_dtype == SIM_INT8    ? profile->limit_int8
                         : s->weight_dtype == SIM_INT16 ? profile->limit_int16
                                                        : 0;
    return limit > 0 && ms > 0 ? 1e6 * s->multiplications / ms / limit : 0;
}

/* Adds up the least times of each kind of step, in the order of the first of each. */
static void print_kinds(const sim_profile *profile, double least, FILE *file)
{
    const sim_plan *plan = profile->plan;
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
            fprintf(file, " %s %.1f %%", kind, 100.0 * ms / least);
        }
    }
}

/* Runs that were profiled. A network has at least one operator, but all of its steps may be views. */
static uint64_t runs_of(const sim_profile *profile)
{
    return profile->plan->step_count ? atomic_load(&profile->times[0].calls) : 0;
}

static void print_estimate(const sim_profile *profile, FILE *file)
{
    if (profile->timing) {
        fprintf(file, "estimate for %s: %.3f ms on %u cores\n", profile->timing->name,
                sim_timing_of_plan(profile->timing, profile->plan, profile->cores) * 1e3, profile->cores);
    }
}

void sim_profile_print(const sim_profile *profile, FILE *file)
{
    const sim_plan *plan = profile->plan;
    double mean = 0, least = 0, products = 0, moved = 0;
    fprintf(file, "cnrt simulator profile: kernels %s, %llu runs\n%10s %10s %8s %7s %8s  %s\n", plan->kernels->name,
            (unsigned long long)runs_of(profile), "mean ms", "least ms", "GMAC/s", "limit %", "MB", "step");
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const sim_step *s = &plan->steps[i];
        const step_times *t = &profile->times[i];
        const double ms = (double)atomic_load(&t->least) / 1e6;
        fprintf(file, "%10.3f %10.3f %8.1f %7.1f %8.3f  %s%s%s %s %dx%dx%d %s -> %dx%dx%d %s%s\n", mean_ms(t), ms,
                rate(s->multiplications, ms), share_of(profile, s, ms) / 10.0, sim_step_bytes(s) / 1e6, s->kind,
                s->algorithm ? " " : "", s->algorithm ? s->algorithm : "", s->name, s->x.dims[1], s->x.dims[2],
                s->x.dims[3], sim_type_name(s->x.dtype), s->y.dims[1], s->y.dims[2], s->y.dims[3],
                sim_type_name(s->y.dtype), s->twins ? " and quantized" : "");
        mean += mean_ms(t);
        least += ms;
        products += s->multiplications;
        moved += sim_step_bytes(s);
    }
    fprintf(file, "%10.3f %10.3f %8.1f %7s %8.3f  all:", mean, least, rate(products, least), "", moved / 1e6);
    print_kinds(profile, least, file);
    fprintf(file, "\n");
    print_estimate(profile, file);
}

/* Whole numbers alone: how a fraction is printed depends on the program's locale. */
static void write_step(const sim_profile *profile, uint32_t number, FILE *file)
{
    const sim_step *s = &profile->plan->steps[number];
    const step_times *t = &profile->times[number];
    const uint64_t calls = atomic_load(&t->calls), least = atomic_load(&t->least);
    const uint64_t mean = calls ? atomic_load(&t->nanoseconds) / calls : 0;
    fprintf(file, "{\"kind\": \"%s\", \"name\": ", s->kind);
    sim_tell_name(s->name, file);
    fputs(", ", file);
    sim_tell_tensors(s, file);
    if (s->algorithm) {
        fprintf(file, ", \"algorithm\": \"%s\", \"limit_permille\": %.0f", s->algorithm,
                share_of(profile, s, (double)least / 1e6));
    }
    fprintf(file, ", \"bytes\": %.0f", sim_step_bytes(s));
    fprintf(file, ", \"multiplications\": %.0f, \"mean_ns\": %llu, \"least_ns\": %llu", s->multiplications,
            (unsigned long long)mean, (unsigned long long)least);
    if (profile->timing) {
        fprintf(file, ", \"estimate_ns\": %.0f",
                sim_timing_of_step(profile->timing, profile->plan, number, profile->cores) * 1e9);
    }
    fputc('}', file);
}

static void write_json(const sim_profile *profile, FILE *file)
{
    const sim_plan *plan = profile->plan;
    fprintf(file, "{\"schema\": 1, \"kernels\": \"%s\", \"runs\": %llu, ", plan->kernels->name,
            (unsigned long long)runs_of(profile));
    fprintf(file, "\"arena_bytes\": %llu, \"packed_bytes\": %llu, ", (unsigned long long)plan->arena_bytes,
            (unsigned long long)plan->packed_bytes);
    fprintf(file, "\"limit_int8\": %.0f, \"limit_int16\": %.0f, ", profile->limit_int8, profile->limit_int16);
    if (profile->timing) {
        fputs("\"estimate\": {\"profile\": ", file);
        sim_tell_name(profile->timing->name, file);
        fprintf(file, ", \"cores\": %u, \"estimate_ns\": %.0f}, ", profile->cores,
                sim_timing_of_plan(profile->timing, plan, profile->cores) * 1e9);
    }
    fputs("\"steps\": [", file);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        fputs(i ? ",\n  " : "\n  ", file);
        write_step(profile, i, file);
    }
    fputs("\n]}\n", file);
}

sim_result sim_profile_save(const sim_profile *profile, const char *path, sim_error *error)
{
    sim_new_file new_file;
    if (sim_new_file_begin(&new_file, path)) {
        write_json(profile, new_file.file);
        if (sim_new_file_end(&new_file, true)) {
            return SIM_OK;
        }
    }
    return sim_fail(error, SIM_NOT_WRITTEN, "The profile %.120s cannot be written: %s.", path, strerror(errno));
}
