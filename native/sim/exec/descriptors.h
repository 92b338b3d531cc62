/* Inputs and outputs as the container describes them. Internal to this floor. */
#ifndef SIM_EXEC_DESCRIPTORS_H
#define SIM_EXEC_DESCRIPTORS_H

#include "network.h"

/* Where the body of the last "atiR" section starts, searched backwards from "ZLYF" at `footer`; 0 if there is none. */
uint64_t sim_descriptors_find(const uint8_t *bytes, uint64_t first, uint64_t footer);
/* Reads that body and the list behind "ZLYF", which must agree, into model->io and model->info. */
sim_result sim_descriptors_read(sim_model *model, const uint8_t *bytes, uint64_t body, uint64_t footer, uint64_t size,
                                sim_error *error);

#endif
