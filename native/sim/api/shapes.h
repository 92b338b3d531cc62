/* What invocations ask about parameter descriptors. */
#ifndef SIM_API_SHAPES_H
#define SIM_API_SHAPES_H

#include "core/error.h"
#include "exec/exec.h"

/* The descriptors of all inputs, then all outputs, say what the model was compiled for. */
cnrtRet_t sim_api_check_descs(const sim_model_info *info, cnrtParamDesc_t *descs);

#endif
