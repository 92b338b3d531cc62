#define _POSIX_C_SOURCE 200809L
#include "core/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/strict_use.h"

enum { ALIGNMENT = 64 }; /* a cache line: the kernels read whole vectors */

struct sim_block {
    sim_device *device; /* NULL: host memory */
    uint8_t *base;      /* as the program knows it */
    uint8_t *store;     /* where the bytes are */
    size_t bytes;
    sim_strict_block *strict; /* NULL: nothing is kept of it */
    uint32_t number;          /* of all blocks of the process, from 1 */
    unsigned attached;        /* how often a handle was mapped to it */
    unsigned pins;
    bool freed;
};

/* Blocks sorted by address. There are tens of them in a program, so an array beats a tree. */
typedef struct registry {
    sim_block **blocks;
    size_t count, capacity;
} registry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static registry device_blocks, host_blocks;
static uint32_t last_number;

/* Index of the first block that starts after `address`. */
static size_t upper_bound(const registry *r, const void *address)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)r->blocks[middle]->base <= (uintptr_t)address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static sim_block *find(const registry *r, const void *address, size_t *index)
{
    size_t next = upper_bound(r, address);
    if (next == 0) {
        return NULL;
    }
    sim_block *block = r->blocks[next - 1];
    *index = next - 1;
    return (uintptr_t)address - (uintptr_t)block->base < block->bytes ? block : NULL;
}

static bool insert(registry *r, sim_block *block)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity == 0 ? 64 : r->capacity * 2;
        sim_block **larger = realloc(r->blocks, capacity * sizeof(sim_block *));
        if (larger == NULL) {
            return false;
        }
        r->blocks = larger;
        r->capacity = capacity;
    }
    last_number += last_number == UINT32_MAX ? 2 : 1; /* never 0 */
    block->number = last_number;
    size_t index = upper_bound(r, block->base);
    memmove(&r->blocks[index + 1], &r->blocks[index], (r->count - index) * sizeof(sim_block *));
    r->blocks[index] = block;
    r->count++;
    return true;
}

static void remove_at(registry *r, size_t index)
{
    r->count--;
    memmove(&r->blocks[index], &r->blocks[index + 1], (r->count - index) * sizeof(sim_block *));
}

static sim_block *block_create(sim_device *device, size_t bytes)
{
    sim_block *block = calloc(1, sizeof *block);
    void *base = NULL;
    if (block == NULL || posix_memalign(&base, ALIGNMENT, bytes) != 0) {
        free(block);
        return NULL;
    }
    block->device = device;
    block->store = base;
    block->bytes = bytes;
    if (sim_strict()) {
        block->strict = sim_strict_block_create(device != NULL, bytes, block->store, &base);
        if (block->strict == NULL) {
            free(block->store);
            free(block);
            return NULL;
        }
    }
    block->base = base;
    return block;
}

static void block_destroy(sim_block *block)
{
    if (block != NULL) {
        free(block->store);
        free(block);
    }
}

/* One that the program has not seen. */
static void block_cancel(sim_block *block)
{
    if (block != NULL && block->strict != NULL) {
        sim_strict_block_cancel(block->strict);
    }
    block_destroy(block);
}

cnrtRet_t sim_memory_allocate(sim_device *device, size_t bytes, void **address)
{
    *address = NULL;
    if (bytes == 0) {
        return CNRT_RET_SUCCESS;
    }
    pthread_mutex_lock(&lock);
    size_t left = device->memory_bytes - device->memory_used; /* freed while pinned: used until unpinned */
    bool fits = bytes <= left;
    if (fits) {
        device->memory_used += bytes;
    }
    pthread_mutex_unlock(&lock);
    if (!fits) {
        return sim_error_set(CNRT_RET_ERR_NOMEM,
                             "The device has %zu bytes of memory left, %zu were asked for: free some, or raise "
                             "CNRT_SIMULATOR_MEMORY_MB.",
                             left, bytes);
    }
    sim_block *block = block_create(device, bytes);
    pthread_mutex_lock(&lock);
    bool entered = block != NULL && insert(&device_blocks, block);
    if (!entered) {
        device->memory_used -= bytes;
    }
    pthread_mutex_unlock(&lock);
    if (!entered) {
        block_cancel(block);
        return sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for %zu bytes of device memory.", bytes);
    }
    *address = block->base;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_memory_free(void *address)
{
    if (address == NULL) {
        return CNRT_RET_SUCCESS;
    }
    size_t index = 0;
    pthread_mutex_lock(&lock);
    sim_block *block = find(&device_blocks, address, &index);
    bool owner = block != NULL && block->base == (uint8_t *)address;
    bool unused = owner && block->pins == 0;
    sim_strict_block *strict = owner ? block->strict : NULL; /* the block goes with its last pin */
    if (owner) {
        remove_at(&device_blocks, index);
        block->freed = true;
        block->device->memory_used -= unused ? block->bytes : 0;
    }
    pthread_mutex_unlock(&lock);
    if (!owner) {
        sim_error_set(CNRT_RET_ERR_FIND_DEV_ADDR,
                      "%p is not the start of allocated device memory: it was freed before, or lies inside a block, or "
                      "did not come from cnrtMalloc. Free what cnrtMalloc gave, once.",
                      address);
        return sim_strict_stray_free(address, true, CNRT_RET_ERR_FIND_DEV_ADDR);
    }
    sim_strict_block_free(strict);
    if (unused) {
        block_destroy(block);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_memory_allocate_host(size_t bytes, void **address)
{
    *address = NULL;
    if (bytes == 0) {
        return CNRT_RET_SUCCESS;
    }
    sim_block *block = block_create(NULL, bytes);
    pthread_mutex_lock(&lock);
    bool entered = block != NULL && insert(&host_blocks, block);
    pthread_mutex_unlock(&lock);
    if (!entered) {
        block_cancel(block);
        return sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for %zu bytes.", bytes);
    }
    *address = block->base;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_memory_free_host(void *address)
{
    if (address == NULL) {
        return CNRT_RET_SUCCESS;
    }
    size_t index = 0;
    pthread_mutex_lock(&lock);
    sim_block *block = find(&host_blocks, address, &index);
    bool owner = block != NULL && block->base == (uint8_t *)address;
    if (owner) {
        remove_at(&host_blocks, index);
    }
    pthread_mutex_unlock(&lock);
    if (!owner) {
        sim_error_set(CNRT_RET_ERR_FAULT,
                      "%p did not come from cnrtMallocHost, or was freed before: free what it gave, once.", address);
        return sim_strict_stray_free(address, false, CNRT_RET_ERR_FAULT);
    }
    sim_strict_block_free(block->strict);
    block_destroy(block);
    return CNRT_RET_SUCCESS;
}

sim_block *sim_memory_pin(const void *address, size_t *available)
{
    size_t index = 0;
    pthread_mutex_lock(&lock);
    sim_block *block = find(&device_blocks, address, &index);
    if (block != NULL) {
        block->pins++;
        *available = block->bytes - (size_t)((uintptr_t)address - (uintptr_t)block->base);
    }
    pthread_mutex_unlock(&lock);
    return block;
}

void sim_memory_unpin(sim_block *block)
{
    if (block == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    bool last = --block->pins == 0 && block->freed;
    if (last) {
        block->device->memory_used -= block->bytes;
    }
    pthread_mutex_unlock(&lock);
    if (last) {
        block_destroy(block);
    }
}

void *sim_memory_bytes(const sim_block *block, const void *address)
{
    return block == NULL ? (void *)address : block->store + ((uintptr_t)address - (uintptr_t)block->base);
}

sim_strict_side sim_memory_side(const sim_block *block, const void *address)
{
    return (sim_strict_side){block == NULL ? NULL : block->strict, address};
}

bool sim_memory_is_freed(sim_block *block)
{
    pthread_mutex_lock(&lock);
    bool freed = block->freed;
    pthread_mutex_unlock(&lock);
    return freed;
}

const sim_device *sim_memory_device(const sim_block *block)
{
    return block->device;
}

/* ---- Sharing ---- */

/* With the lock held: the block of either kind that begins at this address. */
static sim_block *find_start(const void *base)
{
    size_t index = 0;
    sim_block *block = find(&device_blocks, base, &index);
    block = block != NULL ? block : find(&host_blocks, base, &index);
    return block != NULL && block->base == (const uint8_t *)base ? block : NULL;
}

static sim_block *find_number(const registry *r, uint32_t number)
{
    for (size_t index = 0; index < r->count; index++) {
        if (r->blocks[index]->number == number) {
            return r->blocks[index];
        }
    }
    return NULL;
}

uint32_t sim_memory_number(const void *base)
{
    pthread_mutex_lock(&lock);
    const sim_block *block = find_start(base);
    const uint32_t number = block == NULL ? 0 : block->number;
    pthread_mutex_unlock(&lock);
    return number;
}

cnrtRet_t sim_memory_attach(uint32_t number, const sim_device *device, void **base)
{
    pthread_mutex_lock(&lock);
    sim_block *block = find_number(&device_blocks, number);
    block = block != NULL ? block : find_number(&host_blocks, number);
    const bool here = block != NULL && (block->device == NULL || block->device == device);
    if (here) {
        block->attached++;
        *base = block->base;
    }
    pthread_mutex_unlock(&lock);
    if (block == NULL) {
        return sim_error_set(CNRT_RET_ERR_FUNC_CALL, "The memory of this handle was freed.");
    }
    return here ? CNRT_RET_SUCCESS
                : sim_error_set(CNRT_RET_ERR_FUNC_CALL,
                                "The memory of this handle lies on another device than the current one: call "
                                "cnrtSetCurrentDevice first.");
}

cnrtRet_t sim_memory_detach(const void *base)
{
    pthread_mutex_lock(&lock);
    sim_block *block = find_start(base);
    const bool attached = block != NULL && block->attached > 0;
    if (attached) {
        block->attached--;
    }
    pthread_mutex_unlock(&lock);
    return attached ? CNRT_RET_SUCCESS
                    : sim_error_set(CNRT_RET_ERR_NODEV,
                                    "%p is not mapped: it did not come from cnrtMapMemHandle, was unmapped as often as "
                                    "it was mapped, or was freed.",
                                    base);
}

bool sim_memory_find(const void *address, void **base, size_t *bytes)
{
    size_t index = 0;
    pthread_mutex_lock(&lock);
    sim_block *block = find(&device_blocks, address, &index);
    if (block != NULL) {
        *base = block->base;
        *bytes = block->bytes;
    }
    pthread_mutex_unlock(&lock);
    return block != NULL;
}

void sim_memory_usage(const sim_device *device, size_t *used, size_t *total)
{
    *total = device->memory_bytes;
    pthread_mutex_lock(&lock);
    *used = device->memory_used;
    pthread_mutex_unlock(&lock);
}
