/* What the profile asks of the estimates. Internal to this floor. */
#ifndef SIM_EXEC_STEP_TIMING_H
#define SIM_EXEC_STEP_TIMING_H

#include "plan.h"
#include "timing.h"

/* Seconds that the device takes for what the plan's step `number` does here. */
double sim_timing_of_step(const sim_timing *timing, const sim_plan *plan, uint32_t number, unsigned cores);

#endif
