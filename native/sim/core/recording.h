/* Outputs that are recorded, or given back instead of being computed: CNRT_SIMULATOR_COMPUTE, ABI.md section 10.3. Of one model;
 * the file lies beside it. */
#ifndef SIM_CORE_RECORDING_H
#define SIM_CORE_RECORDING_H

#include "exec/exec.h"

typedef struct sim_recording sim_recording;

enum { SIM_MOST_RECORDS = 64, SIM_MOST_RECORDED_MB = 256 };

/* For a model of that file and content, as the environment says: NULL without a failure where outputs are just computed.
 * `path` is NULL for a model in memory. */
sim_result sim_recording_open(sim_recording **recording, const char *path, uint64_t model_bytes, uint64_t model_digest,
                              const sim_model_info *info, sim_error *error);
/* Gives back what was recorded for these inputs, or else for some others. False: it records, so compute. */
bool sim_recording_replay(sim_recording *recording, const sim_model_info *info, void *const *buffers);
/* Keeps what was computed, if these inputs are new and there is room. */
void sim_recording_add(sim_recording *recording, const sim_model_info *info, void *const *buffers);
/* Writes what is new to the file, or says on stderr why it cannot; frees. NULL is allowed. */
void sim_recording_close(sim_recording *recording);

/* Tells contents apart, not a defence against somebody who makes equal ones. */
uint64_t sim_digest(const void *bytes, size_t count, uint64_t before);

/* Checks a file's bytes against a model; the number of its records, or 0 and a sentence. */
uint64_t sim_recording_check(const uint8_t *bytes, uint64_t size, uint64_t model_bytes, uint64_t model_digest,
                             uint64_t input_bytes, uint64_t output_bytes, sim_error *error);

#endif
