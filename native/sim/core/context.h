/* Runtime contexts: a function made ready on a device. Any number of threads may invoke one context at once. */
#ifndef SIM_CORE_CONTEXT_H
#define SIM_CORE_CONTEXT_H

#include "core/model.h"
#include "core/queue.h"

typedef struct sim_context sim_context;

enum { SIM_ORDINAL_UNSET = -2 };

sim_context *sim_context_create(sim_function *function, sim_loaded_model *model); /* NULL after reporting */
void *sim_context_handle(const sim_context *context);

/* Settings before initialisation; false: already initialised. */
bool sim_context_set_ordinal(sim_context *context, int ordinal);
bool sim_context_set_channel(sim_context *context, cnrtChannelType_t channel);

/* Makes the plan and the first workspace. `ordinal` is used when none was set. */
cnrtRet_t sim_context_init(sim_context *context, unsigned ordinal);
bool sim_context_is_ready(sim_context *context);
/* An initialised twin: same plan, workspaces of its own. NULL after reporting. */
sim_context *sim_context_fork(sim_context *context);

/* `buffers`: inputs, then outputs; every one is checked against device memory. Asynchronous. */
cnrtRet_t sim_context_invoke(sim_context *context, void *const *buffers, sim_queue *queue);

const sim_model_info *sim_context_info(const sim_context *context);
sim_function *sim_context_function(const sim_context *context);
int sim_context_ordinal(sim_context *context);
cnrtChannelType_t sim_context_channel(sim_context *context);

#endif
