/* What the environment chooses (ABI.md lists the variables): the one place of the library that asks for it. */
#ifndef SIM_CORE_ENVIRONMENT_H
#define SIM_CORE_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/rules.h"

enum { SIM_MAX_DEVICES = 8 };

/* CNRT_SIMULATOR_COMPUTE: everything, everything and the outputs are recorded, or nothing: they are recorded ones. */
typedef enum sim_compute { SIM_COMPUTE_ALL, SIM_COMPUTE_AND_RECORD, SIM_COMPUTE_NOTHING } sim_compute;

/* Of the whole process; read once. A value that cannot be used is said on stderr and replaced by the default. */
typedef struct sim_environment {
    const char *device; /* "MLU220" or "MLU270" */
    unsigned devices;
    size_t memory_bytes; /* of each device */
    unsigned threads;    /* that compute at once; 0: as many as there are processors */
    int version[3];
    int default_device;          /* -1: none */
    const char *bad_default;     /* CNRT_DEFAULT_DEVICE when it names no device, or NULL */
    unsigned failing_invocation; /* 0: none */
    sim_fault_end fault_end;
    const char *faults; /* file of faults, or NULL */
    const char *log;    /* "1", or a file for failures, or NULL */
    sim_compute compute;
    bool strict;        /* tells what the program does wrong */
    const char *timing; /* profile of an estimated device, or NULL */
} sim_environment;

const sim_environment *sim_environment_get(void);
/* The reported version as one number, 40712 for 4.7.12. */
unsigned sim_environment_version(void);

/* Asked for again with each model that is loaded; NULL: nothing was chosen. */
const char *sim_environment_kernels(void);
const char *sim_environment_profile(void);
const char *sim_environment_trace(void); /* the same where it names a .json file, else NULL */
const char *sim_environment_standins(void);

#endif
