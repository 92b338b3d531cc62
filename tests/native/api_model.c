/* Models, functions and runtime contexts. Arguments: the small model for 1 core, for 4 cores, and with a batch of 3. */
#include <pthread.h>
#include <unistd.h>

#include "api_check.h"

enum { IN_BYTES = 32 * 32 * 4, OUT_BYTES = 16 * 16 * 18 * 2 };

static const char *small_path, *cores_path, *batch_path;
static uint8_t picture[IN_BYTES], expected[OUT_BYTES];

/* One loaded function with everything around it. */
typedef struct job {
    cnrtModel_t model;
    cnrtFunction_t function;
    cnrtRuntimeContext_t context;
    cnrtQueue_t queue;
    void *params[2];
} job;

static void load(job *j, const char *path) {
    OK(cnrtLoadModel(&j->model, path));
    OK(cnrtCreateFunction(&j->function));
    OK(cnrtExtractFunction(&j->function, j->model, "subnet0"));
}

static void prepare(job *j) {
    OK(cnrtCreateRuntimeContext(&j->context, j->function, NULL));
    OK(cnrtSetRuntimeContextDeviceId(j->context, 0));
    OK(cnrtInitRuntimeContext(j->context, NULL));
    OK(cnrtCreateQueue(&j->queue));
    OK(cnrtMalloc(&j->params[0], IN_BYTES));
    OK(cnrtMalloc(&j->params[1], OUT_BYTES));
    OK(cnrtMemcpy(j->params[0], picture, IN_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV));
}

static void release_buffers(job *j) {
    OK(cnrtFree(j->params[0]));
    OK(cnrtFree(j->params[1]));
}

static void run_and_compare(job *j) {
    uint8_t found[OUT_BYTES];
    OK(cnrtMemset(j->params[1], 0xee, OUT_BYTES));
    OK(cnrtInvokeRuntimeContext(j->context, j->params, j->queue, NULL));
    OK(cnrtMemcpyAsync(found, j->params[1], OUT_BYTES, j->queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtSyncQueue(j->queue));
    CHECK(memcmp(found, expected, OUT_BYTES) == 0);
}

static void make_expected(void) {
    job j;
    for (int i = 0; i < IN_BYTES; i++) {
        picture[i] = (uint8_t)(i * 13 % 251);
    }
    load(&j, small_path);
    prepare(&j);
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtMemcpy(expected, j.params[1], OUT_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    run_and_compare(&j);
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    release_buffers(&j);
}

/* ---- Queries ---- */

static void models_answer_questions(void) {
    job j;
    int number = 0, level = 0, size = 0, parallelism = 0, name_size = 0;
    int64_t used = 0, model_used = 0;
    uint64_t megabytes = 99;
    char *symbol = NULL;
    cnrtCoreVersion_t version;
    size_t bytes;
    free(read_whole_file(small_path, &bytes));
    OK(cnrtGetModelSize(small_path, &size));
    CHECK(size == (int)bytes);
    OK(cnrtGetModelLevelFromFile(small_path, &level));
    CHECK(level == 15);
    load(&j, cores_path);
    OK(cnrtQueryCoreVersion(j.model, &version));
    CHECK(version == CNRT_MLU220);
    OK(cnrtQueryModelParallelism(j.model, &parallelism));
    CHECK(parallelism == 4);
    OK(cnrtQueryModelStackSize(j.model, &megabytes));
    CHECK(megabytes == 0);
    OK(cnrtGetFunctionNumber(j.model, &number));
    CHECK(number == 1);
    OK(cnrtGetFunctionSymbol(j.model, 0, &symbol, &name_size));
    CHECK(strcmp(symbol, "subnet0") == 0 && name_size == 7);
    free(symbol);
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetFunctionSymbol(j.model, 1, &symbol, &name_size));
    OK(cnrtGetModelMemUsed(j.model, &model_used));
    OK(cnrtGetFunctionMemUsed(j.function, &used));
    CHECK(used > 0 && used == model_used);
    CHECK_FAILS(CNRT_RET_ERR_NO_EXIST, "subnet7", cnrtExtractFunction(&j.function, j.model, "subnet7"));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtQueryModelParallelism(j.model, &parallelism));
}

static void functions_describe_their_tensors(void) {
    job j;
    int64_t *sizes, *again;
    cnrtDataType_t *types, type;
    cnrtDimOrder_t order;
    int count, rank, *dims, index, shape[8];
    char **inputs, **outputs;
    int input_count, output_count;
    load(&j, batch_path);
    OK(cnrtGetInputDataSize(&sizes, &count, j.function));
    OK(cnrtGetInputDataSize(&again, &count, j.function));
    CHECK(sizes != again); /* a fresh block per call: programs free them */
    CHECK(count == 1 && sizes[0] == 3 * IN_BYTES);
    free(sizes);
    free(again);
    OK(cnrtGetOutputDataSize(&sizes, &count, j.function));
    CHECK(count == 1 && sizes[0] == 3 * OUT_BYTES);
    OK(cnrtReleaseInternalResource(sizes));
    OK(cnrtGetInputDataType(&types, &count, j.function));
    CHECK(types[0] == CNRT_UINT8);
    free(types);
    OK(cnrtGetOutputDataType(&types, &count, j.function));
    CHECK(types[0] == CNRT_FLOAT16);
    free(types);
    OK(cnrtGetInputDataShape(&dims, &rank, 0, j.function));
    CHECK(rank == 4 && dims[0] == 3 && dims[1] == 32 && dims[2] == 32 && dims[3] == 4);
    free(dims);
    OK(cnrtGetOutputDataShape(&dims, &rank, 0, j.function));
    CHECK(rank == 4 && dims[0] == 3 && dims[1] == 16 && dims[2] == 16 && dims[3] == 18);
    free(dims);
    CHECK_CODE(CNRT_RET_ERR_NO_EXIST, cnrtGetInputDataShape(&dims, &rank, 1, j.function));
    CHECK_CODE(CNRT_RET_ERR_NO_EXIST, cnrtGetOutputDataShape(&dims, &rank, -1, j.function));
    OK(cnrtGetInputAndOutputNamesFromFunction(j.function, &inputs, &outputs, &input_count, &output_count));
    CHECK(input_count == 1 && output_count == 1 && strcmp(inputs[0], "data") == 0 && strcmp(outputs[0], "head") == 0);
    OK(cnrtDestroyInputAndOutputNames(inputs, outputs, input_count, output_count));
    OK(cnrtGetParamIndexByName(j.function, "head", &index));
    CHECK(index == 0);
    OK(cnrtGetSupportedParamDimNumberByName(j.function, "data", &rank));
    OK(cnrtGetSupportedParamShapeByName(j.function, "data", shape));
    CHECK(rank == 4 && shape[0] == 3 && shape[3] == 4);
    OK(cnrtGetSupportedParamDataTypeByName(j.function, "head", &type));
    OK(cnrtGetSupportedParamLayoutByName(j.function, "head", &order));
    CHECK(type == CNRT_FLOAT16 && order == CNRT_NHWC);
    CHECK_CODE(CNRT_RET_ERR_FAULT, cnrtGetParamIndexByName(j.function, "tail", &index));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtCreateFunction(&j.function));
    CHECK_FAILS(CNRT_RET_ERR_NO_EXIST, "cnrtExtractFunction", cnrtGetInputDataSize(&sizes, &count, j.function));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

static void models_load_from_memory(void) {
    size_t bytes;
    char *data = read_whole_file(small_path, &bytes);
    job j;
    OK(cnrtLoadModelFromMem(&j.model, data));
    memset(data, 0xaa, bytes); /* it was copied */
    free(data);
    OK(cnrtCreateFunction(&j.function));
    OK(cnrtExtractFunction(&j.function, j.model, "subnet0"));
    prepare(&j);
    run_and_compare(&j);
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    release_buffers(&j);
    char garbage[0x434] = "not a model";
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "holds no model", cnrtLoadModelFromMem(&j.model, garbage));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtLoadModelFromMem(&j.model, NULL));
}

static void write_file(const char *path, const char *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

/* Missing, empty, truncated, changed and random files: a code, a sentence with the path, no crash. */
static void bad_files_are_refused(void) {
    char path[] = "bad.cambricon.XXXXXX";
    int descriptor = mkstemp(path);
    CHECK(descriptor >= 0);
    close(descriptor);
    cnrtModel_t model;
    int size;
    size_t bytes;
    char *data = read_whole_file(small_path, &bytes);
    CHECK_FAILS(CNRT_RET_ERR_SYS, "no/such/file", cnrtLoadModel(&model, "no/such/file"));
    CHECK_CODE(CNRT_RET_ERR_SYS, cnrtGetModelSize("no/such/file", &size));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "regular file", cnrtLoadModel(&model, "."));
    const size_t lengths[] = {0, 1, 4, 0x433, 0x434, 0x4b0, bytes / 2, bytes - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_file(path, data, lengths[i]);
        CHECK_FAILS(CNRT_RET_ERR_INVALID, "bad.cambricon", cnrtLoadModel(&model, path));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetModelSize(path, &size));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetModelLevelFromFile(path, &size));
    }
    data[bytes - 1000] ^= 1;
    write_file(path, data, bytes);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtLoadModel(&model, path));
    OK(cnrtGetModelSize(path, &size)); /* reads the header alone */
    free(data);
    CHECK(unlink(path) == 0);
}

/* A device file answers every question and fails at initialisation, with a sentence that says why. */
static void device_files_cannot_be_initialised(void) {
    size_t bytes;
    char *data = read_whole_file(small_path, &bytes);
    memcpy(data + 0x4b0, "CODE", 4); /* where our network's tag stands, a vendor file has device code, */
    memcpy(data + 0x408, "dbf7bf5e\0\0\0", 12); /* and other tools' hashes */
    memcpy(data + 0x418, "a884a9a\0\0\0\0", 12);
    job j;
    int count, *dims, rank;
    int64_t *sizes;
    OK(cnrtLoadModelFromMem(&j.model, data));
    free(data);
    OK(cnrtCreateFunction(&j.function));
    OK(cnrtExtractFunction(&j.function, j.model, "subnet0"));
    OK(cnrtGetInputDataSize(&sizes, &count, j.function));
    CHECK(sizes[0] == IN_BYTES);
    free(sizes);
    OK(cnrtGetOutputDataShape(&dims, &rank, 0, j.function));
    CHECK(rank == 4);
    free(dims);
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "holds device code only", cnrtInitRuntimeContext(j.context, NULL));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtRuntimeContextCreateQueue(j.context, &j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* The same network built for an MLU270 loads, but this device is an MLU220. */
static void models_of_another_device_are_refused(void) {
    size_t bytes;
    char *data = read_whole_file(small_path, &bytes);
    data[0x470] = 6;
    renew_checksum(data, bytes);
    job j;
    cnrtCoreVersion_t version;
    OK(cnrtLoadModelFromMem(&j.model, data));
    free(data);
    OK(cnrtQueryCoreVersion(j.model, &version));
    CHECK(version == CNRT_MLU270);
    OK(cnrtCreateFunction(&j.function));
    OK(cnrtExtractFunction(&j.function, j.model, "subnet0"));
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    cnrtDeviceInfo_t info;
    OK(cnrtGetDeviceInfo(&info, 0));
    if (info.core_version == CNRT_MLU220) {
        CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "the device is MLU220", cnrtInitRuntimeContext(j.context, NULL));
    } else {
        OK(cnrtInitRuntimeContext(j.context, NULL));
    }
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* ---- Contexts ---- */

static void contexts_tell_about_themselves(void) {
    job j;
    int value[2];
    void *function = NULL;
    load(&j, cores_path);
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    value[1] = 0x5a5a5a5a;
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_DEV_ORDINAL, (void **)(void *)value));
    CHECK(value[0] == -2 && value[1] == 0x5a5a5a5a); /* callers pass an int: four bytes and no more */
    CHECK_CODE(CNRT_RET_ERR_NODEV, cnrtSetRuntimeContextDeviceId(j.context, 1));
    OK(cnrtSetRuntimeContextDeviceId(j.context, 0));
    OK(cnrtSetRuntimeContextChannel(j.context, CNRT_CHANNEL_TYPE_NONE));
    CHECK_FAILS(CNRT_RET_ERR_INIT, "cnrtInitRuntimeContext", cnrtInvokeRuntimeContext(j.context, &function, NULL, NULL));
    OK(cnrtInitRuntimeContext(j.context, NULL));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtInitRuntimeContext(j.context, NULL));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtSetRuntimeContextDeviceId(j.context, 0));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtSetRuntimeContextChannel(j.context, CNRT_CHANNEL_TYPE_0));
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_DEV_ORDINAL, (void **)(void *)value));
    CHECK(value[0] == 0);
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_MODEL_PARALLEL, (void **)(void *)value));
    CHECK(value[0] == 4);
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_MAX_BATCH_NUM, (void **)(void *)value));
    CHECK(value[0] == 1);
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_CHANNEL, (void **)(void *)value));
    CHECK(value[0] == -1 && value[1] == 0x5a5a5a5a);
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_FUNCTION, &function));
    CHECK(function == (void *)j.function);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetRuntimeContextInfo(j.context, (cnrtRuntimeContextInfo_t)99, &function));
    OK(cnrtSetCurrentContextDevice(j.context));
    OK(cnrtDestroyRuntimeContext(j.context));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

static void buffers_are_checked(void) {
    job j;
    load(&j, small_path);
    prepare(&j);
    void *good[2] = {j.params[0], j.params[1]}, *small;
    OK(cnrtMalloc(&small, OUT_BYTES - 1));
    j.params[1] = small;
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "output 0", cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    j.params[1] = (char *)good[1] + 1;
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    j.params[1] = good[1];
    void *const bad[] = {NULL, picture, (void *)1, j.queue};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        j.params[0] = bad[i];
        CHECK_FAILS(CNRT_RET_ERR_INVALID, "not device memory", cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    }
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeRuntimeContext(j.context, NULL, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    j.params[0] = good[0];
    cnrtInvokeParam_t dangling = {CNRT_INVOKE_PARAM_TYPE_0, {(unsigned *)(uintptr_t)0x10}};
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, &dangling)); /* its content is not looked at */
    OK(cnrtInvokeRuntimeContext_V2(j.context, NULL, j.params, j.queue, NULL));
    OK(cnrtInvokeRuntimeContext_V3(j.context, NULL, j.params, NULL, NULL)); /* the default queue */
    int batch = 1, too_many = 2;
    OK(cnrtInvokeRuntimeContext_V3(j.context, &batch, j.params, j.queue, NULL));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 1", cnrtInvokeRuntimeContext_V3(j.context, &too_many, j.params, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtSyncQueue(NULL));
    run_and_compare(&j);
    OK(cnrtFree(small));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    release_buffers(&j);
}

/* Input and output inside one block, at offsets; and the batch's three pictures each give what one alone gives. */
static void interior_pointers_and_batches(void) {
    job j;
    load(&j, batch_path);
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    OK(cnrtInitRuntimeContext(j.context, NULL)); /* no device was ever set: the current one */
    OK(cnrtRuntimeContextCreateQueue(j.context, &j.queue));
    char *block;
    OK(cnrtMalloc((void **)&block, 64 + 3 * IN_BYTES + 3 * OUT_BYTES));
    j.params[0] = block + 64;
    j.params[1] = block + 64 + 3 * IN_BYTES;
    for (int i = 0; i < 3; i++) {
        OK(cnrtMemcpyAsync((char *)j.params[0] + i * IN_BYTES, picture, IN_BYTES, j.queue, CNRT_MEM_TRANS_DIR_HOST2DEV));
    }
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    for (int i = 0; i < 3; i++) {
        uint8_t found[OUT_BYTES];
        OK(cnrtMemcpy(found, (char *)j.params[1] + i * OUT_BYTES, OUT_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
        CHECK(memcmp(found, expected, OUT_BYTES) == 0);
    }
    OK(cnrtFree(block));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* Orders of release that real programs have (a to e; f is the program's end, see main). */
static void releases_come_in_any_order(void) {
    cnrtNotifier_t notifier;
    job j;
    /* a: queue, function, model, notifier, memory, context; with work still pending */
    load(&j, small_path);
    prepare(&j);
    OK(cnrtCreateNotifier(&notifier));
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    OK(cnrtPlaceNotifier(notifier, j.queue));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    OK(cnrtDestroyNotifier(&notifier));
    release_buffers(&j);
    OK(cnrtDestroyRuntimeContext(j.context));
    /* b: queue, function, model, context */
    load(&j, small_path);
    prepare(&j);
    run_and_compare(&j);
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    OK(cnrtDestroyRuntimeContext(j.context));
    release_buffers(&j);
    /* c: context, function, model; the context with work pending */
    load(&j, small_path);
    prepare(&j);
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    OK(cnrtSyncQueue(j.queue));
    uint8_t found[OUT_BYTES];
    OK(cnrtMemcpy(found, j.params[1], OUT_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(memcmp(found, expected, OUT_BYTES) == 0);
    OK(cnrtDestroyQueue(j.queue));
    release_buffers(&j);
    /* d: the function goes right after initialisation and is asked for again through the context */
    load(&j, small_path);
    prepare(&j);
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    void *function;
    int64_t *sizes;
    int count;
    OK(cnrtGetRuntimeContextInfo(j.context, CNRT_RT_CTX_FUNCTION, &function));
    OK(cnrtGetInputDataSize(&sizes, &count, (cnrtFunction_t)function));
    CHECK(count == 1 && sizes[0] == IN_BYTES);
    free(sizes);
    run_and_compare(&j);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyFunction((cnrtFunction_t)function)); /* it was destroyed */
    OK(cnrtDestroyRuntimeContext(j.context));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetInputDataSize(&sizes, &count, (cnrtFunction_t)function));
    OK(cnrtDestroyQueue(j.queue));
    release_buffers(&j);
}

static void functions_are_copied_and_contexts_forked(void) {
    job j, copy = {0};
    load(&j, small_path);
    OK(cnrtCreateFunction(&copy.function));
    OK(cnrtCopyFunction(&copy.function, j.function));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    prepare(&copy);
    cnrtRuntimeContext_t original = copy.context;
    OK(cnrtForkRuntimeContext(&copy.context, original, NULL));
    OK(cnrtDestroyRuntimeContext(original));
    run_and_compare(&copy);
    OK(cnrtDestroyRuntimeContext(copy.context));
    OK(cnrtCreateRuntimeContext(&original, copy.function, NULL));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtForkRuntimeContext(&copy.context, original, NULL));
    OK(cnrtDestroyRuntimeContext(original));
    OK(cnrtDestroyFunction(copy.function));
    OK(cnrtDestroyQueue(copy.queue));
    release_buffers(&copy);
}

/* ---- Threads ---- */

static void *invoke_often(void *argument) {
    job mine = *(const job *)argument;
    OK(cnrtCreateQueue(&mine.queue));
    OK(cnrtMalloc(&mine.params[0], IN_BYTES));
    OK(cnrtMalloc(&mine.params[1], OUT_BYTES));
    OK(cnrtMemcpy(mine.params[0], picture, IN_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV));
    for (int i = 0; i < 25; i++) {
        run_and_compare(&mine);
    }
    OK(cnrtDestroyQueue(mine.queue));
    release_buffers(&mine);
    return NULL;
}

static void start_and_join(job *const *jobs, int count) {
    pthread_t threads[8];
    for (int i = 0; i < count; i++) {
        CHECK(pthread_create(&threads[i], NULL, invoke_often, jobs[i]) == 0);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* One context, four threads, a queue each; then one-core and four-core models side by side: equal outputs, nobody waits
 * for ever. */
static void threads_invoke_at_once(void) {
    job one, four;
    load(&one, small_path);
    load(&four, cores_path);
    OK(cnrtCreateRuntimeContext(&one.context, one.function, NULL));
    OK(cnrtInitRuntimeContext(one.context, NULL));
    OK(cnrtCreateRuntimeContext(&four.context, four.function, NULL));
    OK(cnrtInitRuntimeContext(four.context, NULL));
    job *const same[4] = {&one, &one, &one, &one}, *const mixed[8] = {&one, &four, &one, &four, &one, &one, &four, &one};
    start_and_join(same, 4);
    start_and_join(mixed, 8);
    OK(cnrtDestroyRuntimeContext(one.context));
    OK(cnrtDestroyRuntimeContext(four.context));
    OK(cnrtDestroyFunction(one.function));
    OK(cnrtDestroyFunction(four.function));
    OK(cnrtUnloadModel(one.model));
    OK(cnrtUnloadModel(four.model));
}

/* Many frames submitted ahead on one queue, as a pipeline does, and all of them right. */
static void many_invocations_are_pending(void) {
    enum { FRAMES = 64 };
    job j;
    static uint8_t found[FRAMES][OUT_BYTES];
    load(&j, cores_path);
    prepare(&j);
    for (int i = 0; i < FRAMES; i++) {
        OK(cnrtMemcpyAsync(j.params[0], picture, IN_BYTES, j.queue, CNRT_MEM_TRANS_DIR_HOST2DEV));
        OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
        OK(cnrtMemcpyAsync(found[i], j.params[1], OUT_BYTES, j.queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    }
    OK(cnrtSyncQueue(j.queue));
    for (int i = 0; i < FRAMES; i++) {
        CHECK(memcmp(found[i], expected, OUT_BYTES) == 0);
    }
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    release_buffers(&j);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    small_path = argv[1];
    cores_path = argv[2];
    batch_path = argv[3];
    OK(cnrtInit(0));
    make_expected();
    RUN(models_answer_questions);
    RUN(functions_describe_their_tensors);
    RUN(models_load_from_memory);
    RUN(bad_files_are_refused);
    RUN(device_files_cannot_be_initialised);
    RUN(models_of_another_device_are_refused);
    RUN(contexts_tell_about_themselves);
    RUN(buffers_are_checked);
    RUN(interior_pointers_and_batches);
    RUN(releases_come_in_any_order);
    RUN(functions_are_copied_and_contexts_forked);
    RUN(threads_invoke_at_once);
    RUN(many_invocations_are_pending);
    /* f: the program ends with live objects and pending work */
    static job last;
    load(&last, small_path);
    prepare(&last);
    OK(cnrtInvokeRuntimeContext(last.context, last.params, last.queue, NULL));
    cnrtDestroy();
    return 0;
}
