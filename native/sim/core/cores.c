#define _GNU_SOURCE
#include "core/cores.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/thread.h"

enum { SPINS = 2000 }; /* some tens of microseconds: the gap between two layers, not between two frames */

typedef struct sim_core_waiter {
    pthread_cond_t granted_signal;
    unsigned wanted;
    unsigned cores; /* 0: still waiting */
    struct sim_core_waiter *next;
} sim_core_waiter;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- Teams ---- */

static void work_through(sim_team_work *work, sim_task_fn task, void *argument, size_t count, unsigned member)
{
    for (;;) {
        size_t index = atomic_fetch_add_explicit(&work->next, 1, memory_order_relaxed);
        if (index >= count) {
            return;
        }
        task(argument, index, member);
    }
}

static void team_run(void *state, size_t count, sim_task_fn task, void *argument)
{
    sim_team_work *work = state;
    if (count <= 1 || work->present == 0) {
        for (size_t index = 0; index < count; index++) {
            task(argument, index, 0);
        }
        return;
    }
    pthread_mutex_lock(&work->lock);
    work->task = task;
    work->argument = argument;
    work->count = count;
    atomic_store_explicit(&work->next, 0, memory_order_relaxed);
    work->open = true;
    atomic_fetch_add(&work->generation, 1);
    pthread_cond_broadcast(&work->posted);
    pthread_mutex_unlock(&work->lock);

    work_through(work, task, argument, count, 0);

    /* Helpers that did not come in time are not waited for: the job is closed to them. */
    for (int spin = 0; work->spin && spin < SPINS && atomic_load(&work->active) != 0; spin++) {
        relax();
    }
    pthread_mutex_lock(&work->lock);
    work->open = false;
    while (atomic_load(&work->active) != 0) {
        pthread_cond_wait(&work->left, &work->lock);
    }
    pthread_mutex_unlock(&work->lock);
}

/* Waits for a job other than number `seen`. False when the team is dismissed. Returns with the lock held. */
static bool await_job(sim_team_work *work, unsigned seen)
{
    for (int spin = 0; work->spin && spin < SPINS; spin++) {
        if (atomic_load(&work->generation) != seen || atomic_load(&work->dismissed)) {
            break;
        }
        relax();
    }
    pthread_mutex_lock(&work->lock);
    while (atomic_load(&work->generation) == seen && !atomic_load(&work->dismissed)) {
        pthread_cond_wait(&work->posted, &work->lock);
    }
    return !atomic_load(&work->dismissed);
}

static void serve_team(sim_team_work *work, unsigned member)
{
    unsigned seen = 0;
    while (await_job(work, seen)) {
        seen = atomic_load(&work->generation);
        if (work->open) {
            sim_task_fn task = work->task;
            void *argument = work->argument;
            size_t count = work->count;
            atomic_fetch_add(&work->active, 1);
            pthread_mutex_unlock(&work->lock);
            work_through(work, task, argument, count, member);
            pthread_mutex_lock(&work->lock);
            if (atomic_fetch_sub(&work->active, 1) == 1) {
                pthread_cond_signal(&work->left);
            }
        }
        pthread_mutex_unlock(&work->lock);
    }
    /* The owner's stack holds `work`: after this unlock it may be gone. */
    work->present--;
    pthread_cond_signal(&work->left);
    pthread_mutex_unlock(&work->lock);
}

static void *helper_body(void *argument)
{
    sim_helper *helper = argument;
    for (;;) {
        pthread_mutex_lock(&helper->lock);
        while (helper->work == NULL) {
            pthread_cond_wait(&helper->called, &helper->lock);
        }
        sim_team_work *work = helper->work;
        unsigned member = helper->member;
        helper->work = NULL;
        pthread_mutex_unlock(&helper->lock);
        serve_team(work, member);
    }
    return NULL;
}

static bool call_helper(sim_helper *helper, sim_team_work *work, unsigned member)
{
    pthread_mutex_lock(&helper->lock);
    if (!helper->started) {
        helper->started = sim_thread_start("cnrt-core", helper_body, helper);
    }
    bool started = helper->started;
    if (started) {
        helper->work = work;
        helper->member = member;
        pthread_cond_signal(&helper->called);
    }
    pthread_mutex_unlock(&helper->lock);
    return started;
}

static void gather(sim_cores *cores, sim_grant *grant, unsigned size)
{
    sim_team_work *work = &grant->work;
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->posted, NULL);
    pthread_cond_init(&work->left, NULL);
    atomic_init(&work->generation, 0);
    atomic_init(&work->dismissed, false);
    atomic_init(&work->active, 0);
    atomic_init(&work->next, 0);
    work->open = false;
    work->spin = true;
    work->present = 0;
    unsigned member = 1;
    bool own_core = true;
    for (unsigned core = 0; core < cores->count && member < size; core++) {
        if ((grant->cores >> core & 1) == 0) {
            continue;
        }
        if (own_core) { /* the calling thread plays the first core */
            own_core = false;
            continue;
        }
        pthread_mutex_lock(&work->lock);
        work->present++;
        pthread_mutex_unlock(&work->lock);
        if (call_helper(&cores->helpers[core], work, member)) {
            member++;
        } else { /* no thread to be had: the others do its part */
            pthread_mutex_lock(&work->lock);
            work->present--;
            pthread_mutex_unlock(&work->lock);
        }
    }
    grant->team = (sim_team){.size = size, .state = work, .run = team_run};
}

static void dismiss(sim_team_work *work)
{
    pthread_mutex_lock(&work->lock);
    atomic_store(&work->dismissed, true);
    pthread_cond_broadcast(&work->posted);
    while (work->present != 0) {
        pthread_cond_wait(&work->left, &work->lock);
    }
    pthread_mutex_unlock(&work->lock);
    pthread_cond_destroy(&work->left);
    pthread_cond_destroy(&work->posted);
    pthread_mutex_destroy(&work->lock);
}

/* ---- Cores ---- */

void sim_cores_init(sim_cores *cores, unsigned count)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_mutex_init(&cores->lock, NULL);
    cores->count = count;
    cores->host_threads = online < 1 ? 1 : online > SIM_MAX_CORES ? SIM_MAX_CORES : (unsigned)online;
    cores->free_cores = (1u << count) - 1;
    cores->first_waiter = cores->last_waiter = NULL;
    cores->waiters = 0;
    for (unsigned core = 0; core < count; core++) {
        pthread_mutex_init(&cores->helpers[core].lock, NULL);
        pthread_cond_init(&cores->helpers[core].called, NULL);
    }
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
    if (size == 1) {
        grant->team = SIM_TEAM_OF_ONE;
    } else {
        gather(cores, grant, size);
    }
}

void sim_cores_release(sim_cores *cores, sim_grant *grant)
{
    if (grant->team.size > 1) {
        dismiss(&grant->work);
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
