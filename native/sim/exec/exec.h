/* What the floor above (core/, api/) may ask of the executor: parse a model file, prepare it, run it.
 *
 * Everything here is a function of its arguments: no global state, no locks. A sim_model and a sim_plan are immutable once
 * made, so any number of threads may use one; each running invocation needs a workspace of its own. */
#ifndef SIM_EXEC_EXEC_H
#define SIM_EXEC_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "team.h"

typedef enum sim_result {
    SIM_OK = 0,
    SIM_NO_MEMORY,
    SIM_BAD_FILE,      /* not a model, truncated, corrupt: the sentence says what and where */
    SIM_DEVICE_CODE,   /* a vendor file: holds device code only, cannot be run here */
    SIM_NOT_SUPPORTED, /* well-formed, but needs a newer simulator */
    SIM_NOT_WRITTEN,   /* a file that was to be made */
} sim_result;

typedef struct sim_error {
    char text[256]; /* one sentence with the field, the value and the remedy */
} sim_error;

enum { SIM_MAX_RANK = 8, SIM_MAX_TENSORS = 64, SIM_MAX_NAME = 128 };

/* One input or output of the function, as the container describes it (dims as stored: NHWC for rank 4). */
typedef struct sim_io {
    char name[SIM_MAX_NAME]; /* NUL-terminated, often empty in vendor files */
    int32_t rank;
    int32_t dims[SIM_MAX_RANK];
    uint32_t dtype; /* cnrtDataType_t */
    uint32_t order; /* cnrtDimOrder_t */
    int64_t bytes;  /* product of dims times element size */
} sim_io;

typedef struct sim_model_info {
    char name[SIM_MAX_NAME];     /* model name of the header */
    char function[SIM_MAX_NAME]; /* function symbol, "subnet0" */
    uint32_t format_date[3];     /* year, month, day */
    uint32_t level;              /* file format level: 15 or 9 */
    uint32_t runtime_version;    /* e.g. 40708 */
    uint32_t compiler_version;   /* e.g. 7009112 */
    uint32_t architecture;       /* 8 = MLU220, 6 = MLU270 */
    uint32_t parallelism;        /* cores per invocation */
    bool has_network;            /* one of ours: the simulator can run it */
    bool has_descriptors;        /* false in files of 2019 */
    int32_t input_count, output_count;
    const sim_io *inputs, *outputs;
} sim_model_info;

typedef struct sim_model sim_model;
typedef struct sim_plan sim_plan;
typedef struct sim_profile sim_profile;
struct sim_timing; /* timing.h */

/* Bytes that the header claims for the whole file (header + payload), or 0 and a sentence if `bytes` is no model header.
 * Reads at most `available` bytes; 0x434 are enough. This is how a model without a size argument is measured. */
uint64_t sim_model_claimed_size(const uint8_t *bytes, uint64_t available, sim_error *error);

/* Copies what it needs of `bytes`, which may be freed afterwards. `size` must be the whole file. */
sim_result sim_model_parse(const uint8_t *bytes, uint64_t size, sim_model **model, sim_error *error);
const sim_model_info *sim_model_get_info(const sim_model *model);
/* Frees what only sim_plan_create needs: no further plan can be made of the model. Its info stays. */
void sim_model_drop_network(sim_model *model);
void sim_model_free(sim_model *model);

typedef struct sim_settings {
    const char *kernels; /* which table of kernels, as CNRT_SIMULATOR_KERNELS says; NULL: the fastest of this machine */
    unsigned team; /* members that will share a layer, 0 means 1: how finely layers are cut, never what they give */
} sim_settings;

/* The tables of kernels that this machine can run, joined by ", ", fastest first but for the one that is `wanted` (NULL: none),
 * which is first. SIM_NOT_SUPPORTED and a sentence with the names if there is none of the wanted name. */
sim_result sim_plan_kernels(const char *wanted, char names[SIM_MAX_NAME], sim_error *error);

/* Packs weights and places buffers. The plan keeps no pointer into the model. */
sim_result sim_plan_create(const sim_model *model, const sim_settings *settings, sim_plan **plan, sim_error *error);
void sim_plan_free(sim_plan *plan);
uint64_t sim_plan_packed_bytes(const sim_plan *plan); /* weights and tables, shared by all contexts */
uint64_t sim_plan_workspace_bytes(const sim_plan *plan, unsigned team_size); /* per running invocation */

/* Runs the network once. `workspace` is 64-byte aligned, of the size above for team->size; `buffers` are the inputs, then
 * the outputs, in the container's order, each of sim_io.bytes bytes. `profile`: takes the times of the steps, or NULL.
 * Never allocates, never fails. */
void sim_plan_run(const sim_plan *plan, void *workspace, void *const *buffers, const sim_team *team,
                  sim_profile *profile);

/* Where a plan's time goes, step by step. Lies beside the plan, which must live longer; any number of threads may fill one.
 * Written when nobody fills it: as a table for people, or as JSON (native/ABI.md section 10). With `timing` (or NULL) it tells
 * what a device with so many cores would take too, as an estimate. NULL: no memory. */
sim_profile *sim_profile_create(const sim_plan *plan, const struct sim_timing *timing, unsigned cores);
void sim_profile_free(sim_profile *profile);
void sim_profile_print(const sim_profile *profile, FILE *file);
/* For a trace: how many steps the plan has, and one of them as JSON, `"name": ..., "cat": its kind, "args": {...}`, to be freed;
 * with `timing` (or NULL) what a device with so many cores would take. NULL: no memory. */
uint32_t sim_plan_step_count(const sim_plan *plan);
char *sim_plan_describe_step(const sim_plan *plan, uint32_t step, const struct sim_timing *timing, unsigned cores);
/* The file appears whole, or there is a sentence. */
sim_result sim_profile_save(const sim_profile *profile, const char *path, sim_error *error);

#endif
