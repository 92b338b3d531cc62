/* One loaded function with everything around it, and the answer that it has to give; for the tests that run models.
 * Arguments of these tests: the small model for 1 core, for 4 cores, and with a batch of 3. */
#ifndef API_JOB_H
#define API_JOB_H

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

static inline void load(job *j, const char *path)
{
    OK(cnrtLoadModel(&j->model, path));
    OK(cnrtCreateFunction(&j->function));
    OK(cnrtExtractFunction(&j->function, j->model, "subnet0"));
}

static inline void prepare(job *j)
{
    OK(cnrtCreateRuntimeContext(&j->context, j->function, NULL));
    OK(cnrtSetRuntimeContextDeviceId(j->context, 0));
    OK(cnrtInitRuntimeContext(j->context, NULL));
    OK(cnrtCreateQueue(&j->queue));
    OK(cnrtMalloc(&j->params[0], IN_BYTES));
    OK(cnrtMalloc(&j->params[1], OUT_BYTES));
    OK(cnrtMemcpy(j->params[0], picture, IN_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV));
}

static inline void release_buffers(job *j)
{
    OK(cnrtFree(j->params[0]));
    OK(cnrtFree(j->params[1]));
}

static inline void run_and_compare(job *j)
{
    uint8_t found[OUT_BYTES];
    OK(cnrtMemset(j->params[1], 0xee, OUT_BYTES));
    OK(cnrtInvokeRuntimeContext(j->context, j->params, j->queue, NULL));
    OK(cnrtMemcpyAsync(found, j->params[1], OUT_BYTES, j->queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtSyncQueue(j->queue));
    CHECK(memcmp(found, expected, OUT_BYTES) == 0);
}

static inline void make_expected(void)
{
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

/* The three models of the command line, the runtime, and what the small one answers. */
static inline void begin(int argc, char **argv)
{
    CHECK(argc == 4);
    small_path = argv[1];
    cores_path = argv[2];
    batch_path = argv[3];
    OK(cnrtInit(0));
    make_expected();
}

#endif
