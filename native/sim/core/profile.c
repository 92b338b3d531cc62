#define _POSIX_C_SOURCE 200809L
#include "core/profile.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/environment.h"
#include "core/timing.h"
#include "core/trace.h"

sim_profile *sim_profile_begin(const sim_plan *plan, unsigned cores)
{
    if (sim_environment_trace() != NULL && !sim_trace_wanted()) {
        fprintf(stderr,
                "cnrt simulator: CNRT_SIMULATOR_PROFILE=%s is ignored, a trace must be asked for before the first "
                "call\n",
                sim_environment_trace());
    }
    if (sim_environment_profile() == NULL || sim_environment_trace() != NULL) {
        return NULL;
    }
    sim_profile *profile = sim_profile_create(plan, sim_timing_get(), cores);
    if (profile == NULL) {
        fprintf(stderr, "cnrt simulator: there is no memory for a profile\n");
    }
    return profile;
}

/* Several models of a process, and several processes, may share the folder. */
static void save(const sim_profile *profile, const char *folder)
{
    static atomic_uint numbers;
    char path[4096];
    sim_error error = {""};
    snprintf(path, sizeof path, "%s/profile-%ld-%u.json", folder, (long)getpid(), atomic_fetch_add(&numbers, 1u));
    if (sim_profile_save(profile, path, &error) != SIM_OK) {
        fprintf(stderr, "cnrt simulator: %s CNRT_SIMULATOR_PROFILE must be 1, a folder, or a file .json.\n",
                error.text);
    }
}

void sim_profile_end(sim_profile *profile)
{
    const char *where = sim_environment_profile();
    if (profile != NULL && where != NULL && strcmp(where, "1") == 0) {
        sim_profile_print(profile, stderr);
    } else if (profile != NULL && where != NULL) {
        save(profile, where);
    }
    sim_profile_free(profile);
}
