/* Further ways to device memory: frame buffers, buffers that a context of named parameters describes, arrays for a runtime
 * context. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/context.h"
#include "core/memory.h"
#include "core/param_context.h"
#include "core/runtime.h"

cnrtRet_t cnrtMallocFrameBuffer(void **pPtr, size_t bytes)
{
    ENTER(cnrtMallocFrameBuffer);
    REQUIRE_POINTER(pPtr, CNRT_RET_ERR_INVALID);
    *pPtr = NULL;
    TRY(sim_runtime_require_device());
    return sim_memory_allocate(sim_runtime_device(), bytes, pPtr);
}

/* ---- Contexts of named parameters ---- */

static sim_param_context *get(void *handle)
{
    sim_param_context *context = sim_object_get(SIM_KIND_PARAM_CONTEXT, handle);
    if (context == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a parameter context of cnrtAllocParam, or was destroyed.",
                      handle);
    }
    return context;
}

cnrtRet_t cnrtAllocParam(void **pParam)
{
    ENTER(cnrtAllocParam);
    REQUIRE_POINTER(pParam, CNRT_RET_ERR_INVALID);
    sim_param_context *context = sim_param_context_create();
    if (context == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    *pParam = sim_param_context_handle(context);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t destroy(void *param)
{
    sim_param_context *context = sim_object_close(SIM_KIND_PARAM_CONTEXT, param);
    REQUIRE(context != NULL, CNRT_RET_ERR_INVALID, "%p is not a parameter context of cnrtAllocParam, or was destroyed.",
            param);
    sim_object_release(context);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyParam(void *param)
{
    ENTER(cnrtDestroyParam);
    return destroy(param);
}

/* The name until 4.7. */
cnrtRet_t cnrtDestoryParam(void *param)
{
    ENTER(cnrtDestoryParam);
    return destroy(param);
}

static cnrtRet_t check_name(const char *name)
{
    REQUIRE(name != NULL, CNRT_RET_ERR_INVALID, "The name of the parameter is NULL.");
    const size_t length = strnlen(name, SIM_LONGEST_NAMED_PARAM + 1);
    REQUIRE(length >= 1 && length <= SIM_LONGEST_NAMED_PARAM, CNRT_RET_ERR_INVALID,
            "The name of a parameter has 1 to %d characters: \"%.*s\" has %s.", SIM_LONGEST_NAMED_PARAM,
            SIM_LONGEST_NAMED_PARAM, name, length == 0 ? "none" : "more");
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t check_value(const char *name, int len, const void *data)
{
    TRY(check_name(name));
    REQUIRE(len >= 1 && len <= SIM_MOST_NAMED_BYTES, CNRT_RET_ERR_INVALID, "A parameter has 1 to %d bytes, not %d.",
            SIM_MOST_NAMED_BYTES, len);
    REQUIRE(data != NULL, CNRT_RET_ERR_INVALID, "The value of the parameter is NULL.");
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtAddParam(void *param, char *name, int len, void *data)
{
    ENTER(cnrtAddParam);
    sim_param_context *context = get(param);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    cnrtRet_t code = check_value(name, len, data);
    if (code == CNRT_RET_SUCCESS) {
        code = sim_param_context_add(context, name, data, (size_t)len);
    }
    sim_object_release(context);
    return code;
}

cnrtRet_t cnrtGetParam(void *param, char *name, void *out, int outlen)
{
    ENTER(cnrtGetParam);
    size_t bytes;
    REQUIRE(name != NULL && out != NULL && outlen >= 0, CNRT_RET_ERR_INVALID,
            "cnrtGetParam needs a name, a result and its length, which is not negative: %d.", outlen);
    sim_param_context *context = get(param);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    const cnrtRet_t code = sim_param_context_read(context, name, out, (size_t)outlen, &bytes);
    sim_object_release(context);
    return code;
}

/* ---- Buffers that parameters describe ---- */

static cnrtRet_t read_int(sim_param_context *context, const char *name, int *value)
{
    size_t bytes;
    const cnrtRet_t code = sim_param_context_read(context, name, value, sizeof *value, &bytes);
    REQUIRE(code == CNRT_RET_SUCCESS && bytes == sizeof *value && *value >= 0, CNRT_RET_ERR_INVALID,
            "cnrtMallocBufferEx needs the parameter \"%s\", an int that is not negative: call cnrtAddParam.", name);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t read_bytes(sim_param_context *context, size_t *bytes)
{
    static const char *const FACTORS[] = {"data_parallelism", "frame_num", "frame_size"};
    int type;
    TRY(read_int(context, "type", &type));
    REQUIRE(type == CNRT_MALLOC_EX_PARALLEL_FRAMEBUFFER, CNRT_RET_ERR_INVALID,
            "The parameter \"type\" is 1 (frame buffers), not %d.", type);
    *bytes = 1;
    for (size_t index = 0; index < sizeof FACTORS / sizeof *FACTORS; index++) {
        int factor;
        TRY(read_int(context, FACTORS[index], &factor));
        REQUIRE(factor == 0 || *bytes <= SIZE_MAX / (size_t)factor, CNRT_RET_ERR_NOMEM,
                "data_parallelism * frame_num * frame_size is more than any device has.");
        *bytes *= (size_t)factor;
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtMallocBufferEx(void **pPtr, void *param)
{
    ENTER(cnrtMallocBufferEx);
    size_t bytes = 0;
    REQUIRE_POINTER(pPtr, CNRT_RET_ERR_INVALID);
    *pPtr = NULL;
    TRY(sim_runtime_require_device());
    sim_param_context *context = get(param);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    const cnrtRet_t code = read_bytes(context, &bytes);
    sim_object_release(context);
    TRY(code);
    return sim_memory_allocate(sim_runtime_device(), bytes, pPtr);
}

/* ---- For a runtime context ---- */

enum { MOST_BUFFERS = 1 << 20 };

static cnrtRet_t allocate_all(sim_device *device, void **pointers, const size_t *bytes, int length)
{
    cnrtRet_t code = CNRT_RET_SUCCESS;
    for (int index = 0; index < length && code == CNRT_RET_SUCCESS; index++) {
        code = sim_memory_allocate(device, bytes[index], &pointers[index]);
    }
    for (int index = 0; index < length && code != CNRT_RET_SUCCESS; index++) {
        sim_memory_free(pointers[index]);
    }
    return code;
}

static cnrtRet_t check_array(const void *array, int length)
{
    REQUIRE(array != NULL, CNRT_RET_ERR_INVALID, "The array is NULL.");
    REQUIRE(length >= 1 && length <= MOST_BUFFERS, CNRT_RET_ERR_INVALID, "An array has 1 to %d elements, not %d.",
            MOST_BUFFERS, length);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtRuntimeContextMallocBySizeArray(cnrtRuntimeContext_t pctx, void ***ptr, size_t *bytesArray, int length)
{
    ENTER(cnrtRuntimeContextMallocBySizeArray);
    unsigned ordinal;
    TRY(sim_api_ordinal_of_context(pctx, &ordinal));
    REQUIRE_POINTER(ptr, CNRT_RET_ERR_INVALID);
    TRY(check_array(bytesArray, length));
    void **pointers = calloc((size_t)length, sizeof *pointers);
    REQUIRE(pointers != NULL, CNRT_RET_ERR_NOMEM, "The host has no memory for an array of %d addresses.", length);
    const cnrtRet_t code = allocate_all(sim_device_at(ordinal), pointers, bytesArray, length);
    if (code != CNRT_RET_SUCCESS) {
        free(pointers);
        return code;
    }
    *ptr = pointers;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtRuntimeContextFree(cnrtRuntimeContext_t pctx, void *ptr)
{
    ENTER(cnrtRuntimeContextFree);
    unsigned ordinal;
    TRY(sim_api_ordinal_of_context(pctx, &ordinal));
    return sim_memory_free(ptr);
}

cnrtRet_t cnrtRuntimeContextFreeArray(cnrtRuntimeContext_t pctx, void **ptr, int length)
{
    ENTER(cnrtRuntimeContextFreeArray);
    unsigned ordinal;
    cnrtRet_t first = CNRT_RET_SUCCESS;
    TRY(sim_api_ordinal_of_context(pctx, &ordinal));
    TRY(check_array(ptr, length));
    for (int index = 0; index < length; index++) { /* one bad element does not leak the others */
        const cnrtRet_t code = sim_memory_free(ptr[index]);
        first = first == CNRT_RET_SUCCESS ? code : first;
    }
    return first;
}
