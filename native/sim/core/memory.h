/* Device memory and page-locked host memory, by address. Each block counts against the memory of its device.
 *
 * Device pointers are addresses of this process, so interior pointers (base + offset) come for free; every use asks the
 * registry which block an address lies in and how much of it is left. Pinned blocks outlive cnrtFree until the work that
 * uses them has run.
 *
 * The address that a program holds and the place where its bytes are need not be the same (they are, unless
 * CNRT_SIMULATOR_STRICT keeps the host from the memory): whoever reads or writes device memory asks sim_memory_bytes. */
#ifndef SIM_CORE_MEMORY_H
#define SIM_CORE_MEMORY_H

#include "core/device.h"
#include "core/error.h"
#include "core/strict_bytes.h"

typedef struct sim_block sim_block;

/* No bytes are memory too: NULL, which may be freed. */
cnrtRet_t sim_memory_allocate(sim_device *device, size_t bytes, void **address);
cnrtRet_t sim_memory_free(void *address);
cnrtRet_t sim_memory_allocate_host(size_t bytes, void **address);
cnrtRet_t sim_memory_free_host(void *address);

/* The device block that holds `address`, pinned, and the bytes from there to its end; NULL when it is not device memory. */
sim_block *sim_memory_pin(const void *address, size_t *available);
void sim_memory_unpin(sim_block *block); /* NULL is allowed */
/* Where the bytes of `address` are, for as long as its block is pinned; the address itself for host memory (block NULL). */
void *sim_memory_bytes(const sim_block *block, const void *address);
bool sim_memory_is_freed(sim_block *block);
const sim_device *sim_memory_device(const sim_block *block);
/* Start and size of the device block that holds `address`; false when there is none. */
bool sim_memory_find(const void *address, void **base, size_t *bytes);
/* What CNRT_SIMULATOR_STRICT knows of a pinned block; host memory where `block` is NULL. */
sim_strict_side sim_memory_side(const sim_block *block, const void *address);

/* Sharing: a live block's number, which no other one of the process has (0: no block begins there), and the block of a number,
 * as often as it is attached. Memory of a device is attached where that is the current one. */
uint32_t sim_memory_number(const void *base);
cnrtRet_t sim_memory_attach(uint32_t number, const sim_device *device, void **base);
cnrtRet_t sim_memory_detach(const void *base);

void sim_memory_usage(const sim_device *device, size_t *used, size_t *total);

#endif
