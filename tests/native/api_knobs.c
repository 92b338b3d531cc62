/* What the environment chooses. The argument says which of ABI.md's variables ctest has set. */
#include "api_check.h"

typedef struct job {
    cnrtModel_t model;
    cnrtFunction_t function;
    cnrtRuntimeContext_t context;
    void *params[2];
} job;

static void open_context(job *j)
{
    OK(cnrtCreateRuntimeContext(&j->context, j->function, NULL));
    OK(cnrtInitRuntimeContext(j->context, NULL));
}

static void open_job(job *j, const char *path)
{
    OK(cnrtInit(0));
    OK(cnrtLoadModel(&j->model, path));
    OK(cnrtCreateFunction(&j->function));
    OK(cnrtExtractFunction(&j->function, j->model, "subnet0"));
    open_context(j);
    OK(cnrtMalloc(&j->params[0], 1 << 20));
    OK(cnrtMalloc(&j->params[1], 1 << 20));
}

static cnrtRet_t invoke(job *j)
{
    OK(cnrtInvokeRuntimeContext(j->context, j->params, NULL, NULL));
    return cnrtSyncQueue(NULL);
}

/* CNRT_SIMULATOR_FAIL_INVOCATION=2: the first invocation works, the second fails at the sync, the third works. */
static void second_invocation_fails(const char *path)
{
    job j;
    open_job(&j, path);
    for (int i = 1; i <= 3; i++) {
        CHECK_CODE(i == 2 ? CNRT_RET_ERR_QUEUE : CNRT_RET_SUCCESS, invoke(&j));
    }
    CHECK(strstr(cnrtSimulatorLastMessage(), "Call 2 of cnrtInvokeRuntimeContext failed") != NULL);
}

/* With CNRT_SIMULATOR_FAIL_UNTIL all fail from the second on; a new context and a new cnrtInit end it, or do not. */
static void invocations_fail_until(const char *path, bool context_mends, bool init_mends)
{
    job j;
    open_job(&j, path);
    CHECK_CODE(CNRT_RET_SUCCESS, invoke(&j));
    CHECK_CODE(CNRT_RET_ERR_QUEUE, invoke(&j));
    CHECK_CODE(CNRT_RET_ERR_QUEUE, invoke(&j));
    CHECK(strstr(cnrtSimulatorLastMessage(), "Call 3 of cnrtInvokeRuntimeContext failed") != NULL);
    open_context(&j);
    CHECK_CODE(context_mends ? CNRT_RET_SUCCESS : CNRT_RET_ERR_QUEUE, invoke(&j));
    OK(cnrtInit(0));
    CHECK_CODE(context_mends || init_mends ? CNRT_RET_SUCCESS : CNRT_RET_ERR_QUEUE, invoke(&j));
}

static void four_core_model_on_one_thread(const char *path)
{
    job j;
    cnrtDeviceInfo_t info;
    CHECK(cnrtSimulatorThreads() == 1);
    open_job(&j, path);
    OK(cnrtGetDeviceInfo(&info, 0));
    CHECK(info.core_num == 4);
    CHECK_CODE(CNRT_RET_SUCCESS, invoke(&j));
}

/* CNRT_SIMULATOR_KERNELS: the table of that name is first, and no name comes twice. */
static void kernels_are_named(void)
{
    const char *names = cnrtSimulatorKernels();
    CHECK(names != NULL && strncmp(names, "reference", 9) == 0 && strstr(names + 9, "reference") == NULL);
}

static void kernels_that_are_not_here_are_said(void)
{
    CHECK(cnrtSimulatorKernels() == NULL);
    CHECK(cnrtGetLastErr() == CNRT_RET_ERR_UNSUPPORTED);
    CHECK(strstr(cnrtSimulatorLastMessage(), "CNRT_SIMULATOR_KERNELS is \"quick\", this machine has ") != NULL);
    CHECK(strstr(cnrtSimulatorLastMessage(), "reference.") != NULL);
}

static void select_device(int ordinal)
{
    cnrtDev_t device;
    OK(cnrtGetDeviceHandle(&device, ordinal));
    OK(cnrtSetCurrentDevice(device));
}

/* Two devices of 2 MB: what one has given away is missing there alone, and freed memory returns to where it was. */
static void two_devices_have_memory_of_their_own(void)
{
    void *first, *second;
    OK(cnrtInit(0));
    select_device(0);
    OK(cnrtMalloc(&first, 2 << 20));
    CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtMalloc(&second, 1));
    select_device(1);
    OK(cnrtMalloc(&second, 2 << 20));
    OK(cnrtFree(first));
    CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtMalloc(&first, 1));
    select_device(0);
    OK(cnrtMalloc(&first, 2 << 20));
}

/* Every device runs invocations beside the others, with cores of its own: while one is lost, or hangs, another works. */
static void devices_run_apart(const char *path)
{
    job first, second;
    open_job(&first, path);
    select_device(1);
    open_job(&second, path);
    cnrtQueue_t queue;
    OK(cnrtCreateQueue(&queue));
    OK(cnrtInvokeRuntimeContext(second.context, second.params, queue, NULL)); /* hangs in its queue */
    CHECK_CODE(CNRT_RET_ERR_NOT_READY, cnrtQueryQueue(queue));
    select_device(0);
    CHECK_CODE(CNRT_RET_SUCCESS, invoke(&first));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "belongs to device 1",
                cnrtInvokeRuntimeContext(first.context, first.params, queue, NULL));
    CHECK_FAILS(CNRT_RET_ERR_NODEV, "Device 0 is lost",
                cnrtInvokeRuntimeContext(first.context, first.params, NULL, NULL));
    select_device(1);
    void *memory;
    OK(cnrtMalloc(&memory, 64));
    CHECK_CODE(CNRT_RET_ERR_NOT_READY, cnrtQueryQueue(queue));
    select_device(0);
    CHECK_FAILS(CNRT_RET_ERR_NODEV, "a new cnrtInit brings it back", cnrtMalloc(&memory, 64));
    OK(cnrtInit(0));
    CHECK_CODE(CNRT_RET_SUCCESS, invoke(&first));
}

/* CNRT_SIMULATOR_TIMING=mlu220: the time between two marks is the estimate, the same on every processor; an invocation on a
 * queue that waits for another one begins where that one is. */
static void times_are_estimates(const char *path)
{
    job j;
    open_job(&j, path);
    cnrtNotifier_t marks[3];
    cnrtQueue_t queues[2];
    float us;
    for (int i = 0; i < 3; i++) {
        OK(cnrtCreateNotifier(&marks[i]));
    }
    OK(cnrtCreateQueue(&queues[0]));
    OK(cnrtCreateQueue(&queues[1]));
    OK(cnrtPlaceNotifier(marks[0], queues[0]));
    OK(cnrtInvokeRuntimeContext(j.context, j.params, queues[0], NULL));
    OK(cnrtPlaceNotifier(marks[1], queues[0]));
    OK(cnrtQueueWaitNotifier(marks[1], queues[1], 0));
    OK(cnrtInvokeRuntimeContext(j.context, j.params, queues[1], NULL));
    OK(cnrtPlaceNotifier(marks[2], queues[1]));
    OK(cnrtSyncQueue(queues[1]));
    OK(cnrtNotifierDuration(marks[0], marks[1], &us));
    CHECK(us > 29.66f && us < 29.67f);
    OK(cnrtNotifierDuration(marks[0], marks[2], &us));
    CHECK(us > 59.32f && us < 59.34f);
    CHECK(strcmp(cnrtSimulatorNotes(), "device times are estimates for MLU220-M.2") == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2 || argc == 3);
    unsigned count = 99, version = 0, ordinal = 99;
    cnrtDeviceInfo_t info;
    cnrtDev_t device;
    void *memory;
    if (strcmp(argv[1], "no_device") == 0) {
        OK(cnrtGetDeviceCount(&count));
        CHECK(count == 0);
        CHECK_FAILS(CNRT_RET_ERR_NODEV, "CNRT_SIMULATOR_DEVICES", cnrtInit(0));
    } else if (strcmp(argv[1], "mlu270") == 0) {
        OK(cnrtInit(0));
        OK(cnrtGetDeviceInfo(&info, 0));
        CHECK(strstr(info.device_name, "MLU270") != NULL && info.core_version == CNRT_MLU270 && info.core_num == 16);
        OK(cnrtMalloc(&memory, 64));
        CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "only an MLU220", cnrtMap(&memory, memory));
        CHECK_FAILS(CNRT_RET_ERR_MAP, "MLU270", cnrtMapRange(&memory, memory, 64));
    } else if (strcmp(argv[1], "kernels") == 0) {
        kernels_are_named();
    } else if (strcmp(argv[1], "kernels_lacking") == 0) {
        kernels_that_are_not_here_are_said();
    } else if (strcmp(argv[1], "threads") == 0) { /* CNRT_SIMULATOR_THREADS=1: the device has its cores all the same */
        four_core_model_on_one_thread(argv[2]);
    } else if (strcmp(argv[1], "threads_do_not_count") == 0) { /* the host only waits, or copies what was recorded */
        CHECK(cnrtSimulatorThreads() == 0);
    } else if (strcmp(argv[1], "version") == 0) {
        OK(cnrtGetVersion(&version));
        CHECK(version == 41004);
    } else if (strcmp(argv[1], "forced") == 0) { /* 3 devices, CNRT_DEFAULT_DEVICE=2 */
        OK(cnrtInit(0));
        OK(cnrtGetDeviceHandle(&device, 0));
        OK(cnrtSetCurrentDevice(device));
        OK(cnrtGetCurrentOrdinal(&ordinal));
        CHECK(ordinal == 2);
    } else if (strcmp(argv[1], "forced_wrong") == 0) {
        CHECK_FAILS(CNRT_RET_ERR_INIT, "CNRT_DEFAULT_DEVICE=7", cnrtInit(0));
    } else if (strcmp(argv[1], "memory") == 0) { /* 2 MB */
        OK(cnrtInit(0));
        OK(cnrtMalloc(&memory, 2 << 20));
        CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtMalloc(&memory, 1));
    } else if (strcmp(argv[1], "memory_of_each") == 0) {
        two_devices_have_memory_of_their_own();
    } else if (strcmp(argv[1], "devices_run_apart") == 0) {
        devices_run_apart(argv[2]);
    } else if (strcmp(argv[1], "estimate") == 0) {
        times_are_estimates(argv[2]);
    } else if (strcmp(argv[1], "failure") == 0) {
        second_invocation_fails(argv[2]);
    } else if (strcmp(argv[1], "failure_until_context") == 0) {
        invocations_fail_until(argv[2], true, false);
    } else if (strcmp(argv[1], "failure_until_init") == 0) {
        invocations_fail_until(argv[2], false, true);
    } else if (strcmp(argv[1], "failure_forever") == 0) {
        invocations_fail_until(argv[2], false, false);
    } else {
        CHECK(!"a known argument");
    }
    return 0;
}
