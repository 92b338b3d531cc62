#include "core/environment.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/seats.h"

enum { DEFAULT_MEMORY_MB = 4096, MAX_MEMORY_MB = 1 << 20, LEAST_MINOR = 2, MOST_MINOR = 10 };

static sim_environment environment;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* NULL where a variable is missing or empty: both choose nothing. */
static const char *text_of(const char *name)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* The same for one that may be 0, which chooses nothing too. */
static const char *choice_of(const char *name)
{
    const char *text = text_of(name);
    return text == NULL || strcmp(text, "0") == 0 ? NULL : text;
}

static void complain(const char *name, const char *value, const char *expected)
{
    fprintf(stderr, "cnrt simulator: %s=%s is ignored, it must be %s\n", name, value, expected);
}

static unsigned number_of(const char *name, unsigned low, unsigned high, unsigned otherwise)
{
    const char *text = text_of(name);
    if (text == NULL) {
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

static const char *read_device(void)
{
    const char *text = text_of("CNRT_SIMULATOR_DEVICE");
    if (text != NULL && strcmp(text, "MLU220") != 0 && strcmp(text, "MLU270") != 0) {
        complain("CNRT_SIMULATOR_DEVICE", text, "MLU220 or MLU270");
        text = NULL;
    }
    return text == NULL ? "MLU220" : text;
}

static void read_version(int version[3])
{
    const char *text = text_of("CNRT_SIMULATOR_VERSION");
    int number[3] = {CNRT_MAJOR_VERSION, CNRT_MINOR_VERSION, CNRT_PATCH_VERSION}, given[3];
    char rest;
    if (text != NULL) {
        bool three = sscanf(text, "%2d.%2d.%2d%c", &given[0], &given[1], &given[2], &rest) == 3;
        if (three && given[0] == 4 && given[1] >= LEAST_MINOR && given[1] <= MOST_MINOR && given[2] >= 0) {
            memcpy(number, given, sizeof number);
        } else {
            complain("CNRT_SIMULATOR_VERSION", text, "of 4.2 to 4.10, like 4.7.12");
        }
    }
    memcpy(version, number, sizeof number);
}

/* No default takes the place of a bad one: cnrtInit refuses it, as a program is about to use the wrong device. */
static void read_default_device(void)
{
    const char *text = text_of("CNRT_DEFAULT_DEVICE");
    environment.default_device = -1;
    if (text == NULL) {
        return;
    }
    char *end = NULL;
    long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 0 || value >= (long)environment.devices) {
        environment.bad_default = text;
    } else {
        environment.default_device = (int)value;
    }
}

static sim_fault_end read_fault_end(void)
{
    static const char *const NAMES[] = {"", "context", "init", "forever"};
    const char *text = text_of("CNRT_SIMULATOR_FAIL_UNTIL");
    for (unsigned end = 1; text != NULL && end < sizeof NAMES / sizeof NAMES[0]; end++) {
        if (strcmp(text, NAMES[end]) == 0) {
            return (sim_fault_end)end;
        }
    }
    if (text != NULL) {
        complain("CNRT_SIMULATOR_FAIL_UNTIL", text, "context, init or forever");
    }
    return SIM_FAULT_ONCE;
}

static sim_compute read_compute(void)
{
    static const char *const NAMES[] = {"1", "record", "0"};
    const char *text = text_of("CNRT_SIMULATOR_COMPUTE");
    for (unsigned compute = 0; text != NULL && compute < sizeof NAMES / sizeof NAMES[0]; compute++) {
        if (strcmp(text, NAMES[compute]) == 0) {
            return (sim_compute)compute;
        }
    }
    if (text != NULL) {
        complain("CNRT_SIMULATOR_COMPUTE", text, "1, record or 0");
    }
    return SIM_COMPUTE_ALL;
}

static void read_environment(void)
{
    environment.device = read_device();
    environment.devices = number_of("CNRT_SIMULATOR_DEVICES", 0, SIM_MAX_DEVICES, 1);
    environment.memory_bytes = (size_t)number_of("CNRT_SIMULATOR_MEMORY_MB", 1, MAX_MEMORY_MB, DEFAULT_MEMORY_MB) << 20;
    environment.threads = number_of("CNRT_SIMULATOR_THREADS", 1, SIM_MAX_SEATS, 0);
    environment.failing_invocation = number_of("CNRT_SIMULATOR_FAIL_INVOCATION", 0, 1u << 31, 0);
    environment.fault_end = read_fault_end();
    environment.faults = text_of("CNRT_SIMULATOR_FAULTS");
    environment.log = choice_of("CNRT_SIMULATOR_LOG");
    environment.compute = read_compute();
    environment.strict = number_of("CNRT_SIMULATOR_STRICT", 0, 1, 0) == 1;
    environment.timing = text_of("CNRT_SIMULATOR_TIMING");
    read_version(environment.version);
    read_default_device();
}

const sim_environment *sim_environment_get(void)
{
    pthread_once(&once, read_environment);
    return &environment;
}

unsigned sim_environment_version(void)
{
    const int *version = sim_environment_get()->version;
    return (unsigned)(version[0] * 10000 + version[1] * 100 + version[2]);
}

const char *sim_environment_kernels(void)
{
    return text_of("CNRT_SIMULATOR_KERNELS");
}

const char *sim_environment_profile(void)
{
    return choice_of("CNRT_SIMULATOR_PROFILE");
}

const char *sim_environment_trace(void)
{
    const char *text = sim_environment_profile();
    const size_t length = text == NULL ? 0 : strlen(text);
    return length > 5 && strcmp(text + length - 5, ".json") == 0 ? text : NULL;
}

const char *sim_environment_standins(void)
{
    return text_of("CNRT_SIMULATOR_STANDINS");
}
