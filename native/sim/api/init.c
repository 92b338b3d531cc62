#include "api/api.h"
#include "core/device.h"

cnrtRet_t cnrtInit(unsigned int flags)
{
    return sim_runtime_init(flags);
}

void cnrtDestroy(void)
{
    if (!sim_runtime_destroy()) {
        sim_error_set(CNRT_RET_ERR_INIT, "cnrtDestroy was called more often than cnrtInit.");
    }
}

cnrtRet_t cnrtGetVersion(unsigned int *ver)
{
    REQUIRE_POINTER(ver, CNRT_RET_ERR_INVALID);
    int major, minor, patch;
    sim_device_version(&major, &minor, &patch);
    *ver = (unsigned)(major * 10000 + minor * 100 + patch);
    return CNRT_RET_SUCCESS;
}

void cnrtGetLibVersion(int *major, int *minor, int *patch)
{
    int version[3];
    sim_device_version(&version[0], &version[1], &version[2]);
    int *const out[3] = {major, minor, patch};
    for (int part = 0; part < 3; part++) {
        if (out[part] != NULL) {
            *out[part] = version[part];
        }
    }
}
