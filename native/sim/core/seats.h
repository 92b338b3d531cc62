/* A few places of which an invocation takes as many as it needs: the cores of a device, the processors of the host.
 *
 * They are given first come, first served: who wants four is never overtaken by who came later and wants one, nor the other
 * way round. */
#ifndef SIM_CORE_SEATS_H
#define SIM_CORE_SEATS_H

#include <pthread.h>
#include <stdint.h>

enum { SIM_MAX_SEATS = 64 };

struct sim_seat_waiter;

typedef struct sim_seats {
    pthread_mutex_t lock;
    uint64_t free; /* bit set */
    struct sim_seat_waiter *first_waiter, *last_waiter;
    unsigned waiters;
} sim_seats;

void sim_seats_init(sim_seats *seats, unsigned count);
/* Waits for `wanted` of them, at least one and not more than there are; which ones, as a bit set. */
uint64_t sim_seats_take(sim_seats *seats, unsigned wanted);
void sim_seats_give_back(sim_seats *seats, uint64_t taken);

#endif
