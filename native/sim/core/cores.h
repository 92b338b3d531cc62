/* The cores of one simulated device, and teams of threads that stand for several cores.
 *
 * An invocation takes as many cores as its model was compiled for, and waits for them first come, first served: a four-core
 * invocation is never overtaken by later one-core ones, nor the other way round. */
#ifndef SIM_CORE_CORES_H
#define SIM_CORE_CORES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "exec/team.h"

enum { SIM_MAX_CORES = 16 };

typedef struct sim_team_work sim_team_work;

/* The thread that plays one core in teams. Started when first needed; between teams it sleeps. */
typedef struct sim_helper {
    pthread_mutex_t lock;
    pthread_cond_t called;
    sim_team_work *work; /* NULL: none */
    unsigned member;
    bool started;
} sim_helper;

struct sim_core_waiter;

typedef struct sim_cores {
    pthread_mutex_t lock;
    unsigned count;
    unsigned host_threads; /* processors of the host: a team is never larger, its result does not depend on it */
    unsigned free_cores;   /* bit set */
    struct sim_core_waiter *first_waiter, *last_waiter;
    unsigned waiters;
    sim_helper helpers[SIM_MAX_CORES];
} sim_cores;

struct sim_team_work {
    pthread_mutex_t lock;
    pthread_cond_t posted, left;
    atomic_uint generation; /* changes with every job */
    atomic_bool dismissed;  /* the team is over */
    bool open;              /* the current job still takes members */
    atomic_uint active;     /* helpers inside the current job */
    unsigned present;       /* helpers that belong to the team */
    bool spin;
    sim_task_fn task;
    void *argument;
    size_t count;
    atomic_size_t next;
};

/* Cores held by one running invocation; lives on the stack of the thread that runs it. */
typedef struct sim_grant {
    unsigned cores; /* bit set */
    sim_team team;  /* ready to use */
    sim_team_work work;
} sim_grant;

void sim_cores_init(sim_cores *cores, unsigned count);
/* Threads that a team for `wanted` simulated cores really has: what a workspace must be sized for. */
unsigned sim_cores_team_size(const sim_cores *cores, unsigned wanted);
/* Waits for `wanted` (1..count) cores and gathers the team. */
void sim_cores_acquire(sim_cores *cores, unsigned wanted, sim_grant *grant);
void sim_cores_release(sim_cores *cores, sim_grant *grant);

#endif
