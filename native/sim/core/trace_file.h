/* A trace, and how it is written. */
#ifndef SIM_CORE_TRACE_FILE_H
#define SIM_CORE_TRACE_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "core/device.h"
#include "exec/exec.h"

/* What a trace holds at most, an event on several cores counted on each: some 16 MB here, some 50 MB as a file. */
enum { SIM_TRACE_SLICES = 200000, SIM_TRACE_MODELS = 64 };

typedef enum sim_trace_kind { SIM_TRACE_STEP, SIM_TRACE_INVOCATION, SIM_TRACE_WORK, SIM_TRACE_COPY } sim_trace_kind;

typedef struct sim_trace_event {
    sim_trace_kind kind;
    int model;
    unsigned device;
    uint32_t number; /* of the step, the queue or the thread */
    uint64_t cores, bytes, begun, ended;
    const char *function;
} sim_trace_event;

typedef struct sim_trace_model_told {
    char name[SIM_MAX_NAME];
    char **steps; /* as sim_plan_describe_step tells them, then NULL */
} sim_trace_model_told;

typedef struct sim_trace {
    uint64_t began;
    sim_trace_event *events;
    size_t count, capacity;
    uint64_t slices, left_out;    /* of the events in the file; events that came when it was full */
    uint64_t unknown_invocations; /* of models that there was no room for: nothing of them is in the file */
    sim_trace_model_told models[SIM_TRACE_MODELS];
    unsigned model_count;
} sim_trace;

void sim_trace_write(const sim_trace *trace, const sim_device_kind *kind, FILE *file);

#endif
