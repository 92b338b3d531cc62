#include "core/faults.h"

static const char *const NAMES[SIM_FAULT_POINTS] = {
    [SIM_FAULT_INVOKE] = "Invocation",
    [SIM_FAULT_COPY] = "Copy",
    [SIM_FAULT_PLACE] = "Notifier placement",
};

void sim_faults_arm(sim_faults *faults, sim_fault_point point, unsigned at, sim_fault_end end, const char *armed_by)
{
    faults->points[point].at = at;
    faults->points[point].end = end;
    faults->points[point].armed_by = armed_by;
}

void sim_faults_pass(sim_faults *faults, sim_fault_point point, sim_status *status)
{
    unsigned at = faults->points[point].at;
    if (at == 0) {
        return;
    }
    unsigned number = atomic_fetch_add(&faults->points[point].passed, 1) + 1;
    bool hit = number == at;
    if (hit && faults->points[point].end != SIM_FAULT_ONCE) {
        atomic_store(&faults->points[point].broken, true);
    }
    if (hit || atomic_load(&faults->points[point].broken)) {
        sim_status_set(status, CNRT_RET_ERR_QUEUE, "%s %u failed because %s says so.", NAMES[point], number,
                       faults->points[point].armed_by);
    }
}

void sim_faults_mend(sim_faults *faults, sim_fault_end what)
{
    for (unsigned point = 0; point < SIM_FAULT_POINTS; point++) {
        if (faults->points[point].end == what) {
            atomic_store(&faults->points[point].broken, false);
        }
    }
}
