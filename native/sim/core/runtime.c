#include "core/runtime.h"

#include <pthread.h>

#include "core/environment.h"
#include "core/faults.h"
#include "core/strict.h"
#include "core/strict_leaks.h"
#include "core/timing.h"

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned init_count, init_flags;

static _Thread_local unsigned current_ordinal;
static _Thread_local cnrtChannelType_t current_channel = CNRT_CHANNEL_TYPE_NONE;

static cnrtRet_t check_init(unsigned flags)
{
    const sim_environment *environment = sim_environment_get();
    if (flags > 1) {
        return sim_error_set(CNRT_RET_ERR_INVALID, "cnrtInit takes flags 0 (device) or 1 (fake device), not %u.",
                             flags);
    }
    if (environment->devices == 0) {
        return sim_error_set(CNRT_RET_ERR_NODEV, "There is no device: CNRT_SIMULATOR_DEVICES is 0.");
    }
    if (environment->bad_default != NULL) {
        return sim_error_set(CNRT_RET_ERR_INIT, "CNRT_DEFAULT_DEVICE=%.40s names no device; there are %u.",
                             environment->bad_default, environment->devices);
    }
    const char *const problems[] = {sim_faults_problem(), sim_timing_problem()};
    for (size_t index = 0; index < sizeof problems / sizeof *problems; index++) {
        if (problems[index] != NULL) { /* a test bench that silently does nothing would be worse */
            return sim_error_set(CNRT_RET_ERR_INIT, "%s", problems[index]);
        }
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_runtime_init(unsigned flags)
{
    cnrtRet_t code = check_init(flags);
    if (code != CNRT_RET_SUCCESS) {
        return code;
    }
    pthread_mutex_lock(&init_lock);
    bool differs = init_count > 0 && flags != init_flags;
    if (!differs) {
        init_count++;
        init_flags = flags;
    }
    pthread_mutex_unlock(&init_lock);
    sim_faults_mend(SIM_FAULT_UNTIL_INIT);
    if (differs) {
        return sim_error_set(CNRT_RET_ERR_INVALID_TYPE, "cnrtInit was called before with flags %u, now with %u.",
                             1 - flags, flags);
    }
    return CNRT_RET_SUCCESS;
}

bool sim_runtime_destroy(void)
{
    pthread_mutex_lock(&init_lock);
    bool balanced = init_count > 0;
    init_count -= balanced;
    bool last = balanced && init_count == 0;
    pthread_mutex_unlock(&init_lock);
    if (last) {
        sim_leaks_tell("when the last cnrtDestroy was called");
    }
    return balanced;
}

cnrtRet_t sim_runtime_require(void)
{
    pthread_mutex_lock(&init_lock);
    bool initialised = init_count > 0;
    pthread_mutex_unlock(&init_lock);
    if (initialised) {
        return CNRT_RET_SUCCESS;
    }
    sim_error_set(CNRT_RET_ERR_INIT, "The runtime is not initialised: call cnrtInit(0) first.");
    return sim_strict_failed(SIM_FOUND_INIT, CNRT_RET_ERR_INIT);
}

cnrtRet_t sim_runtime_require_device(void)
{
    cnrtRet_t code = sim_runtime_require();
    if (code == CNRT_RET_SUCCESS && sim_device_count() == 0) {
        return sim_error_set(CNRT_RET_ERR_NODEV, "There is no device: CNRT_SIMULATOR_DEVICES is 0.");
    }
    return code;
}

/* "MLU" in the upper bytes, so that small numbers and zero are no handles. */
#define HANDLE_BASE ((cnrtDev_t)0x4d4c5500)

cnrtDev_t sim_runtime_handle(unsigned ordinal)
{
    return HANDLE_BASE + sim_runtime_effective(ordinal);
}

int sim_runtime_ordinal_of(cnrtDev_t handle)
{
    return handle >= HANDLE_BASE && handle - HANDLE_BASE < sim_device_count() ? (int)(handle - HANDLE_BASE) : -1;
}

unsigned sim_runtime_effective(unsigned ordinal)
{
    int forced = sim_environment_get()->default_device;
    return forced >= 0 ? (unsigned)forced : ordinal;
}

unsigned sim_runtime_ordinal(void)
{
    return sim_runtime_effective(current_ordinal);
}

sim_device *sim_runtime_device(void)
{
    return sim_device_at(sim_runtime_ordinal());
}

void sim_runtime_select(unsigned ordinal)
{
    current_ordinal = ordinal;
}

cnrtChannelType_t sim_runtime_channel(void)
{
    return current_channel;
}

void sim_runtime_select_channel(cnrtChannelType_t channel)
{
    current_channel = channel;
}
