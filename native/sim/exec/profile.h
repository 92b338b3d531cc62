/* Times of a plan's steps. */
#ifndef SIM_EXEC_PROFILE_H
#define SIM_EXEC_PROFILE_H

#include "plan.h"

/* NULL: no memory. */
sim_profile *sim_profile_create(const sim_plan *plan);
void sim_profile_free(sim_profile *profile);
uint64_t sim_profile_now(void); /* nanoseconds */
void sim_profile_record(sim_profile *profile, uint32_t step, uint64_t nanoseconds);
void sim_profile_print(const sim_profile *profile, const sim_plan *plan); /* on stderr */

#endif
