#include "core/outputs.h"

#include <stdlib.h>
#include <string.h>

void sim_outputs_free(sim_outputs *outputs)
{
    free(outputs->before);
    pthread_mutex_destroy(&outputs->lock);
}

static size_t bytes_of(const sim_model_info *info)
{
    size_t bytes = 0;
    for (int index = 0; index < info->output_count; index++) {
        bytes += (size_t)info->outputs[index].bytes;
    }
    return bytes;
}

/* Copies the outputs that lie in the buffers behind each other. */
static void gather(uint8_t *to, const sim_model_info *info, void *const *buffers)
{
    for (int index = 0; index < info->output_count; index++) {
        memcpy(to, buffers[info->input_count + index], (size_t)info->outputs[index].bytes);
        to += info->outputs[index].bytes;
    }
}

static bool keeps(const sim_fault *fault)
{
    return fault->rule != NULL &&
           (fault->rule->output == SIM_OUTPUT_SKIPPED || fault->rule->output == SIM_OUTPUT_STALE);
}

uint8_t *sim_outputs_keep(sim_outputs *outputs, const sim_model_info *info, const sim_fault *fault,
                          void *const *buffers, sim_status *status)
{
    if (!keeps(fault)) {
        return NULL;
    }
    uint8_t *kept = malloc(bytes_of(info) + 1);
    if (kept == NULL) {
        sim_status_set(status, CNRT_RET_ERR_NOMEM, "The host has no memory for the outputs that a fault keeps.");
        return NULL;
    }
    pthread_mutex_lock(&outputs->lock);
    if (fault->rule->output == SIM_OUTPUT_STALE && outputs->before != NULL) {
        memcpy(kept, outputs->before, bytes_of(info));
    } else {
        gather(kept, info, buffers);
    }
    pthread_mutex_unlock(&outputs->lock);
    return kept;
}

static void remember(sim_outputs *outputs, const sim_model_info *info, void *const *buffers)
{
    pthread_mutex_lock(&outputs->lock);
    if (outputs->before == NULL) {
        outputs->before = malloc(bytes_of(info) + 1);
    }
    if (outputs->before != NULL) {
        gather(outputs->before, info, buffers);
    }
    pthread_mutex_unlock(&outputs->lock);
}

void sim_outputs_settle(sim_outputs *outputs, const sim_model_info *info, const sim_fault *fault, void *const *buffers,
                        uint8_t *kept)
{
    if (sim_faults_want_stale()) {
        remember(outputs, info, buffers);
    }
    const uint8_t *from = kept;
    for (int index = 0; index < info->output_count && fault->rule != NULL; index++) {
        uint8_t *output = buffers[info->input_count + index];
        const size_t bytes = (size_t)info->outputs[index].bytes;
        if (kept == NULL) {
            sim_fault_spoil(fault, index, output, bytes);
        } else {
            if (sim_fault_touches(fault, index)) {
                memcpy(output, from, bytes);
            }
            from += bytes;
        }
    }
    free(kept);
}
