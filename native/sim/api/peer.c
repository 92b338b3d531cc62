/* Memory of one device for another, and of one program's part for another: peers and handles to pass on. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "api/api.h"
#include "api/copies.h"
#include "core/memory.h"
#include "core/queue.h"
#include "core/runtime.h"
#include "core/strict_use.h"

/* ---- Peers ---- */

cnrtRet_t cnrtMallocPeerAble(void **pPtr, size_t bytes)
{
    ENTER(cnrtMallocPeerAble);
    REQUIRE_POINTER(pPtr, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    return sim_memory_allocate(sim_runtime_device(), bytes, pPtr);
}

static cnrtRet_t check_ordinal(const char *name, int ordinal)
{
    REQUIRE(ordinal >= 0 && ordinal < (int)sim_device_count(), CNRT_RET_ERR_FUNC_CALL,
            "%s: there is no device with ordinal %d, there are %u.", name, ordinal, sim_device_count());
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetPeerAccessibility(unsigned int *CanPeer, int Dev, int PeerDev)
{
    ENTER(cnrtGetPeerAccessibility);
    REQUIRE_POINTER(CanPeer, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    TRY(check_ordinal("Dev", Dev));
    TRY(check_ordinal("PeerDev", PeerDev));
    *CanPeer = Dev != PeerDev;
    return CNRT_RET_SUCCESS;
}

/* Pins one side, which must lie on the device that the program says. */
static cnrtRet_t pin_side(const char *side, void *address, int ordinal, size_t bytes, sim_block **block)
{
    size_t available = 0;
    *block = sim_memory_pin(address, &available);
    if (*block == NULL) {
        sim_error_set(CNRT_RET_ERR_FUNC_CALL,
                      "The %s %p is not device memory: allocate it with cnrtMalloc, and free it after its last use.",
                      side, address);
        return sim_strict_stray(address, SIM_FOUND_NOT_DEVICE, CNRT_RET_ERR_FUNC_CALL);
    }
    const bool fits = bytes <= available;
    const bool there = sim_memory_device(*block) == sim_device_at(sim_runtime_effective((unsigned)ordinal));
    REQUIRE(there, CNRT_RET_ERR_FUNC_CALL, "The %s %p does not lie on device %d.", side, address, ordinal);
    if (!fits) {
        sim_error_set(CNRT_RET_ERR_FUNC_CALL,
                      "The copy of %zu bytes passes the end of the %s's device memory, which has %zu bytes from %p on.",
                      bytes, side, available, address);
        return sim_strict_failed_at(SIM_FOUND_SIZE, address, "Copy less, or allocate more.", CNRT_RET_ERR_FUNC_CALL);
    }
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t check_peers(const char *call, void *dst, int dst_ordinal, void *src, int src_ordinal)
{
    REQUIRE_POINTER_OF(call, dst, CNRT_RET_ERR_INVALID);
    TRY(check_ordinal("dstDevice", dst_ordinal));
    REQUIRE_POINTER_OF(call, src, CNRT_RET_ERR_INVALID);
    TRY(check_ordinal("srcDevice", src_ordinal));
    REQUIRE(dst_ordinal != src_ordinal, CNRT_RET_ERR_FUNC_CALL,
            "Device %d is no peer of its own: copy with cnrtMemcpy and direction 1 (device to device).", dst_ordinal);
    return CNRT_RET_SUCCESS;
}

/* On success both sides are pinned. */
static cnrtRet_t check_copy(const char *call, void *dst, int dst_ordinal, void *src, int src_ordinal, size_t bytes,
                            sim_block *blocks[2])
{
    blocks[0] = blocks[1] = NULL;
    TRY(check_peers(call, dst, dst_ordinal, src, src_ordinal));
    cnrtRet_t code = pin_side("destination", dst, dst_ordinal, bytes, &blocks[0]);
    if (code == CNRT_RET_SUCCESS) {
        code = pin_side("source", src, src_ordinal, bytes, &blocks[1]);
    }
    if (code != CNRT_RET_SUCCESS) {
        sim_memory_unpin(blocks[0]);
        sim_memory_unpin(blocks[1]);
    }
    return code;
}

cnrtRet_t cnrtMemcpyPeer(void *dst, int dstDevice, void *src, int srcDevice, size_t count)
{
    ENTER_COPY(cnrtMemcpyPeer, CNRT_MEM_TRANS_DIR_PEER2PEER);
    sim_block *blocks[2];
    TRY(sim_runtime_require_device());
    TRY(check_copy(__func__, dst, dstDevice, src, srcDevice, count, blocks));
    sim_api_copy_now(dst, src, count, blocks);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtMemcpyPeerAsync(void *dst, int dstDevOrdinal, void *src, int srcDevOrdinal, size_t bytes,
                              cnrtQueue_t queue)
{
    ENTER_COPY(cnrtMemcpyPeerAsync, CNRT_MEM_TRANS_DIR_PEER2PEER);
    sim_block *blocks[2];
    TRY(sim_runtime_require_device());
    TRY(check_copy(__func__, dst, dstDevOrdinal, src, srcDevOrdinal, bytes, blocks));
    sim_queue *q = sim_queue_get(queue);
    if (q == NULL) {
        sim_memory_unpin(blocks[0]);
        sim_memory_unpin(blocks[1]);
        return sim_error_peek();
    }
    const cnrtRet_t code = sim_api_copy_later(q, dst, src, bytes, blocks);
    sim_object_release(q);
    return code;
}

/* ---- Handles to pass on ---- */

/* Bits of a handle: 4 zero (it looks like an aligned pointer), 32 the block's number, 22 the process (Linux has no larger
 * ones), 6 that say what it is. */
enum { NUMBER_SHIFT = 4, PROCESS_SHIFT = 36, KIND_SHIFT = 58, KIND_IPC = 0x15, MOST_PROCESS = (1 << 22) - 1 };

cnrtRet_t cnrtAcquireMemHandle(cnrtIpcMemHandle *handle, void *memPtr)
{
    ENTER(cnrtAcquireMemHandle);
    REQUIRE_POINTER(handle, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(memPtr, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require());
    const uint32_t number = sim_memory_number(memPtr);
    REQUIRE(number != 0, CNRT_RET_ERR_NO_EXIST,
            "%p is not the start of memory from cnrtMalloc or cnrtMallocHost, or was freed.", memPtr);
    const uintptr_t process = (uintptr_t)getpid() & MOST_PROCESS;
    *handle = (cnrtIpcMemHandle)((uintptr_t)KIND_IPC << KIND_SHIFT | process << PROCESS_SHIFT |
                                 (uintptr_t)number << NUMBER_SHIFT);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtMapMemHandle(void **memPtr, cnrtIpcMemHandle handle, int flag)
{
    ENTER(cnrtMapMemHandle);
    const uintptr_t bits = (uintptr_t)handle;
    const uintptr_t process = bits >> PROCESS_SHIFT & MOST_PROCESS;
    REQUIRE_POINTER(memPtr, CNRT_RET_ERR_INVALID);
    REQUIRE(bits >> KIND_SHIFT == KIND_IPC && (bits & ((1 << NUMBER_SHIFT) - 1)) == 0, CNRT_RET_ERR_INVALID,
            "%p is not a handle of cnrtAcquireMemHandle.", (void *)handle);
    REQUIRE(flag == 0, CNRT_RET_ERR_INVALID, "The flag of cnrtMapMemHandle is 0, not %d.", flag);
    TRY(sim_runtime_require_device());
    REQUIRE(process == ((uintptr_t)getpid() & MOST_PROCESS), CNRT_RET_ERR_FUNC_CALL,
            "The handle is of process %d: the simulator's devices belong to one process each, so share within it.",
            (int)process);
    return sim_memory_attach((uint32_t)(bits >> NUMBER_SHIFT), sim_runtime_device(), memPtr);
}

cnrtRet_t cnrtUnMapMemHandle(void *memPtr)
{
    ENTER(cnrtUnMapMemHandle);
    REQUIRE_POINTER(memPtr, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require());
    return sim_memory_detach(memPtr);
}
