/* Failures on demand, at named points of a device's work: to try what a program does when a device fails. */
#ifndef SIM_CORE_FAULTS_H
#define SIM_CORE_FAULTS_H

#include <stdatomic.h>

#include "core/error.h"

typedef enum sim_fault_point {
    SIM_FAULT_INVOKE,
    SIM_FAULT_COPY,  /* either way, and within the device */
    SIM_FAULT_PLACE, /* a notifier */
    SIM_FAULT_POINTS,
} sim_fault_point;

/* What ends a failure: nothing but its own work, a new runtime context, a new cnrtInit, or nothing at all. */
typedef enum sim_fault_end {
    SIM_FAULT_ONCE,
    SIM_FAULT_UNTIL_CONTEXT,
    SIM_FAULT_UNTIL_INIT,
    SIM_FAULT_FOREVER,
} sim_fault_end;

/* All zero: nothing fails. Armed before it is used; then any thread may pass. */
typedef struct sim_faults {
    struct {
        unsigned at; /* the first work that fails, from 1; 0: none */
        sim_fault_end end;
        const char *armed_by; /* for the sentence */
        atomic_uint passed;
        atomic_bool broken; /* from that work on, until `end` */
    } points[SIM_FAULT_POINTS];
} sim_faults;

void sim_faults_arm(sim_faults *faults, sim_fault_point point, unsigned at, sim_fault_end end, const char *armed_by);
/* Counts one piece of work at a point; fills `status` if it is to fail. */
void sim_faults_pass(sim_faults *faults, sim_fault_point point, sim_status *status);
void sim_faults_mend(sim_faults *faults, sim_fault_end what);

#endif
