/* What strict mode says of the uses of buffers: copies, fills, invocations, and what frees them. Blocks are NULL for host
 * memory; `queue` is 0 for what acts at once. Everything is called before the work is done or submitted. */
#ifndef SIM_CORE_STRICT_USE_H
#define SIM_CORE_STRICT_USE_H

#include "core/strict_bytes.h"
#include "exec/exec.h"

void sim_strict_copy(sim_strict_side to, sim_strict_side from, size_t bytes, uint64_t queue);
void sim_strict_fill(sim_strict_side to, size_t bytes, uint64_t queue);
/* `sides`: inputs, then outputs; `array`: the program's. */
void sim_strict_invoke(const sim_model_info *info, const sim_strict_side *sides, void *const *array, uint64_t queue);
/* The host sees the memory from now on: what is written there is not followed any more. */
void sim_strict_map(sim_strict_side side);
void sim_strict_use_by_free(sim_strict_block *block); /* with sim_strict_lock held */

/* ---- Addresses that are wrong; a sentence was set for those that pass its code on ---- */

/* The address is to be host memory: freed device memory is told, and refused. */
cnrtRet_t sim_strict_check_host(const char *role, const void *address);
/* Device memory was needed there: what kind of finding it is when it was not freed. */
cnrtRet_t sim_strict_stray(const void *address, sim_finding kind, cnrtRet_t code);
/* The start of a buffer was needed, to free it. */
cnrtRet_t sim_strict_stray_free(const void *address, bool is_device, cnrtRet_t code);

#endif
