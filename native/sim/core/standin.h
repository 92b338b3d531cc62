/* Stand-ins: a simulator's model that computes for a device file, found in a folder by the file's digest (ABI.md section 5.1). */
#ifndef SIM_CORE_STANDIN_H
#define SIM_CORE_STANDIN_H

#include "core/sha256.h"
#include "exec/exec.h"

typedef struct sim_standin {
    sim_model *model; /* NULL: there is none, and `refusal` says why, and what helps */
    char *path;       /* of the model, or NULL */
    uint64_t bytes;   /* of its file */
    uint64_t digest;  /* of its file, as sim_digest tells contents apart; 0 where nothing is recorded */
    char refusal[512];
} sim_standin;

/* For the device file of `size` bytes that `device` describes. Reports nothing: the file can be asked all the same. */
void sim_standin_find(sim_standin *standin, const uint8_t *bytes, uint64_t size, const sim_model_info *device);
/* NULL where it describes the same inputs and outputs, or `sentence` with the first that differs: what the stand-in has, what
 * the device file. */
const char *sim_standin_differs(const sim_model_info *standin, const sim_model_info *device, char *sentence,
                                size_t size);
void sim_standin_free(sim_standin *standin);

#endif
