/* The cores of one simulated device.
 *
 * An invocation takes as many cores as its model was compiled for, and waits for them first come, first served: a four-core
 * invocation is never overtaken by later one-core ones, nor the other way round. */
#ifndef SIM_CORE_CORES_H
#define SIM_CORE_CORES_H

#include "core/crew.h"

struct sim_core_waiter;

typedef struct sim_cores {
    pthread_mutex_t lock;
    unsigned count;
    unsigned host_threads; /* processors of the host: a team is never larger, its result does not depend on it */
    unsigned free_cores;   /* bit set */
    struct sim_core_waiter *first_waiter, *last_waiter;
    unsigned waiters;
    sim_crew crew;
} sim_cores;

/* Cores held by one running invocation; lives on the stack of the thread that runs it. */
typedef struct sim_grant {
    unsigned cores; /* bit set */
    sim_team team;  /* ready to use */
} sim_grant;

void sim_cores_init(sim_cores *cores, unsigned count);
/* Threads that a team for `wanted` simulated cores really has: what a workspace must be sized for. */
unsigned sim_cores_team_size(const sim_cores *cores, unsigned wanted);
/* Waits for `wanted` (1..count) cores and gathers the team. */
void sim_cores_acquire(sim_cores *cores, unsigned wanted, sim_grant *grant);
void sim_cores_release(sim_cores *cores, sim_grant *grant);

#endif
