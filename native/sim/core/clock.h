/* The time of one queue: where the device is in it, moved on by the work that it does.
 *
 * A device's time is the host's, so work takes what it takes here; or an estimate (core/timing.h), which is moved on by the
 * estimate of each work alone, and so is the same on every machine. */
#ifndef SIM_CORE_CLOCK_H
#define SIM_CORE_CLOCK_H

#include <stdint.h>

typedef struct sim_clock {
    int64_t nanoseconds; /* only the queue's worker reads and writes it */
} sim_clock;

void sim_clock_follow_host(sim_clock *clock); /* all work before has been done; never goes back */
void sim_clock_spend(sim_clock *clock, double seconds);
void sim_clock_reach(sim_clock *clock, int64_t nanoseconds); /* waits until then, of another queue's clock */

int64_t sim_clock_host(void); /* nanoseconds of the host's monotonic clock */
/* Sleeps until so many seconds are over since then; holds no lock, and returns at once when they are. */
void sim_clock_sleep(int64_t since, double seconds);

#endif
