#include "core/notes.h"

#include <pthread.h>
#include <stdio.h>

#include "core/environment.h"
#include "core/faults.h"
#include "core/timing.h"

static char notes[800];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void write_notes(void)
{
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
    char standins[300] = "";
    if (sim_environment_get()->standins != NULL) {
        snprintf(standins, sizeof standins, "stand-ins from %.200s compute for device files",
                 sim_environment_get()->standins);
    }
    const char *const parts[] = {times, outputs, faults, standins};
    size_t used = 0;
    for (size_t index = 0; index < sizeof parts / sizeof *parts; index++) {
        if (parts[index][0] != '\0') {
            used += (size_t)snprintf(notes + used, sizeof notes - used, "%s%s", used > 0 ? "; " : "", parts[index]);
        }
    }
}

const char *sim_notes(void)
{
    pthread_once(&once, write_notes);
    return notes;
}
