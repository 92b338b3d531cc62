#define _GNU_SOURCE
#include "core/cores.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct sim_core_waiter {
    pthread_cond_t granted_signal;
    unsigned wanted;
    unsigned cores; /* 0: still waiting */
    struct sim_core_waiter *next;
} sim_core_waiter;

void sim_cores_init(sim_cores *cores, unsigned count)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_mutex_init(&cores->lock, NULL);
    cores->count = count;
    cores->host_threads = online < 1 ? 1 : online > SIM_MAX_CORES ? SIM_MAX_CORES : (unsigned)online;
    cores->free_cores = (1u << count) - 1;
    cores->first_waiter = cores->last_waiter = NULL;
    cores->waiters = 0;
    sim_crew_init(&cores->crew);
}

unsigned sim_cores_team_size(const sim_cores *cores, unsigned wanted)
{
    return wanted < cores->host_threads ? wanted : cores->host_threads;
}

/* With the lock held: `wanted` free cores out of the set, or 0. */
static unsigned take(sim_cores *cores, unsigned wanted)
{
    if ((unsigned)__builtin_popcount(cores->free_cores) < wanted) {
        return 0;
    }
    unsigned taken = 0;
    for (unsigned n = 0; n < wanted; n++) {
        taken |= (cores->free_cores & ~taken) & -(cores->free_cores & ~taken);
    }
    cores->free_cores &= ~taken;
    return taken;
}

static unsigned wait_for_cores(sim_cores *cores, unsigned wanted)
{
    sim_core_waiter me = {.wanted = wanted, .cores = 0, .next = NULL};
    pthread_cond_init(&me.granted_signal, NULL);
    if (cores->last_waiter == NULL) {
        cores->first_waiter = &me;
    } else {
        cores->last_waiter->next = &me;
    }
    cores->last_waiter = &me;
    cores->waiters++;
    while (me.cores == 0) {
        pthread_cond_wait(&me.granted_signal, &cores->lock);
    }
    pthread_cond_destroy(&me.granted_signal);
    return me.cores;
}

void sim_cores_acquire(sim_cores *cores, unsigned wanted, sim_grant *grant)
{
    pthread_mutex_lock(&cores->lock);
    unsigned taken = cores->first_waiter == NULL ? take(cores, wanted) : 0;
    grant->cores = taken != 0 ? taken : wait_for_cores(cores, wanted);
    pthread_mutex_unlock(&cores->lock);
    unsigned size = sim_cores_team_size(cores, wanted);
    grant->team = size == 1 ? SIM_TEAM_OF_ONE : sim_crew_gather(&cores->crew, grant->cores, size);
}

void sim_cores_release(sim_cores *cores, sim_grant *grant)
{
    if (grant->team.size > 1) {
        sim_crew_dismiss(&cores->crew, &grant->team);
    }
    pthread_mutex_lock(&cores->lock);
    cores->free_cores |= grant->cores;
    while (cores->first_waiter != NULL) {
        sim_core_waiter *waiter = cores->first_waiter;
        unsigned taken = take(cores, waiter->wanted);
        if (taken == 0) {
            break;
        }
        cores->first_waiter = waiter->next;
        cores->waiters--;
        if (cores->first_waiter == NULL) {
            cores->last_waiter = NULL;
        }
        waiter->cores = taken;
        pthread_cond_signal(&waiter->granted_signal);
    }
    pthread_mutex_unlock(&cores->lock);
}
