/* The estimated device clock that CNRT_SIMULATOR_TIMING asks for (ABI.md section 10.2). */
#ifndef SIM_CORE_TIMING_H
#define SIM_CORE_TIMING_H

#include "exec/timing.h"

/* NULL: times are the host's. */
const sim_timing *sim_timing_get(void);
/* Why the profile cannot be used, or NULL: cnrtInit refuses then. */
const char *sim_timing_problem(void);

/* Reads a profile's text; false after writing a sentence to `problem`. `device` and `cores`: those that it must be for. */
bool sim_timing_read(sim_timing *timing, const char *text, size_t bytes, const char *device, unsigned cores,
                     char *problem, size_t room);

#endif
