#include "core/notes.h"

#include <stdio.h>

#include "core/environment.h"
#include "core/faults.h"
#include "core/timing.h"

const char *sim_notes(void)
{
    static _Thread_local char notes[400];
    const sim_timing *timing = sim_timing_get();
    const sim_compute compute = sim_environment_get()->compute;
    char times[200] = "";
    if (timing != NULL) {
        snprintf(times, sizeof times, "device times are estimates for %.100s", timing->name);
    }
    const char *outputs = compute == SIM_COMPUTE_NOTHING      ? "nothing is computed, outputs are recorded ones"
                          : compute == SIM_COMPUTE_AND_RECORD ? "outputs are being recorded"
                                                              : "";
    const char *faults = sim_faults_wanted() ? "faults are asked for" : "";
    const char *standins = sim_environment_standins() != NULL ? "stand-ins compute for device files" : "";
    const char *const parts[] = {times, outputs, faults, standins};
    size_t used = 0;
    notes[0] = '\0';
    for (size_t index = 0; index < sizeof parts / sizeof *parts; index++) {
        if (parts[index][0] != '\0') {
            used += (size_t)snprintf(notes + used, sizeof notes - used, "%s%s", used > 0 ? "; " : "", parts[index]);
        }
    }
    return notes;
}
