/* Models and functions: what they tell, and which are refused. */
#include <unistd.h>

#include "api_job.h"

/* ---- Queries ---- */

static void models_answer_questions(void)
{
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
    megabytes = 9;
    OK(cnrtQueryModelLocalMemSize(j.model, &megabytes));
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

static void functions_describe_their_tensors(void)
{
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
    CHECK_CODE(CNRT_RET_ERR_INVALID,
               cnrtDestroyInputAndOutputNames(inputs, outputs, 0, output_count)); /* known codes */
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyInputAndOutputNames(inputs, outputs, input_count, -1));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtDestroyInputAndOutputNames(NULL, outputs, input_count, output_count));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtDestroyInputAndOutputNames(inputs, NULL, input_count, output_count));
    OK(cnrtDestroyInputAndOutputNames(inputs, outputs, input_count, output_count));
    int64_t used;
    cnrtFunction_t none = NULL;
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetModelMemUsed(NULL, &used));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtGetFunctionMemUsed(NULL, &used));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtCopyFunction(&none, j.function));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtCopyFunction(&j.function, NULL));
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

static void loads_from_memory(bool reused)
{
    size_t bytes;
    char *data = read_whole_file(small_path, &bytes);
    job j;
    OK(reused ? cnrtLoadModelFromMem_V2(&j.model, data, true) : cnrtLoadModelFromMem(&j.model, data));
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
}

static void models_load_from_memory(void)
{
    job j;
    loads_from_memory(false);
    loads_from_memory(true); /* a permission that is not used */
    char garbage[0x434] = "not a model";
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "holds no model", cnrtLoadModelFromMem(&j.model, garbage));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtLoadModelFromMem(&j.model, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtLoadModelFromMem_V2(&j.model, NULL, false));
}

static void write_file(const char *path, const char *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

/* The ABI tells sizes in an int. Sparse files: nothing is written, nothing of the larger one is read. */
static void files_of_two_gigabytes_are_refused(void)
{
    char path[] = "large.cambricon.XXXXXX";
    int descriptor = mkstemp(path), size;
    cnrtModel_t model;
    CHECK(descriptor >= 0 && ftruncate(descriptor, 0x80000000) == 0);
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "has 2147483648 bytes, a model has at most 2147483647",
                cnrtLoadModel(&model, path));
    CHECK(ftruncate(descriptor, 0x7fffffff) == 0);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetModelSize(path, &size)); /* for what is in it */
    CHECK(strstr(cnrtSimulatorLastMessage(), "at most 2147483647") == NULL);
    close(descriptor);
    unlink(path);
}

/* Missing, empty, truncated, changed and random files: a code, a sentence with the path, no crash. */
static void bad_files_are_refused(void)
{
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
static void device_files_cannot_be_initialised(void)
{
    size_t bytes;
    char *data = read_whole_file(small_path, &bytes);
    memcpy(data + 0x4b0, "CODE", 4);            /* where our network's tag stands, a vendor file has device code, */
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
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "holds device code, which the simulator cannot run",
                cnrtInitRuntimeContext(j.context, NULL));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtRuntimeContextCreateQueue(j.context, &j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* The same network built for an MLU270 loads, but this device is an MLU220. */
static void models_of_another_device_are_refused(void)
{
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

int main(int argc, char **argv)
{
    begin(argc, argv);
    RUN(models_answer_questions);
    RUN(functions_describe_their_tensors);
    RUN(models_load_from_memory);
    RUN(bad_files_are_refused);
    RUN(files_of_two_gigabytes_are_refused);
    RUN(device_files_cannot_be_initialised);
    RUN(models_of_another_device_are_refused);
    cnrtDestroy();
    return 0;
}
