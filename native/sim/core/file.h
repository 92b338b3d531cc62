/* Files as a whole. */
#ifndef SIM_CORE_FILE_H
#define SIM_CORE_FILE_H

#include <stdint.h>

#include "core/error.h"

/* The whole file in memory (malloc), or NULL after reporting: SYS cannot be opened, INVALID cannot be read or too large. */
uint8_t *sim_file_read(const char *path, uint64_t *bytes);
/* Like it, but reports to `status` alone: for a file that need not be there. */
uint8_t *sim_file_try(const char *path, uint64_t *bytes, sim_status *status);
/* Like that, of the first `limit` bytes. */
uint8_t *sim_file_try_start(const char *path, uint64_t limit, uint64_t *bytes, uint64_t *size, sim_status *status);
/* Like the first, but not more than the first `limit` bytes; `size` is the file's. */
uint8_t *sim_file_read_start(const char *path, uint64_t limit, uint64_t *bytes, uint64_t *size);

#endif
