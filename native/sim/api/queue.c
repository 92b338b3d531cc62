#include "core/queue.h"

#include "api/api.h"
#include "core/notifier.h"
#include "core/runtime.h"

static cnrtRet_t create(cnrtQueue_t *pqueue)
{
    TRY(sim_runtime_require_device());
    sim_queue *queue = sim_queue_create(sim_runtime_ordinal());
    if (queue == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    *pqueue = sim_queue_handle(queue);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCreateQueue(cnrtQueue_t *pqueue)
{
    ENTER(cnrtCreateQueue);
    REQUIRE_POINTER(pqueue, CNRT_RET_ERR_INVALID);
    return create(pqueue);
}

/* Every queue has a thread of its own, so none waits for one of a higher priority. */
cnrtRet_t cnrtCreateQueueWithPriority(cnrtQueue_t *pQueue, unsigned int flags, int priority)
{
    ENTER(cnrtCreateQueueWithPriority);
    (void)priority;
    REQUIRE_POINTER(pQueue, CNRT_RET_ERR_INVALID);
    REQUIRE(flags == 0, CNRT_RET_ERR_INVALID, "The flags of a queue are 0, not %u.", flags);
    return create(pQueue);
}

cnrtRet_t cnrtDestroyQueue(cnrtQueue_t queue)
{
    ENTER(cnrtDestroyQueue);
    REQUIRE_POINTER(queue, CNRT_RET_ERR_INVALID);
    REQUIRE(sim_queue_close(queue), CNRT_RET_ERR_INVALID, "%p is not a queue, or was destroyed.", (void *)queue);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSyncQueue(cnrtQueue_t queue)
{
    ENTER(cnrtSyncQueue);
    sim_queue *q = sim_queue_get(queue);
    if (q == NULL) {
        return sim_error_peek();
    }
    cnrtRet_t code = sim_queue_sync(q);
    sim_object_release(q);
    return code;
}

cnrtRet_t cnrtQueryQueue(cnrtQueue_t queue)
{
    ENTER(cnrtQueryQueue);
    sim_queue *q = sim_queue_get(queue);
    if (q == NULL) {
        return sim_error_peek();
    }
    bool idle = sim_queue_is_idle(q);
    sim_object_release(q);
    return idle ? CNRT_RET_SUCCESS : CNRT_RET_ERR_NOT_READY;
}

cnrtRet_t cnrtQueueWaitNotifier(cnrtNotifier_t notifier, cnrtQueue_t queue, unsigned int flag)
{
    ENTER(cnrtQueueWaitNotifier);
    REQUIRE_POINTER(notifier, CNRT_RET_ERR_INVALID);
    REQUIRE(flag == 0, CNRT_RET_ERR_INVALID, "cnrtQueueWaitNotifier takes flag 0, not %u.", flag);
    sim_notifier *n = sim_object_get(SIM_KIND_NOTIFIER, notifier);
    REQUIRE(n != NULL, CNRT_RET_ERR_INVALID, "%p is not a notifier, or was destroyed.", (void *)notifier);
    sim_queue *q = sim_queue_get(queue);
    cnrtRet_t code = q == NULL ? sim_error_peek() : sim_notifier_hold_queue(n, q);
    sim_object_release(q);
    sim_object_release(n);
    return code;
}
