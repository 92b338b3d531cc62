/* What the environment may change about a plan: CNRT_SIMULATOR_KERNELS (reference, avx2, neon: for tests, said on use) and
 * CNRT_SIMULATOR_PROFILE (1: times per layer on stderr when the plan is freed). Neither changes a result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"
#include "plan.h"

sim_result sim_plan_read_environment(sim_plan *plan, sim_error *error)
{
    const char *wanted = getenv("CNRT_SIMULATOR_KERNELS");
    plan->kernels = sim_kernels_select(wanted && *wanted ? wanted : NULL);
    if (!plan->kernels) {
        char names[128] = "";
        for (unsigned i = 0; sim_kernels_name(i); i++) {
            const size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", sim_kernels_name(i));
        }
        return sim_fail(error, SIM_NOT_SUPPORTED, "CNRT_SIMULATOR_KERNELS is \"%.32s\", this machine has %s.", wanted,
                        names);
    }
    if (wanted && *wanted) {
        fprintf(stderr, "cnrt simulator: kernels \"%s\" as CNRT_SIMULATOR_KERNELS says\n", plan->kernels->name);
    }
    return SIM_OK;
}
