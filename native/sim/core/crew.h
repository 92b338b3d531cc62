/* The threads that compute beside those that run invocations, and how some of them work on one layer together.
 *
 * A team is the thread that runs an invocation and one helper for each further processor that it holds. A layer costs no
 * lock: each member has a number of its own, the ticket, from which tasks are taken, by others when theirs are done. Only
 * tasks that were taken are waited for: a helper that has not come (its processor does something else) costs nothing but
 * its help. */
#ifndef SIM_CORE_CREW_H
#define SIM_CORE_CREW_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/seats.h"
#include "exec/team.h"

enum { SIM_MAX_MEMBERS = 16 };

/* Tasks of a layer that are meant for one member, because it has their neighbours' memory near; others take them at last. */
typedef struct sim_share {
    alignas(64) _Atomic uint64_t ticket; /* the layer's number << 32 | tasks that nobody has taken yet */
} sim_share;

/* What the team with this first seat works on. It outlives the team: a late helper may still look at it. */
typedef struct sim_job {
    sim_share shares[SIM_MAX_MEMBERS];
    alignas(64) _Atomic uint32_t layer; /* the number of what was handed out last */
    alignas(64) _Atomic uint32_t done;  /* tasks of the layer that helpers have finished */
    atomic_bool caller_sleeps;
    alignas(64) sim_task_fn task; /* this and the next two: read by who took a task, so they stay until it is done */
    void *argument;
    uint32_t count;
    struct sim_crew *crew;
    uint64_t helpers; /* bit set: seats whose helpers belong to the team */
    pthread_mutex_t lock;
    pthread_cond_t finished;
} sim_job;

/* The thread of one seat. Started when first needed. */
typedef struct sim_helper {
    alignas(64) _Atomic uint64_t call; /* which team it is in; 0: none. crew.c has its parts */
    atomic_bool sleeps;
    bool started;
    uint32_t calls;
    uint64_t seen_call; /* this and the next: its thread's own; the layer in which it has done what there was to do */
    uint32_t seen_layer;
    struct sim_crew *crew;
    pthread_mutex_t lock;
    pthread_cond_t called;
} sim_helper;

typedef struct sim_crew {
    sim_job jobs[SIM_MAX_SEATS];
    sim_helper helpers[SIM_MAX_SEATS];
} sim_crew;

void sim_crew_init(sim_crew *crew);
/* A team of at most `size` members for the holder of these seats (bit set); the calling thread is its first member. */
sim_team sim_crew_gather(sim_crew *crew, uint64_t seats, unsigned size);
/* Ends that team. Its helpers are not waited for. */
void sim_crew_dismiss(sim_crew *crew, const sim_team *team);

#endif
