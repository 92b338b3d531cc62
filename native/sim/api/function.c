#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/function.h"

/* ---- Life ---- */

cnrtRet_t cnrtCreateFunction(cnrtFunction_t *pfunction)
{
    ENTER(cnrtCreateFunction);
    REQUIRE_POINTER(pfunction, CNRT_RET_ERR_INVALID);
    sim_function *function = sim_function_create();
    if (function == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    *pfunction = sim_function_handle(function);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t extract(sim_function *function, sim_loaded_model *model, const char *symbol)
{
    const sim_model_info *info = sim_loaded_model_info(model);
    /* Files of 2019 do not name their function; every known program asks for subnet0. */
    const char *name = info->function[0] != '\0' ? info->function : "subnet0";
    REQUIRE(strcmp(symbol, name) == 0, CNRT_RET_ERR_NO_EXIST, "The model has no function \"%.100s\", only \"%.100s\".",
            symbol, name);
    sim_function_set_model(function, model);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtExtractFunction(cnrtFunction_t *pfunction, cnrtModel_t model, const char *symbol)
{
    ENTER(cnrtExtractFunction);
    REQUIRE_POINTER(pfunction, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(symbol, CNRT_RET_ERR_INVALID);
    sim_function *f = sim_object_get(SIM_KIND_FUNCTION, *pfunction);
    REQUIRE(f != NULL, CNRT_RET_ERR_INVALID, "%p is not a function: call cnrtCreateFunction first.",
            (void *)*pfunction);
    sim_loaded_model *m = sim_object_get(SIM_KIND_MODEL, model);
    cnrtRet_t code = m == NULL
                         ? sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a model, or was unloaded.", (void *)model)
                         : extract(f, m, symbol);
    sim_object_release(m);
    sim_object_release(f);
    return code;
}

/* The function behind a handle and the model that it was extracted from, with a reference for the caller. */
static cnrtRet_t get_model(cnrtFunction_t handle, sim_loaded_model **model)
{
    sim_function *f = sim_object_get_alive(SIM_KIND_FUNCTION, handle);
    REQUIRE(f != NULL, CNRT_RET_ERR_INVALID_POINTER, "%p is not a function, or was destroyed.", (void *)handle);
    *model = sim_function_get_model(f);
    sim_object_release(f);
    REQUIRE(*model != NULL, CNRT_RET_ERR_NO_EXIST,
            "The function was not extracted from a model: call cnrtExtractFunction.");
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCopyFunction(cnrtFunction_t *dst, cnrtFunction_t src)
{
    ENTER(cnrtCopyFunction);
    REQUIRE_POINTER(dst, CNRT_RET_ERR_INVALID);
    sim_function *f = sim_object_get(SIM_KIND_FUNCTION, *dst);
    REQUIRE(f != NULL, CNRT_RET_ERR_FUNC_CALL, "%p is not a function: call cnrtCreateFunction first.", (void *)*dst);
    sim_loaded_model *model = NULL;
    cnrtRet_t code = get_model(src, &model);
    if (code == CNRT_RET_ERR_INVALID_POINTER) {
        code = sim_error_set(CNRT_RET_ERR_FUNC_CALL, "%p is not a function, or was destroyed.", (void *)src);
    }
    if (code == CNRT_RET_SUCCESS) {
        sim_function_set_model(f, model);
    }
    sim_object_release(model);
    sim_object_release(f);
    return code;
}

cnrtRet_t cnrtDestroyFunction(cnrtFunction_t function)
{
    ENTER(cnrtDestroyFunction);
    REQUIRE_POINTER(function, CNRT_RET_ERR_INVALID);
    sim_function *f = sim_object_close(SIM_KIND_FUNCTION, function);
    REQUIRE(f != NULL, CNRT_RET_ERR_INVALID, "%p is not a function, or was destroyed.", (void *)function);
    sim_object_release(f);
    return CNRT_RET_SUCCESS;
}

/* ---- Inputs and outputs ---- */

typedef struct io_list {
    const sim_io *items;
    int count;
} io_list;

static io_list side_of(const sim_loaded_model *model, bool inputs)
{
    const sim_model_info *info = sim_loaded_model_info(model);
    return inputs ? (io_list){info->inputs, info->input_count} : (io_list){info->outputs, info->output_count};
}

#define NO_DESCRIPTORS "The model file describes no inputs and outputs: it was written by a compiler before 2020."

/* Like get_model, for questions that only a file with descriptors answers. */
cnrtRet_t sim_api_get_described(cnrtFunction_t handle, sim_loaded_model **model)
{
    TRY(get_model(handle, model));
    if (!sim_loaded_model_info(*model)->has_descriptors) {
        sim_object_release(*model);
        return sim_error_set(CNRT_RET_ERR_FUNC_CALL, NO_DESCRIPTORS);
    }
    return CNRT_RET_SUCCESS;
}

/* A fresh array for the caller, as real programs free what they are given. */
static void *fresh_array(size_t count, size_t item)
{
    void *array = calloc(count == 0 ? 1 : count, item);
    if (array == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for an array of %zu elements.", count);
    }
    return array;
}

static cnrtRet_t get_sizes(const char *function_name, int64_t **sizes, int *num, cnrtFunction_t function, bool inputs)
{
    REQUIRE(sizes != NULL, CNRT_RET_ERR_INVALID_POINTER, "%s: sizeArray is NULL.", function_name);
    REQUIRE(num != NULL, CNRT_RET_ERR_INVALID_POINTER, "%s: num is NULL.", function_name);
    sim_loaded_model *model;
    TRY(sim_api_get_described(function, &model));
    io_list side = side_of(model, inputs);
    int64_t *array = fresh_array((size_t)side.count, sizeof *array);
    for (int index = 0; array != NULL && index < side.count; index++) {
        array[index] = side.items[index].bytes;
    }
    if (array != NULL) {
        *sizes = array;
        *num = side.count;
    }
    sim_object_release(model);
    return array == NULL ? CNRT_RET_ERR_NOMEM : CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetInputDataSize(int64_t **sizeArray, int *num, cnrtFunction_t function)
{
    ENTER(cnrtGetInputDataSize);
    return get_sizes(__func__, sizeArray, num, function, true);
}

cnrtRet_t cnrtGetOutputDataSize(int64_t **sizeArray, int *num, cnrtFunction_t function)
{
    ENTER(cnrtGetOutputDataSize);
    return get_sizes(__func__, sizeArray, num, function, false);
}

static cnrtRet_t get_types(const char *function_name, cnrtDataType_t **dtype, int *num, cnrtFunction_t function,
                           bool inputs)
{
    REQUIRE(dtype != NULL, CNRT_RET_ERR_INVALID_POINTER, "%s: dtype is NULL.", function_name);
    REQUIRE(num != NULL, CNRT_RET_ERR_INVALID_POINTER, "%s: num is NULL.", function_name);
    sim_loaded_model *model;
    TRY(sim_api_get_described(function, &model));
    io_list side = side_of(model, inputs);
    cnrtDataType_t *array = fresh_array((size_t)side.count, sizeof *array);
    for (int index = 0; array != NULL && index < side.count; index++) {
        array[index] = (cnrtDataType_t)side.items[index].dtype;
    }
    if (array != NULL) {
        *dtype = array;
        *num = side.count;
    }
    sim_object_release(model);
    return array == NULL ? CNRT_RET_ERR_NOMEM : CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetInputDataType(cnrtDataType_t **dtype, int *num, cnrtFunction_t function)
{
    ENTER(cnrtGetInputDataType);
    return get_types(__func__, dtype, num, function, true);
}

cnrtRet_t cnrtGetOutputDataType(cnrtDataType_t **dtype, int *num, cnrtFunction_t function)
{
    ENTER(cnrtGetOutputDataType);
    return get_types(__func__, dtype, num, function, false);
}

static cnrtRet_t copy_shape(io_list side, int index, int **dims, int *rank)
{
    REQUIRE(index >= 0 && index < side.count, CNRT_RET_ERR_NO_EXIST, "There is no tensor %d: there are %d.", index,
            side.count);
    const sim_io *io = &side.items[index];
    int *array = fresh_array((size_t)io->rank, sizeof *array);
    if (array == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    for (int axis = 0; axis < io->rank; axis++) {
        array[axis] = io->dims[axis];
    }
    *dims = array;
    *rank = io->rank;
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t get_shape(const char *function_name, int **dims, int *rank, int index, cnrtFunction_t function,
                           bool inputs)
{
    REQUIRE(dims != NULL, CNRT_RET_ERR_INVALID_POINTER, "%s: dimValues is NULL.", function_name);
    REQUIRE(rank != NULL, CNRT_RET_ERR_INVALID_POINTER, "%s: dimNum is NULL.", function_name);
    sim_loaded_model *model;
    TRY(sim_api_get_described(function, &model));
    cnrtRet_t code = copy_shape(side_of(model, inputs), index, dims, rank);
    sim_object_release(model);
    return code;
}

cnrtRet_t cnrtGetInputDataShape(int **dimValues, int *dimNum, int index, cnrtFunction_t function)
{
    ENTER(cnrtGetInputDataShape);
    return get_shape(__func__, dimValues, dimNum, index, function, true);
}

cnrtRet_t cnrtGetOutputDataShape(int **dimValues, int *dimNum, int index, cnrtFunction_t function)
{
    ENTER(cnrtGetOutputDataShape);
    return get_shape(__func__, dimValues, dimNum, index, function, false);
}

cnrtRet_t cnrtReleaseInternalResource(void *memPtr)
{
    ENTER(cnrtReleaseInternalResource);
    free(memPtr);
    return CNRT_RET_SUCCESS;
}

/* ---- Names ---- */

static void free_names(char **names, int count)
{
    for (int index = 0; names != NULL && index < count; index++) {
        free(names[index]);
    }
    free(names);
}

static char **copy_names(io_list side)
{
    char **names = fresh_array((size_t)side.count, sizeof *names);
    for (int index = 0; names != NULL && index < side.count; index++) {
        size_t bytes = strlen(side.items[index].name) + 1;
        names[index] = fresh_array(bytes, 1);
        if (names[index] == NULL) {
            free_names(names, index);
            return NULL;
        }
        memcpy(names[index], side.items[index].name, bytes);
    }
    return names;
}

cnrtRet_t cnrtGetInputAndOutputNamesFromFunction(cnrtFunction_t function, char ***inputNames, char ***outputNames,
                                                 int *inputNumber, int *outputNumber)
{
    ENTER(cnrtGetInputAndOutputNamesFromFunction);
    REQUIRE_POINTER(inputNames, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(outputNames, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(inputNumber, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(outputNumber, CNRT_RET_ERR_INVALID);
    sim_loaded_model *model;
    cnrtRet_t code = sim_api_get_described(function, &model);
    TRY(code == CNRT_RET_ERR_FUNC_CALL ? sim_error_set(CNRT_RET_ERR_UNSUPPORTED, NO_DESCRIPTORS) : code);
    io_list inputs = side_of(model, true), outputs = side_of(model, false);
    char **in = copy_names(inputs), **out = in == NULL ? NULL : copy_names(outputs);
    sim_object_release(model);
    if (out == NULL) {
        free_names(in, inputs.count);
        return CNRT_RET_ERR_NOMEM;
    }
    *inputNames = in;
    *outputNames = out;
    *inputNumber = inputs.count;
    *outputNumber = outputs.count;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyInputAndOutputNames(char **inputNames, char **outputNames, int inputNumber, int outputNumber)
{
    ENTER(cnrtDestroyInputAndOutputNames);
    REQUIRE_POINTER(inputNames, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(outputNames, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE(inputNumber > 0 && outputNumber > 0, CNRT_RET_ERR_INVALID,
            "There are at least one input and one output, not %d and %d.", inputNumber, outputNumber);
    free_names(inputNames, inputNumber);
    free_names(outputNames, outputNumber);
    return CNRT_RET_SUCCESS;
}

/* Copies the description of the input or output called `name`, and its number on its side. */
static cnrtRet_t find_by_name(const char *call, cnrtFunction_t function, const char *name, sim_io *found, int *number)
{
    REQUIRE_POINTER_OF(call, function, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER_OF(call, name, CNRT_RET_ERR_INVALID);
    sim_loaded_model *model;
    TRY(sim_api_get_described(function, &model));
    bool matched = false;
    for (int inputs = 1; inputs >= 0 && !matched; inputs--) {
        io_list side = side_of(model, inputs == 1);
        for (int index = 0; index < side.count && !matched; index++) {
            if (strcmp(side.items[index].name, name) == 0) {
                *found = side.items[index];
                *number = index;
                matched = true;
            }
        }
    }
    sim_object_release(model);
    REQUIRE(matched, CNRT_RET_ERR_FAULT, "The function has no input or output called \"%.100s\".", name);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetParamIndexByName(cnrtFunction_t function, const char *name, int *index)
{
    ENTER(cnrtGetParamIndexByName);
    sim_io io;
    int number;
    REQUIRE_POINTER(index, CNRT_RET_ERR_INVALID);
    TRY(find_by_name(__func__, function, name, &io, &number));
    *index = number;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetSupportedParamDimNumberByName(cnrtFunction_t function, const char *name, int *dim_num)
{
    ENTER(cnrtGetSupportedParamDimNumberByName);
    sim_io io;
    int number;
    REQUIRE_POINTER(dim_num, CNRT_RET_ERR_INVALID);
    TRY(find_by_name(__func__, function, name, &io, &number));
    *dim_num = io.rank;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetSupportedParamShapeByName(cnrtFunction_t function, const char *name, int *dim_shape)
{
    ENTER(cnrtGetSupportedParamShapeByName);
    sim_io io;
    int number;
    REQUIRE_POINTER(dim_shape, CNRT_RET_ERR_INVALID);
    TRY(find_by_name(__func__, function, name, &io, &number));
    for (int axis = 0; axis < io.rank; axis++) {
        dim_shape[axis] = io.dims[axis];
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetSupportedParamDataTypeByName(cnrtFunction_t function, const char *name, cnrtDataType_t *dtype)
{
    ENTER(cnrtGetSupportedParamDataTypeByName);
    sim_io io;
    int number;
    REQUIRE_POINTER(dtype, CNRT_RET_ERR_INVALID);
    TRY(find_by_name(__func__, function, name, &io, &number));
    *dtype = (cnrtDataType_t)io.dtype;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetSupportedParamLayoutByName(cnrtFunction_t function, const char *name, cnrtDimOrder_t *layout)
{
    ENTER(cnrtGetSupportedParamLayoutByName);
    sim_io io;
    int number;
    REQUIRE_POINTER(layout, CNRT_RET_ERR_INVALID);
    TRY(find_by_name(__func__, function, name, &io, &number));
    *layout = (cnrtDimOrder_t)io.order;
    return CNRT_RET_SUCCESS;
}
