/* A simulated device: its cores, memory and settings. */
#ifndef SIM_CORE_DEVICE_H
#define SIM_CORE_DEVICE_H

#include <stdatomic.h>

#include "core/error.h"
#include "core/seats.h"

typedef struct sim_device_kind {
    const char *name; /* "MLU220" */
    cnrtCoreVersion_t core_version;
    uint32_t architecture; /* of model files: 8 MLU220, 6 MLU270 */
    unsigned cores;
} sim_device_kind;

typedef enum sim_setting { SIM_SETTING_FLAG, SIM_SETTING_STACK_MB, SIM_SETTING_LOCAL_MB, SIM_SETTINGS } sim_setting;

typedef struct sim_device {
    const sim_device_kind *kind;
    sim_seats cores;                  /* an invocation takes as many as its model was compiled for */
    size_t memory_bytes, memory_used; /* used: guarded by memory.c */
    atomic_uint settings[SIM_SETTINGS];
} sim_device;

unsigned sim_device_count(void);
sim_device *sim_device_at(unsigned ordinal); /* below the count */
unsigned sim_device_ordinal(const sim_device *device);
const sim_device_kind *sim_device_get_kind(void); /* all devices of a process are of one kind */

#endif
