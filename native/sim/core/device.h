/* The simulated devices of this process: kind, cores, settings, and what each host thread has selected. */
#ifndef SIM_CORE_DEVICE_H
#define SIM_CORE_DEVICE_H

#include "core/cores.h"
#include "core/error.h"

enum { SIM_MAX_DEVICES = 8 };

/* What the environment chose for this process, read once (ABI.md lists the variables). */
typedef struct sim_device_kind {
    const char *name; /* "MLU220" */
    cnrtCoreVersion_t core_version;
    uint32_t architecture; /* of model files: 8 MLU220, 6 MLU270 */
    unsigned cores;
} sim_device_kind;

const sim_device_kind *sim_device_get_kind(void);
unsigned sim_device_count(void);
size_t sim_device_memory_bytes(void);

/* Failures on demand (CNRT_SIMULATOR_FAIL_INVOCATION), and what ends them (CNRT_SIMULATOR_FAIL_UNTIL). */
typedef enum sim_failure_end {
    SIM_FAILURE_ONCE,
    SIM_FAILURE_UNTIL_CONTEXT,
    SIM_FAILURE_UNTIL_INIT,
    SIM_FAILURE_FOREVER,
} sim_failure_end;

/* Counts an invocation of the process, from 1: its number if it is made to fail, else 0. */
unsigned sim_device_fail_invocation(void);
void sim_device_mend(sim_failure_end what);
void sim_device_version(int *major, int *minor, int *patch);

/* cnrtInit and cnrtDestroy count. */
cnrtRet_t sim_runtime_init(unsigned flags);
bool sim_runtime_destroy(void); /* false: more calls than cnrtInit had */
/* CNRT_RET_SUCCESS, or a failure saying that cnrtInit is missing (or that there is no device). */
cnrtRet_t sim_runtime_require(void);
cnrtRet_t sim_runtime_require_device(void);

/* Handles are never 0; ordinal -1 when a handle is none of ours. */
cnrtDev_t sim_device_handle(unsigned ordinal);
int sim_device_ordinal(cnrtDev_t handle);
/* Follows CNRT_DEFAULT_DEVICE, which overrides every ordinal a program names. */
unsigned sim_device_effective(unsigned ordinal);

unsigned sim_device_current(void);
void sim_device_set_current(unsigned ordinal);
cnrtChannelType_t sim_device_current_channel(void);
void sim_device_set_current_channel(cnrtChannelType_t channel);

typedef enum sim_setting { SIM_SETTING_FLAG, SIM_SETTING_STACK_MB, SIM_SETTING_LOCAL_MB, SIM_SETTINGS } sim_setting;
unsigned sim_device_get_setting(unsigned ordinal, sim_setting setting);
void sim_device_set_setting(unsigned ordinal, sim_setting setting, unsigned value);

sim_cores *sim_device_cores(unsigned ordinal);

#endif
