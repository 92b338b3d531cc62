#include "core/param_desc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct sim_param_desc {
    sim_object base;
    pthread_mutex_t lock;
    sim_param_facts facts;
    char *name; /* NULL: none was set */
    int name_bytes;
};

static void finish(sim_object *object)
{
    sim_param_desc *desc = (sim_param_desc *)object;
    pthread_mutex_destroy(&desc->lock);
    free(desc->name);
    free(desc);
}

sim_param_desc *sim_param_desc_create(void)
{
    sim_param_desc *desc = calloc(1, sizeof *desc);
    if (desc == NULL) {
        sim_error_set(CNRT_RET_ERR_NOMEM, "The host has no memory for a parameter descriptor.");
        return NULL;
    }
    pthread_mutex_init(&desc->lock, NULL);
    desc->facts.dtype = CNRT_FLOAT16;
    desc->facts.order = CNRT_NHWC;
    if (!sim_object_open(&desc->base, SIM_KIND_PARAM_DESC, finish)) {
        pthread_mutex_destroy(&desc->lock);
        free(desc);
        sim_error_set(CNRT_RET_ERR_NOMEM, "There are too many open handles for another parameter descriptor.");
        return NULL;
    }
    return desc;
}

void *sim_param_desc_handle(const sim_param_desc *desc)
{
    return (void *)desc->base.handle;
}

sim_param_facts sim_param_desc_facts(sim_param_desc *desc)
{
    pthread_mutex_lock(&desc->lock);
    const sim_param_facts facts = desc->facts;
    pthread_mutex_unlock(&desc->lock);
    return facts;
}

void sim_param_desc_set_shape(sim_param_desc *desc, const int *dims, int rank)
{
    pthread_mutex_lock(&desc->lock);
    memcpy(desc->facts.dims, dims, (size_t)rank * sizeof *dims);
    desc->facts.rank = rank;
    pthread_mutex_unlock(&desc->lock);
}

void sim_param_desc_set_dtype(sim_param_desc *desc, cnrtDataType_t dtype)
{
    pthread_mutex_lock(&desc->lock);
    desc->facts.dtype = dtype;
    desc->facts.has_dtype = true;
    pthread_mutex_unlock(&desc->lock);
}

void sim_param_desc_describe(sim_param_desc *desc, const sim_io *io, int id)
{
    pthread_mutex_lock(&desc->lock);
    desc->facts = (sim_param_facts){.rank = io->rank,
                                    .dtype = (cnrtDataType_t)io->dtype,
                                    .has_dtype = true,
                                    .order = (cnrtDimOrder_t)io->order,
                                    .id = id};
    memcpy(desc->facts.dims, io->dims, (size_t)io->rank * sizeof *io->dims);
    pthread_mutex_unlock(&desc->lock);
}

bool sim_param_desc_set_name(sim_param_desc *desc, const char *name, int bytes)
{
    char *copy = calloc((size_t)bytes + 1, 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, name, (size_t)bytes);
    pthread_mutex_lock(&desc->lock);
    char *before = desc->name;
    desc->name = copy;
    desc->name_bytes = bytes;
    pthread_mutex_unlock(&desc->lock);
    free(before);
    return true;
}

char *sim_param_desc_copy_name(sim_param_desc *desc, int *bytes)
{
    pthread_mutex_lock(&desc->lock);
    *bytes = desc->name_bytes;
    char *copy = desc->name == NULL ? NULL : malloc((size_t)desc->name_bytes + 1);
    if (copy != NULL) {
        memcpy(copy, desc->name, (size_t)desc->name_bytes + 1);
    }
    pthread_mutex_unlock(&desc->lock);
    return copy;
}

bool sim_param_desc_has_name(sim_param_desc *desc)
{
    pthread_mutex_lock(&desc->lock);
    const bool has = desc->name != NULL;
    pthread_mutex_unlock(&desc->lock);
    return has;
}

bool sim_param_desc_is_named(sim_param_desc *desc, const char *name)
{
    pthread_mutex_lock(&desc->lock);
    const bool same = desc->name != NULL && strcmp(desc->name, name) == 0;
    pthread_mutex_unlock(&desc->lock);
    return same;
}
