/* Devices, memory, queues, notifiers and handles: everything that needs no model. */
#include <pthread.h>
#include <time.h>

#include "api_check.h"

static void functions_need_initialisation(void)
{
    cnrtQueue_t queue;
    void *memory;
    CHECK_FAILS(CNRT_RET_ERR_INIT, "cnrtInit", cnrtCreateQueue(&queue));
    CHECK_FAILS(CNRT_RET_ERR_INIT, "cnrtInit", cnrtMalloc(&memory, 16));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInit(2));
    OK(cnrtInit(0));
    OK(cnrtInit(0));
    CHECK_CODE(CNRT_RET_ERR_INVALID_TYPE, cnrtInit(1));
    cnrtDestroy();
    OK(cnrtMalloc(&memory, 16)); /* one initialisation is left */
    OK(cnrtFree(memory));
}

static void the_device_is_an_mlu220(void)
{
    unsigned count = 0, ordinal = 99, flags = 99, megabytes = 0;
    cnrtDev_t device = 0, current = 0;
    cnrtDeviceInfo_t info;
    OK(cnrtGetDeviceCount(&count));
    CHECK(count == 1);
    OK(cnrtGetDeviceHandle(&device, 0));
    CHECK(device != 0);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetDeviceHandle(&device, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSetCurrentDevice(0));
    OK(cnrtSetCurrentDevice(device));
    OK(cnrtGetCurrentDevice(&current));
    CHECK(current == device);
    OK(cnrtGetCurrentOrdinal(&ordinal));
    CHECK(ordinal == 0);
    OK(cnrtGetDeviceInfo(&info, 0));
    CHECK(strstr(info.device_name, "MLU220") != NULL && info.core_version == CNRT_MLU220 && info.core_num == 4);
    CHECK(sizeof info == 72);
    CHECK_CODE(CNRT_RET_ERR_NODEV, cnrtGetDeviceInfo(&info, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetDeviceInfo(&info, -1));
    OK(cnrtSetDeviceFlag(CNRT_QUEUE_SYNC_BLOCK));
    OK(cnrtGetDeviceFlag(&flags));
    CHECK(flags == CNRT_QUEUE_SYNC_BLOCK);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSetDeviceFlag(3));
    OK(cnrtSetStackMem(100));
    OK(cnrtGetStackMem(&megabytes));
    CHECK(megabytes == 100);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSetLocalMem(512));
    OK(cnrtSetLocalMem(200));
    OK(cnrtGetLocalMem(&megabytes));
    CHECK(megabytes == 200); /* apart from the stack's */
    OK(cnrtGetStackMem(&megabytes));
    CHECK(megabytes == 100);
}

static void the_version_is_4(void)
{
    unsigned version = 0;
    int major = 0, minor = 0, patch = 0;
    OK(cnrtGetVersion(&version));
    cnrtGetLibVersion(&major, &minor, &patch);
    CHECK(version == (unsigned)(major * 10000 + minor * 100 + patch) && major == 4);
    CHECK(cnrtSimulatorAbiVersion() == 4);
}

static void device_memory_is_checked(void)
{
    void *device = (void *)1, *empty = (void *)1, *base;
    uint8_t in[100], out[100];
    size_t bytes;
    for (int i = 0; i < 100; i++) {
        in[i] = (uint8_t)i;
    }
    OK(cnrtMalloc(&empty, 0));
    CHECK(empty == NULL);
    OK(cnrtFree(empty));
    OK(cnrtMalloc(&device, 100));
    OK(cnrtMemcpy(device, in, 100, CNRT_MEM_TRANS_DIR_HOST2DEV));
    OK(cnrtMemcpy(out, (uint8_t *)device + 40, 60, CNRT_MEM_TRANS_DIR_DEV2HOST)); /* an interior pointer */
    CHECK(memcmp(out, in + 40, 60) == 0);
    OK(cnrtMemcpy(device, (uint8_t *)device + 50, 50, CNRT_MEM_TRANS_DIR_DEV2DEV));
    OK(cnrtMemcpy(out, in, 100, CNRT_MEM_TRANS_DIR_HOST2HOST));
    CHECK_FAILS(CNRT_RET_ERR_MEMCPY, "passes the end",
                cnrtMemcpy((uint8_t *)device + 41, in, 60, CNRT_MEM_TRANS_DIR_HOST2DEV));
    CHECK_FAILS(CNRT_RET_ERR_MEMCPY, "not device memory", cnrtMemcpy(out, in, 10, CNRT_MEM_TRANS_DIR_HOST2DEV));
    CHECK_FAILS(CNRT_RET_ERR_MEMCPY, "is device memory", cnrtMemcpy(device, in, 10, CNRT_MEM_TRANS_DIR_HOST2HOST));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpy(NULL, in, 10, CNRT_MEM_TRANS_DIR_HOST2DEV));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpy(device, in, 10, CNRT_MEM_TRANS_DIR_PEER2PEER));
    OK(cnrtMemset(device, 7, 100));
    OK(cnrtMemsetD32((uint8_t *)device + 8, 0x01020304, 2));
    OK(cnrtMemcpy(out, device, 100, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(out[0] == 7 && out[7] == 7 && out[8] == 4 && out[15] == 1 && out[16] == 7);
    OK(cnrtMemsetD8((uint8_t *)device + 3, 0xa5, 2));
    OK(cnrtMemcpy(out, device, 100, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(out[2] == 7 && (uint8_t)out[3] == 0xa5 && (uint8_t)out[4] == 0xa5 && out[5] == 7);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemsetD8(device, 0, 101));
    CHECK_CODE(CNRT_RET_ERR_OUT_RANGE, cnrtMemset(device, 256, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemset(device, 0, 101));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemsetD32(device, 0, (size_t)-1 / 2));
    OK(cnrtGetMemorySize(&base, (uint8_t *)device + 99, &bytes));
    CHECK(base == device && bytes == 100);
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtFree((uint8_t *)device + 1));
    OK(cnrtFree(device));
    CHECK_FAILS(CNRT_RET_ERR_FIND_DEV_ADDR, "freed before", cnrtFree(device));
    CHECK_CODE(CNRT_RET_ERR_MEMCPY, cnrtMemcpy(device, in, 1, CNRT_MEM_TRANS_DIR_HOST2DEV));
}

static void memory_runs_out(void)
{
    void *huge = NULL, *half = NULL;
    size_t free_mb = 0, total_mb = 0, free_again = 0;
    OK(cnrtGetMemInfo(&free_mb, &total_mb, CNRT_CHANNEL_TYPE_NONE));
    CHECK(free_mb == total_mb && total_mb > 0);
    CHECK_FAILS(CNRT_RET_ERR_NOMEM, "CNRT_SIMULATOR_MEMORY_MB", cnrtMalloc(&huge, (total_mb << 20) + 1));
    CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtMalloc(&huge, (size_t)-1));
    OK(cnrtMalloc(&half, (total_mb << 20) / 16));
    OK(cnrtGetMemInfo(&free_again, &total_mb, CNRT_CHANNEL_TYPE_NONE));
    CHECK(free_again == free_mb - total_mb / 16);
    OK(cnrtFree(half));
}

static void arrays_and_host_memory_are_freed(void)
{
    void *array[3], *host;
    for (int i = 0; i < 3; i++) {
        OK(cnrtMalloc(&array[i], 8));
    }
    OK(cnrtFreeArray(array, 3));
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtFreeArray(array, 3));
    OK(cnrtMallocHost(&host, 32, CNRT_MEMTYPE_LOCKED));
    memset(host, 0, 32);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMallocHost(&host, 32, CNRT_MEMTYPE_DEV));
    OK(cnrtFreeHost(host));
    CHECK_CODE(CNRT_RET_ERR_FAULT, cnrtFreeHost(host));
}

/* Ten thousand small steps on one queue, each depending on the one before. */
static void queues_keep_their_order(void)
{
    enum { STEPS = 10000 };
    void *device;
    static uint32_t values[STEPS];
    uint32_t last = 0;
    cnrtQueue_t queue;
    OK(cnrtMalloc(&device, 4));
    OK(cnrtCreateQueue(&queue));
    for (uint32_t i = 0; i < STEPS; i++) {
        values[i] = i;
        OK(cnrtMemcpyAsync(device, &values[i], 4, queue, CNRT_MEM_TRANS_DIR_HOST2DEV));
    }
    OK(cnrtMemcpyAsync(&last, device, 4, queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtSyncQueue(queue));
    CHECK(last == STEPS - 1);
    OK(cnrtQueryQueue(queue));
    OK(cnrtMemsetD32Async(device, 77, 1, queue));
    OK(cnrtSyncDevice());
    OK(cnrtMemcpy(&last, device, 4, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(last == 77);
    OK(cnrtMemsetD8Async(device, 1, 4, NULL)); /* the default queue */
    OK(cnrtSyncQueue(NULL));
    OK(cnrtMemcpy(&last, device, 4, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(last == 0x01010101);
    OK(cnrtDestroyQueue(queue));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "was destroyed", cnrtDestroyQueue(queue));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSyncQueue(queue));
    OK(cnrtFree(device));
}

/* Places both, with `between` of the first in the middle, and gives how far they are apart. */
static float apart(cnrtQueue_t queue, cnrtNotifier_t start, cnrtNotifier_t end, cnrtRet_t (*between)(cnrtQueue_t))
{
    float us = -1;
    OK(cnrtPlaceNotifier(start, queue));
    if (between != NULL) {
        OK(between(queue));
    }
    OK(cnrtPlaceNotifier(end, queue));
    OK(cnrtSyncQueue(queue));
    OK(cnrtNotifierDuration(start, end, &us));
    return us;
}

static double host_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static cnrtRet_t pause_host(cnrtQueue_t queue)
{
    const struct timespec two_ms = {0, 2000000};
    (void)queue;
    nanosleep(&two_ms, NULL);
    return CNRT_RET_SUCCESS;
}

/* A machine that is busy may hold the host up between two calls for as long as it likes: then it is tried again. */
static void notifiers_with_nothing_between_are_one_time(void)
{
    cnrtQueue_t queue;
    cnrtNotifier_t start, end;
    void *device;
    OK(cnrtCreateQueue(&queue));
    OK(cnrtCreateNotifier(&start));
    OK(cnrtCreateNotifier(&end));
    OK(cnrtMalloc(&device, 1 << 20));
    for (int behind_work = 0; behind_work < 2; behind_work++) {
        float us = -1;
        double took = 1e6;
        for (int again = 0; again < 10000 && took > 900; again++) {
            if (behind_work) {
                OK(cnrtMemsetD8Async(device, 1, 1 << 20, queue));
            }
            const double begun = host_us();
            us = apart(queue, start, end, NULL);
            took = host_us() - begun;
        }
        CHECK(took <= 900 && us == 0);
    }
    CHECK(apart(queue, start, end, cnrtSyncQueue) > 0);
    CHECK(apart(queue, start, end, pause_host) > 0);
    OK(cnrtFree(device));
    OK(cnrtDestroyNotifier(&start));
    OK(cnrtDestroyNotifier(&end));
    OK(cnrtDestroyQueue(queue));
}

static void notifiers_measure_microseconds(void)
{
    cnrtQueue_t queue, other;
    cnrtNotifier_t start, end, never;
    float us = -1;
    void *device;
    OK(cnrtCreateQueue(&queue));
    OK(cnrtCreateQueue(&other));
    OK(cnrtCreateNotifier(&start));
    OK(cnrtCreateNotifier(&end));
    OK(cnrtCreateNotifier(&never));
    OK(cnrtMalloc(&device, 8 << 20));
    OK(cnrtQueryNotifier(never));
    OK(cnrtWaitNotifier(never));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtNotifierDuration(start, end, &us));
    for (int again = 0; again < 3; again++) { /* placing again overwrites */
        OK(cnrtPlaceNotifier(start, queue));
        OK(cnrtMemsetD8Async(device, 1, 8 << 20, queue));
        OK(cnrtPlaceNotifier(end, queue));
        cnrtRet_t state = cnrtQueryNotifier(end);
        CHECK(state == CNRT_RET_SUCCESS || state == CNRT_RET_ERR_BUSY);
        state = cnrtQueryQueue(queue);
        CHECK(state == CNRT_RET_SUCCESS || state == CNRT_RET_ERR_NOT_READY);
        OK(cnrtQueueWaitNotifier(end, other, 0));
        OK(cnrtSyncQueue(other)); /* so the first queue has passed `end` */
        OK(cnrtQueryNotifier(end));
        OK(cnrtNotifierDuration(start, end, &us));
        CHECK(us > 0 && us < 60e6f);
    }
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtQueueWaitNotifier(end, other, 1));
    cnrtNotifier_t stale = start, none = NULL;
    OK(cnrtDestroyNotifier(&start));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyNotifier(&stale));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyNotifier(&none));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyNotifier(NULL));
    OK(cnrtDestroyNotifier(&end));
    OK(cnrtDestroyNotifier(&never));
    OK(cnrtDestroyQueue(queue));
    OK(cnrtDestroyQueue(other));
    OK(cnrtFree(device));
}

/* NULL, garbage, addresses, and handles of another kind are all refused. */
static void bad_handles_are_refused(void)
{
    cnrtQueue_t queue;
    OK(cnrtCreateQueue(&queue));
    int local = 0;
    int64_t *sizes;
    void *const bad[] = {NULL, (void *)1, (void *)-1, &local, queue, (void *)0x10000010};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cnrtNotifier_t notifier = (cnrtNotifier_t)bad[i];
        cnrtFunction_t function = (cnrtFunction_t)bad[i];
        cnrtRuntimeContext_t context;
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyNotifier(&notifier));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtPlaceNotifier(notifier, queue));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtWaitNotifier(notifier));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyFunction(function));
        CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtGetInputDataSize(&sizes, &local, function));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCreateRuntimeContext(&context, function, NULL));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInitRuntimeContext((cnrtRuntimeContext_t)bad[i], NULL));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyRuntimeContext((cnrtRuntimeContext_t)bad[i]));
        CHECK_CODE(CNRT_RET_ERR_INVALID,
                   cnrtInvokeRuntimeContext((cnrtRuntimeContext_t)bad[i], (void **)&bad, queue, NULL));
        cnrtRet_t unload = cnrtUnloadModel((cnrtModel_t)bad[i]);
        CHECK(unload == CNRT_RET_ERR_INVALID || unload == CNRT_RET_ERR_INVALID_POINTER);
    }
    for (int i = 0; i < 1000; i++) { /* slots are used again, handles are not */
        cnrtNotifier_t old, fresh;
        OK(cnrtCreateNotifier(&old));
        fresh = old;
        OK(cnrtDestroyNotifier(&old));
        CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtQueryNotifier(fresh));
    }
    OK(cnrtDestroyQueue(queue));
}

static void *other_thread(void *argument)
{
    (void)argument;
    cnrtChannelType_t channel;
    CHECK(cnrtPeekLastErr() == CNRT_RET_SUCCESS && cnrtSimulatorLastMessage()[0] == '\0');
    OK(cnrtGetCurrentChannel(&channel));
    CHECK(channel == CNRT_CHANNEL_TYPE_NONE);
    return NULL;
}

static void errors_and_channels_belong_to_their_thread(void)
{
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetDeviceCount(NULL));
    CHECK(cnrtPeekLastErr() == CNRT_RET_ERR_INVALID);
    OK(cnrtSetCurrentChannel(CNRT_CHANNEL_TYPE_3));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    pthread_join(thread, NULL);
    CHECK(cnrtGetLastErr() == CNRT_RET_ERR_INVALID);
    CHECK(cnrtGetLastErr() == CNRT_RET_SUCCESS);
    CHECK(strstr(cnrtSimulatorLastMessage(), "dev_num is NULL") != NULL);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtSetCurrentChannel((cnrtChannelType_t)4));
    CHECK(strcmp(cnrtGetErrorName(CNRT_RET_ERR_QUEUE), "CNRT_RET_ERR_QUEUE") == 0);
    CHECK(strcmp(cnrtGetErrorName((cnrtRet_t)12345), "CNRT_RET_ERR_UNKNOWN") == 0);
    CHECK(cnrtGetErrorStr((cnrtRet_t)-1) != NULL);
    CNRT_CHECK(CNRT_RET_SUCCESS);
}

static void *use_everything(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++) {
        cnrtQueue_t queue;
        cnrtNotifier_t notifier;
        void *device;
        uint32_t word = 0;
        OK(cnrtCreateQueue(&queue));
        OK(cnrtCreateNotifier(&notifier));
        OK(cnrtMalloc(&device, 64));
        OK(cnrtMemsetD32Async(device, (uint32_t)i, 16, queue));
        OK(cnrtPlaceNotifier(notifier, queue));
        OK(cnrtWaitNotifier(notifier));
        OK(cnrtMemcpy(&word, (char *)device + 60, 4, CNRT_MEM_TRANS_DIR_DEV2HOST));
        CHECK(word == (uint32_t)i);
        OK(cnrtPlaceNotifier(notifier, queue));
        OK(cnrtDestroyQueue(queue)); /* at once: pending work still runs, and outlives its notifier's handle */
        OK(cnrtDestroyNotifier(&notifier));
        OK(cnrtFree(device));
        if (i % 16 == 0) {
            OK(cnrtSyncDevice());
        }
    }
    return NULL;
}

static void threads_share_the_runtime(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, use_everything, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    RUN(functions_need_initialisation);
    RUN(the_device_is_an_mlu220);
    RUN(the_version_is_4);
    RUN(device_memory_is_checked);
    RUN(memory_runs_out);
    RUN(arrays_and_host_memory_are_freed);
    RUN(queues_keep_their_order);
    RUN(notifiers_measure_microseconds);
    RUN(notifiers_with_nothing_between_are_one_time);
    RUN(bad_handles_are_refused);
    RUN(errors_and_channels_belong_to_their_thread);
    RUN(threads_share_the_runtime);
    cnrtDestroy();
    cnrtDestroy(); /* once too often: no harm */
    return 0;
}
