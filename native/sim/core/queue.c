#include "core/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/environment.h"
#include "core/log.h"
#include "core/runtime.h"
#include "core/thread.h"
#include "core/timing.h"
#include "core/trace.h"

enum { MAX_PENDING = 4096 };          /* a program that submits faster than the device works is made to wait */
enum { MARKS_TOGETHER_NS = 1000000 }; /* by a host that did something else between them they are further apart */

/* The mark that was submitted last, and the first of those with its time. */
typedef struct last_mark {
    const uint64_t *thread; /* whose; NULL: something else was submitted since */
    uint64_t waits;         /* of that thread, when it did */
    int64_t first;
} last_mark;

static _Thread_local uint64_t waits;

struct sim_queue {
    sim_object base;
    unsigned ordinal;
    unsigned number; /* from 1, in the order in which they were made */
    sim_clock clock;
    pthread_mutex_t lock;
    pthread_cond_t submitted_signal, completed_signal;
    sim_work *first, *last, *spare;
    uint64_t submitted, completed;
    last_mark mark;
    bool closing;
    uint64_t order;                         /* its number there; 0: not followed */
    sim_status failure;                     /* the first since the last sync */
    sim_queue *previous_queue, *next_queue; /* of all queues, guarded by list_lock */
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static sim_queue *all_queues;
static sim_queue *default_queues[SIM_MAX_DEVICES];
static pthread_mutex_t default_lock = PTHREAD_MUTEX_INITIALIZER;

static void free_works(sim_work *work)
{
    while (work != NULL) {
        sim_work *next = work->next;
        free(work);
        work = next;
    }
}

static void finish(sim_object *object)
{
    sim_queue *queue = (sim_queue *)object;
    pthread_mutex_lock(&list_lock);
    if (queue->previous_queue != NULL) {
        queue->previous_queue->next_queue = queue->next_queue;
    } else {
        all_queues = queue->next_queue;
    }
    if (queue->next_queue != NULL) {
        queue->next_queue->previous_queue = queue->previous_queue;
    }
    pthread_mutex_unlock(&list_lock);
    free_works(queue->spare);
    pthread_cond_destroy(&queue->completed_signal);
    pthread_cond_destroy(&queue->submitted_signal);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

static sim_work *next_work(sim_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->first == NULL && !queue->closing) {
        pthread_cond_wait(&queue->submitted_signal, &queue->lock);
    }
    sim_work *work = queue->first;
    if (work != NULL) {
        queue->first = work->next;
        if (queue->first == NULL) {
            queue->last = NULL;
        }
    }
    pthread_mutex_unlock(&queue->lock);
    return work;
}

static void complete(sim_queue *queue, sim_work *work, const sim_status *status)
{
    pthread_mutex_lock(&queue->lock);
    if (status->code != CNRT_RET_SUCCESS && queue->failure.code == CNRT_RET_SUCCESS) {
        queue->failure = *status;
    }
    work->next = queue->spare;
    queue->spare = work;
    queue->completed++;
    pthread_cond_broadcast(&queue->completed_signal);
    pthread_mutex_unlock(&queue->lock);
}

static void run(sim_queue *queue, sim_work *work, sim_status *status)
{
    if (!work->joins && sim_timing_get() == NULL) {
        sim_clock_follow_host(&queue->clock);
    }
    sim_faults_begin(&work->fault, queue->ordinal, &queue->clock, status);
    const int64_t begun = work->fault.rule != NULL ? sim_clock_host() : 0, before = queue->clock.nanoseconds;
    work->run(work, status);
    sim_faults_end(&work->fault, begun, before, &queue->clock);
}

static void *worker_body(void *argument)
{
    sim_queue *queue = argument;
    for (sim_work *work = next_work(queue); work != NULL; work = next_work(queue)) {
        sim_status status = {.code = CNRT_RET_SUCCESS, .text = ""};
        const int64_t begun = sim_trace_wanted() ? sim_clock_host() : 0;
        run(queue, work, &status);
        if (sim_trace_wanted()) {
            sim_trace_work(queue->ordinal, queue->number, work->function, work->bytes, (uint64_t)begun,
                           (uint64_t)sim_clock_host());
        }
        if (status.code != CNRT_RET_SUCCESS) {
            sim_log_failure(work->function, true, status.code, status.text);
        }
        complete(queue, work, &status);
    }
    sim_object_release(queue);
    return NULL;
}

static bool enter(sim_queue *queue, sim_site site)
{
    pthread_mutex_lock(&list_lock);
    bool opened = sim_object_open_at(&queue->base, SIM_KIND_QUEUE, finish, site);
    if (opened) {
        queue->next_queue = all_queues;
        if (all_queues != NULL) {
            all_queues->previous_queue = queue;
        }
        all_queues = queue;
    }
    pthread_mutex_unlock(&list_lock);
    return opened;
}

static sim_queue *create(unsigned ordinal, sim_site site)
{
    sim_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a queue.");
        return NULL;
    }
    static atomic_uint numbers;
    queue->ordinal = ordinal;
    queue->number = atomic_fetch_add(&numbers, 1u) + 1;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->submitted_signal, NULL);
    pthread_cond_init(&queue->completed_signal, NULL);
    if (!enter(queue, site)) {
        free(queue);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another queue.");
        return NULL;
    }
    queue->order = sim_order_open();
    sim_object_retain(queue); /* the worker's */
    if (!sim_thread_start("cnrt-queue", worker_body, queue)) {
        sim_object_close(SIM_KIND_QUEUE, sim_queue_handle(queue));
        sim_order_close(queue->order);
        sim_object_release(queue);
        sim_object_release(queue);
        sim_error_set(CNRT_RET_ERR_NOMEM,
                      "The system gave no thread for a queue: too many threads or too little memory.");
        return NULL;
    }
    return queue;
}

sim_queue *sim_queue_create(unsigned ordinal)
{
    return create(ordinal, sim_call_now());
}

void *sim_queue_handle(const sim_queue *queue)
{
    return (void *)queue->base.handle;
}

uint64_t sim_queue_order(const sim_queue *queue)
{
    return queue == NULL ? 0 : queue->order;
}

unsigned sim_queue_ordinal(const sim_queue *queue)
{
    return queue->ordinal;
}

sim_clock *sim_queue_clock(sim_queue *queue)
{
    return &queue->clock;
}

static sim_queue *get_default(void)
{
    if (sim_runtime_require_device() != CNRT_RET_SUCCESS) {
        return NULL;
    }
    unsigned ordinal = sim_runtime_ordinal();
    pthread_mutex_lock(&default_lock);
    if (default_queues[ordinal] == NULL) {
        default_queues[ordinal] = create(ordinal, (sim_site){.address = NULL}); /* nobody has to give it back */
    }
    sim_queue *queue = default_queues[ordinal];
    pthread_mutex_unlock(&default_lock);
    return queue == NULL ? NULL : sim_object_retain(queue);
}

sim_queue *sim_queue_get(const void *handle)
{
    if (handle == NULL) {
        return get_default();
    }
    sim_queue *queue = sim_object_get(SIM_KIND_QUEUE, handle);
    if (queue == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a queue, or was destroyed.", handle);
    }
    return queue;
}

bool sim_queue_close(const void *handle)
{
    sim_queue *queue = sim_object_close(SIM_KIND_QUEUE, handle);
    if (queue == NULL) {
        return false;
    }
    pthread_mutex_lock(&queue->lock);
    queue->closing = true;
    pthread_cond_signal(&queue->submitted_signal);
    pthread_mutex_unlock(&queue->lock);
    sim_order_close(queue->order);
    sim_object_release(queue);
    return true;
}

sim_work *sim_queue_take_work(sim_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    sim_work *work = queue->spare;
    if (work != NULL) {
        queue->spare = work->next;
    }
    pthread_mutex_unlock(&queue->lock);
    if (work == NULL) {
        work = malloc(sizeof *work);
    }
    if (work != NULL) {
        work->queue = queue;
        work->bytes = 0;
    } else {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for another operation on the queue.");
    }
    return work;
}

void sim_queue_return_work(sim_queue *queue, sim_work *work)
{
    pthread_mutex_lock(&queue->lock);
    work->next = queue->spare;
    queue->spare = work;
    pthread_mutex_unlock(&queue->lock);
}

static bool joins(const last_mark *last, int64_t now)
{
    return last->thread == &waits && last->waits == waits && now - last->first < MARKS_TOGETHER_NS;
}

static void submit(sim_queue *queue, sim_work *work, bool is_mark)
{
    const int64_t now = is_mark ? sim_clock_host() : 0;
    work->next = NULL;
    work->fault = sim_faults_take();
    work->function = sim_call_now().function;
    pthread_mutex_lock(&queue->lock);
    work->joins = is_mark && joins(&queue->mark, now);
    queue->mark = (last_mark){is_mark ? &waits : NULL, waits, work->joins ? queue->mark.first : now};
    while (queue->submitted - queue->completed >= MAX_PENDING) {
        pthread_cond_wait(&queue->completed_signal, &queue->lock);
    }
    if (queue->last == NULL) {
        queue->first = work;
    } else {
        queue->last->next = work;
    }
    queue->last = work;
    queue->submitted++;
    pthread_cond_signal(&queue->submitted_signal);
    pthread_mutex_unlock(&queue->lock);
}

void sim_queue_submit(sim_queue *queue, sim_work *work)
{
    submit(queue, work, false);
}

void sim_queue_submit_mark(sim_queue *queue, sim_work *work)
{
    submit(queue, work, true);
}

void sim_queue_host_waited(void)
{
    waits++;
}

static sim_status wait_for_submitted(sim_queue *queue, bool forget)
{
    sim_queue_host_waited();
    pthread_mutex_lock(&queue->lock);
    uint64_t target = queue->submitted;
    while (queue->completed < target) {
        pthread_cond_wait(&queue->completed_signal, &queue->lock);
    }
    sim_status status = queue->failure;
    if (forget) {
        queue->failure.code = CNRT_RET_SUCCESS;
    }
    pthread_mutex_unlock(&queue->lock);
    return status;
}

cnrtRet_t sim_queue_sync(sim_queue *queue)
{
    const sim_mark mark = sim_order_now(queue->order);
    sim_status status = wait_for_submitted(queue, true);
    sim_order_passed(&mark);
    return sim_error_set_status(&status);
}

/* Some queue of the device after `previous` in the list, with a reference. */
static sim_queue *next_of_device(unsigned ordinal, sim_queue *previous)
{
    pthread_mutex_lock(&list_lock);
    sim_queue *queue = previous == NULL ? all_queues : previous->next_queue;
    while (queue != NULL && (queue->ordinal != ordinal || !sim_object_retain_alive(queue))) {
        queue = queue->next_queue;
    }
    pthread_mutex_unlock(&list_lock);
    return queue;
}

cnrtRet_t sim_queue_sync_device(unsigned ordinal)
{
    sim_status first = {.code = CNRT_RET_SUCCESS, .text = ""};
    sim_queue *queue = next_of_device(ordinal, NULL);
    while (queue != NULL) {
        const sim_mark mark = sim_order_now(queue->order);
        sim_status status = wait_for_submitted(queue, false);
        sim_order_passed(&mark);
        if (first.code == CNRT_RET_SUCCESS) {
            first = status;
        }
        sim_queue *next = next_of_device(ordinal, queue);
        sim_object_release(queue);
        queue = next;
    }
    return sim_error_set_status(&first);
}

bool sim_queue_is_idle(sim_queue *queue)
{
    sim_queue_host_waited();
    const sim_mark mark = sim_order_now(queue->order);
    pthread_mutex_lock(&queue->lock);
    bool idle = queue->completed == queue->submitted;
    pthread_mutex_unlock(&queue->lock);
    if (idle) {
        sim_order_passed(&mark);
    }
    return idle;
}
