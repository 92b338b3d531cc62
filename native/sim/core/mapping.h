/* Device memory that the host was given a look into: at which host address, and which device address that is. A mapping pins
 * its block, so its bytes stay until it is undone. */
#ifndef SIM_CORE_MAPPING_H
#define SIM_CORE_MAPPING_H

#include "core/memory.h"

/* What a host address in a mapping stands for. */
typedef struct sim_mapped {
    void *device;       /* the same byte of the device's memory */
    void *device_start; /* where the mapping begins there */
    size_t bytes;       /* from the host address to the mapping's end */
} sim_mapped;

/* Takes over the pin of `block`, of which `bytes` from `device` on are mapped. False when there is no memory. */
bool sim_mapping_create(sim_block *block, void *device, size_t bytes, void **host);
/* Undoes the latest mapping that begins at this host address. False when there is none. */
bool sim_mapping_destroy(const void *host);
bool sim_mapping_find(const void *host, sim_mapped *mapped);
/* Whether a mapping holds so many bytes from this host address on. */
bool sim_mapping_covers(const void *host, size_t bytes);

#endif
