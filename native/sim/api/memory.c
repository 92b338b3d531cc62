#include "core/memory.h"

#include <string.h>

#include "api/api.h"
#include "api/copies.h"
#include "core/mapping.h"
#include "core/runtime.h"
#include "core/strict_use.h"
#include "core/timing.h"
#include "core/trace.h"

cnrtRet_t cnrtMalloc(void **pPtr, size_t bytes)
{
    ENTER(cnrtMalloc);
    REQUIRE_POINTER(pPtr, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    return sim_memory_allocate(sim_runtime_device(), bytes, pPtr);
}

cnrtRet_t cnrtFree(void *ptr)
{
    ENTER(cnrtFree);
    return sim_memory_free(ptr);
}

cnrtRet_t cnrtFreeArray(void **ptr, int length)
{
    ENTER(cnrtFreeArray);
    REQUIRE_POINTER(ptr, CNRT_RET_ERR_INVALID);
    REQUIRE(length >= 0, CNRT_RET_ERR_INVALID, "The length of an array is not negative: %d.", length);
    cnrtRet_t first = CNRT_RET_SUCCESS;
    for (int index = 0; index < length; index++) {                     /* one bad element does not leak the others */
        cnrtRet_t code = sim_faults_enter(SIM_CALL_cnrtFree, SIM_ANY); /* it counts as one, too */
        if (code == CNRT_RET_SUCCESS) {
            code = sim_memory_free(ptr[index]);
        }
        first = first == CNRT_RET_SUCCESS ? code : first;
    }
    return first;
}

cnrtRet_t cnrtMallocHost(void **pPtr, size_t bytes, cnrtMemType_t type)
{
    ENTER(cnrtMallocHost);
    REQUIRE_POINTER(pPtr, CNRT_RET_ERR_INVALID);
    REQUIRE(type == CNRT_MEMTYPE_DEFAULT || type == CNRT_MEMTYPE_LOCKED, CNRT_RET_ERR_INVALID,
            "Host memory has type 0 (default) or 1 (locked), not %d.", (int)type);
    return sim_memory_allocate_host(bytes, pPtr);
}

cnrtRet_t cnrtFreeHost(void *ptr)
{
    ENTER(cnrtFreeHost);
    return sim_memory_free_host(ptr);
}

/* ---- Copies ---- */

/* Pins one side of a copy if it must be device memory; host memory can only be told from device memory, unless that is mapped.
 * `fitting`: the direction that the addresses have; NULL when neither is the device's. */
static cnrtRet_t pin_side(const char *side, const void *address, size_t bytes, bool device, const char *fitting,
                          sim_block **block)
{
    size_t available = 0;
    *block = sim_memory_pin(address, &available);
    if (!device && *block != NULL && sim_mapping_covers(address, bytes)) {
        sim_memory_unpin(*block);
        *block = NULL;
    }
    if (!device && *block != NULL) {
        sim_memory_unpin(*block);
        *block = NULL;
        sim_error_set(CNRT_RET_ERR_MEMCPY,
                      "The direction makes the %s %p host memory, but it is device memory: pass %s.", side, address,
                      fitting);
        return sim_strict_failed(SIM_FOUND_DIRECTION, CNRT_RET_ERR_MEMCPY);
    }
    if (!device) {
        return sim_strict_check_host(side, address);
    }
    if (*block == NULL && fitting != NULL) {
        sim_error_set(CNRT_RET_ERR_MEMCPY,
                      "The direction makes the %s %p device memory, but only the other side is: pass %s.", side,
                      address, fitting);
        return sim_strict_stray(address, SIM_FOUND_DIRECTION, CNRT_RET_ERR_MEMCPY);
    }
    if (*block == NULL) {
        sim_error_set(CNRT_RET_ERR_MEMCPY,
                      "The %s %p is not device memory: allocate it with cnrtMalloc, and free it after its last use.",
                      side, address);
        return sim_strict_stray(address, SIM_FOUND_NOT_DEVICE, CNRT_RET_ERR_MEMCPY);
    }
    if (bytes > available) {
        sim_error_set(CNRT_RET_ERR_MEMCPY,
                      "The copy of %zu bytes passes the end of the %s's device memory, which has %zu bytes from %p on.",
                      bytes, side, available, address);
        return sim_strict_failed_at(SIM_FOUND_SIZE, address, "Copy less, or allocate more.", CNRT_RET_ERR_MEMCPY);
    }
    return CNRT_RET_SUCCESS;
}

static bool is_device_memory(const void *address)
{
    void *base;
    size_t bytes;
    return sim_memory_find(address, &base, &bytes);
}

static const char *direction_of(const void *dst, const void *src)
{
    static const char *const NAMES[2][2] = {{NULL, "CNRT_MEM_TRANS_DIR_DEV2HOST"},
                                            {"CNRT_MEM_TRANS_DIR_HOST2DEV", "CNRT_MEM_TRANS_DIR_DEV2DEV"}};
    return NAMES[is_device_memory(dst)][is_device_memory(src)];
}

/* Checks in the header's order; on success both device sides are pinned. */
static cnrtRet_t check_copy(const char *function, void *dst, void *src, size_t bytes, cnrtMemTransDir_t dir,
                            sim_block *blocks[2])
{
    blocks[0] = blocks[1] = NULL;
    REQUIRE(dst != NULL, CNRT_RET_ERR_INVALID, "%s: dst is NULL.", function);
    REQUIRE(src != NULL, CNRT_RET_ERR_INVALID, "%s: src is NULL.", function);
    const bool any = dir == CNRT_MEM_TRANS_DIR_NODIR;
    REQUIRE(any || ((int)dir >= CNRT_MEM_TRANS_DIR_HOST2DEV && (int)dir <= CNRT_MEM_TRANS_DIR_HOST2HOST),
            CNRT_RET_ERR_INVALID,
            "%s: direction %d is not one of 0 (host to device) to 3 (host to host) and 5 (told from the addresses).",
            function, (int)dir);
    bool to_device =
        any ? is_device_memory(dst) : dir == CNRT_MEM_TRANS_DIR_HOST2DEV || dir == CNRT_MEM_TRANS_DIR_DEV2DEV;
    bool from_device =
        any ? is_device_memory(src) : dir == CNRT_MEM_TRANS_DIR_DEV2HOST || dir == CNRT_MEM_TRANS_DIR_DEV2DEV;
    const char *fitting = direction_of(dst, src);
    cnrtRet_t code = pin_side("destination", dst, bytes, to_device, fitting, &blocks[0]);
    if (code == CNRT_RET_SUCCESS) {
        code = pin_side("source", src, bytes, from_device, fitting, &blocks[1]);
    }
    if (code != CNRT_RET_SUCCESS) {
        sim_memory_unpin(blocks[0]);
        sim_memory_unpin(blocks[1]);
    }
    return code;
}

/* Seconds that a device would take for a copy between it and the host; the host is made to wait if it is paced. */
static double time_of_copy(size_t bytes, int64_t begun)
{
    const sim_timing *timing = sim_timing_get();
    const double seconds = timing == NULL ? 0 : sim_timing_of_copy(timing, bytes);
    sim_clock_sleep(begun, timing != NULL && timing->pace ? seconds : 0);
    return seconds;
}

/* `blocks`: of the destination and the source, pinned; NULL for the host's. */
static void copy(const sim_fault *fault, void *dst, const void *src, size_t bytes, sim_block *const blocks[2])
{
    void *destination = sim_memory_bytes(blocks[0], dst);
    const void *source = sim_memory_bytes(blocks[1], src);
    if (fault->rule == NULL || fault->rule->output != SIM_OUTPUT_SKIPPED) {
        memmove(destination, source, bytes);
    }
    sim_fault_spoil(fault, SIM_ANY, destination, bytes);
}

/* The device of a copy: where it goes to, else where it comes from, else that of the thread. */
static unsigned ordinal_of(sim_block *const blocks[2])
{
    const sim_block *block = blocks[0] != NULL ? blocks[0] : blocks[1];
    return block == NULL ? sim_runtime_ordinal() : sim_device_ordinal(sim_memory_device(block));
}

void sim_api_copy_now(void *dst, void *src, size_t bytes, sim_block *blocks[2])
{
    sim_queue_host_waited();
    const sim_fault fault = sim_faults_take();
    const int64_t begun = sim_clock_host();
    sim_strict_copy(sim_memory_side(blocks[0], dst), sim_memory_side(blocks[1], src), bytes, 0);
    copy(&fault, dst, src, bytes, blocks);
    time_of_copy(bytes, begun);
    sim_trace_copy(ordinal_of(blocks), sim_call_now().function, bytes, (uint64_t)begun, (uint64_t)sim_clock_host());
    sim_memory_unpin(blocks[0]);
    sim_memory_unpin(blocks[1]);
}

cnrtRet_t cnrtMemcpy(void *dst, void *src, size_t bytes, cnrtMemTransDir_t dir)
{
    ENTER_COPY(cnrtMemcpy, dir);
    sim_block *blocks[2];
    TRY(check_copy(__func__, dst, src, bytes, dir, blocks));
    sim_api_copy_now(dst, src, bytes, blocks);
    return CNRT_RET_SUCCESS;
}

static void run_copy(sim_work *work, sim_status *status)
{
    for (int side = 0; side < 2; side++) {
        sim_block *block = work->as.copy.blocks[side];
        if (status->code == CNRT_RET_SUCCESS && block != NULL && sim_memory_is_freed(block)) {
            sim_status_set(status, CNRT_RET_ERR_FIND_DEV_ADDR,
                           "The %s of a copy was freed while the copy waited in its queue: synchronise first.",
                           side == 0 ? "destination" : "source");
        }
    }
    if (status->code == CNRT_RET_SUCCESS) {
        const int64_t begun = sim_clock_host();
        copy(&work->fault, work->as.copy.destination, work->as.copy.source, work->as.copy.bytes, work->as.copy.blocks);
        sim_clock_spend(sim_queue_clock(work->queue), time_of_copy(work->as.copy.bytes, begun));
    }
    sim_memory_unpin(work->as.copy.blocks[0]);
    sim_memory_unpin(work->as.copy.blocks[1]);
}

cnrtRet_t sim_api_copy_later(sim_queue *queue, void *dst, void *src, size_t bytes, sim_block *blocks[2])
{
    sim_work *work = sim_queue_take_work(queue);
    if (work == NULL) {
        sim_memory_unpin(blocks[0]);
        sim_memory_unpin(blocks[1]);
        return CNRT_RET_ERR_NOMEM;
    }
    work->as.copy.destination = dst;
    work->as.copy.source = src;
    work->as.copy.bytes = work->bytes = bytes;
    work->as.copy.blocks[0] = blocks[0];
    work->as.copy.blocks[1] = blocks[1];
    work->run = run_copy;
    sim_strict_copy(sim_memory_side(blocks[0], dst), sim_memory_side(blocks[1], src), bytes, sim_queue_order(queue));
    sim_queue_submit(queue, work);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtMemcpyAsync(void *dst, void *src, size_t bytes, cnrtQueue_t queue, cnrtMemTransDir_t dir)
{
    ENTER_COPY(cnrtMemcpyAsync, dir);
    sim_block *blocks[2];
    sim_queue *q = sim_queue_get(queue);
    if (q == NULL) {
        return sim_error_peek();
    }
    cnrtRet_t code = check_copy(__func__, dst, src, bytes, dir, blocks);
    if (code == CNRT_RET_SUCCESS) {
        code = sim_api_copy_later(q, dst, src, bytes, blocks);
    }
    sim_object_release(q);
    return code;
}

/* ---- Filling ---- */

static void fill(void *destination, uint32_t value, size_t count, bool words)
{
    if (!words) {
        memset(destination, (int)value, count);
        return;
    }
    uint8_t *to = destination;
    for (size_t index = 0; index < count; index++) {
        memcpy(to + index * sizeof value, &value, sizeof value);
    }
}

static cnrtRet_t pin_fill(const char *function, void *ptr, size_t count, size_t item, sim_block **block)
{
    size_t available = 0;
    *block = NULL;
    REQUIRE(ptr != NULL, CNRT_RET_ERR_INVALID, "%s: ptr is NULL.", function);
    *block = sim_memory_pin(ptr, &available);
    if (*block == NULL) {
        sim_error_set(CNRT_RET_ERR_FIND_DEV_ADDR, "%s: %p is not device memory: allocate it with cnrtMalloc.", function,
                      ptr);
        return sim_strict_stray(ptr, SIM_FOUND_NOT_DEVICE, CNRT_RET_ERR_FIND_DEV_ADDR);
    }
    if (count > available / item) {
        sim_memory_unpin(*block);
        sim_error_set(CNRT_RET_ERR_INVALID,
                      "%s: %zu elements of %zu bytes pass the end of the memory, %zu bytes are left.", function, count,
                      item, available);
        return sim_strict_failed_at(SIM_FOUND_SIZE, ptr, "Set less, or allocate more.", CNRT_RET_ERR_INVALID);
    }
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t fill_now(const char *function, void *ptr, uint32_t value, size_t count, bool words)
{
    sim_block *block;
    TRY(pin_fill(function, ptr, count, words ? sizeof value : 1, &block));
    sim_strict_fill(sim_memory_side(block, ptr), words ? count * sizeof value : count, 0);
    fill(sim_memory_bytes(block, ptr), value, count, words);
    sim_memory_unpin(block);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtMemset(void *ptr, int c, size_t bytes)
{
    ENTER(cnrtMemset);
    REQUIRE(c >= 0 && c <= 255, CNRT_RET_ERR_OUT_RANGE, "cnrtMemset sets bytes to 0 to 255, not to %d.", c);
    return fill_now(__func__, ptr, (uint32_t)c, bytes, false);
}

cnrtRet_t cnrtMemsetD8(void *ptr, uint8_t value, size_t bytes)
{
    ENTER(cnrtMemsetD8);
    return fill_now(__func__, ptr, value, bytes, false);
}

cnrtRet_t cnrtMemsetD32(void *ptr, uint32_t value, size_t words)
{
    ENTER(cnrtMemsetD32);
    return fill_now(__func__, ptr, value, words, true);
}

static void run_fill(sim_work *work, sim_status *status)
{
    if (status->code == CNRT_RET_SUCCESS && sim_memory_is_freed(work->as.fill.block)) {
        sim_status_set(status, CNRT_RET_ERR_FIND_DEV_ADDR,
                       "Memory to be set was freed while the operation waited in its queue: synchronise first.");
    }
    if (status->code == CNRT_RET_SUCCESS) {
        fill(sim_memory_bytes(work->as.fill.block, work->as.fill.destination), work->as.fill.value, work->as.fill.count,
             work->as.fill.words);
    }
    sim_memory_unpin(work->as.fill.block);
}

static cnrtRet_t submit_fill(sim_queue *queue, sim_block *block, void *ptr, uint32_t value, size_t count, bool words)
{
    sim_work *work = sim_queue_take_work(queue);
    if (work == NULL) {
        sim_memory_unpin(block);
        return CNRT_RET_ERR_NOMEM;
    }
    work->as.fill.destination = ptr;
    work->as.fill.value = value;
    work->as.fill.count = count;
    work->bytes = words ? count * sizeof value : count;
    work->as.fill.words = words;
    work->as.fill.block = block;
    work->run = run_fill;
    sim_strict_fill(sim_memory_side(block, ptr), words ? count * sizeof value : count, sim_queue_order(queue));
    sim_queue_submit(queue, work);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t fill_later(const char *function, void *ptr, uint32_t value, size_t count, bool words,
                            cnrtQueue_t queue)
{
    sim_block *block;
    sim_queue *q = sim_queue_get(queue);
    if (q == NULL) {
        return sim_error_peek();
    }
    cnrtRet_t code = pin_fill(function, ptr, count, words ? sizeof value : 1, &block);
    if (code == CNRT_RET_SUCCESS) {
        code = submit_fill(q, block, ptr, value, count, words);
    }
    sim_object_release(q);
    return code;
}

cnrtRet_t cnrtMemsetD8Async(void *ptr, uint8_t value, size_t bytes, cnrtQueue_t queue)
{
    ENTER(cnrtMemsetD8Async);
    return fill_later(__func__, ptr, value, bytes, false, queue);
}

cnrtRet_t cnrtMemsetD32Async(void *ptr, uint32_t value, size_t words, cnrtQueue_t queue)
{
    ENTER(cnrtMemsetD32Async);
    return fill_later(__func__, ptr, value, words, true, queue);
}

/* ---- Facts ---- */

cnrtRet_t cnrtGetMemInfo(size_t *free, size_t *total, cnrtChannelType_t channel)
{
    ENTER(cnrtGetMemInfo);
    REQUIRE_POINTER(free, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(total, CNRT_RET_ERR_INVALID);
    REQUIRE((int)channel >= CNRT_CHANNEL_TYPE_DUPLICATE && (int)channel <= CNRT_CHANNEL_TYPE_3, CNRT_RET_ERR_INVALID,
            "A channel is -2 (duplicate), -1 (none) or 0 to 3, not %d.", (int)channel);
    TRY(sim_runtime_require_device());
    size_t used, all;
    sim_memory_usage(sim_runtime_device(), &used, &all);
    *free = (all - used) >> 20;
    *total = all >> 20;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetMemorySize(void **base, void *devPtr, size_t *bytes)
{
    ENTER(cnrtGetMemorySize);
    REQUIRE_POINTER(base, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(devPtr, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(bytes, CNRT_RET_ERR_INVALID);
    REQUIRE(sim_memory_find(devPtr, base, bytes), CNRT_RET_ERR_FIND_DEV_ADDR, "%p is not device memory.", devPtr);
    return CNRT_RET_SUCCESS;
}
