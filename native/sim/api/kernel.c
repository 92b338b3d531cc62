/* Kernels of one's own (BANG C). Their parameters can be gathered, copied and looked at as on a device; what they are for cannot
 * be done: a kernel is device code, and this library computes on the host's processors. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/issued.h"
#include "core/object.h"
#include "core/queue.h"

enum { MOST_PARAMS = 512, PARAM_BYTES = 8 };

/* What a program is handed is the visible part: the vendor's header shows it. What lies behind is found by its own place, not
 * by pointers that a program may have changed. */
typedef struct params {
    struct cnrtKernelParamsBuffer visible;
    uint64_t values[MOST_PARAMS];
    int inputs[MOST_PARAMS], outputs[MOST_PARAMS], statics[MOST_PARAMS];
} params;

/* NULL after reporting. */
static params *get(cnrtKernelParamsBuffer_t buffer)
{
    size_t count;
    if (buffer == NULL || !sim_issued_find(SIM_ISSUE_KERNEL_PARAMS, buffer, &count)) {
        sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a buffer of cnrtGetKernelParamsBuffer, or was destroyed.",
                      (void *)buffer);
        return NULL;
    }
    return (params *)buffer;
}

static void point_at_own(params *p)
{
    p->visible.host_ptr = p->values;
    p->visible.max_param = MOST_PARAMS;
    p->visible.input_index = p->inputs;
    p->visible.output_index = p->outputs;
    p->visible.static_index = p->statics;
}

cnrtRet_t cnrtGetKernelParamsBuffer(cnrtKernelParamsBuffer_t *buffer)
{
    ENTER(cnrtGetKernelParamsBuffer);
    REQUIRE_POINTER(buffer, CNRT_RET_ERR_INVALID);
    params *made = calloc(1, sizeof *made);
    if (made == NULL || !sim_issued_enter(SIM_ISSUE_KERNEL_PARAMS, made, MOST_PARAMS)) {
        free(made);
        return sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a buffer of kernel parameters.");
    }
    point_at_own(made);
    *buffer = &made->visible;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCopyKernelParamsBuffer(cnrtKernelParamsBuffer_t dst_params_buf, cnrtKernelParamsBuffer_t src_params_buf)
{
    ENTER(cnrtCopyKernelParamsBuffer);
    params *to = get(dst_params_buf), *from = to == NULL ? NULL : get(src_params_buf);
    if (from == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    memmove(to, from, sizeof *to);
    point_at_own(to);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t add(params *p, const void *data, size_t bytes)
{
    const unsigned at = p->visible.cur_param;
    REQUIRE(at < MOST_PARAMS, CNRT_RET_ERR_INVALID, "A buffer holds %d kernel parameters at most.", MOST_PARAMS);
    p->values[at] = 0;
    memcpy(&p->values[at], data, bytes);
    p->visible.cur_param = at + 1;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtKernelParamsBufferAddParam(cnrtKernelParamsBuffer_t buffer, void *data, size_t bytes)
{
    ENTER(cnrtKernelParamsBufferAddParam);
    params *p = get(buffer);
    if (p == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    REQUIRE_POINTER(data, CNRT_RET_ERR_INVALID);
    REQUIRE(bytes >= 1 && bytes <= PARAM_BYTES, CNRT_RET_ERR_INVALID, "A kernel parameter has 1 to %d bytes, not %zu.",
            PARAM_BYTES, bytes);
    return add(p, data, bytes);
}

/* Adds a parameter that a launch would fill in, and notes its place among those of its kind. */
static cnrtRet_t mark(cnrtKernelParamsBuffer_t buffer, size_t places_offset, size_t count_offset)
{
    static const uint64_t nothing = 0;
    params *p = get(buffer);
    if (p == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    int *places = (int *)(void *)((char *)p + places_offset), *count = (int *)(void *)((char *)p + count_offset);
    const int place = (int)p->visible.cur_param;
    REQUIRE(*count >= 0 && *count < MOST_PARAMS, CNRT_RET_ERR_INVALID, "A buffer holds %d marks of a kind at most.",
            MOST_PARAMS);
    TRY(add(p, &nothing, sizeof nothing));
    places[(*count)++] = place;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtKernelParamsBufferMarkInput(cnrtKernelParamsBuffer_t buffer)
{
    ENTER(cnrtKernelParamsBufferMarkInput);
    return mark(buffer, offsetof(params, inputs), offsetof(params, visible.num_input));
}

cnrtRet_t cnrtKernelParamsBufferMarkOutput(cnrtKernelParamsBuffer_t buffer)
{
    ENTER(cnrtKernelParamsBufferMarkOutput);
    return mark(buffer, offsetof(params, outputs), offsetof(params, visible.num_output));
}

cnrtRet_t cnrtKernelParamsBufferMarkStatic(cnrtKernelParamsBuffer_t buffer)
{
    ENTER(cnrtKernelParamsBufferMarkStatic);
    return mark(buffer, offsetof(params, statics), offsetof(params, visible.num_static));
}

cnrtRet_t cnrtDestroyKernelParamsBuffer(cnrtKernelParamsBuffer_t buffer)
{
    ENTER(cnrtDestroyKernelParamsBuffer);
    REQUIRE(buffer != NULL, CNRT_RET_ERR_INVALID, "The buffer of kernel parameters is NULL.");
    REQUIRE(sim_issued_leave(SIM_ISSUE_KERNEL_PARAMS, buffer), CNRT_RET_ERR_INVALID,
            "%p is not a buffer of cnrtGetKernelParamsBuffer, or was destroyed.", (void *)buffer);
    free(buffer);
    return CNRT_RET_SUCCESS;
}

/* ---- Launches ---- */

static cnrtRet_t refuse(void)
{
    return sim_error_set(CNRT_RET_ERR_UNSUPPORTED,
                         "The simulator never runs kernels: they are code of the device, which the host's processors "
                         "cannot execute. Run them on a card, or build what they compute into a model.");
}

typedef struct kernel_init {
    sim_object base;
} kernel_init;

static void finish(sim_object *object)
{
    free(object);
}

cnrtRet_t cnrtCreateKernelInitParam(cnrtKernelInitParam_t *init_param)
{
    ENTER(cnrtCreateKernelInitParam);
    REQUIRE_POINTER(init_param, CNRT_RET_ERR_INVALID);
    kernel_init *made = calloc(1, sizeof *made);
    if (made == NULL || !sim_object_open(&made->base, SIM_KIND_KERNEL_INIT, finish)) {
        free(made);
        return sim_error_set(CNRT_RET_ERR_NOMEM, "There is no memory, or no handle, for a kernel's parameters.");
    }
    *init_param = SIM_HANDLE(cnrtKernelInitParam_t, made);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t check_init(cnrtKernelInitParam_t handle)
{
    kernel_init *init = sim_object_get(SIM_KIND_KERNEL_INIT, handle);
    sim_object_release(init);
    REQUIRE(init != NULL, CNRT_RET_ERR_INVALID, "%p did not come from cnrtCreateKernelInitParam, or was destroyed.",
            (void *)handle);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtInitKernelMemory(const void *function, cnrtKernelInitParam_t init_param)
{
    ENTER(cnrtInitKernelMemory);
    REQUIRE_POINTER(function, CNRT_RET_ERR_INVALID);
    TRY(check_init(init_param));
    return refuse();
}

static cnrtRet_t check_launch(const char *call, const void *function, cnrtDim3_t dim, cnrtKernelParamsBuffer_t buffer,
                              cnrtFunctionType_t func_type, cnrtQueue_t queue)
{
    const int type = (int)func_type;
    REQUIRE_POINTER_OF(call, function, CNRT_RET_ERR_INVALID);
    REQUIRE(dim.x > 0 && dim.y > 0 && dim.z > 0, CNRT_RET_ERR_INVALID,
            "The dimensions of a launch are at least 1: %u, %u, %u.", dim.x, dim.y, dim.z);
    if (get(buffer) == NULL) {
        return CNRT_RET_ERR_INVALID;
    }
    REQUIRE(type == CNRT_FUNC_TYPE_MUTABLE || (type >= 1 && type <= 64 && (type & (type - 1)) == 0),
            CNRT_RET_ERR_INVALID, "A function type is -1 (mutable) or 1, 2, 4, ... 64, not %d.", type);
    sim_queue *q = sim_queue_get(queue);
    if (q == NULL) {
        return sim_error_peek();
    }
    sim_object_release(q);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtInvokeKernel_V2(const void *function, cnrtDim3_t dim, cnrtKernelParamsBuffer_t buffer,
                              cnrtFunctionType_t func_type, cnrtQueue_t queue)
{
    ENTER(cnrtInvokeKernel);
    TRY(check_launch(__func__, function, dim, buffer, func_type, queue));
    return refuse();
}

cnrtRet_t cnrtInvokeKernel_V3(const void *function, cnrtKernelInitParam_t init_param, cnrtDim3_t dim,
                              cnrtKernelParamsBuffer_t buffer, cnrtFunctionType_t func_type, cnrtQueue_t queue,
                              void *extra_param)
{
    ENTER(cnrtInvokeKernel);
    (void)extra_param; /* not looked at, as with runtime contexts */
    TRY(check_init(init_param));
    TRY(check_launch(__func__, function, dim, buffer, func_type, queue));
    return refuse();
}

cnrtRet_t cnrtDestroyKernelInitParamAndMemory(cnrtKernelInitParam_t param)
{
    ENTER(cnrtDestroyKernelInitParamAndMemory);
    kernel_init *init = sim_object_close(SIM_KIND_KERNEL_INIT, param);
    REQUIRE(init != NULL, CNRT_RET_ERR_INVALID, "%p did not come from cnrtCreateKernelInitParam, or was destroyed.",
            (void *)param);
    sim_object_release(init);
    return CNRT_RET_SUCCESS;
}
