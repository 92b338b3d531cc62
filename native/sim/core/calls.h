/* Which call of the program each thread is in: said once, by the exported function (none calls another), for all who look at
 * calls: faults, log, strict and trace. Where nobody does that is one predicted branch, and nothing is known. */
#ifndef SIM_CORE_CALLS_H
#define SIM_CORE_CALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sim_site {
    const void *address;  /* where it returns to in the program; NULL: no call of the program */
    const char *function; /* a string that stays */
    uint32_t number;      /* the how many-th call of that function */
} sim_site;

enum { SIM_CALLS_UNREAD, SIM_CALLS_UNWATCHED, SIM_CALLS_WATCHED };
extern atomic_int sim_calls_state;

static inline bool sim_calls_unwatched(void)
{
    return __builtin_expect(atomic_load_explicit(&sim_calls_state, memory_order_relaxed) == SIM_CALLS_UNWATCHED, 1);
}

void sim_call_begin(const char *function, atomic_uint *calls, const void *caller);

/* A call of `function` begins in this thread, one more of so many `calls`. */
static inline __attribute__((always_inline)) void sim_call_enter(const char *function, atomic_uint *calls)
{
    if (!sim_calls_unwatched()) {
        sim_call_begin(function, calls, __builtin_return_address(0)); /* the program's */
    }
}

sim_site sim_call_now(void); /* that this thread is in, or was in last; signal handlers ask, too */

/* This process made the calls; not a child that fork made of it, whose end is not the program's. */
bool sim_calls_in_this_process(void);

#endif
