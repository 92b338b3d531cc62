/* Parameter descriptors: what a program says about the tensors of a function, one by one or as an array. */
#include "core/param_desc.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/cast.h"
#include "core/issued.h"

enum { MOST_DESCS = 4096 };

static sim_param_desc *get(cnrtParamDesc_t handle)
{
    sim_param_desc *desc = sim_object_get(SIM_KIND_PARAM_DESC, handle);
    if (desc == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID_POINTER, "%p is not a parameter descriptor, or was destroyed.",
                      (void *)handle);
    }
    return desc;
}

/* Like get, for questions that need nothing but the facts. */
static cnrtRet_t get_facts(cnrtParamDesc_t handle, sim_param_facts *facts)
{
    sim_param_desc *desc = get(handle);
    if (desc == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    *facts = sim_param_desc_facts(desc);
    sim_object_release(desc);
    return CNRT_RET_SUCCESS;
}

/* ---- Life ---- */

cnrtRet_t cnrtCreateParamDesc(cnrtParamDesc_t *param_desc)
{
    ENTER(cnrtCreateParamDesc);
    REQUIRE_POINTER(param_desc, CNRT_RET_ERR_INVALID_POINTER);
    sim_param_desc *desc = sim_param_desc_create();
    if (desc == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    *param_desc = sim_param_desc_handle(desc);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t destroy(cnrtParamDesc_t handle)
{
    sim_param_desc *desc = sim_object_close(SIM_KIND_PARAM_DESC, handle);
    REQUIRE(desc != NULL, CNRT_RET_ERR_INVALID_POINTER, "%p is not a parameter descriptor, or was destroyed.",
            (void *)handle);
    sim_object_release(desc);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyParamDesc(cnrtParamDesc_t param_desc)
{
    ENTER(cnrtDestroyParamDesc);
    return destroy(param_desc);
}

/* Destroys `count` descriptors and the array; returns the first failure. */
static cnrtRet_t destroy_array(cnrtParamDescArray_t array, int count)
{
    cnrtRet_t first = CNRT_RET_SUCCESS;
    for (int index = 0; index < count; index++) {
        const cnrtRet_t code = destroy(array[index]);
        first = first == CNRT_RET_SUCCESS ? code : first;
    }
    free(array);
    return first;
}

static cnrtRet_t check_number(int param_num)
{
    REQUIRE(param_num >= 1 && param_num <= MOST_DESCS, CNRT_RET_ERR_INVALID,
            "An array has 1 to %d parameter descriptors, not %d.", MOST_DESCS, param_num);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCreateParamDescArray(cnrtParamDescArray_t *param_descs, int param_num)
{
    ENTER(cnrtCreateParamDescArray);
    REQUIRE_POINTER(param_descs, CNRT_RET_ERR_INVALID_POINTER);
    TRY(check_number(param_num));
    cnrtParamDescArray_t array = calloc((size_t)param_num, sizeof *array);
    int made = 0;
    for (; array != NULL && made < param_num; made++) {
        sim_param_desc *desc = sim_param_desc_create();
        if (desc == NULL) {
            break;
        }
        array[made] = sim_param_desc_handle(desc);
    }
    if (made < param_num || !sim_issued_enter(SIM_ISSUE_PARAM_DESC_ARRAY, array, (size_t)param_num)) {
        destroy_array(array, made);
        return sim_error_set(CNRT_RET_ERR_NOMEM, "There is no memory, or no handle, for %d parameter descriptors.",
                             param_num);
    }
    *param_descs = array;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyParamDescArray(cnrtParamDescArray_t param_descs, int param_num)
{
    ENTER(cnrtDestroyParamDescArray);
    size_t count = 0;
    TRY(check_number(param_num));
    REQUIRE(sim_issued_find(SIM_ISSUE_PARAM_DESC_ARRAY, param_descs, &count), CNRT_RET_ERR_INVALID,
            "%p is not an array of cnrtCreateParamDescArray, or was destroyed.", (void *)param_descs);
    REQUIRE(count == (size_t)param_num, CNRT_RET_ERR_INVALID,
            "The array has %zu parameter descriptors, not %d: pass the number that it was created with.", count,
            param_num);
    REQUIRE(sim_issued_leave(SIM_ISSUE_PARAM_DESC_ARRAY, param_descs), CNRT_RET_ERR_INVALID,
            "%p is being destroyed by another thread.", (void *)param_descs);
    return destroy_array(param_descs, param_num);
}

/* ---- Setting ---- */

cnrtRet_t cnrtSetShapeToParamDesc(cnrtParamDesc_t param_desc, int *dims, int dim_num)
{
    ENTER(cnrtSetShapeToParamDesc);
    sim_param_desc *desc = get(param_desc);
    if (desc == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    const bool fits = dim_num >= 1 && dim_num <= SIM_MAX_RANK;
    if (dims != NULL && fits) {
        sim_param_desc_set_shape(desc, dims, dim_num);
    }
    sim_object_release(desc);
    REQUIRE_POINTER(dims, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE(fits, CNRT_RET_ERR_INVALID, "A shape has 1 to %d dimensions, not %d.", SIM_MAX_RANK, dim_num);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetNameToParamDesc(cnrtParamDesc_t param_desc, char *name, int name_size)
{
    ENTER(cnrtSetNameToParamDesc);
    sim_param_desc *desc = get(param_desc);
    if (desc == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    const bool fits = name_size >= 1 && name_size <= SIM_LONGEST_PARAM_NAME;
    const bool set = name != NULL && fits && sim_param_desc_set_name(desc, name, name_size);
    sim_object_release(desc);
    REQUIRE_POINTER(name, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE(fits, CNRT_RET_ERR_INVALID, "A name has 1 to %d bytes, not %d.", SIM_LONGEST_PARAM_NAME, name_size);
    REQUIRE(set, CNRT_RET_ERR_NOMEM, "The host has no memory for a name of %d bytes.", name_size);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetDataTypeToParamDesc(cnrtParamDesc_t param_desc, cnrtDataType_t dtype)
{
    ENTER(cnrtSetDataTypeToParamDesc);
    sim_param_desc *desc = get(param_desc);
    if (desc == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    const bool known = sim_dtype_size(dtype) != 0;
    if (known) {
        sim_param_desc_set_dtype(desc, dtype);
    }
    sim_object_release(desc);
    REQUIRE(known, CNRT_RET_ERR_INVALID_POINTER, "%#x is not a data type of whole bytes.", (unsigned)dtype);
    return CNRT_RET_SUCCESS;
}

/* ---- Asking ---- */

static cnrtRet_t count_bytes(const sim_param_facts *facts, size_t item, size_t *bytes)
{
    REQUIRE(facts->rank > 0, CNRT_RET_ERR_FUNC_CALL,
            "The parameter descriptor has no shape: call cnrtSetShapeToParamDesc or cnrtInferFunctionOutputShape.");
    *bytes = item;
    for (int axis = 0; axis < facts->rank; axis++) {
        const int dim = facts->dims[axis];
        REQUIRE(dim >= 1 && *bytes <= (size_t)INT64_MAX / (size_t)dim, CNRT_RET_ERR_FUNC_CALL,
                "Dimension %d is %d: each must be positive, and the whole fit into 63 bits.", axis, dim);
        *bytes *= (size_t)dim;
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetParamElementNum(cnrtParamDesc_t param_desc, size_t *num)
{
    ENTER(cnrtGetParamElementNum);
    sim_param_facts facts;
    size_t count = 0;
    TRY(get_facts(param_desc, &facts));
    REQUIRE_POINTER(num, CNRT_RET_ERR_INVALID_POINTER);
    TRY(count_bytes(&facts, 1, &count));
    *num = count;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetParamDescSize(cnrtParamDesc_t param_desc, int64_t *size)
{
    ENTER(cnrtGetParamDescSize);
    sim_param_facts facts;
    size_t bytes = 0;
    TRY(get_facts(param_desc, &facts));
    REQUIRE_POINTER(size, CNRT_RET_ERR_INVALID_POINTER);
    TRY(count_bytes(&facts, sim_dtype_size(facts.dtype), &bytes));
    *size = (int64_t)bytes;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetShapeFromParamDesc(cnrtParamDesc_t param_desc, int **dims, int *dim_num)
{
    ENTER(cnrtGetShapeFromParamDesc);
    sim_param_facts facts;
    TRY(get_facts(param_desc, &facts));
    REQUIRE_POINTER(dims, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(dim_num, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE(facts.rank > 0, CNRT_RET_ERR_INVALID,
            "The parameter descriptor has no shape: call cnrtSetShapeToParamDesc or cnrtInferFunctionOutputShape.");
    int *copy = malloc((size_t)facts.rank * sizeof *copy);
    REQUIRE(copy != NULL, CNRT_RET_ERR_NOMEM, "The host has no memory for a shape of %d dimensions.", facts.rank);
    memcpy(copy, facts.dims, (size_t)facts.rank * sizeof *copy);
    *dims = copy;
    *dim_num = facts.rank;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetNameFromParamDesc(cnrtParamDesc_t param_desc, char **name, int *name_size)
{
    ENTER(cnrtGetNameFromParamDesc);
    sim_param_desc *desc = get(param_desc);
    if (desc == NULL) {
        return CNRT_RET_ERR_INVALID_POINTER;
    }
    int bytes = 0;
    char *copy = name == NULL || name_size == NULL ? NULL : sim_param_desc_copy_name(desc, &bytes);
    sim_object_release(desc);
    REQUIRE_POINTER(name, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(name_size, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE(bytes > 0, CNRT_RET_ERR_INVALID, "The parameter descriptor has no name: call cnrtSetNameToParamDesc.");
    REQUIRE(copy != NULL, CNRT_RET_ERR_NOMEM, "The host has no memory for a name of %d bytes.", bytes);
    *name = copy;
    *name_size = bytes;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetIdFromParamDesc(cnrtParamDesc_t param_desc, int *id)
{
    ENTER(cnrtGetIdFromParamDesc);
    sim_param_facts facts;
    TRY(get_facts(param_desc, &facts));
    REQUIRE_POINTER(id, CNRT_RET_ERR_INVALID_POINTER);
    *id = facts.id;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetDataTypeFromParamDesc(cnrtParamDesc_t param_desc, cnrtDataType_t *dtype)
{
    ENTER(cnrtGetDataTypeFromParamDesc);
    sim_param_facts facts;
    TRY(get_facts(param_desc, &facts));
    REQUIRE_POINTER(dtype, CNRT_RET_ERR_INVALID_POINTER);
    *dtype = facts.dtype;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetDimOrderFromParamDesc(cnrtParamDesc_t param_desc, cnrtDimOrder_t *dim_order)
{
    ENTER(cnrtGetDimOrderFromParamDesc);
    sim_param_facts facts;
    TRY(get_facts(param_desc, &facts));
    REQUIRE_POINTER(dim_order, CNRT_RET_ERR_INVALID_POINTER);
    *dim_order = facts.order;
    return CNRT_RET_SUCCESS;
}

/* ---- Looking for names ---- */

/* The index of the descriptor called `name`. Arrays may be the program's own: `count` is what it vouches for. */
static cnrtRet_t find(cnrtParamDescArray_t descs, int count, const char *name, int *index)
{
    REQUIRE(descs != NULL, CNRT_RET_ERR_INVALID_POINTER, "The array of parameter descriptors is NULL.");
    TRY(check_number(count));
    REQUIRE(name != NULL, CNRT_RET_ERR_INVALID_POINTER, "The name is NULL.");
    size_t issued = (size_t)count;
    sim_issued_find(SIM_ISSUE_PARAM_DESC_ARRAY, descs, &issued);
    REQUIRE((size_t)count <= issued, CNRT_RET_ERR_INVALID, "The array has %zu parameter descriptors, not %d.", issued,
            count);
    for (*index = 0; *index < count; ++*index) {
        sim_param_desc *desc = get(descs[*index]);
        const bool found = desc != NULL && sim_param_desc_is_named(desc, name);
        sim_object_release(desc);
        if (desc == NULL || found) {
            return desc == NULL ? CNRT_RET_ERR_INVALID_POINTER : CNRT_RET_SUCCESS;
        }
    }
    return sim_error_set(CNRT_RET_ERR_FAULT, "None of the %d parameter descriptors is called \"%.100s\".", count, name);
}

cnrtRet_t cnrtGetParamDescFromParamDescArrayByName(cnrtParamDesc_t *param_desc, cnrtParamDescArray_t param_descs,
                                                   int param_num, const char *name)
{
    ENTER(cnrtGetParamDescFromParamDescArrayByName);
    int index;
    REQUIRE_POINTER(param_desc, CNRT_RET_ERR_INVALID_POINTER);
    TRY(find(param_descs, param_num, name, &index));
    *param_desc = param_descs[index];
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetIndexFromParamDescArrayByName(int *index, cnrtParamDescArray_t param_descs, int param_num,
                                               const char *name)
{
    ENTER(cnrtGetIndexFromParamDescArrayByName);
    int found;
    REQUIRE_POINTER(index, CNRT_RET_ERR_INVALID_POINTER);
    TRY(find(param_descs, param_num, name, &found));
    *index = found;
    return CNRT_RET_SUCCESS;
}
