#include "core/model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/device.h"
#include "core/file.h"

enum { HEADER_BYTES = 0x434 };

cnrtRet_t cnrtLoadModel(cnrtModel_t *pmodel, const char *fname)
{
    ENTER(cnrtLoadModel);
    REQUIRE_POINTER(pmodel, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(fname, CNRT_RET_ERR_INVALID_POINTER);
    uint64_t bytes;
    uint8_t *data = sim_file_read(fname, &bytes);
    if (data == NULL) {
        return sim_error_peek();
    }
    sim_loaded_model *model = sim_loaded_model_create(data, bytes, fname);
    free(data);
    if (model == NULL) {
        return sim_error_peek();
    }
    *pmodel = sim_loaded_model_handle(model);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t load_from_memory(const char *call, cnrtModel_t *pmodel, char *ptr)
{
    REQUIRE_POINTER_OF(call, pmodel, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER_OF(call, ptr, CNRT_RET_ERR_INVALID_POINTER);
    sim_error error = {""};
    uint64_t bytes = sim_model_claimed_size((const uint8_t *)ptr, HEADER_BYTES, &error);
    REQUIRE(bytes != 0, CNRT_RET_ERR_INVALID, "The memory at %p holds no model: %.180s", (void *)ptr, error.text);
    sim_loaded_model *model = sim_loaded_model_create((const uint8_t *)ptr, bytes, NULL);
    if (model == NULL) {
        return sim_error_peek();
    }
    *pmodel = sim_loaded_model_handle(model);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtLoadModelFromMem(cnrtModel_t *pmodel, char *ptr)
{
    ENTER(cnrtLoadModelFromMem);
    return load_from_memory(__func__, pmodel, ptr);
}

/* The memory is copied either way: reusing it is a permission, not a duty. */
cnrtRet_t cnrtLoadModelFromMem_V2(cnrtModel_t *pmodel, char *ptr, bool reuseUserMem)
{
    ENTER(cnrtLoadModelFromMem);
    (void)reuseUserMem;
    return load_from_memory(__func__, pmodel, ptr);
}

cnrtRet_t cnrtUnloadModel(cnrtModel_t model)
{
    ENTER(cnrtUnloadModel);
    REQUIRE_POINTER(model, CNRT_RET_ERR_INVALID_POINTER);
    sim_loaded_model *m = sim_object_close(SIM_KIND_MODEL, model);
    REQUIRE(m != NULL, CNRT_RET_ERR_INVALID, "%p is not a model, or was unloaded.", (void *)model);
    sim_object_release(m);
    return CNRT_RET_SUCCESS;
}

/* ---- Files that are not loaded ---- */

static cnrtRet_t read_header(const char *fname, uint8_t **header, uint64_t *bytes, uint64_t *size)
{
    *header = sim_file_read_start(fname, HEADER_BYTES, bytes, size);
    if (*header == NULL) {
        return sim_error_peek();
    }
    sim_error error = {""};
    uint64_t claimed = sim_model_claimed_size(*header, *bytes, &error);
    if (claimed == 0 || claimed != *size) {
        free(*header);
        return claimed == 0 ? sim_error_set(CNRT_RET_ERR_INVALID, "%.100s is not a model: %.140s", fname, error.text)
                            : sim_error_set(CNRT_RET_ERR_INVALID, "%.160s has %llu bytes, its header claims %llu.",
                                            fname, (unsigned long long)*size, (unsigned long long)claimed);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetModelSize(const char *fname, int *size)
{
    ENTER(cnrtGetModelSize);
    REQUIRE_POINTER(fname, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(size, CNRT_RET_ERR_INVALID_POINTER);
    uint8_t *header;
    uint64_t bytes, file_bytes;
    TRY(read_header(fname, &header, &bytes, &file_bytes));
    free(header);
    *size = (int)file_bytes;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetModelLevelFromFile(const char *fname, int *model_level)
{
    ENTER(cnrtGetModelLevelFromFile);
    REQUIRE_POINTER(fname, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(model_level, CNRT_RET_ERR_INVALID);
    uint64_t bytes;
    uint8_t *data = sim_file_read(fname, &bytes);
    if (data == NULL) {
        return sim_error_peek() == CNRT_RET_ERR_SYS
                   ? sim_error_set(CNRT_RET_ERR_INVALID, "%.160s cannot be opened.", fname)
                   : sim_error_peek();
    }
    sim_model *model = NULL;
    sim_error error = {""};
    sim_result result = sim_model_parse(data, bytes, &model, &error);
    free(data);
    REQUIRE(result == SIM_OK, CNRT_RET_ERR_INVALID, "%.100s: %.150s", fname, error.text);
    *model_level = (int)sim_model_get_info(model)->level;
    sim_model_free(model);
    return CNRT_RET_SUCCESS;
}

/* ---- Facts of a loaded model ---- */

static sim_loaded_model *get(cnrtModel_t handle)
{
    sim_loaded_model *model = sim_object_get(SIM_KIND_MODEL, handle);
    if (model == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID_POINTER, "%p is not a model, or was unloaded.", (void *)handle);
    }
    return model;
}

cnrtRet_t cnrtQueryCoreVersion(cnrtModel_t model, cnrtCoreVersion_t *coreVersion)
{
    ENTER(cnrtQueryCoreVersion);
    sim_loaded_model *m = get(model);
    if (m == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    uint32_t architecture = sim_loaded_model_info(m)->architecture;
    sim_object_release(m);
    REQUIRE_POINTER(coreVersion, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE(architecture == 8 || architecture == 6, CNRT_RET_ERR_UNSUPPORTED,
            "The model was built for architecture %u; known are 8 (MLU220) and 6 (MLU270).", architecture);
    *coreVersion = architecture == 8 ? CNRT_MLU220 : CNRT_MLU270;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtQueryModelParallelism(cnrtModel_t model, int *modelParallelism)
{
    ENTER(cnrtQueryModelParallelism);
    sim_loaded_model *m = get(model);
    if (m == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    uint32_t parallelism = sim_loaded_model_info(m)->parallelism;
    sim_object_release(m);
    REQUIRE_POINTER(modelParallelism, CNRT_RET_ERR_INVALID_POINTER);
    *modelParallelism = (int)parallelism;
    return CNRT_RET_SUCCESS;
}

/* Neither the container nor our networks ask for stack or local memory. */
static cnrtRet_t no_megabytes(const char *call, cnrtModel_t model, uint64_t *size)
{
    sim_loaded_model *m = get(model);
    if (m == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    sim_object_release(m);
    REQUIRE_POINTER_OF(call, size, CNRT_RET_ERR_INVALID_POINTER);
    *size = 0;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtQueryModelStackSize(cnrtModel_t model, uint64_t *size)
{
    ENTER(cnrtQueryModelStackSize);
    return no_megabytes(__func__, model, size);
}

cnrtRet_t cnrtQueryModelLocalMemSize(cnrtModel_t model, uint64_t *size)
{
    ENTER(cnrtQueryModelLocalMemSize);
    return no_megabytes(__func__, model, size);
}

static cnrtRet_t memory_used(sim_loaded_model *model, int64_t *total)
{
    const sim_model_info *info = sim_loaded_model_info(model);
    if (!sim_loaded_model_computes(model)) { /* device code: the file is the best that is known */
        *total = (int64_t)sim_loaded_model_bytes(model);
        return CNRT_RET_SUCCESS;
    }
    const sim_plan *plan = sim_loaded_model_plan(model);
    if (plan == NULL) {
        return sim_error_peek();
    }
    *total = (int64_t)(sim_plan_packed_bytes(plan) + sim_plan_workspace_bytes(plan, info->parallelism));
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetModelMemUsed(cnrtModel_t model, int64_t *totalMem)
{
    ENTER(cnrtGetModelMemUsed);
    REQUIRE_POINTER(totalMem, CNRT_RET_ERR_INVALID_POINTER);
    sim_loaded_model *m = sim_object_get(SIM_KIND_MODEL, model);
    REQUIRE(m != NULL, CNRT_RET_ERR_INVALID, "%p is not a model, or was unloaded.", (void *)model);
    cnrtRet_t code = memory_used(m, totalMem);
    sim_object_release(m);
    return code;
}

cnrtRet_t cnrtGetFunctionMemUsed(cnrtFunction_t function, int64_t *totalMem)
{
    ENTER(cnrtGetFunctionMemUsed);
    REQUIRE_POINTER(totalMem, CNRT_RET_ERR_INVALID_POINTER);
    sim_function *f = sim_object_get_alive(SIM_KIND_FUNCTION, function);
    REQUIRE(f != NULL, CNRT_RET_ERR_FUNC_CALL, "%p is not a function, or was destroyed.", (void *)function);
    sim_loaded_model *m = sim_function_get_model(f);
    sim_object_release(f);
    REQUIRE(m != NULL, CNRT_RET_ERR_NO_EXIST, "The function was not extracted from a model: call cnrtExtractFunction.");
    cnrtRet_t code = memory_used(m, totalMem);
    sim_object_release(m);
    return code;
}

cnrtRet_t cnrtGetFunctionNumber(cnrtModel_t model, int *number)
{
    ENTER(cnrtGetFunctionNumber);
    sim_loaded_model *m = get(model);
    if (m == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    sim_object_release(m);
    REQUIRE_POINTER(number, CNRT_RET_ERR_INVALID_POINTER);
    *number = 1; /* the container knows one function (FORMAT.md) */
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t copy_symbol(const char *name, char **symbol, int *name_size)
{
    size_t length = strlen(name);
    *symbol = malloc(length + 1);
    REQUIRE(*symbol != NULL, CNRT_RET_ERR_NOMEM, "The host has no memory for a function's name.");
    memcpy(*symbol, name, length + 1);
    *name_size = (int)length;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetFunctionSymbol(cnrtModel_t model, int index, char **symbol, int *name_size)
{
    ENTER(cnrtGetFunctionSymbol);
    REQUIRE(index == 0, CNRT_RET_ERR_INVALID_POINTER, "There is no function %d in the model: there is one, number 0.",
            index);
    REQUIRE_POINTER(symbol, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(name_size, CNRT_RET_ERR_INVALID_POINTER);
    sim_loaded_model *m = get(model);
    if (m == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    cnrtRet_t code = copy_symbol(sim_loaded_model_info(m)->function, symbol, name_size);
    sim_object_release(m);
    return code;
}

const char *cnrtSimulatorStandin(cnrtModel_t model)
{
    sim_loaded_model *m = get(model);
    if (m == NULL) {
        return NULL;
    }
    const char *refusal;
    const char *path = sim_loaded_model_standin(m, &refusal);
    const bool computes = sim_loaded_model_computes(m);
    sim_object_release(m);
    if (!computes) {
        sim_error_set(CNRT_RET_ERR_UNSUPPORTED, "%s", refusal);
        return NULL;
    }
    return path == NULL ? "" : path;
}
