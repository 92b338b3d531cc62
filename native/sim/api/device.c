#include "core/runtime.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "core/environment.h"
#include "core/queue.h"

enum { LEAST_MB = 4, MOST_MB = 511 };

cnrtRet_t cnrtGetDeviceCount(unsigned int *dev_num)
{
    ENTER(cnrtGetDeviceCount);
    REQUIRE_POINTER(dev_num, CNRT_RET_ERR_INVALID);
    *dev_num = sim_device_count();
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetDeviceHandle(cnrtDev_t *pdev, int ordinal)
{
    ENTER(cnrtGetDeviceHandle);
    REQUIRE_POINTER(pdev, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    REQUIRE(ordinal >= -1 && ordinal < (int)sim_device_count(), CNRT_RET_ERR_INVALID,
            "There is no device with ordinal %d: there are %u.", ordinal, sim_device_count());
    *pdev = sim_runtime_handle(ordinal < 0 ? 0 : (unsigned)ordinal);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetCurrentDevice(cnrtDev_t dev)
{
    ENTER(cnrtSetCurrentDevice);
    int ordinal = sim_runtime_ordinal_of(dev);
    REQUIRE(ordinal >= 0, CNRT_RET_ERR_INVALID, "%#llx is not a device handle: take one from cnrtGetDeviceHandle.",
            (unsigned long long)dev);
    TRY(sim_runtime_require_device());
    sim_runtime_select((unsigned)ordinal);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetCurrentDevice(cnrtDev_t *pdev)
{
    ENTER(cnrtGetCurrentDevice);
    REQUIRE_POINTER(pdev, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    *pdev = sim_runtime_handle(sim_runtime_ordinal());
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetCurrentOrdinal(unsigned int *dev_ordinal)
{
    ENTER(cnrtGetCurrentOrdinal);
    REQUIRE_POINTER(dev_ordinal, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    *dev_ordinal = sim_runtime_ordinal();
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetDeviceInfo(cnrtDeviceInfo_t *info, int device_ordinal)
{
    ENTER(cnrtGetDeviceInfo);
    REQUIRE_POINTER(info, CNRT_RET_ERR_INVALID);
    REQUIRE(device_ordinal >= 0, CNRT_RET_ERR_INVALID, "A device ordinal starts at 0, not %d.", device_ordinal);
    TRY(sim_runtime_require_device());
    REQUIRE(device_ordinal < (int)sim_device_count(), CNRT_RET_ERR_NODEV,
            "There is no device with ordinal %d: there are %u.", device_ordinal, sim_device_count());
    const sim_device_kind *kind = sim_device_get_kind();
    memset(info, 0, sizeof *info);
    snprintf(info->device_name, sizeof info->device_name, "%s-SIMULATOR", kind->name);
    info->core_version = kind->core_version;
    info->core_num = (int)kind->cores;
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSyncDevice(void)
{
    ENTER(cnrtSyncDevice);
    TRY(sim_runtime_require_device());
    return sim_queue_sync_device(sim_runtime_ordinal());
}

cnrtRet_t cnrtSetDeviceFlag(unsigned int flags)
{
    ENTER(cnrtSetDeviceFlag);
    const bool yields = sim_environment_version() >= 41000;
    REQUIRE(flags <= (yields ? CNRT_QUEUE_SYNC_YIELD : CNRT_QUEUE_SYNC_BLOCK), CNRT_RET_ERR_INVALID,
            "A device flag is 0 (spin) or 1 (block), since version 4.10 also 2 (yield), not %u.", flags);
    TRY(sim_runtime_require_device());
    atomic_store(&sim_runtime_device()->settings[SIM_SETTING_FLAG], flags);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetDeviceFlag(unsigned int *flags)
{
    ENTER(cnrtGetDeviceFlag);
    REQUIRE_POINTER(flags, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    *flags = atomic_load(&sim_runtime_device()->settings[SIM_SETTING_FLAG]);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetCurrentChannel(cnrtChannelType_t channel)
{
    ENTER(cnrtSetCurrentChannel);
    REQUIRE((int)channel >= CNRT_CHANNEL_TYPE_DUPLICATE && (int)channel <= CNRT_CHANNEL_TYPE_3, CNRT_RET_ERR_INVALID,
            "A channel is -2 (duplicate), -1 (none) or 0 to 3, not %d.", (int)channel);
    sim_runtime_select_channel(channel);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetCurrentChannel(cnrtChannelType_t *channel)
{
    ENTER(cnrtGetCurrentChannel);
    REQUIRE_POINTER(channel, CNRT_RET_ERR_INVALID);
    *channel = sim_runtime_channel();
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t set_megabytes(sim_setting setting, const char *what, unsigned megabytes)
{
    REQUIRE(megabytes >= LEAST_MB && megabytes <= MOST_MB, CNRT_RET_ERR_INVALID,
            "The %s memory of a core is %d to %d megabytes, not %u.", what, LEAST_MB, MOST_MB, megabytes);
    TRY(sim_runtime_require_device());
    atomic_store(&sim_runtime_device()->settings[setting], megabytes);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetStackMem(unsigned int megabytes)
{
    ENTER(cnrtSetStackMem);
    return set_megabytes(SIM_SETTING_STACK_MB, "stack", megabytes);
}

cnrtRet_t cnrtGetStackMem(unsigned int *megabytes)
{
    ENTER(cnrtGetStackMem);
    REQUIRE_POINTER(megabytes, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    *megabytes = atomic_load(&sim_runtime_device()->settings[SIM_SETTING_STACK_MB]);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetLocalMem(unsigned int megabytes)
{
    ENTER(cnrtSetLocalMem);
    return set_megabytes(SIM_SETTING_LOCAL_MB, "local", megabytes);
}

cnrtRet_t cnrtGetLocalMem(unsigned int *megabytes)
{
    ENTER(cnrtGetLocalMem);
    REQUIRE_POINTER(megabytes, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    *megabytes = atomic_load(&sim_runtime_device()->settings[SIM_SETTING_LOCAL_MB]);
    return CNRT_RET_SUCCESS;
}
