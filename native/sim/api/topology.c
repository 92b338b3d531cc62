/* Where devices stand: near every processor that this process may use, and all beside each other. */
#include <string.h>

#include "api/api.h"
#include "core/codes.h"
#include "core/cpus.h"
#include "core/runtime.h"

static cnrtRet_t check_ordinal(int ordinal)
{
    TRY(sim_runtime_require_device());
    REQUIRE(ordinal >= 0 && ordinal < (int)sim_device_count(), sim_code_call(SIM_DEVICE_TOOLS),
            "There is no device with ordinal %d: there are %u.", ordinal, sim_device_count());
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtGetMLUdev(MLUdev_t *mlu_dev, cnrtDev_t cnrt_dev)
{
    ENTER(cnrtGetMLUdev);
    REQUIRE_POINTER(mlu_dev, CNRT_RET_ERR_INVALID);
    REQUIRE(sim_runtime_ordinal_of(cnrt_dev) >= 0, CNRT_RET_ERR_INVALID,
            "%#llx is not a device handle: take one from cnrtGetDeviceHandle.", (unsigned long long)cnrt_dev);
    TRY(sim_runtime_require_device());
    *mlu_dev = cnrt_dev;
    return CNRT_RET_SUCCESS;
}

/* ---- Affinity ---- */

cnrtRet_t cnrtGetDeviceAffinity(cnrtDeviceAffinity_t *affinity, int dev_ordinal)
{
    ENTER(cnrtGetDeviceAffinity);
    REQUIRE_POINTER(affinity, CNRT_RET_ERR_INVALID);
    TRY(check_ordinal(dev_ordinal));
    const uint32_t *words = sim_cpus_of_process();
    affinity->cpu_count = 0;
    for (int word = 0; word < SIM_CPU_WORDS; word++) {
        affinity->cpu_affinity_bitmap[word] = words[word];
        affinity->cpu_count += (uint32_t)__builtin_popcount(words[word]);
    }
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t bind(const uint32_t *words)
{
    REQUIRE(sim_cpus_bind(words), sim_code_call(SIM_DEVICE_TOOLS),
            "The host does not let this thread use those processors.");
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtSetCurrentThreadAffinity(int dev_ordinal)
{
    ENTER(cnrtSetCurrentThreadAffinity);
    TRY(check_ordinal(dev_ordinal));
    return bind(sim_cpus_of_process());
}

cnrtRet_t cnrtClearCurrentThreadAffinity(int dev_ordinal)
{
    ENTER(cnrtClearCurrentThreadAffinity);
    uint32_t all[SIM_CPU_WORDS];
    TRY(check_ordinal(dev_ordinal));
    memset(all, 0xff, sizeof all); /* the host leaves those that it has, and that the process's group may use */
    return bind(all);
}

/* ---- Topology ---- */

static cnrtTopologyRelationshipEnum_t relationship_of(int one, int other)
{
    return one == other ? CNRT_TOPO_SELF : CNRT_TOPO_CPU;
}

cnrtRet_t cnrtTopologyGetRelationship(cnrtTopologyRelationshipEnum_t *relationship, int dev_ordinal1, int dev_ordinal2)
{
    ENTER(cnrtTopologyGetRelationship);
    REQUIRE_POINTER(relationship, CNRT_RET_ERR_INVALID);
    TRY(check_ordinal(dev_ordinal1));
    TRY(check_ordinal(dev_ordinal2));
    *relationship = relationship_of(dev_ordinal1, dev_ordinal2);
    return CNRT_RET_SUCCESS;
}

/* Writes those of `wanted` (bit set) for which there is room, ascending, and how many there are. */
static cnrtRet_t write_devices(unsigned wanted, uint64_t *count, uint64_t *ordinals)
{
    const uint64_t room = *count;
    uint64_t found = 0;
    for (unsigned ordinal = 0; ordinal < sim_device_count(); ordinal++) {
        if ((wanted >> ordinal & 1) != 0) {
            if (found < room) {
                ordinals[found] = ordinal;
            }
            found++;
        }
    }
    *count = found;
    REQUIRE(found <= room, sim_code_call(SIM_DEVICE_TOOLS), "There are %llu devices, and room for %llu.",
            (unsigned long long)found, (unsigned long long)room);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtTopologyGetNearestDevices(cnrtTopologyRelationshipEnum_t relationship, uint64_t *count,
                                        uint64_t *ordinal_array, int dev_ordinal)
{
    ENTER(cnrtTopologyGetNearestDevices);
    unsigned wanted = 0;
    REQUIRE((int)relationship >= CNRT_TOPO_SELF && (int)relationship <= CNRT_TOPO_SYSTEM,
            sim_code_call(SIM_DEVICE_TOOLS), "A relationship is 0 (self) to 6 (system), not %d.", (int)relationship);
    REQUIRE_POINTER(count, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(ordinal_array, CNRT_RET_ERR_INVALID);
    TRY(check_ordinal(dev_ordinal));
    for (unsigned ordinal = 0; ordinal < sim_device_count(); ordinal++) {
        wanted |= (unsigned)(relationship_of(dev_ordinal, (int)ordinal) == relationship) << ordinal;
    }
    return write_devices(wanted, count, ordinal_array);
}

cnrtRet_t cnrtTopologyGetCpuRelatedDevices(int cpuid, uint64_t *count, uint64_t *ordinal_array)
{
    ENTER(cnrtTopologyGetCpuRelatedDevices);
    REQUIRE(cpuid >= 0 && (unsigned)cpuid < sim_cpus_count() && cpuid < 32 * SIM_CPU_WORDS,
            sim_code_call(SIM_DEVICE_TOOLS), "The host has processors 0 to %u, not %d.", sim_cpus_count() - 1, cpuid);
    REQUIRE_POINTER(count, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(ordinal_array, CNRT_RET_ERR_INVALID);
    TRY(sim_runtime_require_device());
    const bool near = (sim_cpus_of_process()[cpuid / 32] >> (cpuid % 32) & 1) != 0;
    return write_devices(near ? ~0u : 0, count, ordinal_array);
}
