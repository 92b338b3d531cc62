/* What other files ask of a runtime context's handle. */
#ifndef SIM_API_CONTEXT_H
#define SIM_API_CONTEXT_H

#include "core/error.h"

/* The device of an initialised context. */
cnrtRet_t sim_api_ordinal_of_context(cnrtRuntimeContext_t handle, unsigned *ordinal);

#endif
