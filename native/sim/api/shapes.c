/* Parameter descriptors against a function's compiled tensors: what it would answer, and invocations that name shapes. */
#include <stdio.h>

#include "api/api.h"
#include "api/function.h"
#include "api/shapes.h"
#include "core/cast.h"
#include "core/param_desc.h"

enum { LONGEST_SHAPE = 96 };

/* "1 640 640 3", cut where there is no room. */
static void write_shape(char text[LONGEST_SHAPE], const int *dims, int rank)
{
    size_t used = 0;
    text[0] = '\0';
    for (int axis = 0; axis < rank && used < LONGEST_SHAPE; axis++) {
        const int more = snprintf(text + used, LONGEST_SHAPE - used, axis == 0 ? "%d" : " %d", dims[axis]);
        used += more > 0 ? (size_t)more : 0;
    }
}

static bool same_shape(const sim_param_facts *facts, const sim_io *io)
{
    bool same = facts->rank == io->rank;
    for (int axis = 0; same && axis < io->rank; axis++) {
        same = facts->dims[axis] == io->dims[axis];
    }
    return same;
}

static cnrtRet_t check_shape(const sim_param_facts *facts, const char *side, int index, const sim_io *io)
{
    char given[LONGEST_SHAPE], compiled[LONGEST_SHAPE];
    REQUIRE(facts->rank > 0, CNRT_RET_ERR_INVALID_DATADESC,
            "The descriptor of %s %d has no shape: call cnrtSetShapeToParamDesc.", side, index);
    write_shape(given, facts->dims, facts->rank);
    write_shape(compiled, io->dims, io->rank);
    REQUIRE(same_shape(facts, io), CNRT_RET_ERR_INVALID_DATADESC,
            "The descriptor of %s %d has shape %s, the model was compiled for %s alone: build a model for each shape.",
            side, index, given, compiled);
    return CNRT_RET_SUCCESS;
}

static sim_param_desc *get(cnrtParamDesc_t handle, const char *side, int index, cnrtRet_t code)
{
    sim_param_desc *desc = sim_object_get(SIM_KIND_PARAM_DESC, handle);
    if (desc == NULL) {
        sim_error_set(code, "%s %d: %p is not a parameter descriptor, or was destroyed.", side, index, (void *)handle);
    }
    return desc;
}

/* ---- Inference of shapes ---- */

static cnrtRet_t check_count(const char *side, int given, int compiled)
{
    REQUIRE(given == compiled, CNRT_RET_ERR_INVALID, "The function has %d %ss, not %d.", compiled, side, given);
    return CNRT_RET_SUCCESS;
}

/* All inputs have the compiled shapes, and all outputs are descriptors: nothing is written before that is known. */
static cnrtRet_t check_all(const sim_model_info *info, cnrtParamDescArray_t inputs, cnrtParamDescArray_t outputs)
{
    for (int index = 0; index < info->input_count; index++) {
        sim_param_desc *desc = get(inputs[index], "input", index, CNRT_RET_ERR_INVALID);
        if (desc == NULL) {
            return CNRT_RET_ERR_INVALID;
        }
        const sim_param_facts facts = sim_param_desc_facts(desc);
        sim_object_release(desc);
        TRY(check_shape(&facts, "input", index, &info->inputs[index]));
    }
    for (int index = 0; index < info->output_count; index++) {
        sim_param_desc *desc = get(outputs[index], "output", index, CNRT_RET_ERR_INVALID);
        sim_object_release(desc);
        if (desc == NULL) {
            return CNRT_RET_ERR_INVALID;
        }
    }
    return CNRT_RET_SUCCESS;
}

static void describe(cnrtParamDescArray_t descs, const sim_io *tensors, int count)
{
    for (int index = 0; index < count; index++) {
        sim_param_desc *desc = sim_object_get(SIM_KIND_PARAM_DESC, descs[index]);
        if (desc != NULL) { /* NULL: another thread destroyed it since */
            sim_param_desc_describe(desc, &tensors[index], index);
        }
        sim_object_release(desc);
    }
}

static cnrtRet_t infer(const sim_model_info *info, int input_num, cnrtParamDescArray_t inputs, int output_num,
                       cnrtParamDescArray_t outputs)
{
    TRY(check_count("input", input_num, info->input_count));
    TRY(check_count("output", output_num, info->output_count));
    TRY(check_all(info, inputs, outputs));
    describe(inputs, info->inputs, info->input_count);
    describe(outputs, info->outputs, info->output_count);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtInferFunctionOutputShape(cnrtFunction_t func, int input_num, cnrtParamDescArray_t input_params,
                                       int output_num, cnrtParamDescArray_t output_params)
{
    ENTER(cnrtInferFunctionOutputShape);
    sim_loaded_model *model;
    REQUIRE_POINTER(func, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(input_params, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(output_params, CNRT_RET_ERR_INVALID);
    TRY(sim_api_get_described(func, &model));
    const cnrtRet_t code = infer(sim_loaded_model_info(model), input_num, input_params, output_num, output_params);
    sim_object_release(model);
    return code;
}

/* ---- Invocations ---- */

static cnrtRet_t check_invoked(sim_param_desc *desc, const char *side, int index, const sim_io *io)
{
    const sim_param_facts facts = sim_param_desc_facts(desc);
    TRY(check_shape(&facts, side, index, io));
    REQUIRE(!facts.has_dtype || (uint32_t)facts.dtype == io->dtype, CNRT_RET_ERR_INVALID_DATADESC,
            "The descriptor of %s %d has type %s, the model was compiled for %s.", side, index,
            sim_dtype_name(facts.dtype), sim_dtype_name((cnrtDataType_t)io->dtype));
    REQUIRE(
        io->name[0] == '\0' || !sim_param_desc_has_name(desc) || sim_param_desc_is_named(desc, io->name),
        CNRT_RET_ERR_INVALID_DATADESC,
        "The descriptor of %s %d has another name than the model's, \"%.100s\": descriptors come in the model's order.",
        side, index, io->name);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_api_check_descs(const sim_model_info *info, cnrtParamDesc_t *descs)
{
    const int count = info->input_count + info->output_count;
    for (int index = 0; index < count; index++) {
        const bool is_input = index < info->input_count;
        const int number = is_input ? index : index - info->input_count;
        const char *side = is_input ? "input" : "output";
        sim_param_desc *desc = get(descs[index], side, number, CNRT_RET_ERR_INVALID_DATADESC);
        if (desc == NULL) {
            return CNRT_RET_ERR_INVALID_DATADESC;
        }
        const cnrtRet_t code =
            check_invoked(desc, side, number, is_input ? &info->inputs[number] : &info->outputs[number]);
        sim_object_release(desc);
        TRY(code);
    }
    return CNRT_RET_SUCCESS;
}

/* ---- Cached batches ---- */

cnrtRet_t cnrtQueryCacheMode(cnrtFunction_t function, bool *is_cache_mode, int *cache_num)
{
    ENTER(cnrtQueryCacheMode);
    sim_loaded_model *model;
    REQUIRE_POINTER(is_cache_mode, CNRT_RET_ERR_INVALID_POINTER);
    TRY(sim_api_get_described(function, &model));
    sim_object_release(model);
    *is_cache_mode = false;
    if (cache_num != NULL) {
        *cache_num = 1;
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtQueryBatches(cnrtFunction_t function, int *batches_array)
{
    ENTER(cnrtQueryBatches);
    sim_loaded_model *model;
    REQUIRE_POINTER(batches_array, CNRT_RET_ERR_INVALID_POINTER);
    TRY(sim_api_get_described(function, &model));
    const sim_model_info *info = sim_loaded_model_info(model);
    const bool has_input = info->input_count > 0;
    if (has_input) {
        *batches_array = info->inputs[0].dims[0];
    }
    sim_object_release(model);
    REQUIRE(has_input, CNRT_RET_ERR_INVALID, "The function has no input, so no batch.");
    return CNRT_RET_SUCCESS;
}
