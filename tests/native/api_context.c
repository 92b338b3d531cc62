/* Runtime contexts: their buffers, lifetimes and threads. */
#include <pthread.h>

#include "api_job.h"

static void contexts_tell_about_themselves(void)
{
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
    CHECK_FAILS(CNRT_RET_ERR_INIT, "cnrtInitRuntimeContext",
                cnrtInvokeRuntimeContext(j.context, &function, NULL, NULL));
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

static void buffers_are_checked(void)
{
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
        CHECK_FAILS(CNRT_RET_ERR_INVALID, "not device memory",
                    cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    }
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeRuntimeContext(j.context, NULL, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    j.params[0] = good[0];
    cnrtInvokeParam_t dangling = {CNRT_INVOKE_PARAM_TYPE_0, {(unsigned *)(uintptr_t)0x10}};
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, &dangling)); /* its content is not looked at */
    OK(cnrtInvokeRuntimeContext_V2(j.context, NULL, j.params, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));                                             /* both queues write the same memory */
    OK(cnrtInvokeRuntimeContext_V3(j.context, NULL, j.params, NULL, NULL)); /* the default queue */
    OK(cnrtSyncQueue(NULL));
    int batch = 1, too_many = 2;
    OK(cnrtInvokeRuntimeContext_V3(j.context, &batch, j.params, j.queue, NULL));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "input 0 is 1,",
                cnrtInvokeRuntimeContext_V3(j.context, &too_many, j.params, j.queue, NULL));
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
static void interior_pointers_and_batches(void)
{
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
        OK(cnrtMemcpyAsync((char *)j.params[0] + i * IN_BYTES, picture, IN_BYTES, j.queue,
                           CNRT_MEM_TRANS_DIR_HOST2DEV));
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
static void releases_come_in_any_order(void)
{
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

static void functions_are_copied_and_contexts_forked(void)
{
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

static void *invoke_often(void *argument)
{
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

static void start_and_join(job *const *jobs, int count)
{
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
static void threads_invoke_at_once(void)
{
    job one, four;
    load(&one, small_path);
    load(&four, cores_path);
    OK(cnrtCreateRuntimeContext(&one.context, one.function, NULL));
    OK(cnrtInitRuntimeContext(one.context, NULL));
    OK(cnrtCreateRuntimeContext(&four.context, four.function, NULL));
    OK(cnrtInitRuntimeContext(four.context, NULL));
    job *const same[4] = {&one, &one, &one, &one}, *const mixed[8] = {&one, &four, &one,  &four,
                                                                      &one, &one,  &four, &one};
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
static void many_invocations_are_pending(void)
{
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

int main(int argc, char **argv)
{
    begin(argc, argv);
    RUN(contexts_tell_about_themselves);
    RUN(buffers_are_checked);
    RUN(interior_pointers_and_batches);
    RUN(releases_come_in_any_order);
    RUN(functions_are_copied_and_contexts_forked);
    RUN(threads_invoke_at_once);
    RUN(many_invocations_are_pending);
    /* the program ends with live objects and pending work */
    static job last;
    load(&last, small_path);
    prepare(&last);
    OK(cnrtInvokeRuntimeContext(last.context, last.params, last.queue, NULL));
    cnrtDestroy();
    return 0;
}
