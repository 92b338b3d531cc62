/* Device memory in the host's address space, as the MLU220 on a board shares it: cnrtMap and what goes with it. */
#include "core/mapping.h"

#include "api/api.h"
#include "core/runtime.h"
#include "core/strict_use.h"

static cnrtRet_t check_kind(cnrtRet_t code)
{
    const sim_device_kind *kind = sim_device_get_kind();
    REQUIRE(kind->core_version == CNRT_MLU220, code,
            "The memory of an %s cannot be mapped: only an MLU220 shares the host's. Copy with cnrtMemcpy.",
            kind->name);
    return CNRT_RET_SUCCESS;
}

/* `bytes` 0: all that is left of the block. */
static cnrtRet_t map(void **host_ptr, void *dev_ptr, size_t bytes, cnrtRet_t code)
{
    size_t available = 0;
    sim_block *block = sim_memory_pin(dev_ptr, &available);
    if (block == NULL) {
        sim_error_set(code, "%p is not device memory: allocate it with cnrtMalloc, and free it after its last use.",
                      dev_ptr);
        return sim_strict_stray(dev_ptr, SIM_FOUND_NOT_DEVICE, code);
    }
    if (bytes > available) {
        sim_memory_unpin(block);
        sim_error_set(code, "%zu bytes pass the end of the device's memory, which has %zu bytes from %p on.", bytes,
                      available, dev_ptr);
        return sim_strict_failed_at(SIM_FOUND_SIZE, dev_ptr, "Map less, or allocate more.", code);
    }
    if (!sim_mapping_create(block, dev_ptr, bytes == 0 ? available : bytes, host_ptr)) {
        sim_memory_unpin(block);
        return sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a mapping.");
    }
    sim_strict_map(sim_memory_side(block, dev_ptr));
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtMap(void **host_ptr, void *dev_ptr)
{
    ENTER(cnrtMap);
    REQUIRE_POINTER(host_ptr, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(dev_ptr, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    TRY(check_kind(CNRT_RET_ERR_FUNC_CALL));
    return map(host_ptr, dev_ptr, 0, CNRT_RET_ERR_FUNC_CALL);
}

cnrtRet_t cnrtMapRange(void **host_ptr, void *dev_ptr, size_t size)
{
    ENTER(cnrtMapRange);
    REQUIRE_POINTER(host_ptr, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(dev_ptr, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    TRY(check_kind(CNRT_RET_ERR_MAP));
    REQUIRE(size > 0, CNRT_RET_ERR_MAP, "A mapping has at least one byte, not 0.");
    return map(host_ptr, dev_ptr, size, CNRT_RET_ERR_MAP);
}

cnrtRet_t cnrtUnmap(void *host_ptr)
{
    ENTER(cnrtUnmap);
    REQUIRE(sim_mapping_destroy(host_ptr), CNRT_RET_ERR_UNMAP,
            "No mapping begins at %p: it did not come from cnrtMap or cnrtMapRange, or was unmapped before.", host_ptr);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t find(const char *function, const void *host, sim_mapped *mapped)
{
    REQUIRE(sim_mapping_find(host, mapped), CNRT_RET_ERR_FIND_DEV_ADDR,
            "%s: %p lies in no mapping of cnrtMap or cnrtMapRange.", function, host);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtFindDevAddrByMappedAddr(void *mappped_host_ptr, void **dev_ptr)
{
    ENTER(cnrtFindDevAddrByMappedAddr);
    sim_mapped mapped;
    REQUIRE_POINTER(dev_ptr, CNRT_RET_ERR_INVALID);
    TRY(find(__func__, mappped_host_ptr, &mapped));
    *dev_ptr = mapped.device_start;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtFindDevAddrWithOffsetByMappedAddr(void *mapped_host_ptr, void **dev_ptr)
{
    ENTER(cnrtFindDevAddrWithOffsetByMappedAddr);
    sim_mapped mapped;
    REQUIRE_POINTER(dev_ptr, CNRT_RET_ERR_INVALID);
    TRY(find(__func__, mapped_host_ptr, &mapped));
    *dev_ptr = mapped.device;
    return CNRT_RET_SUCCESS;
}

/* The memory is one and the same here, so there is nothing to flush; wrong calls are told all the same. */
static cnrtRet_t check_cache(const void *host, size_t bytes, cnrtCacheOps_t opr)
{
    REQUIRE(sim_mapping_covers(host, bytes), CNRT_RET_ERR_CACHE,
            "%p and the %zu bytes from there lie in no mapping of cnrtMap or cnrtMapRange.", host, bytes);
    REQUIRE(opr == CNRT_FLUSH_CACHE, CNRT_RET_ERR_CACHE,
            "Operation %d on the cache is not 1 (flush), the only one that there is (2 is reserved).", (int)opr);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCacheOperation(void *host_ptr, cnrtCacheOps_t opr)
{
    ENTER(cnrtCacheOperation);
    return check_cache(host_ptr, 0, opr);
}

cnrtRet_t cnrtCacheOperationRange(void *host_ptr, size_t size, cnrtCacheOps_t opr)
{
    ENTER(cnrtCacheOperationRange);
    return check_cache(host_ptr, size, opr);
}
