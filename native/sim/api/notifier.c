#include "core/notifier.h"

#include "api/api.h"
#include "core/codes.h"
#include "core/runtime.h"

static sim_notifier *get(cnrtNotifier_t handle)
{
    sim_notifier *notifier = sim_object_get(SIM_KIND_NOTIFIER, handle);
    if (notifier == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a notifier, or was destroyed.", (void *)handle);
    }
    return notifier;
}

cnrtRet_t cnrtCreateNotifier(cnrtNotifier_t *notifier)
{
    ENTER(cnrtCreateNotifier);
    REQUIRE_POINTER(notifier, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    sim_notifier *n = sim_notifier_create();
    if (n == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    *notifier = sim_notifier_handle(n);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyNotifier(cnrtNotifier_t *notifier)
{
    ENTER(cnrtDestroyNotifier);
    REQUIRE_POINTER(notifier, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(*notifier, CNRT_RET_ERR_INVALID);
    sim_notifier *n = sim_object_close(SIM_KIND_NOTIFIER, *notifier);
    REQUIRE(n != NULL, CNRT_RET_ERR_INVALID, "%p is not a notifier, or was destroyed.", (void *)*notifier);
    sim_object_release(n);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtPlaceNotifier(cnrtNotifier_t notifier, cnrtQueue_t queue)
{
    ENTER(cnrtPlaceNotifier);
    sim_notifier *n = get(notifier);
    if (n == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    sim_queue *q = sim_queue_get(queue);
    cnrtRet_t code = q == NULL ? sim_error_peek() : sim_notifier_place(n, q);
    sim_object_release(q);
    sim_object_release(n);
    return code;
}

cnrtRet_t cnrtWaitNotifier(cnrtNotifier_t notifier)
{
    ENTER(cnrtWaitNotifier);
    sim_notifier *n = get(notifier);
    if (n == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    sim_notifier_wait(n);
    sim_object_release(n);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtQueryNotifier(cnrtNotifier_t notifier)
{
    ENTER(cnrtQueryNotifier);
    sim_notifier *n = get(notifier);
    if (n == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    bool passed = sim_notifier_is_passed(n);
    sim_object_release(n);
    return passed ? CNRT_RET_SUCCESS : CNRT_RET_ERR_BUSY;
}

static cnrtRet_t time_of(cnrtNotifier_t handle, const char *which, int64_t *nanoseconds)
{
    sim_notifier *n = get(handle);
    if (n == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    bool known = sim_notifier_time(n, nanoseconds);
    sim_object_release(n);
    if (!known) {
        return sim_strict_failed(SIM_FOUND_NOTIFIER,
                                 sim_error_set(sim_code_call(SIM_DRIVER),
                                               "The %s notifier was not placed, or its queue has not passed it: "
                                               "synchronise the queue first.",
                                               which));
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtNotifierDuration(cnrtNotifier_t start, cnrtNotifier_t end, float *us)
{
    ENTER(cnrtNotifierDuration);
    int64_t from, to;
    REQUIRE_POINTER(start, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(end, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(us, CNRT_RET_ERR_INVALID);
    TRY(time_of(start, "start", &from));
    TRY(time_of(end, "end", &to));
    const sim_fault fault = sim_faults_take();
    *us = (float)((double)(to - from) / 1000.0 * (fault.rule == NULL ? 1.0 : fault.rule->duration));
    return CNRT_RET_SUCCESS;
}
