#define _POSIX_C_SOURCE 200809L
#include "core/workspaces.h"

#include <stdlib.h>

/* A free one begins with this link; the executor overwrites it. */
struct sim_workspace {
    struct sim_workspace *next;
};

void sim_workspaces_init(sim_workspaces *spaces, size_t bytes)
{
    pthread_mutex_init(&spaces->lock, NULL);
    spaces->bytes = bytes < sizeof(struct sim_workspace) ? sizeof(struct sim_workspace) : bytes;
    spaces->free = NULL;
}

void sim_workspaces_destroy(sim_workspaces *spaces)
{
    while (spaces->free != NULL) {
        struct sim_workspace *next = spaces->free->next;
        free(spaces->free);
        spaces->free = next;
    }
    pthread_mutex_destroy(&spaces->lock);
}

void *sim_workspaces_take(sim_workspaces *spaces)
{
    pthread_mutex_lock(&spaces->lock);
    struct sim_workspace *space = spaces->free;
    if (space != NULL) {
        spaces->free = space->next;
    }
    pthread_mutex_unlock(&spaces->lock);
    if (space != NULL) {
        return space;
    }
    void *memory = NULL;
    return posix_memalign(&memory, 64, spaces->bytes) == 0 ? memory : NULL;
}

void sim_workspaces_give_back(sim_workspaces *spaces, void *space)
{
    struct sim_workspace *link = space;
    pthread_mutex_lock(&spaces->lock);
    link->next = spaces->free;
    spaces->free = link;
    pthread_mutex_unlock(&spaces->lock);
}
