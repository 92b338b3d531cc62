#define _GNU_SOURCE
#include "core/strict_blocks.h"

#include <sched.h>
#include <stdlib.h>
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
static sim_strict_block **table;
static size_t count, capacity, freed_count, freed_bytes;
static unsigned last_number;
static uint64_t last_freed;

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

/* ---- The table: live buffers, and those that were freed not long ago ---- */

static void remove_at(size_t index)
{
    const sim_strict_block *block = table[index];
    if (!block->live) {
        freed_count--;
        freed_bytes -= block->reserved;
    }
    table[index] = table[--count];
}

/* With the guard: what was freed longest ago, when there is too much of it; out of the table. */
static sim_strict_block *take_oldest(void)
{
    size_t oldest = count;
    if (freed_count <= MOST_FREED && freed_bytes <= MOST_FREED_BYTES) {
        return NULL;
    }
    for (size_t index = 0; index < count; index++) {
        if (!table[index]->live && (oldest == count || table[index]->freed_as < table[oldest]->freed_as)) {
            oldest = index;
        }
    }
    sim_strict_block *block = oldest < count ? table[oldest] : NULL;
    if (block != NULL) {
        remove_at(oldest);
    }
    return block;
}

/* With the guard: host memory comes from malloc, which gives freed addresses out again. */
static sim_strict_block *take_dead_at(uintptr_t base)
{
    for (size_t index = 0; index < count; index++) {
        sim_strict_block *block = table[index];
        if (!block->live && base >= block->base && base - block->base < block->bytes) {
            remove_at(index);
            return block;
        }
    }
    return NULL;
}

static bool enter(sim_strict_block *block)
{
    take_guard();
    sim_strict_block *dead = take_dead_at(block->base);
    bool entered = count < capacity;
    if (!entered) {
        const size_t larger_capacity = capacity == 0 ? 64 : 2 * capacity;
        sim_strict_block **larger = realloc(table, larger_capacity * sizeof(sim_strict_block *));
        entered = larger != NULL;
        table = entered ? larger : table;
        capacity = entered ? larger_capacity : capacity;
    }
    if (entered) {
        block->number = ++last_number;
        table[count++] = block;
    }
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
    block->allocated = sim_strict_site();
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
    for (size_t index = 0; index < count; index++) {
        if (table[index] == block) {
            remove_at(index);
            break;
        }
    }
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
    block->live = false;
    block->freed = sim_strict_site();
    block->freed_as = ++last_freed;
    freed_count++;
    freed_bytes += block->reserved;
    sim_strict_block *oldest = take_oldest();
    give_guard_back();
    if (oldest != NULL) {
        destroy(oldest);
    }
}

void sim_strict_blocks_each(void (*visit)(sim_strict_block *block, void *argument), void *argument)
{
    take_guard();
    for (size_t index = 0; index < count; index++) {
        if (table[index]->live) {
            visit(table[index], argument);
        }
    }
    give_guard_back();
}

/* ---- What an address is ---- */

/* With the guard: the buffer that holds the address, or in whose empty space it lies. */
static const sim_strict_block *find(uintptr_t address)
{
    for (size_t index = 0; index < count; index++) {
        const sim_strict_block *block = table[index];
        const uintptr_t begin = block->space == NULL ? block->base : (uintptr_t)block->space;
        if (address >= begin && address - begin < (block->space == NULL ? block->bytes : block->reserved)) {
            return block;
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
    }
    give_guard_back();
    return block != NULL && block->space != NULL;
}
