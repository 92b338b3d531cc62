/* How an executor spreads one layer over several simulated cores.
 *
 * The threads belong to the floor above (core/); the executor only knows this seam. A team of size 1 runs everything in the
 * calling thread. Results never depend on the size: a task writes its own part of the output and nothing else. */
#ifndef SIM_EXEC_TEAM_H
#define SIM_EXEC_TEAM_H

#include <stddef.h>
#include <stdint.h>

typedef void (*sim_task_fn)(void *argument, size_t index, unsigned member);

typedef struct sim_team {
    unsigned size; /* members, the caller included; `member` of a task is in [0, size) */
    void *state;
    /* Calls task(argument, i, member) once for every i in [0, count) and returns when all are done. */
    void (*run)(void *state, size_t count, sim_task_fn task, void *argument);
    /* Is told of each step when it is done, with its number in the plan and the nanoseconds of the monotonic clock between
     * which it was; NULL: nobody wants to know. */
    void (*watch)(void *watcher, uint32_t step, uint64_t begun, uint64_t ended);
    void *watcher;
} sim_team;

/* Runs every task in the calling thread. */
extern const sim_team SIM_TEAM_OF_ONE;

#endif
