/* Parameter descriptors: what they keep, what they refuse, and what a compiled function answers to them. */
#include <limits.h>

#include "api_job.h"

static void descriptors_keep_what_they_are_told(void)
{
    cnrtParamDesc_t desc;
    int *dims, rank, bytes, id = -1, shape[] = {2, 3, 5};
    char *name, text[] = "input";
    size_t count;
    int64_t size;
    cnrtDataType_t dtype;
    cnrtDimOrder_t order;
    OK(cnrtCreateParamDesc(&desc));
    OK(cnrtGetDataTypeFromParamDesc(desc, &dtype));
    OK(cnrtGetDimOrderFromParamDesc(desc, &order));
    OK(cnrtGetIdFromParamDesc(desc, &id));
    CHECK(dtype == CNRT_FLOAT16 && order == CNRT_NHWC && id == 0);
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "no shape", cnrtGetShapeFromParamDesc(desc, &dims, &rank));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "no name", cnrtGetNameFromParamDesc(desc, &name, &bytes));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "no shape", cnrtGetParamElementNum(desc, &count));
    OK(cnrtSetShapeToParamDesc(desc, shape, 3));
    OK(cnrtSetNameToParamDesc(desc, text, 5));
    OK(cnrtSetDataTypeToParamDesc(desc, CNRT_FLOAT32));
    text[0] = 'X'; /* a copy was kept */
    OK(cnrtGetShapeFromParamDesc(desc, &dims, &rank));
    CHECK(rank == 3 && memcmp(dims, shape, sizeof shape) == 0);
    free(dims);
    OK(cnrtGetNameFromParamDesc(desc, &name, &bytes));
    CHECK(bytes == 5 && strcmp(name, "input") == 0);
    free(name);
    OK(cnrtGetParamElementNum(desc, &count));
    OK(cnrtGetParamDescSize(desc, &size));
    CHECK(count == 30 && size == 120);
    OK(cnrtDestroyParamDesc(desc));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtDestroyParamDesc(desc));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetParamElementNum(desc, &count));
}

static void descriptors_refuse_what_they_cannot_hold(void)
{
    cnrtParamDesc_t desc;
    int many[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, huge[] = {INT_MAX, INT_MAX, INT_MAX}, empty[] = {4, 0};
    static char name[4097];
    size_t count;
    int64_t size;
    OK(cnrtCreateParamDesc(&desc));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_POINTER, "param_desc", cnrtCreateParamDesc(NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtSetShapeToParamDesc(NULL, many, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtSetShapeToParamDesc((cnrtParamDesc_t)(void *)many, many, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtSetShapeToParamDesc(desc, NULL, 1));
    const int bad_ranks[] = {0, -1, 9, INT_MIN};
    for (size_t i = 0; i < sizeof bad_ranks / sizeof *bad_ranks; i++) {
        CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 8", cnrtSetShapeToParamDesc(desc, many, bad_ranks[i]));
    }
    OK(cnrtSetShapeToParamDesc(desc, many, 8));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtSetNameToParamDesc(desc, NULL, 3));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSetNameToParamDesc(desc, name, 0));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSetNameToParamDesc(desc, name, -5));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 4096", cnrtSetNameToParamDesc(desc, name, 4097));
    OK(cnrtSetNameToParamDesc(desc, name, 4096));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtSetDataTypeToParamDesc(desc, CNRT_INVALID));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtSetDataTypeToParamDesc(desc, (cnrtDataType_t)0x7777));
    OK(cnrtSetShapeToParamDesc(desc, empty, 2));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "Dimension 1 is 0", cnrtGetParamElementNum(desc, &count));
    OK(cnrtSetShapeToParamDesc(desc, huge, 3));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "63 bits", cnrtGetParamDescSize(desc, &size));
    OK(cnrtSetShapeToParamDesc(desc, huge, 2));
    OK(cnrtSetDataTypeToParamDesc(desc, CNRT_UINT8));
    OK(cnrtGetParamDescSize(desc, &size));
    CHECK(size == (int64_t)INT_MAX * INT_MAX);
    OK(cnrtSetDataTypeToParamDesc(desc, CNRT_INT32));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "63 bits", cnrtGetParamDescSize(desc, &size));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetParamElementNum(desc, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetShapeFromParamDesc(desc, NULL, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetNameFromParamDesc(desc, NULL, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetIdFromParamDesc(desc, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetDataTypeFromParamDesc(desc, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetDimOrderFromParamDesc(desc, NULL));
    OK(cnrtDestroyParamDesc(desc));
}

static void arrays_are_found_by_name(void)
{
    cnrtParamDescArray_t array, another;
    cnrtParamDesc_t found, own[2];
    char first[] = "first", second[] = "second\0beyond";
    int index;
    OK(cnrtCreateParamDescArray(&array, 3));
    OK(cnrtSetNameToParamDesc(array[0], first, 6)); /* with and without what ends it */
    OK(cnrtSetNameToParamDesc(array[2], second, 6));
    OK(cnrtGetIndexFromParamDescArrayByName(&index, array, 3, "second"));
    OK(cnrtGetParamDescFromParamDescArrayByName(&found, array, 3, "first"));
    CHECK(index == 2 && found == array[0]);
    CHECK_FAILS(CNRT_RET_ERR_FAULT, "\"third\"", cnrtGetIndexFromParamDescArrayByName(&index, array, 3, "third"));
    CHECK_CODE(CNRT_RET_ERR_FAULT, cnrtGetIndexFromParamDescArrayByName(&index, array, 2, "second"));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "has 3", cnrtGetIndexFromParamDescArrayByName(&index, array, 4, "second"));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetIndexFromParamDescArrayByName(&index, NULL, 3, "first"));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetIndexFromParamDescArrayByName(NULL, array, 3, "first"));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetParamDescFromParamDescArrayByName(&found, array, 3, NULL));
    own[0] = array[1]; /* an array of the program's own */
    own[1] = array[2];
    OK(cnrtGetIndexFromParamDescArrayByName(&index, own, 2, "second"));
    CHECK(index == 1);
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "not an array", cnrtDestroyParamDescArray(own, 2));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyParamDescArray((cnrtParamDescArray_t)(void *)array[0], 3));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "has 3", cnrtDestroyParamDescArray(array, 2));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyParamDescArray(NULL, 3));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCreateParamDescArray(&another, 0));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 4096", cnrtCreateParamDescArray(&another, 4097));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtCreateParamDescArray(NULL, 1));
    found = array[1];
    OK(cnrtDestroyParamDescArray(array, 3));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyParamDescArray(array, 3));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtDestroyParamDesc(found));
    OK(cnrtCreateParamDescArray(&array, 4096));
    OK(cnrtDestroyParamDescArray(array, 4096));
}

static int input_shape[] = {1, 32, 32, 4};

static void functions_answer_for_the_compiled_shape(void)
{
    cnrtParamDescArray_t inputs, outputs;
    int *dims, rank, id, other[] = {2, 32, 32, 4}, flat[] = {32, 32, 4};
    int64_t size;
    cnrtDataType_t dtype;
    cnrtDimOrder_t order;
    job j;
    load(&j, small_path);
    OK(cnrtCreateParamDescArray(&inputs, 1));
    OK(cnrtCreateParamDescArray(&outputs, 1));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_DATADESC, "no shape",
                cnrtInferFunctionOutputShape(j.function, 1, inputs, 1, outputs));
    OK(cnrtSetShapeToParamDesc(inputs[0], other, 4));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_DATADESC, "shape 2 32 32 4, the model was compiled for 1 32 32 4",
                cnrtInferFunctionOutputShape(j.function, 1, inputs, 1, outputs));
    OK(cnrtSetShapeToParamDesc(inputs[0], flat, 3));
    CHECK_CODE(CNRT_RET_ERR_INVALID_DATADESC, cnrtInferFunctionOutputShape(j.function, 1, inputs, 1, outputs));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "no shape", cnrtGetShapeFromParamDesc(outputs[0], &dims, &rank));
    OK(cnrtSetShapeToParamDesc(inputs[0], input_shape, 4));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 inputs, not 2",
                cnrtInferFunctionOutputShape(j.function, 2, inputs, 1, outputs));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 outputs, not 0",
                cnrtInferFunctionOutputShape(j.function, 1, inputs, 0, outputs));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInferFunctionOutputShape(NULL, 1, inputs, 1, outputs));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInferFunctionOutputShape(j.function, 1, NULL, 1, outputs));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInferFunctionOutputShape(j.function, 1, inputs, 1, NULL));
    cnrtParamDesc_t none[1] = {NULL};
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "output 0", cnrtInferFunctionOutputShape(j.function, 1, inputs, 1, none));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "input 0", cnrtInferFunctionOutputShape(j.function, 1, none, 1, outputs));
    OK(cnrtInferFunctionOutputShape(j.function, 1, inputs, 1, outputs));
    OK(cnrtGetShapeFromParamDesc(outputs[0], &dims, &rank));
    CHECK(rank == 4 && dims[0] == 1 && dims[1] == 16 && dims[2] == 16 && dims[3] == 18);
    free(dims);
    OK(cnrtGetParamDescSize(outputs[0], &size));
    CHECK(size == OUT_BYTES);
    OK(cnrtGetParamDescSize(inputs[0], &size));
    OK(cnrtGetDataTypeFromParamDesc(inputs[0], &dtype));
    OK(cnrtGetDimOrderFromParamDesc(inputs[0], &order));
    OK(cnrtGetIdFromParamDesc(outputs[0], &id));
    CHECK(size == IN_BYTES && dtype == CNRT_UINT8 && order == CNRT_NHWC && id == 0);
    OK(cnrtDestroyParamDescArray(inputs, 1));
    OK(cnrtDestroyParamDescArray(outputs, 1));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* One descriptor for the input, one for the output, as programs make them. */
static void make_descs(cnrtParamDesc_t descs[2])
{
    int output_shape[] = {1, 16, 16, 18};
    OK(cnrtCreateParamDesc(&descs[0]));
    OK(cnrtCreateParamDesc(&descs[1]));
    OK(cnrtSetShapeToParamDesc(descs[0], input_shape, 4));
    OK(cnrtSetShapeToParamDesc(descs[1], output_shape, 4));
}

static void invocations_take_the_compiled_shape(void)
{
    int wrong[] = {1, 16, 18, 16};
    uint8_t found[OUT_BYTES];
    char name[] = "another";
    cnrtParamDesc_t descs[2];
    job j;
    load(&j, small_path);
    prepare(&j);
    make_descs(descs);
    OK(cnrtInvokeRuntimeContext_V2(j.context, descs, j.params, j.queue,
                                   NULL)); /* types that nobody set are not compared */
    OK(cnrtSetDataTypeToParamDesc(descs[0], CNRT_UINT8));
    OK(cnrtSetDataTypeToParamDesc(descs[1], CNRT_FLOAT16));
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtMemset(j.params[1], 0xee, OUT_BYTES));
    OK(cnrtInvokeRuntimeContext_V2(j.context, descs, j.params, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtMemcpy(found, j.params[1], OUT_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(memcmp(found, expected, OUT_BYTES) == 0);
    OK(cnrtSetDataTypeToParamDesc(descs[1], CNRT_FLOAT32));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_DATADESC, "output 0 has type",
                cnrtInvokeRuntimeContext_V2(j.context, descs, j.params, j.queue, NULL));
    OK(cnrtSetDataTypeToParamDesc(descs[1], CNRT_FLOAT16));
    OK(cnrtSetShapeToParamDesc(descs[1], wrong, 4));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_DATADESC, "output 0 has shape 1 16 18 16",
                cnrtInvokeRuntimeContext_V2(j.context, descs, j.params, j.queue, NULL));
    OK(cnrtDestroyParamDesc(descs[1]));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_DATADESC, "was destroyed",
                cnrtInvokeRuntimeContext_V2(j.context, descs, j.params, j.queue, NULL));
    OK(cnrtSetNameToParamDesc(descs[0], name, 7));
    CHECK_FAILS(CNRT_RET_ERR_INVALID_DATADESC, "another name",
                cnrtInvokeRuntimeContext_V2(j.context, descs, j.params, j.queue, NULL));
    OK(cnrtDestroyParamDesc(descs[0]));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    release_buffers(&j);
}

static void batches_are_the_compiled_one(void)
{
    bool cached = true;
    int caches = 0, batches[2] = {0, 77}, smaller = 2;
    job j;
    load(&j, batch_path);
    OK(cnrtQueryCacheMode(j.function, &cached, &caches));
    CHECK(!cached && caches == 1);
    OK(cnrtQueryCacheMode(j.function, &cached, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtQueryCacheMode(j.function, NULL, &caches));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtQueryCacheMode(NULL, &cached, &caches));
    OK(cnrtQueryBatches(j.function, batches));
    CHECK(batches[0] == 3 && batches[1] == 77);
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtQueryBatches(j.function, NULL));
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    OK(cnrtInitRuntimeContext(j.context, NULL));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "input 0 is 3", /* known: a model without caches takes its own batch alone */
                cnrtInvokeRuntimeContext_V3(j.context, &smaller, j.params, NULL, NULL));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    RUN(descriptors_keep_what_they_are_told);
    RUN(descriptors_refuse_what_they_cannot_hold);
    RUN(arrays_are_found_by_name);
    RUN(functions_answer_for_the_compiled_shape);
    RUN(invocations_take_the_compiled_shape);
    RUN(batches_are_the_compiled_one);
    cnrtDestroy();
    return 0;
}
