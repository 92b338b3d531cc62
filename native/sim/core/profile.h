/* What CNRT_SIMULATOR_PROFILE asks for: where each model's time goes, told when the model is destroyed. */
#ifndef SIM_CORE_PROFILE_H
#define SIM_CORE_PROFILE_H

#include "exec/exec.h"

/* NULL unless the environment asks for one. */
sim_profile *sim_profile_begin(const sim_plan *plan, unsigned cores);
/* Tells a profile that is not NULL and frees it; the plan must still live. */
void sim_profile_end(sim_profile *profile);

#endif
