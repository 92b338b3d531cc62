#include "core/strict_use.h"

#include "core/strict_bits.h"
#include "core/strict_watch.h"

void sim_strict_use_by_free(sim_strict_block *block)
{
    sim_bytes_use(block, 0, block->bytes, true, (sim_point){0, 0}, "was freed");
}

void sim_strict_map(sim_strict_side side)
{
    sim_strict_block *block = side.block;
    if (block == NULL) {
        return;
    }
    sim_strict_lock();
    if (block->written != NULL) { /* NULL: another thread has freed it meanwhile */
        sim_bytes_written(block, 0, block->bytes);
        sim_output_overlapped(&block->unread, 0, block->bytes);
        block->mapped = true;
    }
    sim_strict_unlock();
}

/* ---- Copies and fills ---- */

static void note_copy(sim_strict_block *block, size_t begin, size_t end)
{
    sim_bytes_written(block, begin, end);
    for (int index = SIM_MOST_COPIES - 1; index > 0; index--) {
        block->copies[index] = block->copies[index - 1];
    }
    block->copies[0] = (sim_strict_copy_in){begin, end, sim_call_now()};
}

static void check_written(const sim_strict_block *block, size_t begin, size_t end)
{
    const size_t first = sim_bits_find(block->written, begin, end, false);
    if (first < end && !block->mapped) {
        char buffer[SIM_BLOCK_TEXT];
        const sim_strict_output *doubted = &block->doubted;
        if (first >= doubted->begin && first < doubted->end && block->doubt != NULL) {
            sim_strict_tell_at(SIM_FOUND_NEVER_WRITTEN, &doubted->site, "%s", block->doubt);
            return;
        }
        sim_block_text(block, buffer);
        sim_strict_tell(SIM_FOUND_NEVER_WRITTEN,
                        "bytes %zu to %zu of %s are copied to the host, but nothing was ever written from byte %zu on: "
                        "cnrtMalloc does not clear memory. Write it before, or copy less.",
                        begin, end - 1, buffer, first);
    }
}

/* Not of a buffer that another thread has freed meanwhile. */
static bool is_followed(sim_strict_side side)
{
    return side.block == NULL || side.block->written != NULL;
}

static void check_host_end(const void *address, size_t bytes)
{
    sim_strict_block block;
    if (sim_strict_find(address, false, &block) && block.live &&
        bytes > block.bytes - ((uintptr_t)address - block.base)) {
        char buffer[SIM_BLOCK_TEXT];
        sim_block_text(&block, buffer);
        sim_strict_tell(SIM_FOUND_SIZE,
                        "%zu bytes are copied from byte %zu on of %s, in host memory: past its end. Allocate more with "
                        "cnrtMallocHost, or copy less.",
                        bytes, (size_t)((uintptr_t)address - block.base), buffer);
    }
}

static void copy_within(sim_strict_side to, sim_strict_side from, size_t bytes)
{
    const size_t begin = sim_side_offset(from), at = sim_side_offset(to);
    if (sim_bits_find(from.block->written, begin, begin + bytes, true) == begin + bytes) {
        check_written(from.block, begin, begin + bytes);
    }
    sim_bytes_written(to.block, at, at + bytes);
    if (to.block != from.block) {
        sim_bits_copy(to.block->written, at, from.block->written, begin, bytes);
    }
}

static void copy_in(sim_strict_side to, const void *host, size_t bytes, sim_point point)
{
    note_copy(to.block, sim_side_offset(to), sim_side_offset(to) + bytes);
    if (point.queue != 0) {
        sim_watch_add(SIM_WATCH_SOURCE, host, bytes, point);
    } else {
        sim_watch_read(host, bytes);
    }
}

static void copy_out(const void *host, sim_strict_side from, size_t bytes, sim_point point)
{
    check_written(from.block, sim_side_offset(from), sim_side_offset(from) + bytes);
    if (point.queue != 0) {
        sim_watch_add(SIM_WATCH_DESTINATION, host, bytes, point);
    }
}

static void follow_copy(sim_strict_side to, sim_strict_side from, size_t bytes, sim_point point)
{
    if (from.block != NULL) {
        sim_bytes_use(from.block, sim_side_offset(from), sim_side_offset(from) + bytes, false, point, "is read");
        sim_output_overlapped(&from.block->unread, sim_side_offset(from), sim_side_offset(from) + bytes);
    } else {
        check_host_end(from.address, bytes);
    }
    if (to.block != NULL) {
        sim_bytes_use(to.block, sim_side_offset(to), sim_side_offset(to) + bytes, true, point, "is written");
    } else {
        check_host_end(to.address, bytes);
    }
    if (to.block != NULL && from.block != NULL) {
        copy_within(to, from, bytes);
    } else if (to.block != NULL) {
        copy_in(to, from.address, bytes, point);
    } else if (from.block != NULL) {
        copy_out(to.address, from, bytes, point);
    }
}

void sim_strict_copy(sim_strict_side to, sim_strict_side from, size_t bytes, uint64_t queue)
{
    if (!sim_strict() || bytes == 0) {
        return;
    }
    sim_strict_lock();
    if (is_followed(to) && is_followed(from)) {
        follow_copy(to, from, bytes, sim_order_add(queue));
    }
    sim_strict_unlock();
}

void sim_strict_fill(sim_strict_side to, size_t bytes, uint64_t queue)
{
    if (!sim_strict() || bytes == 0) {
        return;
    }
    sim_strict_lock();
    if (is_followed(to)) {
        const size_t begin = sim_side_offset(to);
        sim_bytes_use(to.block, begin, begin + bytes, true, sim_order_add(queue), "is written");
        sim_bytes_written(to.block, begin, begin + bytes);
    }
    sim_strict_unlock();
}

/* ---- Calls that failed ---- */

cnrtRet_t sim_strict_check_host(const char *role, const void *address)
{
    sim_strict_block block;
    if (!sim_strict() || !sim_strict_find(address, true, &block)) {
        return CNRT_RET_SUCCESS;
    }
    sim_error_set(CNRT_RET_ERR_MEMCPY, "The %s %p is to be host memory, but is freed device memory.", role, address);
    return sim_strict_stray(address, SIM_FOUND_FREED, CNRT_RET_ERR_MEMCPY);
}

cnrtRet_t sim_strict_stray(const void *address, sim_finding kind, cnrtRet_t code)
{
    sim_strict_block block;
    if (sim_strict() && sim_strict_find(address, true, &block) && !block.live) {
        char buffer[SIM_BLOCK_TEXT];
        sim_block_text(&block, buffer);
        sim_strict_tell(SIM_FOUND_FREED, "%p is byte %zu of %s. Free it after its last use.", address,
                        (size_t)((uintptr_t)address - block.base), buffer);
        return code;
    }
    return sim_strict_failed(kind, code);
}

cnrtRet_t sim_strict_failed_at(sim_finding kind, const void *address, const char *remedy, cnrtRet_t code)
{
    sim_strict_block block;
    if (sim_strict() && sim_strict_find(address, true, &block)) {
        char buffer[SIM_BLOCK_TEXT];
        sim_block_text(&block, buffer);
        sim_strict_tell(kind, "%s %p is byte %zu of %s. %s", sim_error_message(), address,
                        (size_t)((uintptr_t)address - block.base), buffer, remedy);
        return code;
    }
    return sim_strict_failed(kind, code);
}

cnrtRet_t sim_strict_stray_free(const void *address, bool is_device, cnrtRet_t code)
{
    sim_strict_block block;
    char buffer[SIM_BLOCK_TEXT];
    if (!sim_strict()) {
        return code;
    }
    if (!sim_strict_find(address, is_device, &block)) {
        return sim_strict_failed(SIM_FOUND_BAD_FREE, code);
    }
    sim_block_text(&block, buffer);
    if (block.live) {
        sim_strict_tell(SIM_FOUND_BAD_FREE, "%p is byte %zu of %s, not its start: free what the allocation gave.",
                        address, (size_t)((uintptr_t)address - block.base), buffer);
    } else {
        sim_strict_tell(SIM_FOUND_DOUBLE_FREE, "%p is the address of %s: free each buffer once.", address, buffer);
    }
    return code;
}
