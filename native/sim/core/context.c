#define _POSIX_C_SOURCE 200809L
#include "core/context.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/device.h"
#include "core/outputs.h"
#include "core/processors.h"
#include "core/strict_use.h"
#include "core/timing.h"
#include "core/trace.h"

struct sim_context {
    sim_object base;
    sim_function *function;
    sim_loaded_model *model;
    pthread_mutex_t lock; /* guards everything below until `ready` */
    bool ready;
    int ordinal;
    cnrtChannelType_t channel;
    const sim_plan *plan; /* the model's */
    sim_outputs outputs;
};

static void finish(sim_object *object)
{
    sim_context *context = (sim_context *)object;
    sim_outputs_free(&context->outputs);
    pthread_mutex_destroy(&context->lock);
    sim_object_release(context->function);
    sim_object_release(context->model);
    free(context);
}

sim_context *sim_context_create(sim_function *function, sim_loaded_model *model)
{
    sim_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a runtime context.");
        return NULL;
    }
    context->ordinal = SIM_ORDINAL_UNSET;
    context->channel = CNRT_CHANNEL_TYPE_NONE;
    pthread_mutex_init(&context->lock, NULL);
    pthread_mutex_init(&context->outputs.lock, NULL);
    if (!sim_object_open(&context->base, SIM_KIND_CONTEXT, finish)) {
        free(context);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another runtime context.");
        return NULL;
    }
    context->function = sim_object_retain(function);
    context->model = sim_object_retain(model);
    sim_faults_mend(SIM_FAULT_UNTIL_CONTEXT);
    return context;
}

void *sim_context_handle(const sim_context *context)
{
    return (void *)context->base.handle;
}

bool sim_context_set_ordinal(sim_context *context, int ordinal)
{
    pthread_mutex_lock(&context->lock);
    bool allowed = !context->ready;
    if (allowed) {
        context->ordinal = ordinal;
    }
    pthread_mutex_unlock(&context->lock);
    return allowed;
}

bool sim_context_set_channel(sim_context *context, cnrtChannelType_t channel)
{
    pthread_mutex_lock(&context->lock);
    bool allowed = !context->ready;
    if (allowed) {
        context->channel = channel;
    }
    pthread_mutex_unlock(&context->lock);
    return allowed;
}

/* ---- Initialisation ---- */

static cnrtRet_t check_fits_device(const sim_loaded_model *model)
{
    const sim_model_info *info = sim_loaded_model_info(model);
    const char *refusal;
    const sim_device_kind *kind = sim_device_get_kind();
    if (!sim_loaded_model_computes(model)) {
        sim_loaded_model_standin(model, &refusal);
        return sim_error_set(CNRT_RET_ERR_UNSUPPORTED, "%s", refusal);
    }
    if (info->architecture != kind->architecture) {
        return sim_error_set(
            CNRT_RET_ERR_UNSUPPORTED,
            "Model \"%.60s\" was built for architecture %u (8 MLU220, 6 MLU270), the device is %s: simulate that one "
            "(CNRT_SIMULATOR_DEVICE=MLU270 or MLU220), or build for this one (mlu-export build: --target %s; for a "
            "script "
            "of mlu-export run: set_core_version).",
            info->name, info->architecture, kind->name, kind->name);
    }
    if (info->parallelism < 1 || info->parallelism > kind->cores) {
        return sim_error_set(CNRT_RET_ERR_UNSUPPORTED, "Model \"%.60s\" was built for %u cores, %s has %u.", info->name,
                             info->parallelism, kind->name, kind->cores);
    }
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t prepare(sim_context *context)
{
    cnrtRet_t code = check_fits_device(context->model);
    if (code != CNRT_RET_SUCCESS) {
        return code;
    }
    context->plan = sim_loaded_model_plan(context->model);
    if (context->plan == NULL) {
        return sim_error_peek();
    }
    sim_workspaces *spaces = sim_loaded_model_workspaces(context->model);
    void *space = sim_workspaces_take(spaces); /* told now, not by the first invocation */
    if (space == NULL) {
        return sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a workspace of %zu bytes.", spaces->bytes);
    }
    sim_workspaces_give_back(spaces, space);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_context_init(sim_context *context, unsigned ordinal)
{
    cnrtRet_t code;
    pthread_mutex_lock(&context->lock);
    if (context->ready) {
        code = sim_error_set(CNRT_RET_ERR_INIT, "The runtime context was initialised before.");
    } else {
        unsigned chosen = context->ordinal >= 0 ? (unsigned)context->ordinal : ordinal;
        code = prepare(context);
        if (code == CNRT_RET_SUCCESS) {
            context->ordinal = (int)chosen;
            context->ready = true;
        }
    }
    pthread_mutex_unlock(&context->lock);
    return code;
}

bool sim_context_is_ready(sim_context *context)
{
    pthread_mutex_lock(&context->lock);
    bool ready = context->ready;
    pthread_mutex_unlock(&context->lock);
    return ready;
}

sim_context *sim_context_fork(sim_context *context)
{
    sim_context *twin = sim_context_create(context->function, context->model);
    if (twin == NULL) {
        return NULL;
    }
    twin->channel = sim_context_channel(context);
    if (sim_context_init(twin, (unsigned)sim_context_ordinal(context)) != CNRT_RET_SUCCESS) {
        sim_object_release(sim_object_close(SIM_KIND_CONTEXT, sim_context_handle(twin)));
        return NULL;
    }
    return twin;
}

/* ---- Invocation ---- */

/* The sentence's part that names buffer number `index` of an invocation. */
static const char *side_of(const sim_model_info *info, int index, int *number)
{
    bool input = index < info->input_count;
    *number = input ? index : index - info->input_count;
    return input ? "input" : "output";
}

/* Computes on as many processors of the host as it has cores and there are. */
static void compute(sim_context *context, void *const *buffers, sim_trace_place *place, sim_status *status)
{
    sim_workspaces *spaces = sim_loaded_model_workspaces(context->model);
    sim_hold hold;
    sim_processors_acquire(sim_processors_team_size(sim_context_info(context)->parallelism), &hold);
    if (place->model != SIM_TRACE_NO_MODEL) {
        hold.team.watch = sim_trace_step;
        hold.team.watcher = place;
    }
    void *space = sim_workspaces_take(spaces); /* after that: there are not more of them than processors */
    if (space == NULL) {
        sim_status_set(status, CNRT_RET_ERR_NOMEM, "The host has no memory for a workspace of %zu bytes.",
                       spaces->bytes);
    } else {
        sim_plan_run(context->plan, space, buffers, &hold.team, sim_loaded_model_profile(context->model));
        sim_workspaces_give_back(spaces, space);
    }
    sim_processors_release(&hold);
}

static void run_plan(sim_context *context, const sim_work *work, sim_trace_place *place, sim_status *status)
{
    const sim_model_info *info = sim_context_info(context);
    void *const *buffers = work->as.invoke.buffers;
    uint8_t *kept = sim_outputs_keep(&context->outputs, info, &work->fault, buffers, status);
    if (status->code == CNRT_RET_SUCCESS) {
        sim_recording *recording = sim_loaded_model_recording(context->model);
        if (!sim_recording_replay(recording, info, buffers)) {
            compute(context, buffers, place, status);
            if (status->code == CNRT_RET_SUCCESS) {
                sim_recording_add(recording, info, buffers);
            }
        }
        sim_outputs_settle(&context->outputs, info, &work->fault, buffers, kept);
    }
}

/* What the device would have taken, and what the host is to take if it is paced: while the cores are held. */
static void spend_time(const sim_context *context, sim_queue *queue, int64_t begun)
{
    const sim_timing *timing = sim_timing_get();
    if (timing != NULL) {
        const double seconds = sim_timing_of_plan(timing, context->plan, sim_context_info(context)->parallelism);
        sim_clock_spend(sim_queue_clock(queue), seconds);
        sim_clock_sleep(begun, timing->pace ? seconds : 0);
    }
}

static void run_network(sim_context *context, const sim_work *work, sim_status *status)
{
    sim_seats *cores = &sim_device_at((unsigned)context->ordinal)->cores;
    const uint64_t taken = sim_seats_take(cores, sim_context_info(context)->parallelism);
    const int64_t begun = sim_clock_host();
    sim_trace_place place = {sim_loaded_model_traced(context->model), (unsigned)context->ordinal, taken};
    run_plan(context, work, &place, status);
    spend_time(context, work->queue, begun);
    sim_trace_invocation(&place, (uint64_t)begun, (uint64_t)sim_clock_host());
    sim_seats_give_back(cores, taken);
}

static void run_invoke(sim_work *work, sim_status *status)
{
    sim_context *context = work->as.invoke.context;
    for (int index = 0; index < work->as.invoke.count && status->code == CNRT_RET_SUCCESS; index++) {
        if (sim_memory_is_freed(work->as.invoke.blocks[index])) {
            int number;
            const char *side = side_of(sim_context_info(context), index, &number);
            sim_status_set(status, CNRT_RET_ERR_FIND_DEV_ADDR,
                           "The memory of %s %d was freed while the invocation waited in its queue: synchronise first.",
                           side, number);
        }
    }
    if (status->code == CNRT_RET_SUCCESS) {
        run_network(context, work, status);
    }
    for (int index = 0; index < work->as.invoke.count; index++) {
        sim_memory_unpin(work->as.invoke.blocks[index]);
    }
    sim_object_release(context);
}

/* Pins buffer number `index` after checking that the network's tensor fits into what is left of its block. */
static cnrtRet_t pin_buffer(sim_work *work, const sim_model_info *info, int index, void *buffer)
{
    int number;
    const char *side = side_of(info, index, &number);
    const sim_io *io = index < info->input_count ? &info->inputs[number] : &info->outputs[number];
    size_t available = 0;
    sim_block *block = sim_memory_pin(buffer, &available);
    work->as.invoke.buffers[index] = sim_memory_bytes(block, buffer);
    work->as.invoke.blocks[index] = block;
    if (block == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID,
                      "The buffer of %s %d (%p) is not device memory: allocate it with cnrtMalloc.", side, number,
                      buffer);
        return sim_strict_stray(buffer, SIM_FOUND_NOT_DEVICE, CNRT_RET_ERR_INVALID);
    }
    if (available < (size_t)io->bytes) {
        sim_error_set(CNRT_RET_ERR_INVALID, "The buffer of %s %d has %zu bytes left, the network needs %lld.", side,
                      number, available, (long long)io->bytes);
        return sim_strict_failed_at(SIM_FOUND_SIZE, buffer,
                                    "Allocate what cnrtGetInputDataSize and cnrtGetOutputDataSize tell.",
                                    CNRT_RET_ERR_INVALID);
    }
    return CNRT_RET_SUCCESS;
}

static void judge(const sim_work *work, const sim_model_info *info, void *const *buffers, const sim_queue *queue)
{
    sim_strict_side sides[SIM_MAX_TENSORS];
    for (int index = 0; index < work->as.invoke.count; index++) {
        sides[index] = sim_memory_side(work->as.invoke.blocks[index], buffers[index]);
    }
    sim_strict_invoke(info, sides, buffers, sim_queue_order(queue));
}

cnrtRet_t sim_context_invoke(sim_context *context, void *const *buffers, sim_queue *queue)
{
    const sim_model_info *info = sim_context_info(context);
    sim_work *work = sim_queue_take_work(queue);
    if (work == NULL) {
        return CNRT_RET_ERR_NOMEM;
    }
    int count = info->input_count + info->output_count;
    cnrtRet_t code = CNRT_RET_SUCCESS;
    int pinned = 0;
    while (pinned < count && code == CNRT_RET_SUCCESS) {
        code = pin_buffer(work, info, pinned, buffers[pinned]);
        pinned++;
    }
    if (code != CNRT_RET_SUCCESS) {
        for (int index = 0; index < pinned; index++) {
            sim_memory_unpin(work->as.invoke.blocks[index]);
        }
        sim_queue_return_work(queue, work);
        return code;
    }
    work->as.invoke.context = sim_object_retain(context);
    work->as.invoke.count = count;
    work->run = run_invoke;
    if (sim_strict()) {
        judge(work, info, buffers, queue);
    }
    sim_queue_submit(queue, work);
    return CNRT_RET_SUCCESS;
}

/* ---- Facts ---- */

const sim_model_info *sim_context_info(const sim_context *context)
{
    return sim_loaded_model_info(context->model);
}

sim_function *sim_context_function(const sim_context *context)
{
    return context->function;
}

int sim_context_ordinal(sim_context *context)
{
    pthread_mutex_lock(&context->lock);
    int ordinal = context->ordinal;
    pthread_mutex_unlock(&context->lock);
    return ordinal;
}

cnrtChannelType_t sim_context_channel(sim_context *context)
{
    pthread_mutex_lock(&context->lock);
    cnrtChannelType_t channel = context->channel;
    pthread_mutex_unlock(&context->lock);
    return channel;
}
