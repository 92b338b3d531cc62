/* Wrong programs, one a case: CNRT_SIMULATOR_STRICT names what each does wrong. Each case runs in a process of its own
 * (strict_cases.py knows what is to be said); the cases whose name begins with right_ do nothing wrong.
 *
 *     strict_cases CASE SMALL_MODEL BATCH_MODEL OTHER_MODEL
 *
 * (the small model, the same with a batch of 3, and one whose input has another size) */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api_check.h"

enum { IN_BYTES = 32 * 32 * 4, OUT_BYTES = 16 * 16 * 18 * 2, BATCH = 3, RECOVERIES = 20 };

typedef struct job {
    cnrtModel_t model;
    cnrtFunction_t function;
    cnrtRuntimeContext_t context;
    cnrtQueue_t queue;
    void *params[3];
    size_t in_bytes, out_bytes; /* of the first of each */
    int buffers;
} job;

static const char *small_path, *batch_path, *other_path;
static uint8_t picture[BATCH * IN_BYTES], found[BATCH * OUT_BYTES];
static int pass; /* nothing else: keeps loads and stores from being left out */

static void to_device(void *to, size_t bytes)
{
    OK(cnrtMemcpy(to, picture, bytes, CNRT_MEM_TRANS_DIR_HOST2DEV));
}

static void to_host(void *from, size_t bytes)
{
    cnrtMemcpy(found, from, bytes, CNRT_MEM_TRANS_DIR_DEV2HOST);
}

/* A model that is ready, with buffers of its own, nothing copied. */
static void open_model(job *j, const char *path)
{
    int64_t *bytes;
    int count;
    OK(cnrtLoadModel(&j->model, path));
    OK(cnrtCreateFunction(&j->function));
    OK(cnrtExtractFunction(&j->function, j->model, "subnet0"));
    OK(cnrtCreateRuntimeContext(&j->context, j->function, NULL));
    OK(cnrtInitRuntimeContext(j->context, NULL));
    OK(cnrtCreateQueue(&j->queue));
    OK(cnrtGetInputDataSize(&bytes, &count, j->function));
    CHECK(count == 1);
    j->in_bytes = (size_t)bytes[0];
    free(bytes);
    OK(cnrtMalloc(&j->params[0], j->in_bytes));
    OK(cnrtGetOutputDataSize(&bytes, &count, j->function));
    j->out_bytes = (size_t)bytes[0];
    j->buffers = 1 + count;
    for (int output = 0; output < count; output++) {
        OK(cnrtMalloc(&j->params[1 + output], (size_t)bytes[output]));
    }
    free(bytes);
}

static job open_job(void)
{
    job j;
    OK(cnrtInit(0));
    open_model(&j, small_path);
    return j;
}

static void invoke(job *j)
{
    OK(cnrtInvokeRuntimeContext(j->context, j->params, j->queue, NULL));
}

static void run_once(job *j)
{
    to_device(j->params[0], j->in_bytes);
    invoke(j);
    OK(cnrtSyncQueue(j->queue));
    to_host(j->params[1], j->out_bytes);
}

static void close_model(job *j)
{
    OK(cnrtDestroyQueue(j->queue));
    OK(cnrtFreeArray(j->params, j->buffers));
    OK(cnrtDestroyRuntimeContext(j->context));
    OK(cnrtDestroyFunction(j->function));
    OK(cnrtUnloadModel(j->model));
}

static void close_job(job *j)
{
    close_model(j);
    cnrtDestroy();
}

/* ---- The host and device memory ---- */

static void host_reads(void)
{
    job j = open_job();
    run_once(&j);
    pass = ((volatile uint8_t *)j.params[1])[18]; /* to see the result */
    close_job(&j);
}

static void host_writes(void)
{
    job j = open_job();
    memcpy(j.params[0], picture, (size_t)IN_BYTES); /* the input, as if there were no device */
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    close_job(&j);
}

static void host_reads_freed(void)
{
    job j = open_job();
    run_once(&j);
    volatile uint8_t *result = j.params[1];
    close_job(&j);
    pass = result[0];
}

static void on_signal(int number)
{
    static const char WORDS[] = "the program's handler\n";
    (void)number;
    pass = (int)write(STDERR_FILENO, WORDS, sizeof WORDS - 1);
    _exit(7);
}

static void host_reads_with_a_handler(void)
{
    signal(SIGSEGV, on_signal);
    host_reads();
}

static void host_reads_with_a_later_handler(void)
{
    void *memory;
    OK(cnrtInit(0));
    OK(cnrtMalloc(&memory, 64));
    signal(SIGSEGV, on_signal);
    OK(cnrtFree(memory));
    OK(cnrtMalloc(&memory, 64));
    pass = *(volatile uint8_t *)memory;
}

static sigjmp_buf recovery;
static volatile int recoveries;
static struct sigaction earlier;

static void recover(int number)
{
    (void)number;
    if (recoveries == RECOVERIES) {
        _exit(errno == EDOM ? 7 : 8);
    }
    recoveries++;
    siglongjmp(recovery, 1);
}

static void fault_and_recover(void)
{
    volatile uint8_t *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)page != MAP_FAILED);
    while (recoveries < RECOVERIES) {
        if (sigsetjmp(recovery, 1) == 0) {
            pass = *page; /* always of the same code, to the same address */
        }
    }
    munmap((void *)page, 1);
}

static void host_reads_after_recoveries(void)
{
    signal(SIGSEGV, recover);
    job j = open_job();
    fault_and_recover();
    errno = EDOM;
    pass = *(volatile uint8_t *)j.params[1];
    close_job(&j);
}

static void on_signal_call_the_earlier(int number, siginfo_t *info, void *context)
{
    if ((earlier.sa_flags & SA_SIGINFO) != 0) {
        earlier.sa_sigaction(number, info, context);
    } else {
        signal(SIGSEGV, SIG_DFL);
    }
}

static void on_signal_restore_the_earlier(int number)
{
    sigaction(number, &earlier, NULL); /* and again */
}

static void read_with(struct sigaction action)
{
    void *memory;
    OK(cnrtInit(0));
    OK(cnrtMalloc(&memory, 64));
    sigaction(SIGSEGV, &action, &earlier);
    OK(cnrtFree(memory));
    OK(cnrtMalloc(&memory, 64));
    pass = *(volatile uint8_t *)memory;
    OK(cnrtFree(memory));
    cnrtDestroy();
}

static void host_reads_with_a_handler_before_the_earlier(void)
{
    read_with((struct sigaction){.sa_sigaction = on_signal_call_the_earlier, .sa_flags = SA_SIGINFO});
}

static void host_reads_with_a_handler_that_goes(void)
{
    read_with((struct sigaction){.sa_handler = on_signal_restore_the_earlier});
}

static void no_more(int number)
{
    (void)number;
}

static void host_reads_with_a_handler_for_once(void)
{
    read_with((struct sigaction){.sa_handler = no_more, .sa_flags = (int)SA_RESETHAND});
}

/* ---- What was never written, freed, or given back ---- */

static void output_never_written(void)
{
    job j = open_job();
    to_device(j.params[0], IN_BYTES);
    to_host(j.params[1], OUT_BYTES); /* the invocation was forgotten */
    close_job(&j);
}

static void input_never_written(void)
{
    job j = open_job();
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    to_host(j.params[1], OUT_BYTES);
    close_job(&j);
}

static void input_with_three_channels(void)
{
    job j = open_job();
    to_device(j.params[0], 32 * 32 * 3);
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    to_host(j.params[1], OUT_BYTES);
    close_job(&j);
}

static void output_read_too_long(void)
{
    job j = open_job();
    void *roomy;
    OK(cnrtMalloc(&roomy, 2 * OUT_BYTES));
    void *own = j.params[1];
    j.params[1] = roomy;
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    to_host(roomy, 2 * OUT_BYTES);
    j.params[1] = own;
    OK(cnrtFree(roomy));
    close_job(&j);
}

static void copy_after_free(void)
{
    job j = open_job();
    run_once(&j);
    void *result = j.params[1];
    close_model(&j);
    to_host(result, OUT_BYTES);
    cnrtDestroy();
}

static void invocation_after_free(void)
{
    job j = open_job();
    void *input = j.params[0];
    to_device(input, IN_BYTES);
    OK(cnrtFree(input));
    cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL);
    OK(cnrtMalloc(&j.params[0], IN_BYTES));
    close_job(&j);
}

static void freed_twice(void)
{
    job j = open_job();
    run_once(&j);
    OK(cnrtFree(j.params[0]));
    cnrtFree(j.params[0]);
    j.params[0] = NULL;
    close_job(&j);
}

static void freed_from_the_middle(void)
{
    job j = open_job();
    cnrtFree((char *)j.params[1] + 64);
    close_job(&j);
}

static void memory_leaks(void)
{
    job j = open_job();
    for (int frame = 0; frame < 3; frame++) {
        void *scratch;
        OK(cnrtMalloc(&scratch, 1000));
    }
    run_once(&j);
    close_job(&j);
}

static void handles_leak(void)
{
    job j = open_job();
    cnrtNotifier_t notifier;
    void *host;
    OK(cnrtCreateNotifier(&notifier));
    OK(cnrtMallocHost(&host, 512, CNRT_MEMTYPE_DEFAULT));
    run_once(&j);
    OK(cnrtFree(j.params[0]));
    OK(cnrtFree(j.params[1]));
    cnrtDestroy();
}

static void nothing_is_given_back(void)
{
    job j = open_job();
    run_once(&j);
}

/* ---- Order ---- */

static void output_read_too_early(void)
{
    job j = open_job();
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    to_host(j.params[1], OUT_BYTES);
    OK(cnrtSyncQueue(j.queue));
    close_job(&j);
}

static void input_overwritten(void)
{
    job j = open_job();
    for (int frame = 0; frame < 2; frame++) {
        to_device(j.params[0], IN_BYTES);
        invoke(&j);
    }
    OK(cnrtSyncQueue(j.queue));
    close_job(&j);
}

static void queues_in_no_order(void)
{
    job j = open_job();
    cnrtQueue_t copies;
    OK(cnrtCreateQueue(&copies));
    OK(cnrtMemcpyAsync(j.params[0], picture, IN_BYTES, copies, CNRT_MEM_TRANS_DIR_HOST2DEV));
    invoke(&j);
    OK(cnrtSyncQueue(copies));
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtDestroyQueue(copies));
    close_job(&j);
}

static void array_reused(void)
{
    job j = open_job();
    void *first = j.params[1], *second;
    OK(cnrtMalloc(&second, OUT_BYTES));
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    j.params[1] = second;
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    j.params[1] = first;
    OK(cnrtFree(second));
    close_job(&j);
}

static void source_changed(void)
{
    job j = open_job();
    OK(cnrtMemcpyAsync(j.params[0], picture, IN_BYTES, j.queue, CNRT_MEM_TRANS_DIR_HOST2DEV));
    picture[100]++; /* the next frame */
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    close_job(&j);
}

static void destination_freed(void)
{
    job j = open_job();
    void *host;
    OK(cnrtMallocHost(&host, OUT_BYTES, CNRT_MEMTYPE_LOCKED));
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    OK(cnrtMemcpyAsync(host, j.params[1], OUT_BYTES, j.queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    usleep(50000); /* time enough for the copy, as it seems */
    OK(cnrtFreeHost(host));
    OK(cnrtSyncQueue(j.queue));
    close_job(&j);
}

static void destination_copied_on(void)
{
    job j = open_job();
    run_once(&j);
    OK(cnrtMemcpyAsync(found, j.params[1], IN_BYTES, j.queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtMemcpy(j.params[0], found, IN_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV)); /* what came out before, perhaps */
    OK(cnrtSyncQueue(j.queue));
    close_job(&j);
}

static void memory_freed_too_early(void)
{
    job j = open_job();
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    OK(cnrtFree(j.params[1]));
    cnrtSyncQueue(j.queue);
    j.params[1] = NULL;
    close_job(&j);
}

static void queue_destroyed_too_early(void)
{
    job j = open_job();
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    close_job(&j);
}

static void program_ends_too_early(void)
{
    job j = open_job();
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
}

/* ---- Sizes, sides and models ---- */

static void copy_too_long(void)
{
    job j = open_job();
    void *roomy, *own = j.params[0];
    OK(cnrtMalloc(&roomy, 2 * IN_BYTES));
    j.params[0] = roomy;
    to_device(roomy, 36 * 36 * 4); /* the picture before it was resized */
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    j.params[0] = own;
    OK(cnrtFree(roomy));
    close_job(&j);
}

static void output_too_small(void)
{
    job j = open_job();
    void *own = j.params[1], *small;
    OK(cnrtMalloc(&small, OUT_BYTES / 2)); /* as if it were one byte a number */
    j.params[1] = small;
    to_device(j.params[0], IN_BYTES);
    cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL);
    j.params[1] = own;
    OK(cnrtFree(small));
    close_job(&j);
}

static void host_memory_too_small(void)
{
    job j = open_job();
    void *host;
    OK(cnrtMallocHost(&host, OUT_BYTES - 2, CNRT_MEMTYPE_DEFAULT));
    to_device(j.params[0], IN_BYTES);
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtMemcpy(host, j.params[1], OUT_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtFreeHost(host));
    close_job(&j);
}

static void wrong_direction(void)
{
    job j = open_job();
    cnrtMemcpy(j.params[0], picture, IN_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST);
    close_job(&j);
}

static void direction_turned(void)
{
    job j = open_job();
    run_once(&j);
    cnrtMemcpy(found, j.params[1], OUT_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV);
    close_job(&j);
}

static void copy_past_the_end(void)
{
    job j = open_job();
    cnrtMemcpy((char *)j.params[0] + 64, picture, IN_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV);
    cnrtMemset(j.params[1], 0, OUT_BYTES + 1);
    close_job(&j);
}

static void host_memory_as_input(void)
{
    job j = open_job();
    void *own = j.params[0];
    j.params[0] = picture;
    cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL);
    j.params[0] = own;
    close_job(&j);
}

static void input_of_another_model(void)
{
    job j = open_job(), other;
    open_model(&other, other_path);
    void *own = other.params[0];
    run_once(&j);
    other.params[0] = j.params[0];
    invoke(&other);
    OK(cnrtSyncQueue(other.queue));
    other.params[0] = own;
    close_model(&other);
    close_job(&j);
}

static void output_of_another_model(void)
{
    job j = open_job(), other;
    open_model(&other, batch_path);
    void *own = j.params[1];
    to_device(other.params[0], other.in_bytes);
    to_device(j.params[0], j.in_bytes);
    invoke(&other);
    OK(cnrtSyncQueue(other.queue));
    j.params[1] = other.params[1];
    invoke(&j);
    OK(cnrtSyncQueue(j.queue));
    j.params[1] = own;
    to_host(other.params[1], other.out_bytes);
    close_model(&other);
    close_job(&j);
}

static void input_and_output_swapped(void)
{
    job j = open_job();
    void *in, *out;
    OK(cnrtMalloc(&in, OUT_BYTES));
    OK(cnrtMalloc(&out, OUT_BYTES));
    to_device(in, IN_BYTES);
    void *params[2] = {out, in};
    OK(cnrtInvokeRuntimeContext(j.context, params, j.queue, NULL));
    OK(cnrtSyncQueue(j.queue));
    OK(cnrtFree(in));
    OK(cnrtFree(out));
    close_job(&j);
}

/* ---- Handles, notifiers, the runtime ---- */

static void context_not_initialised(void)
{
    job j = open_job();
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    to_device(j.params[0], IN_BYTES);
    cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL);
    close_job(&j);
}

static void context_used_after_destroy(void)
{
    job j = open_job();
    run_once(&j);
    cnrtRuntimeContext_t context = j.context;
    OK(cnrtForkRuntimeContext(&j.context, context, NULL));
    OK(cnrtDestroyRuntimeContext(context));
    cnrtInvokeRuntimeContext(context, j.params, j.queue, NULL);
    close_job(&j);
}

static void handle_of_another_kind(void)
{
    job j = open_job();
    cnrtNotifier_t notifier;
    OK(cnrtCreateNotifier(&notifier));
    cnrtPlaceNotifier((cnrtNotifier_t)(void *)j.queue, (cnrtQueue_t)(void *)notifier); /* the other way round */
    OK(cnrtDestroyNotifier(&notifier));
    close_job(&j);
}

static void duration_without_placing(void)
{
    job j = open_job();
    cnrtNotifier_t start, end;
    float time;
    OK(cnrtCreateNotifier(&start));
    OK(cnrtCreateNotifier(&end));
    run_once(&j);
    OK(cnrtPlaceNotifier(end, j.queue));
    OK(cnrtSyncQueue(j.queue));
    cnrtNotifierDuration(start, end, &time);
    OK(cnrtDestroyNotifier(&start));
    OK(cnrtDestroyNotifier(&end));
    close_job(&j);
}

static void wait_without_placing(void)
{
    job j = open_job();
    cnrtNotifier_t done;
    OK(cnrtCreateNotifier(&done));
    run_once(&j);
    OK(cnrtWaitNotifier(done));
    OK(cnrtDestroyNotifier(&done));
    close_job(&j);
}

static void no_init(void)
{
    void *memory = NULL;
    cnrtMalloc(&memory, 64);
}

static void destroyed_twice(void)
{
    job j = open_job();
    close_job(&j);
    cnrtDestroy();
}

/* ---- Right programs ---- */

/* Helpers and later versions have their own names, also where other calls, or none, came before. */
static void parameter_leaks_after_others(void)
{
    cnrtQuantizedParam_t param;
    unsigned count;
    OK(cnrtInit(0));
    OK(cnrtGetDeviceCount(&count));
    OK(cnrtCreateQuantizedParam(&param, 0, 1.0f, 0));
    cnrtDestroy();
}

static void *destroy_again(void *param)
{
    cnrtDestroyQuantizedParam(param);
    return NULL;
}

static void parameter_destroyed_twice(void)
{
    cnrtQuantizedParam_t param;
    pthread_t thread;
    OK(cnrtInit(0));
    OK(cnrtCreateQuantizedParam(&param, 0, 1.0f, 0));
    OK(cnrtDestroyQuantizedParam(param));
    CHECK(pthread_create(&thread, NULL, destroy_again, param) == 0); /* the first call of its thread */
    pthread_join(thread, NULL);
    cnrtDestroy();
}

static void later_version_with_a_dead_context(void)
{
    cnrtRuntimeContext_t dead;
    job j;
    OK(cnrtInit(0));
    open_model(&j, small_path);
    dead = j.context;
    OK(cnrtDestroyRuntimeContext(j.context));
    cnrtInvokeRuntimeContext_V3(dead, NULL, j.params, j.queue, NULL);
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    close_job(&j);
}

static void right_once(void)
{
    job j = open_job();
    for (int frame = 0; frame < 3; frame++) {
        picture[0] = (uint8_t)frame;
        run_once(&j);
    }
    close_job(&j);
}

/* Buffers behind each other in one block that one copy fills, part of a batch, cleared and copied within the device. */
static void right_parts(void)
{
    job j = open_job();
    char *block;
    job batch;
    open_model(&batch, batch_path);
    OK(cnrtMalloc((void **)&block, 2 * (IN_BYTES + OUT_BYTES)));
    to_device(block, 2 * IN_BYTES);
    for (int half = 0; half < 2; half++) {
        void *params[2] = {block + half * IN_BYTES, block + 2 * IN_BYTES + half * OUT_BYTES};
        OK(cnrtInvokeRuntimeContext(j.context, params, j.queue, NULL));
        OK(cnrtSyncQueue(j.queue));
    }
    to_host(block + 2 * IN_BYTES, 2 * OUT_BYTES);
    OK(cnrtMemcpy(batch.params[0], block, 2 * IN_BYTES, CNRT_MEM_TRANS_DIR_DEV2DEV)); /* two of three pictures */
    invoke(&batch);
    OK(cnrtSyncQueue(batch.queue));
    to_host(batch.params[1], 2 * OUT_BYTES);
    OK(cnrtMemset(batch.params[1], 0, BATCH * OUT_BYTES));
    to_host(batch.params[1], BATCH * OUT_BYTES);
    OK(cnrtFree(block));
    close_model(&batch);
    close_job(&j);
}

/* Three queues: copies in, invocations, copies out; two sets of buffers; notifiers in between, the host waits at the end of each
 * round for the last. */
static void right_queues(void)
{
    job j = open_job();
    cnrtQueue_t in, out;
    cnrtNotifier_t copied, computed, done;
    void *host, *params[2][2] = {{j.params[0], j.params[1]}, {NULL, NULL}};
    OK(cnrtCreateQueue(&in));
    OK(cnrtCreateQueue(&out));
    OK(cnrtCreateNotifier(&copied));
    OK(cnrtCreateNotifier(&computed));
    OK(cnrtCreateNotifier(&done));
    OK(cnrtMallocHost(&host, 2 * OUT_BYTES, CNRT_MEMTYPE_LOCKED));
    OK(cnrtMalloc(&params[1][0], IN_BYTES));
    OK(cnrtMalloc(&params[1][1], OUT_BYTES));
    for (int round = 0; round < 8; round++) {
        void **own = params[round % 2];
        OK(cnrtMemcpyAsync(own[0], picture, IN_BYTES, in, CNRT_MEM_TRANS_DIR_HOST2DEV));
        OK(cnrtPlaceNotifier(copied, in));
        OK(cnrtQueueWaitNotifier(copied, j.queue, 0));
        OK(cnrtInvokeRuntimeContext(j.context, own, j.queue, NULL));
        OK(cnrtPlaceNotifier(computed, j.queue));
        OK(cnrtQueueWaitNotifier(computed, out, 0));
        OK(cnrtMemcpyAsync((char *)host + round % 2 * OUT_BYTES, own[1], OUT_BYTES, out, CNRT_MEM_TRANS_DIR_DEV2HOST));
        OK(cnrtPlaceNotifier(done, out));
        if (round % 2 == 1) {
            OK(cnrtWaitNotifier(done));
        }
    }
    float time;
    OK(cnrtNotifierDuration(copied, done, &time));
    OK(cnrtFree(params[1][0]));
    OK(cnrtFree(params[1][1]));
    OK(cnrtFreeHost(host));
    OK(cnrtDestroyNotifier(&copied));
    OK(cnrtDestroyNotifier(&computed));
    OK(cnrtDestroyNotifier(&done));
    OK(cnrtDestroyQueue(in));
    OK(cnrtDestroyQueue(out));
    close_job(&j);
}

static void *lane_body(void *argument)
{
    job *j = argument;
    for (int frame = 0; frame < 20; frame++) {
        uint8_t own[OUT_BYTES];
        to_device(j->params[0], IN_BYTES);
        invoke(j);
        OK(cnrtMemcpyAsync(own, j->params[1], OUT_BYTES, j->queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
        OK(cnrtSyncQueue(j->queue));
    }
    return NULL;
}

/* One context in four threads, each with its queue and its buffers; the function goes first. */
static void right_threads(void)
{
    job j = open_job(), lanes[4];
    pthread_t threads[4];
    OK(cnrtDestroyFunction(j.function));
    for (int lane = 0; lane < 4; lane++) {
        lanes[lane] = j;
        OK(cnrtCreateQueue(&lanes[lane].queue));
        OK(cnrtMalloc(&lanes[lane].params[0], IN_BYTES));
        OK(cnrtMalloc(&lanes[lane].params[1], OUT_BYTES));
        CHECK(pthread_create(&threads[lane], NULL, lane_body, &lanes[lane]) == 0);
    }
    for (int lane = 0; lane < 4; lane++) {
        CHECK(pthread_join(threads[lane], NULL) == 0);
        OK(cnrtFreeArray(lanes[lane].params, 2));
        OK(cnrtDestroyQueue(lanes[lane].queue));
    }
    OK(cnrtFreeArray(j.params, 2));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtUnloadModel(j.model));
    OK(cnrtDestroyRuntimeContext(j.context));
    cnrtDestroy();
}

/* Buffers large enough for each of two models, used by one after the other; the default queue; a run for its time alone. */
static void right_pool(void)
{
    job j = open_job(), batch;
    invoke(&j); /* to run warm: nobody reads what comes of it */
    OK(cnrtSyncQueue(j.queue));
    open_model(&batch, batch_path);
    void *own[2] = {j.params[0], j.params[1]};
    for (int round = 0; round < 3; round++) {
        run_once(&batch);
        memcpy(j.params, batch.params, sizeof own);
        run_once(&j);
        OK(cnrtInvokeRuntimeContext(j.context, j.params, NULL, NULL));
        OK(cnrtSyncDevice());
    }
    memcpy(j.params, own, sizeof own);
    close_model(&batch);
    close_job(&j);
}

static long pages_in_use(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages;
}

/* Addresses of freed buffers are kept from new ones, but not for ever. */
static void right_frees(void)
{
    const size_t bytes = 4 << 20, most_kept = 1024, pages = bytes / 4096;
    OK(cnrtInit(0));
    const long before = pages_in_use();
    for (size_t round = 0; round < 3 * most_kept; round++) {
        void *memory;
        OK(cnrtMalloc(&memory, bytes));
        OK(cnrtFree(memory));
    }
    CHECK(pages_in_use() - before < (long)(2 * most_kept * pages));
    cnrtDestroy();
}

/* The program's own faults, from which it recovers, are its own. */
static void right_recoveries(void)
{
    signal(SIGSEGV, recover);
    job j = open_job();
    for (int round = 0; round < 3; round++) {
        recoveries = 0;
        fault_and_recover();
        run_once(&j);
    }
    close_job(&j);
}

static void right_signal_ignored(void)
{
    signal(SIGSEGV, SIG_IGN);
    job j = open_job();
    CHECK(kill(getpid(), SIGSEGV) == 0);
    run_once(&j);
    close_job(&j);
}

/* A queue's thread may still be at its end when the device is waited for. */
static void right_queues_that_end(void)
{
    OK(cnrtInit(0));
    for (int round = 0; round < 2000; round++) {
        cnrtQueue_t queue;
        OK(cnrtCreateQueue(&queue));
        OK(cnrtDestroyQueue(queue));
        OK(cnrtSyncDevice());
    }
    cnrtDestroy();
}

/* What a queue has read into host memory it copies on to two places, long before it has come to the first. */
static void right_copies_in_order(void)
{
    const size_t large = (size_t)64 << 20;
    void *filled, *there[2], *host;
    cnrtQueue_t queue;
    OK(cnrtInit(0));
    OK(cnrtCreateQueue(&queue));
    OK(cnrtMalloc(&filled, large));
    OK(cnrtMallocHost(&host, 1000, CNRT_MEMTYPE_LOCKED));
    memset(host, 1, 1000);
    OK(cnrtMemsetD32Async(filled, 7, large / 4, queue));
    OK(cnrtMemcpyAsync(host, filled, 1000, queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtMemcpyAsync((char *)host + 500, filled, 10, queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    for (int copy = 0; copy < 2; copy++) {
        OK(cnrtMalloc(&there[copy], 1000));
        OK(cnrtMemcpyAsync(there[copy], host, 400, queue, CNRT_MEM_TRANS_DIR_HOST2DEV));
    }
    OK(cnrtSyncQueue(queue));
    OK(cnrtFree(there[0]));
    OK(cnrtFree(there[1]));
    OK(cnrtFree(filled));
    OK(cnrtFreeHost(host));
    OK(cnrtDestroyQueue(queue));
    cnrtDestroy();
}

/* More copies than are kept in mind, and each read again before the program waits. */
static void right_many_copies(void)
{
    enum { COPIES = 600, EACH = 16 };
    const size_t large = (size_t)64 << 20;
    char *filled, *there, *host;
    cnrtQueue_t queue;
    OK(cnrtInit(0));
    OK(cnrtCreateQueue(&queue));
    OK(cnrtMalloc((void **)&filled, large));
    OK(cnrtMalloc((void **)&there, COPIES * EACH));
    OK(cnrtMallocHost((void **)&host, COPIES * EACH, CNRT_MEMTYPE_LOCKED));
    memset(host, 1, COPIES * EACH);
    OK(cnrtMemsetD32Async(filled, 7, large / 4, queue));
    for (size_t at = 0; at < COPIES * EACH; at += EACH) {
        OK(cnrtMemcpyAsync(host + at, filled + at, EACH, queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    }
    for (size_t at = 0; at < COPIES * EACH; at += EACH) {
        OK(cnrtMemcpyAsync(there + at, host + at, EACH, queue, CNRT_MEM_TRANS_DIR_HOST2DEV));
    }
    OK(cnrtSyncQueue(queue));
    OK(cnrtFree(there));
    OK(cnrtFree(filled));
    OK(cnrtFreeHost(host));
    OK(cnrtDestroyQueue(queue));
    cnrtDestroy();
}

static job last_job;

static void close_last_job(void)
{
    close_model(&last_job);
}

/* As a static object of C++ does, or a library. */
static void right_at_the_end(void)
{
    CHECK(atexit(close_last_job) == 0);
    last_job = open_job();
    run_once(&last_job);
}

#define CASE(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} CASES[] = {
    CASE(host_reads),
    CASE(host_writes),
    CASE(host_reads_freed),
    CASE(host_reads_with_a_handler),
    CASE(host_reads_with_a_later_handler),
    CASE(host_reads_after_recoveries),
    CASE(host_reads_with_a_handler_before_the_earlier),
    CASE(host_reads_with_a_handler_that_goes),
    CASE(host_reads_with_a_handler_for_once),
    CASE(output_never_written),
    CASE(input_never_written),
    CASE(input_with_three_channels),
    CASE(output_read_too_long),
    CASE(copy_after_free),
    CASE(invocation_after_free),
    CASE(freed_twice),
    CASE(freed_from_the_middle),
    CASE(memory_leaks),
    CASE(handles_leak),
    CASE(nothing_is_given_back),
    CASE(output_read_too_early),
    CASE(input_overwritten),
    CASE(queues_in_no_order),
    CASE(array_reused),
    CASE(source_changed),
    CASE(destination_freed),
    CASE(destination_copied_on),
    CASE(memory_freed_too_early),
    CASE(queue_destroyed_too_early),
    CASE(program_ends_too_early),
    CASE(copy_too_long),
    CASE(output_too_small),
    CASE(host_memory_too_small),
    CASE(wrong_direction),
    CASE(direction_turned),
    CASE(copy_past_the_end),
    CASE(host_memory_as_input),
    CASE(input_of_another_model),
    CASE(output_of_another_model),
    CASE(input_and_output_swapped),
    CASE(context_not_initialised),
    CASE(context_used_after_destroy),
    CASE(handle_of_another_kind),
    CASE(duration_without_placing),
    CASE(wait_without_placing),
    CASE(no_init),
    CASE(destroyed_twice),
    CASE(parameter_leaks_after_others),
    CASE(parameter_destroyed_twice),
    CASE(later_version_with_a_dead_context),
    CASE(right_once),
    CASE(right_parts),
    CASE(right_queues),
    CASE(right_threads),
    CASE(right_pool),
    CASE(right_frees),
    CASE(right_recoveries),
    CASE(right_signal_ignored),
    CASE(right_queues_that_end),
    CASE(right_copies_in_order),
    CASE(right_many_copies),
    CASE(right_at_the_end),
};

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    small_path = argv[2];
    batch_path = argv[3];
    other_path = argv[4];
    for (size_t byte = 0; byte < sizeof picture; byte++) {
        picture[byte] = (uint8_t)(byte * 13 % 251);
    }
    for (size_t index = 0; index < sizeof CASES / sizeof *CASES; index++) {
        if (strcmp(argv[1], CASES[index].name) == 0) {
            CASES[index].run();
            printf("%u\n", cnrtSimulatorFindings());
            return 0;
        }
    }
    fprintf(stderr, "no case %s\n", argv[1]);
    return 2;
}
