#include "core/device.h"

#include <pthread.h>
#include <string.h>

#include "core/environment.h"

static const sim_device_kind KINDS[] = {
    {"MLU220", CNRT_MLU220, 8, 4},
    {"MLU270", CNRT_MLU270, 6, 16},
};

static sim_device devices[SIM_MAX_DEVICES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

const sim_device_kind *sim_device_get_kind(void)
{
    return &KINDS[strcmp(sim_environment_get()->device, KINDS[1].name) == 0];
}

static void set_up(void)
{
    const sim_environment *environment = sim_environment_get();
    for (unsigned ordinal = 0; ordinal < environment->devices; ordinal++) {
        sim_device *device = &devices[ordinal];
        device->kind = sim_device_get_kind();
        sim_seats_init(&device->cores, device->kind->cores);
        device->memory_bytes = environment->memory_bytes;
        atomic_init(&device->settings[SIM_SETTING_FLAG], CNRT_QUEUE_SYNC_SPIN);
        atomic_init(&device->settings[SIM_SETTING_STACK_MB], 64);
        atomic_init(&device->settings[SIM_SETTING_LOCAL_MB], 64);
    }
}

unsigned sim_device_count(void)
{
    return sim_environment_get()->devices;
}

sim_device *sim_device_at(unsigned ordinal)
{
    pthread_once(&once, set_up);
    return &devices[ordinal];
}

unsigned sim_device_ordinal(const sim_device *device)
{
    return (unsigned)(device - devices);
}
