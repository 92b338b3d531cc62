/* Loaded models, the functions extracted from them, and the plan that all contexts of a model share. */
#ifndef SIM_CORE_MODEL_H
#define SIM_CORE_MODEL_H

#include "core/error.h"
#include "core/object.h"
#include "core/recording.h"
#include "core/workspaces.h"
#include "exec/exec.h"

typedef struct sim_loaded_model sim_loaded_model;
typedef struct sim_function sim_function;

/* Report their own failures and return NULL. `path` is that of the file, NULL for a model in memory. For a device file a
 * stand-in is looked for. */
sim_loaded_model *sim_loaded_model_create(const uint8_t *bytes, uint64_t size, const char *path);
void *sim_loaded_model_handle(const sim_loaded_model *model);
const sim_model_info *sim_loaded_model_info(const sim_loaded_model *model);
uint64_t sim_loaded_model_bytes(const sim_loaded_model *model);
/* Whether something can compute it here: a network of its own, or a stand-in. */
bool sim_loaded_model_computes(const sim_loaded_model *model);
/* The file of its stand-in, or NULL; without one, and where it cannot be computed, `refusal` is the sentence on that. */
const char *sim_loaded_model_standin(const sim_loaded_model *model, const char **refusal);
/* The model's plan, made by the first call. Lives as long as the model. NULL after reporting. */
const sim_plan *sim_loaded_model_plan(sim_loaded_model *model);
/* Where its runs compute: once there is a plan. */
sim_workspaces *sim_loaded_model_workspaces(sim_loaded_model *model);
/* Where that plan's runs are to tell their times, or NULL. */
sim_profile *sim_loaded_model_profile(const sim_loaded_model *model);
int sim_loaded_model_traced(const sim_loaded_model *model); /* of trace.h; once there is a plan */
/* Its recorded outputs, or NULL: they are computed, and not recorded. */
sim_recording *sim_loaded_model_recording(const sim_loaded_model *model);

sim_function *sim_function_create(void);
void *sim_function_handle(const sim_function *function);
void sim_function_set_model(sim_function *function, sim_loaded_model *model); /* takes a reference of its own */
/* The model it was extracted from with a reference for the caller, or NULL when it was not extracted. */
sim_loaded_model *sim_function_get_model(sim_function *function);

#endif
