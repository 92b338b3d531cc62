#include "api/api.h"
#include "core/environment.h"
#include "core/notes.h"
#include "core/processors.h"
#include "core/runtime.h"
#include "core/strict.h"
#include "core/timing.h"
#include "exec/exec.h"

cnrtRet_t cnrtInit(unsigned int flags)
{
    ENTER(cnrtInit);
    return sim_runtime_init(flags);
}

void cnrtDestroy(void)
{
    ENTER_HELPER();
    if (sim_faults_enter(SIM_CALL_cnrtDestroy, SIM_ANY) != CNRT_RET_SUCCESS) {
        return;
    }
    if (!sim_runtime_destroy()) {
        sim_error_set(CNRT_RET_ERR_INIT,
                      "cnrtDestroy was called more often than cnrtInit: call it once for each cnrtInit.");
        sim_strict_failed(SIM_FOUND_INIT, CNRT_RET_ERR_INIT);
    }
}

cnrtRet_t cnrtGetVersion(unsigned int *ver)
{
    ENTER_HELPER();
    REQUIRE_POINTER(ver, CNRT_RET_ERR_INVALID);
    *ver = sim_environment_version();
    return CNRT_RET_SUCCESS;
}

void cnrtGetLibVersion(int *major, int *minor, int *patch)
{
    const int *version = sim_environment_get()->version;
    int *const out[3] = {major, minor, patch};
    for (int part = 0; part < 3; part++) {
        if (out[part] != NULL) {
            *out[part] = version[part];
        }
    }
}

const char *cnrtSimulatorNotes(void)
{
    return sim_notes();
}

unsigned int cnrtSimulatorFindings(void)
{
    return sim_strict_count();
}

unsigned int cnrtSimulatorThreads(void)
{
    const bool counts = sim_timing_get() == NULL && sim_environment_get()->compute != SIM_COMPUTE_NOTHING;
    return counts ? sim_processors_count() : 0;
}

const char *cnrtSimulatorKernels(void)
{
    ENTER_HELPER();
    static _Thread_local char names[SIM_MAX_NAME];
    sim_error error = {""};
    if (sim_plan_kernels(sim_environment_kernels(), names, &error) != SIM_OK) {
        sim_error_set(CNRT_RET_ERR_UNSUPPORTED, "%s", error.text);
        return NULL;
    }
    return names;
}
