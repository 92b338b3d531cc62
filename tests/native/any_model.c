/* Runs whatever model file it is given, as programs of the vendor's runtime do: asks for its tensors, feeds it a pattern, reads
 * what comes; by its name and from memory, which have to give the same. Nothing in it knows the simulator.
 *
 *     any_model MODEL */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnrt.h"

enum { MOST = 64 };

#define MUST(call)                                                                      \
    do {                                                                                \
        cnrtRet_t code_ = (call);                                                       \
        if (code_ != CNRT_RET_SUCCESS) {                                                \
            fprintf(stderr, "%s: %d, %s\n", #call, (int)code_, cnrtGetErrorStr(code_)); \
            exit(1);                                                                    \
        }                                                                               \
    } while (0)

static unsigned char *run(cnrtModel_t model, size_t *bytes)
{
    cnrtFunction_t function;
    cnrtRuntimeContext_t context;
    cnrtQueue_t queue;
    int64_t *in, *out;
    int in_count, out_count, count = 0;
    void *params[MOST];
    MUST(cnrtCreateFunction(&function));
    MUST(cnrtExtractFunction(&function, model, "subnet0"));
    MUST(cnrtGetInputDataSize(&in, &in_count, function));
    MUST(cnrtGetOutputDataSize(&out, &out_count, function));
    MUST(cnrtCreateRuntimeContext(&context, function, NULL));
    MUST(cnrtSetRuntimeContextDeviceId(context, 0));
    MUST(cnrtInitRuntimeContext(context, NULL));
    MUST(cnrtRuntimeContextCreateQueue(context, &queue));
    for (int index = 0; index < in_count; index++) {
        unsigned char *host = malloc((size_t)in[index]);
        for (int64_t byte = 0; byte < in[index]; byte++) {
            host[byte] = (unsigned char)(byte % 60);
        }
        MUST(cnrtMalloc(&params[count], (size_t)in[index]));
        MUST(cnrtMemcpy(params[count++], host, (size_t)in[index], CNRT_MEM_TRANS_DIR_HOST2DEV));
        free(host);
    }
    for (int index = 0; index < out_count; index++) {
        MUST(cnrtMalloc(&params[count++], (size_t)out[index]));
    }
    MUST(cnrtInvokeRuntimeContext(context, params, queue, NULL));
    MUST(cnrtSyncQueue(queue));
    unsigned char *found = NULL;
    *bytes = 0;
    for (int index = 0; index < out_count; index++) {
        found = realloc(found, *bytes + (size_t)out[index]);
        MUST(cnrtMemcpy(found + *bytes, params[in_count + index], (size_t)out[index], CNRT_MEM_TRANS_DIR_DEV2HOST));
        *bytes += (size_t)out[index];
    }
    for (int index = 0; index < count; index++) {
        MUST(cnrtFree(params[index]));
    }
    MUST(cnrtDestroyQueue(queue));
    MUST(cnrtDestroyFunction(function));
    MUST(cnrtUnloadModel(model));
    MUST(cnrtDestroyRuntimeContext(context));
    return found;
}

int main(int argc, char **argv)
{
    cnrtModel_t model;
    cnrtDev_t device;
    size_t bytes, again;
    int size;
    if (argc != 2) {
        return 2;
    }
    MUST(cnrtInit(0));
    MUST(cnrtGetDeviceHandle(&device, 0));
    MUST(cnrtSetCurrentDevice(device));
    MUST(cnrtLoadModel(&model, argv[1]));
    unsigned char *by_name = run(model, &bytes);
    MUST(cnrtGetModelSize(argv[1], &size));
    char *memory = malloc((size_t)size);
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL || fread(memory, 1, (size_t)size, file) != (size_t)size) {
        return 1;
    }
    fclose(file);
    MUST(cnrtLoadModelFromMem(&model, memory));
    free(memory);
    unsigned char *from_memory = run(model, &again);
    if (bytes != again || memcmp(by_name, from_memory, bytes) != 0) {
        fprintf(stderr, "by name and from memory it gives different outputs\n");
        return 1;
    }
    printf("%zu\n", bytes);
    free(by_name);
    free(from_memory);
    cnrtDestroy();
    return 0;
}
