/* The memory in which invocations of one model compute: as many pieces as invocations ever computed at once. */
#ifndef SIM_CORE_WORKSPACES_H
#define SIM_CORE_WORKSPACES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct sim_workspaces {
    pthread_mutex_t lock;
    size_t bytes; /* of each */
    struct sim_workspace *free;
} sim_workspaces;

void sim_workspaces_init(sim_workspaces *spaces, size_t bytes);
void sim_workspaces_destroy(sim_workspaces *spaces);
/* One for the caller alone, until it gives it back; NULL if the host has no memory for another. */
void *sim_workspaces_take(sim_workspaces *spaces);
void sim_workspaces_give_back(sim_workspaces *spaces, void *space);

#endif
