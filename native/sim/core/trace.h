/* CNRT_SIMULATOR_PROFILE=file.json: what cores, queues and copies did when, in Chrome's trace event format (ABI.md section
 * 10.6). Times are the host's; everything here is cheap to ask and does nothing where no trace is wanted. */
#ifndef SIM_CORE_TRACE_H
#define SIM_CORE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/exec.h"

enum { SIM_TRACE_NO_MODEL = -1 };

/* Whose time an invocation's steps are. */
typedef struct sim_trace_place {
    int model;       /* of sim_trace_model */
    unsigned device; /* ordinal */
    uint64_t cores;  /* bit set of those that it holds */
} sim_trace_place;

bool sim_trace_wanted(void);
/* Keeps what is to be told of a plan's steps, once for models that tell the same. SIM_TRACE_NO_MODEL: no trace, or too many
 * models. */
int sim_trace_model(const sim_plan *plan, const char *name, unsigned cores);

/* Times in nanoseconds of the monotonic clock. */
void sim_trace_step(void *place, uint32_t step, uint64_t begun, uint64_t ended); /* a team's `watch` */
void sim_trace_invocation(const sim_trace_place *place, uint64_t begun, uint64_t ended);
/* Work that a queue did, named by the function that gave it; `bytes` of a copy, or 0. */
void sim_trace_work(unsigned device, unsigned queue, const char *function, uint64_t bytes, uint64_t begun,
                    uint64_t ended);
/* A copy in the calling thread. */
void sim_trace_copy(unsigned device, const char *function, uint64_t bytes, uint64_t begun, uint64_t ended);

/* Writes the file if there is anything new: with each model that goes, and at the end of the process. */
void sim_trace_save(void);

#endif
