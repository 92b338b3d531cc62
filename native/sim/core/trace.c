#define _GNU_SOURCE
#include "core/trace.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/calls.h"
#include "core/clock.h"
#include "core/device.h"
#include "core/environment.h"
#include "core/timing.h"
#include "core/trace_file.h"
#include "exec/new_file.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *path; /* NULL: none is wanted */
static sim_trace trace;
static uint64_t saved; /* all that it had when the file was written */

static void begin(void)
{
    path = sim_environment_trace();
    trace.began = (uint64_t)sim_clock_host();
}

bool sim_trace_wanted(void)
{
    pthread_once(&once, begin);
    return path != NULL;
}

/* ---- Models ---- */

static void forget(sim_trace_model_told *told)
{
    for (char **step = told->steps; step != NULL && *step != NULL; step++) {
        free(*step);
    }
    free(told->steps);
    *told = (sim_trace_model_told){.steps = NULL};
}

static bool describe(sim_trace_model_told *told, const sim_plan *plan, const char *name, unsigned cores)
{
    const uint32_t count = sim_plan_step_count(plan);
    snprintf(told->name, sizeof told->name, "%s", name);
    told->steps = calloc(count + 1u, sizeof *told->steps); /* the last is NULL */
    bool good = told->steps != NULL;
    for (uint32_t step = 0; good && step < count; step++) {
        told->steps[step] = sim_plan_describe_step(plan, step, sim_timing_get(), cores);
        good = told->steps[step] != NULL;
    }
    if (!good) {
        forget(told);
    }
    return good;
}

static bool is_same(const sim_trace_model_told *one, const sim_trace_model_told *other)
{
    size_t step = 0;
    while (one->steps[step] != NULL && other->steps[step] != NULL &&
           strcmp(one->steps[step], other->steps[step]) == 0) {
        step++;
    }
    return one->steps[step] == other->steps[step] && strcmp(one->name, other->name) == 0; /* both NULL */
}

/* With the lock held. A model that is loaded again is told once. */
static int number_of(sim_trace_model_told *told)
{
    for (unsigned index = 0; index < trace.model_count; index++) {
        if (is_same(told, &trace.models[index])) {
            forget(told);
            return (int)index;
        }
    }
    if (trace.model_count == SIM_TRACE_MODELS) {
        forget(told);
        return SIM_TRACE_NO_MODEL;
    }
    trace.models[trace.model_count] = *told;
    return (int)trace.model_count++;
}

int sim_trace_model(const sim_plan *plan, const char *name, unsigned cores)
{
    sim_trace_model_told told;
    if (!sim_trace_wanted() || !describe(&told, plan, name, cores)) {
        return SIM_TRACE_NO_MODEL;
    }
    pthread_mutex_lock(&lock);
    const int number = number_of(&told);
    pthread_mutex_unlock(&lock);
    return number;
}

/* ---- Events ---- */

static bool grow(void)
{
    const size_t capacity = trace.capacity == 0 ? 1024 : trace.capacity * 2;
    sim_trace_event *larger = realloc(trace.events, capacity * sizeof *larger);
    if (larger != NULL) {
        trace.events = larger;
        trace.capacity = capacity;
    }
    return larger != NULL;
}

static void add(const sim_trace_event *event)
{
    const unsigned slices = event->cores == 0 ? 1 : (unsigned)__builtin_popcountll(event->cores);
    pthread_mutex_lock(&lock);
    const bool full = trace.left_out > 0 || trace.slices + slices > SIM_TRACE_SLICES;
    if (full || (trace.count == trace.capacity && !grow())) {
        trace.left_out++;
    } else {
        trace.events[trace.count++] = *event;
        trace.slices += slices;
    }
    pthread_mutex_unlock(&lock);
}

void sim_trace_step(void *place, uint32_t step, uint64_t begun, uint64_t ended)
{
    const sim_trace_place *where = place;
    add(&(sim_trace_event){.kind = SIM_TRACE_STEP,
                           .model = where->model,
                           .device = where->device,
                           .cores = where->cores,
                           .number = step,
                           .begun = begun,
                           .ended = ended});
}

static void leave_out_invocation(void)
{
    if (sim_trace_wanted()) {
        pthread_mutex_lock(&lock);
        trace.unknown_invocations++;
        pthread_mutex_unlock(&lock);
    }
}

void sim_trace_invocation(const sim_trace_place *place, uint64_t begun, uint64_t ended)
{
    if (place->model == SIM_TRACE_NO_MODEL) {
        leave_out_invocation();
        return;
    }
    add(&(sim_trace_event){.kind = SIM_TRACE_INVOCATION,
                           .model = place->model,
                           .device = place->device,
                           .cores = place->cores,
                           .begun = begun,
                           .ended = ended});
}

void sim_trace_work(unsigned device, unsigned queue, const char *function, uint64_t bytes, uint64_t begun,
                    uint64_t ended)
{
    add(&(sim_trace_event){.kind = SIM_TRACE_WORK,
                           .device = device,
                           .number = queue,
                           .function = function,
                           .bytes = bytes,
                           .begun = begun,
                           .ended = ended});
}

void sim_trace_copy(unsigned device, const char *function, uint64_t bytes, uint64_t begun, uint64_t ended)
{
    if (sim_trace_wanted()) {
        add(&(sim_trace_event){.kind = SIM_TRACE_COPY,
                               .device = device,
                               .number = (uint32_t)syscall(SYS_gettid),
                               .function = function,
                               .bytes = bytes,
                               .begun = begun,
                               .ended = ended});
    }
}

/* ---- The file ---- */

static bool write_whole(void)
{
    sim_new_file new_file;
    if (!sim_new_file_begin(&new_file, path)) {
        return false;
    }
    sim_trace_write(&trace, sim_device_get_kind(), new_file.file);
    return sim_new_file_end(&new_file, true);
}

void sim_trace_save(void)
{
    if (!sim_trace_wanted() || !sim_calls_in_this_process()) { /* a forked child leaves the file alone */
        return;
    }
    pthread_mutex_lock(&lock);
    const uint64_t has = trace.count + trace.left_out + trace.unknown_invocations;
    if (has != saved) {
        saved = has;
        if (!write_whole()) {
            fprintf(stderr, "cnrt simulator: the trace CNRT_SIMULATOR_PROFILE=%s cannot be written: %s\n", path,
                    strerror(errno));
        }
    }
    pthread_mutex_unlock(&lock);
}

/* What is not in the file. */
static void tell_missing(void)
{
    pthread_mutex_lock(&lock);
    if (trace.left_out > 0) {
        fprintf(stderr, "cnrt simulator: the trace %s is full, %llu later events are not in it\n", path,
                (unsigned long long)trace.left_out);
    }
    if (trace.unknown_invocations > 0) {
        fprintf(stderr,
                "cnrt simulator: the trace %s has no room for more than %d models, %llu invocations of further "
                "ones are not in it\n",
                path, SIM_TRACE_MODELS, (unsigned long long)trace.unknown_invocations);
    }
    pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void save_at_end(void)
{
    if (path != NULL && sim_calls_in_this_process()) {
        sim_trace_save();
        tell_missing();
    }
}
