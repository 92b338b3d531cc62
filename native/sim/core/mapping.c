#include "core/mapping.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct mapping {
    struct mapping *next;
    sim_block *block;
    uint8_t *host, *device;
    size_t bytes;
} mapping;

/* Latest first. Programs have a few. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static mapping *mappings;

bool sim_mapping_create(sim_block *block, void *device, size_t bytes, void **host)
{
    mapping *made = malloc(sizeof *made);
    if (made == NULL) {
        return false;
    }
    *made = (mapping){.block = block, .host = sim_memory_bytes(block, device), .device = device, .bytes = bytes};
    *host = made->host;
    pthread_mutex_lock(&lock);
    made->next = mappings;
    mappings = made;
    pthread_mutex_unlock(&lock);
    return true;
}

bool sim_mapping_destroy(const void *host)
{
    pthread_mutex_lock(&lock);
    mapping **link = &mappings;
    while (*link != NULL && (*link)->host != (const uint8_t *)host) {
        link = &(*link)->next;
    }
    mapping *found = *link;
    if (found != NULL) {
        *link = found->next;
    }
    pthread_mutex_unlock(&lock);
    if (found == NULL) {
        return false;
    }
    sim_memory_unpin(found->block);
    free(found);
    return true;
}

/* With the lock held. */
static const mapping *find(const void *host, size_t bytes)
{
    const mapping *m = mappings;
    while (m != NULL && !((uintptr_t)host - (uintptr_t)m->host < m->bytes &&
                          bytes <= m->bytes - ((uintptr_t)host - (uintptr_t)m->host))) {
        m = m->next;
    }
    return m;
}

bool sim_mapping_find(const void *host, sim_mapped *mapped)
{
    pthread_mutex_lock(&lock);
    const mapping *m = find(host, 0);
    if (m != NULL) {
        const size_t offset = (uintptr_t)host - (uintptr_t)m->host;
        *mapped = (sim_mapped){m->device + offset, m->device, m->bytes - offset};
    }
    pthread_mutex_unlock(&lock);
    return m != NULL;
}

bool sim_mapping_covers(const void *host, size_t bytes)
{
    pthread_mutex_lock(&lock);
    const bool covers = find(host, bytes) != NULL;
    pthread_mutex_unlock(&lock);
    return covers;
}
