#include "core/seats.h"

#include <assert.h>
#include <stddef.h>

typedef struct sim_seat_waiter {
    pthread_cond_t granted;
    unsigned wanted;
    uint64_t taken; /* 0: still waiting */
    struct sim_seat_waiter *next;
} sim_seat_waiter;

void sim_seats_init(sim_seats *seats, unsigned count)
{
    assert(count >= 1 && count <= SIM_MAX_SEATS);
    pthread_mutex_init(&seats->lock, NULL);
    seats->free = ~UINT64_C(0) >> (SIM_MAX_SEATS - count);
    seats->first_waiter = seats->last_waiter = NULL;
    seats->waiters = 0;
}

/* With the lock held: the first `wanted` that are free, or 0. */
static uint64_t take(sim_seats *seats, unsigned wanted)
{
    if ((unsigned)__builtin_popcountll(seats->free) < wanted) {
        return 0;
    }
    uint64_t rest = seats->free;
    for (unsigned n = 0; n < wanted; n++) {
        rest &= rest - 1;
    }
    const uint64_t taken = seats->free & ~rest;
    seats->free = rest;
    return taken;
}

static uint64_t wait_in_turn(sim_seats *seats, unsigned wanted)
{
    sim_seat_waiter me = {.wanted = wanted};
    pthread_cond_init(&me.granted, NULL);
    if (seats->last_waiter == NULL) {
        seats->first_waiter = &me;
    } else {
        seats->last_waiter->next = &me;
    }
    seats->last_waiter = &me;
    seats->waiters++;
    while (me.taken == 0) {
        pthread_cond_wait(&me.granted, &seats->lock);
    }
    pthread_cond_destroy(&me.granted);
    return me.taken;
}

uint64_t sim_seats_take(sim_seats *seats, unsigned wanted)
{
    pthread_mutex_lock(&seats->lock);
    uint64_t taken = seats->first_waiter == NULL ? take(seats, wanted) : 0;
    if (taken == 0) {
        taken = wait_in_turn(seats, wanted);
    }
    pthread_mutex_unlock(&seats->lock);
    return taken;
}

void sim_seats_give_back(sim_seats *seats, uint64_t taken)
{
    pthread_mutex_lock(&seats->lock);
    seats->free |= taken;
    while (seats->first_waiter != NULL) {
        sim_seat_waiter *waiter = seats->first_waiter;
        const uint64_t its = take(seats, waiter->wanted);
        if (its == 0) {
            break;
        }
        seats->first_waiter = waiter->next;
        if (seats->first_waiter == NULL) {
            seats->last_waiter = NULL;
        }
        seats->waiters--;
        waiter->taken = its;
        pthread_cond_signal(&waiter->granted);
    }
    pthread_mutex_unlock(&seats->lock);
}
