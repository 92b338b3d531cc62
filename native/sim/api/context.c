#include "core/context.h"

#include <string.h>

#include "api/api.h"
#include "api/context.h"
#include "api/shapes.h"
#include "core/notifier.h"
#include "core/runtime.h"
#include "core/strict.h"

static sim_context *get(cnrtRuntimeContext_t handle)
{
    sim_context *context = sim_object_get(SIM_KIND_CONTEXT, handle);
    if (context == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a runtime context, or was destroyed.", (void *)handle);
    }
    return context;
}

/* Like get, for what needs an initialised context. */
static cnrtRet_t get_ready(cnrtRuntimeContext_t handle, sim_context **context)
{
    *context = get(handle);
    if (*context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    if (!sim_context_is_ready(*context)) {
        sim_object_release(*context);
        sim_error_set(CNRT_RET_ERR_INIT, "The runtime context is not initialised: call cnrtInitRuntimeContext first.");
        return sim_strict_failed(SIM_FOUND_INIT, CNRT_RET_ERR_INIT);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_api_ordinal_of_context(cnrtRuntimeContext_t handle, unsigned *ordinal)
{
    sim_context *context;
    TRY(get_ready(handle, &context));
    *ordinal = (unsigned)sim_context_ordinal(context);
    sim_object_release(context);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCreateRuntimeContext(cnrtRuntimeContext_t *pctx, cnrtFunction_t function, void *extra)
{
    ENTER(cnrtCreateRuntimeContext);
    (void)extra;
    REQUIRE_POINTER(pctx, CNRT_RET_ERR_INVALID);
    sim_function *f = sim_object_get_alive(SIM_KIND_FUNCTION, function);
    REQUIRE(f != NULL, CNRT_RET_ERR_INVALID, "%p is not a function, or was destroyed.", (void *)function);
    sim_loaded_model *model = sim_function_get_model(f);
    sim_context *context = NULL;
    if (model == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID, "The function was not extracted from a model: call cnrtExtractFunction.");
    } else {
        context = sim_context_create(f, model);
    }
    sim_object_release(model);
    sim_object_release(f);
    if (context == NULL) {
        return sim_error_peek();
    }
    *pctx = sim_context_handle(context);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetRuntimeContextDeviceId(cnrtRuntimeContext_t pctx, int dev_ordinal)
{
    ENTER(cnrtSetRuntimeContextDeviceId);
    sim_context *context = get(pctx);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    bool exists = dev_ordinal >= 0 && dev_ordinal < (int)sim_device_count();
    bool set = exists && sim_context_set_ordinal(context, (int)sim_runtime_effective((unsigned)dev_ordinal));
    sim_object_release(context);
    REQUIRE(exists, CNRT_RET_ERR_NODEV, "There is no device with ordinal %d: there are %u.", dev_ordinal,
            sim_device_count());
    REQUIRE(set, CNRT_RET_ERR_INIT, "The device is chosen before cnrtInitRuntimeContext, not after it.");
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetRuntimeContextChannel(cnrtRuntimeContext_t pctx, cnrtChannelType_t channel)
{
    ENTER(cnrtSetRuntimeContextChannel);
    sim_context *context = get(pctx);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    bool valid = (int)channel >= CNRT_CHANNEL_TYPE_DUPLICATE && (int)channel <= CNRT_CHANNEL_TYPE_3;
    bool set = valid && sim_context_set_channel(context, channel);
    sim_object_release(context);
    REQUIRE(valid, CNRT_RET_ERR_INVALID, "A channel is -2 (duplicate), -1 (none) or 0 to 3, not %d.", (int)channel);
    REQUIRE(set, CNRT_RET_ERR_INIT, "The channel is chosen before cnrtInitRuntimeContext, not after it.");
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtInitRuntimeContext(cnrtRuntimeContext_t pctx, void *extra)
{
    ENTER(cnrtInitRuntimeContext);
    (void)extra;
    TRY(sim_runtime_require_device());
    sim_context *context = get(pctx);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    cnrtRet_t code = sim_context_init(context, sim_runtime_ordinal());
    sim_object_release(context);
    return code;
}

cnrtRet_t cnrtForkRuntimeContext(cnrtRuntimeContext_t *dst_ctx, cnrtRuntimeContext_t src_ctx, void *extra)
{
    ENTER(cnrtForkRuntimeContext);
    (void)extra;
    REQUIRE_POINTER(dst_ctx, CNRT_RET_ERR_INVALID);
    sim_context *source;
    TRY(get_ready(src_ctx, &source));
    sim_context *twin = sim_context_fork(source);
    sim_object_release(source);
    if (twin == NULL) {
        return sim_error_peek();
    }
    *dst_ctx = sim_context_handle(twin);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtRuntimeContextCreateQueue(cnrtRuntimeContext_t pctx, cnrtQueue_t *pqueue)
{
    ENTER(cnrtRuntimeContextCreateQueue);
    REQUIRE_POINTER(pqueue, CNRT_RET_ERR_INVALID_POINTER);
    sim_context *context;
    TRY(get_ready(pctx, &context));
    sim_queue *queue = sim_queue_create((unsigned)sim_context_ordinal(context));
    sim_object_release(context);
    if (queue == NULL) {
        return sim_error_peek();
    }
    *pqueue = sim_queue_handle(queue);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtRuntimeContextCreateNotifier(cnrtRuntimeContext_t pctx, cnrtNotifier_t *pnotifier)
{
    ENTER(cnrtRuntimeContextCreateNotifier);
    REQUIRE_POINTER(pnotifier, CNRT_RET_ERR_INVALID_POINTER);
    sim_context *context;
    TRY(get_ready(pctx, &context));
    sim_object_release(context);
    sim_notifier *notifier = sim_notifier_create();
    if (notifier == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    *pnotifier = sim_notifier_handle(notifier);
    return CNRT_RET_SUCCESS;
}

/* ---- Invocation ---- */

/* The default queue is the one of the context's device, whatever device the thread has selected. */
static sim_queue *queue_for(sim_context *context, cnrtQueue_t handle)
{
    unsigned selected = sim_runtime_ordinal();
    sim_runtime_select((unsigned)sim_context_ordinal(context));
    sim_queue *queue = sim_queue_get(handle);
    sim_runtime_select(selected);
    return queue;
}

/* `extra` (a cnrtInvokeParam_t) is not looked at: real programs leave dangling pointers in it. */
static cnrtRet_t invoke(sim_context *context, void **buffers, cnrtQueue_t handle)
{
    REQUIRE(buffers != NULL, CNRT_RET_ERR_INVALID, "The array of buffers is NULL.");
    sim_queue *queue = queue_for(context, handle);
    if (queue == NULL) {
        return sim_error_peek();
    }
    cnrtRet_t code;
    if (sim_queue_ordinal(queue) != (unsigned)sim_context_ordinal(context)) {
        code = sim_error_set(CNRT_RET_ERR_INVALID, "The queue belongs to device %u, the runtime context to device %d.",
                             sim_queue_ordinal(queue), sim_context_ordinal(context));
    } else {
        code = sim_context_invoke(context, buffers, queue);
    }
    sim_object_release(queue);
    return code;
}

cnrtRet_t cnrtInvokeRuntimeContext(cnrtRuntimeContext_t pctx, void **params, cnrtQueue_t queue, void *extra)
{
    ENTER(cnrtInvokeRuntimeContext);
    (void)extra;
    sim_context *context;
    TRY(get_ready(pctx, &context));
    cnrtRet_t code = invoke(context, params, queue);
    sim_object_release(context);
    return code;
}

cnrtRet_t cnrtInvokeRuntimeContext_V2(cnrtRuntimeContext_t pctx, cnrtParamDesc_t *param_descs, void **param_buffers,
                                      cnrtQueue_t queue, void *extra)
{
    ENTER(cnrtInvokeRuntimeContext);
    (void)extra;
    sim_context *context;
    TRY(get_ready(pctx, &context));
    cnrtRet_t code =
        param_descs == NULL ? CNRT_RET_SUCCESS : sim_api_check_descs(sim_context_info(context), param_descs);
    if (code == CNRT_RET_SUCCESS) {
        code = invoke(context, param_buffers, queue);
    }
    sim_object_release(context);
    return code;
}

static cnrtRet_t check_batches(const sim_model_info *info, const int *batch_sizes)
{
    for (int index = 0; batch_sizes != NULL && index < info->input_count; index++) {
        int compiled = info->inputs[index].dims[0];
        REQUIRE(
            batch_sizes[index] == compiled, CNRT_RET_ERR_INVALID,
            "The batch of input %d is %d, as the model was compiled, not %d: fill the rest of a batch with anything.",
            index, compiled, batch_sizes[index]);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtInvokeRuntimeContext_V3(cnrtRuntimeContext_t pctx, int *batch_sizes, void **param_buffers,
                                      cnrtQueue_t queue, void *extra)
{
    ENTER(cnrtInvokeRuntimeContext);
    (void)extra;
    sim_context *context;
    TRY(get_ready(pctx, &context));
    cnrtRet_t code = check_batches(sim_context_info(context), batch_sizes);
    if (code == CNRT_RET_SUCCESS) {
        code = invoke(context, param_buffers, queue);
    }
    sim_object_release(context);
    return code;
}

/* ---- Facts ---- */

/* Callers pass the address of an int for these keys: exactly four bytes are written. */
static void write_int(void **out, int value)
{
    memcpy(out, &value, sizeof value);
}

static cnrtRet_t write_info(sim_context *context, cnrtRuntimeContextInfo_t key, void **out)
{
    const sim_model_info *info = sim_context_info(context);
    switch (key) {
    case CNRT_RT_CTX_FUNCTION: *out = sim_function_handle(sim_context_function(context)); break;
    case CNRT_RT_CTX_DEV_ORDINAL: write_int(out, sim_context_ordinal(context)); break;
    case CNRT_RT_CTX_CORE_NUMBER: write_int(out, (int)sim_device_get_kind()->cores); break;
    case CNRT_RT_CTX_MODEL_PARALLEL: write_int(out, (int)info->parallelism); break;
    case CNRT_RT_CTX_CHANNEL: write_int(out, (int)sim_context_channel(context)); break;
    case CNRT_RT_CTX_MAX_BATCH_NUM: write_int(out, info->input_count > 0 ? info->inputs[0].dims[0] : 0); break;
    default: return sim_error_set(CNRT_RET_ERR_INVALID, "Key %d is none of 1 to 6.", (int)key);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetRuntimeContextInfo(cnrtRuntimeContext_t pctx, cnrtRuntimeContextInfo_t key, void **out)
{
    ENTER(cnrtGetRuntimeContextInfo);
    REQUIRE_POINTER(out, CNRT_RET_ERR_INVALID_POINTER);
    sim_context *context = get(pctx);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    cnrtRet_t code = write_info(context, key, out);
    sim_object_release(context);
    return code;
}

cnrtRet_t cnrtSetCurrentContextDevice(cnrtRuntimeContext_t pctx)
{
    ENTER(cnrtSetCurrentContextDevice);
    sim_context *context = get(pctx);
    if (context == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    int ordinal = sim_context_ordinal(context);
    sim_object_release(context);
    REQUIRE(ordinal >= 0, CNRT_RET_ERR_INIT, "The runtime context has no device yet: set one, or initialise it.");
    sim_runtime_select((unsigned)ordinal);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyRuntimeContext(cnrtRuntimeContext_t pctx)
{
    ENTER(cnrtDestroyRuntimeContext);
    REQUIRE_POINTER(pctx, CNRT_RET_ERR_INVALID);
    sim_context *context = sim_object_close(SIM_KIND_CONTEXT, pctx);
    REQUIRE(context != NULL, CNRT_RET_ERR_INVALID, "%p is not a runtime context, or was destroyed.", (void *)pctx);
    sim_object_release(context);
    return CNRT_RET_SUCCESS;
}
