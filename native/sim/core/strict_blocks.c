#define _GNU_SOURCE
#include "core/strict_blocks.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/strict_bits.h"
#include "core/strict_trap.h"
#include "core/strict_use.h"
#include "core/strict_watch.h"

/* Of what was freed: so many buffers and so much address space (no memory) are kept from new ones. */
enum { MOST_FREED = 1024, HANDLER_TRIES = 1000000 };
#define MOST_FREED_BYTES ((size_t)1 << 40)

static atomic_flag guard = ATOMIC_FLAG_INIT; /* of what stands here; a flag, as a signal handler looks things up */
static sim_strict_block **live;              /* by address */
static size_t live_count, capacity;
static sim_strict_block *freed[MOST_FREED + 1]; /* the oldest first */
static size_t freed_count, freed_bytes;
static unsigned last_number;

static void take_guard(void)
{
    while (atomic_flag_test_and_set(&guard)) {
        sched_yield();
    }
}

static void give_guard_back(void)
{
    atomic_flag_clear(&guard);
}

/* ---- Address space ---- */

static bool reserve(sim_strict_block *block)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t reserved = (block->bytes + page - 1) / page * page + 2 * page;
    void *space = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        return false;
    }
    block->space = space;
    block->reserved = reserved;
    block->base = (uintptr_t)space + page;
    return true;
}

static void destroy(sim_strict_block *block)
{
    if (block->space != NULL) {
        munmap(block->space, block->reserved);
    }
    free(block->written);
    free(block->doubt);
    free(block);
}

/* ---- Live buffers, and those that were freed not long ago. With the guard. ---- */

static uintptr_t begin_of(const sim_strict_block *block)
{
    return block->space == NULL ? block->base : (uintptr_t)block->space;
}

static bool holds(const sim_strict_block *block, uintptr_t address)
{
    const uintptr_t begin = begin_of(block);
    return address >= begin && address - begin < (block->space == NULL ? block->bytes : block->reserved);
}

/* The first live one that begins behind the address. */
static size_t live_behind(uintptr_t address)
{
    size_t low = 0, high = live_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (begin_of(live[middle]) <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool enter_live(sim_strict_block *block)
{
    if (live_count == capacity) {
        const size_t larger_capacity = capacity == 0 ? 64 : 2 * capacity;
        sim_strict_block **larger = realloc(live, larger_capacity * sizeof(sim_strict_block *));
        if (larger == NULL) {
            return false;
        }
        live = larger;
        capacity = larger_capacity;
    }
    const size_t index = live_behind(begin_of(block));
    memmove(live + index + 1, live + index, (live_count++ - index) * sizeof *live);
    live[index] = block;
    block->number = ++last_number;
    return true;
}

static void remove_live(const sim_strict_block *block)
{
    const size_t index = live_behind(begin_of(block)) - 1;
    memmove(live + index, live + index + 1, (--live_count - index) * sizeof *live);
}

static sim_strict_block *take_freed(size_t index)
{
    sim_strict_block *block = freed[index];
    freed_bytes -= block->reserved;
    memmove(freed + index, freed + index + 1, (--freed_count - index) * sizeof *freed);
    return block;
}

/* Gives what was freed longest ago, when there is too much of it. */
static sim_strict_block *enter_freed(sim_strict_block *block)
{
    freed[freed_count++] = block;
    freed_bytes += block->reserved;
    return freed_count > MOST_FREED || freed_bytes > MOST_FREED_BYTES ? take_freed(0) : NULL;
}

/* Host memory comes from malloc, which gives freed addresses out again. */
static sim_strict_block *take_freed_at(uintptr_t base)
{
    for (size_t index = 0; index < freed_count; index++) {
        if (base >= freed[index]->base && base - freed[index]->base < freed[index]->bytes) {
            return take_freed(index);
        }
    }
    return NULL;
}

static bool enter(sim_strict_block *block)
{
    take_guard();
    sim_strict_block *dead = take_freed_at(block->base);
    const bool entered = enter_live(block);
    give_guard_back();
    if (dead != NULL) {
        destroy(dead);
    }
    return entered;
}

sim_strict_block *sim_strict_block_create(bool is_device, size_t bytes, void *store, void **base)
{
    sim_strict_block *block = calloc(1, sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    block->bytes = bytes;
    block->base = (uintptr_t)store;
    block->is_device = is_device;
    block->live = true;
    block->allocated = sim_call_now();
    block->written = is_device ? calloc(1, sim_bits_bytes(bytes)) : NULL;
    const bool made = !is_device || (block->written != NULL && reserve(block));
    if (!made || !enter(block)) {
        destroy(block);
        return NULL;
    }
    sim_strict_trap();
    *base = (void *)block->base;
    return block;
}

void sim_strict_block_cancel(sim_strict_block *block)
{
    take_guard();
    remove_live(block);
    give_guard_back();
    destroy(block);
}

void sim_strict_block_free(sim_strict_block *block)
{
    if (block == NULL) {
        return;
    }
    sim_strict_lock();
    if (block->is_device) {
        sim_strict_use_by_free(block);
    } else {
        sim_watch_freed((void *)block->base, block->bytes);
    }
    free(block->written);
    block->written = NULL;
    sim_strict_unlock();
    take_guard();
    remove_live(block);
    block->live = false;
    block->freed = sim_call_now();
    sim_strict_block *oldest = enter_freed(block);
    give_guard_back();
    if (oldest != NULL) {
        destroy(oldest);
    }
}

void sim_strict_blocks_each(void (*visit)(sim_strict_block *block, void *argument), void *argument)
{
    take_guard();
    for (size_t index = 0; index < live_count; index++) {
        visit(live[index], argument);
    }
    give_guard_back();
}

/* ---- What an address is ---- */

/* With the guard: the buffer that holds the address, or in whose empty space it lies. */
static const sim_strict_block *find(uintptr_t address)
{
    const size_t behind = live_behind(address);
    if (behind > 0 && holds(live[behind - 1], address)) {
        return live[behind - 1];
    }
    for (size_t index = 0; index < freed_count; index++) {
        if (holds(freed[index], address)) {
            return freed[index];
        }
    }
    return NULL;
}

static void add_block(sim_text *text, const sim_strict_block *block)
{
    char site[SIM_SITE_TEXT];
    sim_text_add(text, "buffer ");
    sim_text_add_number(text, block->number, 10);
    sim_text_add(text, " (");
    sim_text_add_number(text, block->bytes, 10);
    sim_text_add(text, " bytes, ");
    sim_site_text(&block->allocated, site);
    sim_text_add(text, site);
    sim_text_add(text, ")");
    if (!block->live) {
        sim_text_add(text, ", freed by ");
        sim_site_text(&block->freed, site);
        sim_text_add(text, site);
    }
}

void sim_block_text(const sim_strict_block *block, char text[SIM_BLOCK_TEXT])
{
    sim_text words;
    sim_text_begin(&words, text, SIM_BLOCK_TEXT);
    add_block(&words, block);
}

static void add_offset(sim_text *text, const sim_strict_block *block, uintptr_t address)
{
    if (address < block->base) {
        sim_text_add_number(text, block->base - address, 10);
        sim_text_add(text, " bytes before ");
    } else if (address - block->base >= block->bytes) {
        sim_text_add_number(text, address - block->base - block->bytes, 10);
        sim_text_add(text, " bytes past the end of ");
    } else {
        sim_text_add(text, "byte ");
        sim_text_add_number(text, address - block->base, 10);
        sim_text_add(text, " of ");
    }
}

bool sim_strict_find(const void *address, bool is_device, sim_strict_block *copy)
{
    take_guard();
    const sim_strict_block *block = find((uintptr_t)address);
    const bool found =
        block != NULL && block->is_device == is_device && (uintptr_t)address - block->base < block->bytes;
    if (found) {
        *copy = *block;
    }
    give_guard_back();
    return found;
}

bool sim_strict_describe(const void *address, sim_text *text)
{
    for (int tries = 0; atomic_flag_test_and_set(&guard); tries++) {
        if (tries == HANDLER_TRIES) { /* the thread that was interrupted holds it */
            return false;
        }
    }
    const sim_strict_block *block = find((uintptr_t)address);
    if (block != NULL && block->space != NULL) {
        add_offset(text, block, (uintptr_t)address);
        add_block(text, block);
        sim_text_add(text, block->live ? ". The host cannot use device memory: copy it with cnrtMemcpy."
                                       : ". Free it after its last use.");
    }
    give_guard_back();
    return block != NULL && block->space != NULL;
}
