/* The call sequence of the vendor's guide, written so that it is C and C++ alike: load, extract, ask, prepare, copy in,
 * invoke between two notifiers, copy out, release. Returns the outputs of one run one after another (malloc). */
#ifndef API_SEQUENCE_H
#define API_SEQUENCE_H

#include "api_check.h"

static inline unsigned char *guide_sequence(const char *path, size_t *output_bytes)
{
    OK(cnrtInit(0));
    unsigned devices = 0;
    OK(cnrtGetDeviceCount(&devices));
    CHECK(devices >= 1);
    cnrtDev_t device;
    OK(cnrtGetDeviceHandle(&device, 0));
    CHECK(device != 0);
    OK(cnrtSetCurrentDevice(device));

    int size = 0, parallelism = 0;
    OK(cnrtGetModelSize(path, &size));
    CHECK(size > 0);
    cnrtModel_t model;
    OK(cnrtLoadModel(&model, path));
    OK(cnrtQueryModelParallelism(model, &parallelism));
    CHECK(parallelism >= 1);
    cnrtFunction_t function;
    OK(cnrtCreateFunction(&function));
    OK(cnrtExtractFunction(&function, model, "subnet0"));

    int64_t *in_sizes, *out_sizes;
    cnrtDataType_t *in_types, *out_types;
    int in_count, out_count;
    OK(cnrtGetInputDataSize(&in_sizes, &in_count, function));
    OK(cnrtGetOutputDataSize(&out_sizes, &out_count, function));
    OK(cnrtGetInputDataType(&in_types, &in_count, function));
    OK(cnrtGetOutputDataType(&out_types, &out_count, function));
    CHECK(in_count == 1 && out_count >= 1);

    void **params = (void **)calloc((size_t)(in_count + out_count), sizeof(void *));
    void **host_in = (void **)calloc((size_t)in_count, sizeof(void *));
    void **host_out = (void **)calloc((size_t)out_count, sizeof(void *));
    *output_bytes = 0;
    for (int i = 0; i < in_count; i++) {
        int *dims, rank;
        OK(cnrtGetInputDataShape(&dims, &rank, i, function));
        int64_t elements = 1;
        for (int axis = 0; axis < rank; axis++) {
            elements *= dims[axis];
        }
        free(dims);
        CHECK(elements * cnrtDataTypeSize(in_types[i]) == in_sizes[i]);
        host_in[i] = malloc((size_t)in_sizes[i]);
        for (int64_t k = 0; k < in_sizes[i]; k++) {
            ((unsigned char *)host_in[i])[k] = (unsigned char)(k * 7 + i);
        }
        OK(cnrtMalloc(&params[i], (size_t)in_sizes[i]));
        OK(cnrtMemcpy(params[i], host_in[i], (size_t)in_sizes[i], CNRT_MEM_TRANS_DIR_HOST2DEV));
    }
    for (int i = 0; i < out_count; i++) {
        host_out[i] = malloc((size_t)out_sizes[i]);
        OK(cnrtMalloc(&params[in_count + i], (size_t)out_sizes[i]));
        *output_bytes += (size_t)out_sizes[i];
    }

    cnrtRuntimeContext_t context;
    OK(cnrtCreateRuntimeContext(&context, function, NULL));
    OK(cnrtSetRuntimeContextDeviceId(context, 0));
    OK(cnrtInitRuntimeContext(context, NULL));
    cnrtQueue_t queue;
    OK(cnrtRuntimeContextCreateQueue(context, &queue));
    cnrtNotifier_t start, end;
    OK(cnrtRuntimeContextCreateNotifier(context, &start));
    OK(cnrtRuntimeContextCreateNotifier(context, &end));
    OK(cnrtPlaceNotifier(start, queue));
    OK(cnrtInvokeRuntimeContext(context, params, queue, NULL));
    OK(cnrtPlaceNotifier(end, queue));
    OK(cnrtSyncQueue(queue));
    float us = -1;
    OK(cnrtNotifierDuration(start, end, &us));
    CHECK(us > 0);

    unsigned char *result = (unsigned char *)malloc(*output_bytes), *at = result;
    for (int i = 0; i < out_count; i++) {
        OK(cnrtMemcpy(host_out[i], params[in_count + i], (size_t)out_sizes[i], CNRT_MEM_TRANS_DIR_DEV2HOST));
        memcpy(at, host_out[i], (size_t)out_sizes[i]);
        at += out_sizes[i];
        free(host_out[i]);
        OK(cnrtFree(params[in_count + i]));
    }
    for (int i = 0; i < in_count; i++) {
        free(host_in[i]);
        OK(cnrtFree(params[i]));
    }
    free(params);
    free(host_in);
    free(host_out);
    free(in_sizes);
    free(out_sizes);
    free(in_types);
    free(out_types);
    OK(cnrtDestroyNotifier(&start));
    OK(cnrtDestroyNotifier(&end));
    OK(cnrtDestroyQueue(queue));
    OK(cnrtDestroyRuntimeContext(context));
    OK(cnrtDestroyFunction(function));
    OK(cnrtUnloadModel(model));
    cnrtDestroy();
    return result;
}

/* A network that computes gives more than one value. */
static inline void check_varied(const unsigned char *bytes, size_t count)
{
    size_t different = 0;
    for (size_t i = 1; i < count; i++) {
        different += bytes[i] != bytes[0];
    }
    CHECK(different > count / 4);
}

static inline int sequence_main(int argc, char **argv)
{
    CHECK(argc == 2);
    size_t first_bytes, second_bytes;
    unsigned char *first = guide_sequence(argv[1], &first_bytes), *second = guide_sequence(argv[1], &second_bytes);
    CHECK(first_bytes == second_bytes && memcmp(first, second, first_bytes) == 0);
    check_varied(first, first_bytes);
    printf("ok   the guide's sequence, twice, %zu bytes of output\n", first_bytes);
    free(first);
    free(second);
    return 0;
}

#endif
