#include "core/param_context.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct named {
    char name[SIM_LONGEST_NAMED_PARAM + 1];
    void *data;
    size_t bytes;
} named;

struct sim_param_context {
    sim_object base;
    pthread_mutex_t lock;
    int count;
    named items[SIM_MOST_NAMED_PARAMS];
};

static void finish(sim_object *object)
{
    sim_param_context *context = (sim_param_context *)object;
    for (int index = 0; index < context->count; index++) {
        free(context->items[index].data);
    }
    pthread_mutex_destroy(&context->lock);
    free(context);
}

sim_param_context *sim_param_context_create(void)
{
    sim_param_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a parameter context.");
        return NULL;
    }
    pthread_mutex_init(&context->lock, NULL);
    if (!sim_object_open(&context->base, SIM_KIND_PARAM_CONTEXT, finish)) {
        pthread_mutex_destroy(&context->lock);
        free(context);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another parameter context.");
        return NULL;
    }
    return context;
}

void *sim_param_context_handle(const sim_param_context *context)
{
    return (void *)context->base.handle;
}

/* With the lock held: the item of this name, or NULL. */
static named *find(sim_param_context *context, const char *name)
{
    for (int index = 0; index < context->count; index++) {
        if (strcmp(context->items[index].name, name) == 0) {
            return &context->items[index];
        }
    }
    return NULL;
}

cnrtRet_t sim_param_context_add(sim_param_context *context, const char *name, const void *data, size_t bytes)
{
    void *copy = malloc(bytes);
    if (copy == NULL) {
        return sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a parameter of %zu bytes.", bytes);
    }
    memcpy(copy, data, bytes);
    pthread_mutex_lock(&context->lock);
    named *item = find(context, name);
    if (item == NULL && context->count < SIM_MOST_NAMED_PARAMS) {
        item = &context->items[context->count++];
        memcpy(item->name, name, strlen(name) + 1);
    }
    if (item != NULL) {
        free(item->data);
        item->data = copy;
        item->bytes = bytes;
    }
    pthread_mutex_unlock(&context->lock);
    if (item == NULL) {
        free(copy);
        return sim_error_set(CNRT_RET_ERR_INVALID, "A parameter context holds %d parameters at most.",
                             SIM_MOST_NAMED_PARAMS);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_param_context_read(sim_param_context *context, const char *name, void *out, size_t room, size_t *bytes)
{
    pthread_mutex_lock(&context->lock);
    const named *item = find(context, name);
    const bool found = item != NULL;
    *bytes = found ? item->bytes : 0;
    if (found && *bytes <= room) {
        memcpy(out, item->data, *bytes);
    }
    pthread_mutex_unlock(&context->lock);
    if (!found) {
        return sim_error_set(CNRT_RET_ERR_NO_EXIST, "The context has no parameter called \"%.64s\".", name);
    }
    if (*bytes > room) {
        return sim_error_set(CNRT_RET_ERR_MEMCPY, "The parameter \"%.64s\" has %zu bytes, there is room for %zu.", name,
                             *bytes, room);
    }
    return CNRT_RET_SUCCESS;
}
