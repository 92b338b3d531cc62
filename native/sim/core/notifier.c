#include "core/notifier.h"

#include <pthread.h>
#include <stdlib.h>

struct sim_notifier {
    sim_object base;
    pthread_mutex_t lock;
    pthread_cond_t passed_signal;
    uint64_t placed, passed; /* numbers of the latest placement, and of the latest one that a queue has passed */
    int64_t nanoseconds;     /* when */
    sim_mark mark;           /* where it was placed last */
};

static void finish(sim_object *object)
{
    sim_notifier *notifier = (sim_notifier *)object;
    pthread_cond_destroy(&notifier->passed_signal);
    pthread_mutex_destroy(&notifier->lock);
    free(notifier);
}

sim_notifier *sim_notifier_create(void)
{
    sim_notifier *notifier = calloc(1, sizeof *notifier);
    if (notifier == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a notifier.");
        return NULL;
    }
    pthread_mutex_init(&notifier->lock, NULL);
    pthread_cond_init(&notifier->passed_signal, NULL);
    if (!sim_object_open(&notifier->base, SIM_KIND_NOTIFIER, finish)) {
        free(notifier);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another notifier.");
        return NULL;
    }
    return notifier;
}

void *sim_notifier_handle(const sim_notifier *notifier)
{
    return (void *)notifier->base.handle;
}

static void run_place(sim_work *work, sim_status *status)
{
    sim_notifier *notifier = work->as.notify.notifier;
    (void)status; /* a mark is passed by failed work too */
    pthread_mutex_lock(&notifier->lock);
    if (work->as.notify.placement > notifier->passed) { /* a later placement may stand in a faster queue */
        notifier->passed = work->as.notify.placement;
        notifier->nanoseconds = sim_queue_clock(work->queue)->nanoseconds;
    }
    pthread_cond_broadcast(&notifier->passed_signal);
    pthread_mutex_unlock(&notifier->lock);
    sim_object_release(notifier);
}

static void wait_for(sim_notifier *notifier, uint64_t placement)
{
    pthread_mutex_lock(&notifier->lock);
    while (notifier->passed < placement) {
        pthread_cond_wait(&notifier->passed_signal, &notifier->lock);
    }
    pthread_mutex_unlock(&notifier->lock);
}

static void run_hold(sim_work *work, sim_status *status)
{
    (void)status;
    int64_t reached;
    wait_for(work->as.notify.notifier, work->as.notify.placement);
    if (sim_notifier_time(work->as.notify.notifier, &reached)) {
        sim_clock_reach(sim_queue_clock(work->queue), reached);
    }
    sim_object_release(work->as.notify.notifier);
}

/* Waiting for a notifier that no queue was given is no waiting. */
static void need_placement(uint64_t placement)
{
    if (placement == 0) {
        sim_strict_tell(
            SIM_FOUND_NOTIFIER,
            "the notifier was never placed in a queue, so this waits for nothing. Call cnrtPlaceNotifier before.");
    }
}

cnrtRet_t sim_notifier_place(sim_notifier *notifier, sim_queue *queue)
{
    sim_work *work = sim_queue_take_work(queue);
    if (work == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    pthread_mutex_lock(&notifier->lock);
    work->as.notify.placement = ++notifier->placed;
    notifier->mark = sim_order_now(sim_queue_order(queue));
    pthread_mutex_unlock(&notifier->lock);
    work->as.notify.notifier = sim_object_retain(notifier);
    work->run = run_place;
    sim_queue_submit_mark(queue, work);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_notifier_hold_queue(sim_notifier *notifier, sim_queue *queue)
{
    sim_work *work = sim_queue_take_work(queue);
    if (work == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    pthread_mutex_lock(&notifier->lock);
    work->as.notify.placement = notifier->placed;
    const sim_mark mark = notifier->mark;
    pthread_mutex_unlock(&notifier->lock);
    need_placement(work->as.notify.placement);
    sim_order_hold(sim_queue_order(queue), &mark);
    work->as.notify.notifier = sim_object_retain(notifier);
    work->run = run_hold;
    sim_queue_submit(queue, work);
    return CNRT_RET_SUCCESS;
}

void sim_notifier_wait(sim_notifier *notifier)
{
    sim_queue_host_waited();
    pthread_mutex_lock(&notifier->lock);
    uint64_t placement = notifier->placed;
    const sim_mark mark = notifier->mark;
    pthread_mutex_unlock(&notifier->lock);
    need_placement(placement);
    wait_for(notifier, placement);
    sim_order_passed(&mark);
}

bool sim_notifier_is_passed(sim_notifier *notifier)
{
    sim_queue_host_waited();
    pthread_mutex_lock(&notifier->lock);
    bool passed = notifier->passed >= notifier->placed;
    const sim_mark mark = notifier->mark;
    pthread_mutex_unlock(&notifier->lock);
    if (passed) {
        sim_order_passed(&mark);
    }
    return passed;
}

bool sim_notifier_time(sim_notifier *notifier, int64_t *nanoseconds)
{
    pthread_mutex_lock(&notifier->lock);
    bool known = notifier->placed > 0 && notifier->passed >= notifier->placed;
    *nanoseconds = notifier->nanoseconds;
    pthread_mutex_unlock(&notifier->lock);
    return known;
}
