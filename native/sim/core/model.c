#define _POSIX_C_SOURCE 200809L
#include "core/model.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/environment.h"
#include "core/processors.h"
#include "core/profile.h"
#include "core/standin.h"
#include "core/trace.h"

struct sim_loaded_model {
    sim_object base;
    sim_model *model;
    sim_standin standin; /* of a device file */
    sim_model_info info; /* what it answers: the file's, and of a file of 2019 what the stand-in describes */
    uint64_t bytes;
    pthread_mutex_t plan_lock;
    sim_plan *plan;
    sim_workspaces workspaces; /* of the plan */
    sim_profile *profile;      /* of the plan, or NULL */
    int traced;                /* the plan's number in a trace */
    sim_recording *recording;  /* of its outputs, or NULL */
    char *path;                /* NULL: a model in memory */
    uint64_t digest;           /* of the file; 0 where nothing is recorded */
};

struct sim_function {
    sim_object base;
    pthread_mutex_t lock;
    sim_loaded_model *model;
};

/* ---- Models ---- */

static cnrtRet_t code_of(sim_result result)
{
    switch (result) {
    case SIM_OK: return CNRT_RET_SUCCESS;
    case SIM_NO_MEMORY: return CNRT_RET_ERR_NOMEM;
    case SIM_BAD_FILE: return CNRT_RET_ERR_INVALID;
    case SIM_DEVICE_CODE:
    case SIM_NOT_SUPPORTED: return CNRT_RET_ERR_UNSUPPORTED;
    case SIM_NOT_WRITTEN: return CNRT_RET_ERR_SYS;
    }
    return CNRT_RET_ERR_UNKNOWN;
}

static void finish_model(sim_object *object)
{
    sim_loaded_model *model = (sim_loaded_model *)object;
    sim_profile_end(model->profile);
    sim_trace_save();
    sim_recording_close(model->recording);
    free(model->path);
    if (model->plan != NULL) {
        sim_workspaces_destroy(&model->workspaces);
    }
    sim_plan_free(model->plan);
    sim_standin_free(&model->standin);
    sim_model_free(model->model);
    pthread_mutex_destroy(&model->plan_lock);
    free(model);
}

/* What a device file computes with, if there is something, and what the model answers. */
static void find_standin(sim_loaded_model *model, const uint8_t *bytes, uint64_t size)
{
    model->info = *sim_model_get_info(model->model);
    if (model->info.has_network) {
        return;
    }
    sim_standin_find(&model->standin, bytes, size, &model->info);
    if (model->standin.model != NULL && !model->info.has_descriptors) {
        const sim_model_info *described = sim_model_get_info(model->standin.model);
        model->info.has_descriptors = true;
        model->info.input_count = described->input_count;
        model->info.output_count = described->output_count;
        model->info.inputs = described->inputs;
        model->info.outputs = described->outputs;
    }
}

sim_loaded_model *sim_loaded_model_create(const uint8_t *bytes, uint64_t size, const char *path)
{
    sim_loaded_model *model = calloc(1, sizeof *model);
    if (model == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a model.");
        return NULL;
    }
    sim_error error = {""};
    sim_result result = sim_model_parse(bytes, size, &model->model, &error);
    if (result != SIM_OK) {
        free(model);
        sim_error_set(code_of(result), "%.100s: %.150s", path == NULL ? "The model in memory" : path, error.text);
        return NULL;
    }
    model->bytes = size;
    find_standin(model, bytes, size);
    model->path = path == NULL ? NULL : strdup(path);
    model->digest = sim_environment_get()->compute == SIM_COMPUTE_ALL ? 0 : sim_digest(bytes, size, 0);
    pthread_mutex_init(&model->plan_lock, NULL);
    if (!sim_object_open(&model->base, SIM_KIND_MODEL, finish_model)) {
        sim_standin_free(&model->standin);
        sim_model_free(model->model);
        free(model->path);
        free(model);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another model.");
        return NULL;
    }
    return model;
}

void *sim_loaded_model_handle(const sim_loaded_model *model)
{
    return (void *)model->base.handle;
}

const sim_model_info *sim_loaded_model_info(const sim_loaded_model *model)
{
    return &model->info;
}

uint64_t sim_loaded_model_bytes(const sim_loaded_model *model)
{
    return model->bytes;
}

/* The model whose network is computed. */
static sim_model *computed(const sim_loaded_model *model)
{
    return model->standin.model != NULL ? model->standin.model : model->model;
}

bool sim_loaded_model_computes(const sim_loaded_model *model)
{
    return sim_model_get_info(computed(model))->has_network;
}

const char *sim_loaded_model_standin(const sim_loaded_model *model, const char **refusal)
{
    *refusal = model->standin.refusal;
    return model->standin.path;
}

/* The outputs lie beside the file that computes them, and are its. */
static sim_result open_recording(sim_loaded_model *model, sim_error *error)
{
    const sim_standin *standin = &model->standin;
    const bool own = standin->model == NULL;
    return sim_recording_open(&model->recording, own ? model->path : standin->path, own ? model->bytes : standin->bytes,
                              own ? model->digest : standin->digest, &model->info, error);
}

/* What the environment wants besides, of the plan that was made. */
static sim_result attend(sim_loaded_model *model, const sim_settings *settings, sim_error *error)
{
    if (settings->kernels != NULL) { /* for tests, so its use is said */
        fprintf(stderr, "cnrt simulator: kernels \"%s\" as CNRT_SIMULATOR_KERNELS says\n", settings->kernels);
    }
    model->profile = sim_profile_begin(model->plan, model->info.parallelism);
    model->traced = sim_trace_model(model->plan, model->info.name, model->info.parallelism);
    return open_recording(model, error);
}

static sim_result make_plan(sim_loaded_model *model, sim_error *error)
{
    const unsigned team = sim_processors_team_size(model->info.parallelism);
    const sim_settings settings = {.kernels = sim_environment_kernels(), .team = team};
    sim_result result = sim_plan_create(computed(model), &settings, &model->plan, error);
    if (result == SIM_OK) {
        result = attend(model, &settings, error);
    }
    if (result != SIM_OK) {
        sim_profile_end(model->profile);
        sim_plan_free(model->plan);
        model->profile = NULL;
        model->plan = NULL;
        return result;
    }
    sim_model_drop_network(computed(model)); /* the plan has packed what it needs */
    sim_workspaces_init(&model->workspaces, (size_t)sim_plan_workspace_bytes(model->plan, team));
    return SIM_OK;
}

const sim_plan *sim_loaded_model_plan(sim_loaded_model *model)
{
    sim_error error = {""};
    sim_result result = SIM_OK;
    pthread_mutex_lock(&model->plan_lock);
    if (model->plan == NULL) {
        result = make_plan(model, &error);
    }
    const sim_plan *plan = result == SIM_OK ? model->plan : NULL;
    pthread_mutex_unlock(&model->plan_lock);
    if (plan == NULL) {
        sim_error_set(code_of(result), "%s", error.text);
    }
    return plan;
}

sim_workspaces *sim_loaded_model_workspaces(sim_loaded_model *model)
{
    return &model->workspaces;
}

sim_profile *sim_loaded_model_profile(const sim_loaded_model *model)
{
    return model->profile;
}

int sim_loaded_model_traced(const sim_loaded_model *model)
{
    return model->traced;
}

sim_recording *sim_loaded_model_recording(const sim_loaded_model *model)
{
    return model->recording;
}

/* ---- Functions ---- */

static void finish_function(sim_object *object)
{
    sim_function *function = (sim_function *)object;
    sim_object_release(function->model);
    pthread_mutex_destroy(&function->lock);
    free(function);
}

sim_function *sim_function_create(void)
{
    sim_function *function = calloc(1, sizeof *function);
    if (function == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a function.");
        return NULL;
    }
    pthread_mutex_init(&function->lock, NULL);
    if (!sim_object_open(&function->base, SIM_KIND_FUNCTION, finish_function)) {
        free(function);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another function.");
        return NULL;
    }
    return function;
}

void *sim_function_handle(const sim_function *function)
{
    return (void *)function->base.handle;
}

void sim_function_set_model(sim_function *function, sim_loaded_model *model)
{
    sim_object_retain(model);
    pthread_mutex_lock(&function->lock);
    sim_loaded_model *before = function->model;
    function->model = model;
    pthread_mutex_unlock(&function->lock);
    sim_object_release(before);
}

sim_loaded_model *sim_function_get_model(sim_function *function)
{
    pthread_mutex_lock(&function->lock);
    sim_loaded_model *model = function->model == NULL ? NULL : sim_object_retain(function->model);
    pthread_mutex_unlock(&function->lock);
    return model;
}
