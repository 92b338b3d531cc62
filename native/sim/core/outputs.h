/* What an invocation leaves in its outputs when a fault has a say in it: zeros, flipped bits, what lay there before, or what
 * the invocation before wrote. */
#ifndef SIM_CORE_OUTPUTS_H
#define SIM_CORE_OUTPUTS_H

#include <pthread.h>

#include "core/faults.h"
#include "exec/exec.h"

/* Of one context. All zero but for the lock: nothing was written yet. */
typedef struct sim_outputs {
    pthread_mutex_t lock;
    uint8_t *before; /* the outputs behind each other, as they were computed last; NULL: never */
} sim_outputs;

void sim_outputs_free(sim_outputs *outputs);
/* Before a run: what is to lie in the outputs after it, to be freed by sim_outputs_settle; NULL: what is computed. */
uint8_t *sim_outputs_keep(sim_outputs *outputs, const sim_model_info *info, const sim_fault *fault,
                          void *const *buffers, sim_status *status);
/* After it. `buffers` are the inputs, then the outputs. */
void sim_outputs_settle(sim_outputs *outputs, const sim_model_info *info, const sim_fault *fault, void *const *buffers,
                        uint8_t *kept);

#endif
