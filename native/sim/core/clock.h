/* The time of one queue: where the device is in it, moved on by the work that it does.
 *
 * Today a device's time is the host's, so work takes what it takes here; a model of the device's own speed would move the
 * clock in sim_clock_advance alone. */
#ifndef SIM_CORE_CLOCK_H
#define SIM_CORE_CLOCK_H

#include <stdint.h>

typedef struct sim_clock {
    int64_t nanoseconds; /* only the queue's worker reads and writes it */
} sim_clock;

void sim_clock_advance(sim_clock *clock); /* all work before has been done; never goes back */

#endif
