/* How long a network would take on a device, estimated: a roofline. Of each step the longer of its multiplications and its
 * memory traffic, and the cost of starting it. Every figure from here is an estimate and is to be called one. */
#ifndef SIM_EXEC_TIMING_H
#define SIM_EXEC_TIMING_H

#include <stdbool.h>

#include "exec.h"

typedef struct sim_timing {
    char name[128];
    double clock_hz;
    double macs_int8, macs_int16, macs_float; /* multiplications with addition, of a core in a cycle */
    double efficiency;                        /* share of these that is reached */
    double bandwidth, memory_efficiency;      /* bytes a second of the device's memory, and the share that is reached */
    double launch_s;                          /* of each step */
    double transfer, transfer_s;              /* host and device: bytes a second, and the cost of each copy */
    bool pace;                                /* the host is made to wait where it is faster */
} sim_timing;

/* Seconds of one invocation on so many cores that have the memory to themselves. */
double sim_timing_of_plan(const sim_timing *timing, const sim_plan *plan, unsigned cores);
double sim_timing_of_copy(const sim_timing *timing, size_t bytes);

#endif
