#include "core/device.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MEMORY_MB = 4096, MAX_MEMORY_MB = 1 << 20 };

static const sim_device_kind KINDS[] = {
    {"MLU220", CNRT_MLU220, 8, 4},
    {"MLU270", CNRT_MLU270, 6, 16},
};

typedef struct device {
    sim_cores cores;
    atomic_uint settings[SIM_SETTINGS];
} device;

static struct {
    const sim_device_kind *kind;
    unsigned count;
    size_t memory_bytes;
    unsigned failing_invocation;
    sim_failure_end failure_end;
    int version[3];
    int forced; /* CNRT_DEFAULT_DEVICE, or -1 */
    const char *bad_default;
    device devices[SIM_MAX_DEVICES];
} machine;

static atomic_uint invocations;
static atomic_bool broken; /* from the failing invocation on, until what failure_end names */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local unsigned current_ordinal;
static _Thread_local cnrtChannelType_t current_channel = CNRT_CHANNEL_TYPE_NONE;

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned init_count, init_flags;

/* A value that cannot be used is said and not silently replaced. */
static void complain(const char *name, const char *value, const char *expected)
{
    fprintf(stderr, "cnrt simulator: %s=%s is ignored, it must be %s\n", name, value, expected);
}

static unsigned number_from(const char *name, unsigned low, unsigned high, unsigned otherwise)
{
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0') {
        return otherwise;
    }
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < low || value > high) {
        char expected[64];
        snprintf(expected, sizeof expected, "a number from %u to %u", low, high);
        complain(name, text, expected);
        return otherwise;
    }
    return (unsigned)value;
}

static void read_kind(void)
{
    const char *text = getenv("CNRT_SIMULATOR_DEVICE");
    machine.kind = &KINDS[0];
    if (text == NULL || text[0] == '\0' || strcmp(text, KINDS[0].name) == 0) {
        return;
    }
    if (strcmp(text, KINDS[1].name) == 0) {
        machine.kind = &KINDS[1];
    } else {
        complain("CNRT_SIMULATOR_DEVICE", text, "MLU220 or MLU270");
    }
}

static void read_version(void)
{
    const char *text = getenv("CNRT_SIMULATOR_VERSION");
    int major, minor, patch;
    char rest;
    machine.version[0] = CNRT_MAJOR_VERSION;
    machine.version[1] = CNRT_MINOR_VERSION;
    machine.version[2] = CNRT_PATCH_VERSION;
    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (sscanf(text, "%2d.%2d.%2d%c", &major, &minor, &patch, &rest) != 3 || major < 0 || minor < 0 || patch < 0) {
        complain("CNRT_SIMULATOR_VERSION", text, "like 4.7.12");
        return;
    }
    machine.version[0] = major;
    machine.version[1] = minor;
    machine.version[2] = patch;
}

static void read_default_device(void)
{
    const char *text = getenv("CNRT_DEFAULT_DEVICE");
    machine.forced = -1;
    if (text == NULL || text[0] == '\0') {
        return;
    }
    char *end = NULL;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 0 || value >= (long)machine.count) {
        machine.bad_default = text;
    } else {
        machine.forced = (int)value;
    }
}

static void read_failure_end(void)
{
    static const char *const NAMES[] = {"", "context", "init", "forever"};
    const char *text = getenv("CNRT_SIMULATOR_FAIL_UNTIL");
    machine.failure_end = SIM_FAILURE_ONCE;
    for (unsigned end = 0; text != NULL && end < sizeof NAMES / sizeof NAMES[0]; end++) {
        if (strcmp(text, NAMES[end]) == 0) {
            machine.failure_end = (sim_failure_end)end;
            return;
        }
    }
    if (text != NULL) {
        complain("CNRT_SIMULATOR_FAIL_UNTIL", text, "context, init or forever");
    }
}

static void set_up(void)
{
    read_kind();
    read_version();
    machine.count = number_from("CNRT_SIMULATOR_DEVICES", 0, SIM_MAX_DEVICES, 1);
    machine.memory_bytes = (size_t)number_from("CNRT_SIMULATOR_MEMORY_MB", 1, MAX_MEMORY_MB, DEFAULT_MEMORY_MB) << 20;
    machine.failing_invocation = number_from("CNRT_SIMULATOR_FAIL_INVOCATION", 0, 1u << 31, 0);
    read_failure_end();
    read_default_device();
    for (unsigned ordinal = 0; ordinal < machine.count; ordinal++) {
        device *d = &machine.devices[ordinal];
        sim_cores_init(&d->cores, machine.kind->cores);
        atomic_init(&d->settings[SIM_SETTING_FLAG], CNRT_QUEUE_SYNC_SPIN);
        atomic_init(&d->settings[SIM_SETTING_STACK_MB], 64);
        atomic_init(&d->settings[SIM_SETTING_LOCAL_MB], 64);
    }
}

static void ready(void)
{
    pthread_once(&once, set_up);
}

const sim_device_kind *sim_device_get_kind(void)
{
    ready();
    return machine.kind;
}

unsigned sim_device_count(void)
{
    ready();
    return machine.count;
}

size_t sim_device_memory_bytes(void)
{
    ready();
    return machine.memory_bytes;
}

unsigned sim_device_fail_invocation(void)
{
    ready();
    if (machine.failing_invocation == 0) {
        return 0;
    }
    unsigned number = atomic_fetch_add(&invocations, 1) + 1;
    bool hit = number == machine.failing_invocation;
    if (machine.failure_end == SIM_FAILURE_ONCE) {
        return hit ? number : 0;
    }
    if (hit) {
        atomic_store(&broken, true);
    }
    return atomic_load(&broken) ? number : 0;
}

void sim_device_mend(sim_failure_end what)
{
    ready();
    if (what == machine.failure_end) {
        atomic_store(&broken, false);
    }
}

void sim_device_version(int *major, int *minor, int *patch)
{
    ready();
    *major = machine.version[0];
    *minor = machine.version[1];
    *patch = machine.version[2];
}

static cnrtRet_t check_init(unsigned flags)
{
    if (flags > 1) {
        return sim_error_set(CNRT_RET_ERR_INVALID, "cnrtInit takes flags 0 (device) or 1 (fake device), not %u.",
                             flags);
    }
    if (machine.count == 0) {
        return sim_error_set(CNRT_RET_ERR_NODEV, "There is no device: CNRT_SIMULATOR_DEVICES is 0.");
    }
    if (machine.bad_default != NULL) {
        return sim_error_set(CNRT_RET_ERR_INIT, "CNRT_DEFAULT_DEVICE=%.40s names no device; there are %u.",
                             machine.bad_default, machine.count);
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_runtime_init(unsigned flags)
{
    ready();
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
    sim_device_mend(SIM_FAILURE_UNTIL_INIT);
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
    pthread_mutex_unlock(&init_lock);
    return balanced;
}

cnrtRet_t sim_runtime_require(void)
{
    pthread_mutex_lock(&init_lock);
    bool initialised = init_count > 0;
    pthread_mutex_unlock(&init_lock);
    return initialised ? CNRT_RET_SUCCESS
                       : sim_error_set(CNRT_RET_ERR_INIT, "The runtime is not initialised: call cnrtInit(0) first.");
}

cnrtRet_t sim_runtime_require_device(void)
{
    ready();
    cnrtRet_t code = sim_runtime_require();
    if (code == CNRT_RET_SUCCESS && machine.count == 0) {
        return sim_error_set(CNRT_RET_ERR_NODEV, "There is no device: CNRT_SIMULATOR_DEVICES is 0.");
    }
    return code;
}

/* "MLU" in the upper bytes, so that small numbers and zero are no handles. */
#define HANDLE_BASE ((cnrtDev_t)0x4d4c5500)

cnrtDev_t sim_device_handle(unsigned ordinal)
{
    return HANDLE_BASE + sim_device_effective(ordinal);
}

int sim_device_ordinal(cnrtDev_t handle)
{
    return handle >= HANDLE_BASE && handle - HANDLE_BASE < sim_device_count() ? (int)(handle - HANDLE_BASE) : -1;
}

unsigned sim_device_effective(unsigned ordinal)
{
    ready();
    return machine.forced >= 0 ? (unsigned)machine.forced : ordinal;
}

unsigned sim_device_current(void)
{
    return sim_device_effective(current_ordinal);
}

void sim_device_set_current(unsigned ordinal)
{
    current_ordinal = ordinal;
}

cnrtChannelType_t sim_device_current_channel(void)
{
    return current_channel;
}

void sim_device_set_current_channel(cnrtChannelType_t channel)
{
    current_channel = channel;
}

unsigned sim_device_get_setting(unsigned ordinal, sim_setting setting)
{
    return atomic_load(&machine.devices[ordinal].settings[setting]);
}

void sim_device_set_setting(unsigned ordinal, sim_setting setting, unsigned value)
{
    atomic_store(&machine.devices[ordinal].settings[setting], value);
}

sim_cores *sim_device_cores(unsigned ordinal)
{
    return &machine.devices[ordinal].cores;
}
