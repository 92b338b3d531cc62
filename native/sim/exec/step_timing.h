/* What the profile asks of the estimates. Internal to this floor. */
#ifndef SIM_EXEC_STEP_TIMING_H
#define SIM_EXEC_STEP_TIMING_H

#include "plan.h"
#include "timing.h"

double sim_timing_of_step(const sim_timing *timing, const sim_step *s, unsigned cores); /* seconds */

#endif
