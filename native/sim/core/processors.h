/* The host's processors: what all devices and models of a process compute on.
 *
 * A simulated device has as many cores as the real one, the host may have fewer processors, and more threads than those only
 * take longer and more memory. So an invocation that holds its cores waits for processors, too, before it computes. */
#ifndef SIM_CORE_PROCESSORS_H
#define SIM_CORE_PROCESSORS_H

#include <stdint.h>

#include "exec/team.h"

/* Processors held by one running invocation; lives on the stack of the thread that runs it. */
typedef struct sim_hold {
    uint64_t seats;
    sim_team team; /* ready to use */
} sim_hold;

/* How many threads compute at once: CNRT_SIMULATOR_THREADS, or as many processors as this process may use, by its affinity
 * and its control group's share of time. */
unsigned sim_processors_count(void);
/* Whole processors of a `cpu.max` of control groups ("QUOTA PERIOD" in microseconds), a part of one counted as one, 64 at
 * most; 0: no limit, or not to be read. */
unsigned sim_processors_limit(const char *path);
/* Threads that a team for `cores` simulated cores really has: what a workspace must be sized for. */
unsigned sim_processors_team_size(unsigned cores);
/* Waits for the processors of a team of that size and gathers it. */
void sim_processors_acquire(unsigned team_size, sim_hold *hold);
void sim_processors_release(sim_hold *hold);

#endif
