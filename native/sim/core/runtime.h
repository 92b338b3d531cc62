/* The runtime as a process and its threads see it: initialised or not, and which device a thread has selected. */
#ifndef SIM_CORE_RUNTIME_H
#define SIM_CORE_RUNTIME_H

#include "core/device.h"

/* cnrtInit and cnrtDestroy count. */
cnrtRet_t sim_runtime_init(unsigned flags);
bool sim_runtime_destroy(void); /* false: more calls than cnrtInit had */
/* CNRT_RET_SUCCESS, or a failure saying that cnrtInit is missing (or that there is no device). */
cnrtRet_t sim_runtime_require(void);
cnrtRet_t sim_runtime_require_device(void);

/* Handles are never 0; ordinal -1 when a handle is none of ours. */
cnrtDev_t sim_runtime_handle(unsigned ordinal);
int sim_runtime_ordinal_of(cnrtDev_t handle);
/* Follows CNRT_DEFAULT_DEVICE, which overrides every ordinal a program names. */
unsigned sim_runtime_effective(unsigned ordinal);

/* Of the calling thread. */
unsigned sim_runtime_ordinal(void);
sim_device *sim_runtime_device(void);
void sim_runtime_select(unsigned ordinal);
cnrtChannelType_t sim_runtime_channel(void);
void sim_runtime_select_channel(cnrtChannelType_t channel);

#endif
