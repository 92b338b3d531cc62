/* What run.c tells a profile. */
#ifndef SIM_EXEC_PROFILE_H
#define SIM_EXEC_PROFILE_H

#include "exec.h"

uint64_t sim_profile_now(void); /* nanoseconds */
void sim_profile_record(sim_profile *profile, uint32_t step, uint64_t nanoseconds);

#endif
