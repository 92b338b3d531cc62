/* The bytes of a buffer as strict mode follows them: who uses them, in which order, and what was written. All with
 * sim_strict_lock held. */
#ifndef SIM_CORE_STRICT_BYTES_H
#define SIM_CORE_STRICT_BYTES_H

#include "core/strict_blocks.h"

/* One side of a copy, or a buffer of an invocation: an address as the program holds it; block NULL: host memory. */
typedef struct sim_strict_side {
    sim_strict_block *block;
    const void *address;
} sim_strict_side;

size_t sim_side_offset(sim_strict_side side); /* in its block */

/* Work (point.queue 0: the host, at once) uses bytes; tells it when other work that it was not synchronised with does too.
 * `how` says what happens to the buffer: "is read". */
void sim_bytes_use(sim_strict_block *block, size_t begin, size_t end, bool writes, sim_point point, const char *how);
void sim_bytes_written(sim_strict_block *block, size_t begin, size_t end);
void sim_output_overlapped(sim_strict_output *output, size_t begin, size_t end); /* read, or overwritten: forgotten */

#endif
