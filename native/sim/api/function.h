/* What several files ask of a function's handle. */
#ifndef SIM_API_FUNCTION_H
#define SIM_API_FUNCTION_H

#include "core/model.h"

/* The model that a function was extracted from, which describes its inputs and outputs, with a reference for the caller. */
cnrtRet_t sim_api_get_described(cnrtFunction_t handle, sim_loaded_model **model);

#endif
