/* The limit that a profile compares with. Internal to this floor. */
#ifndef SIM_EXEC_LIMIT_H
#define SIM_EXEC_LIMIT_H

#include "kernels.h"

/* Multiplications of one core in a second with weights of that type, measured in a millisecond or so; 0: not known. */
double sim_limit_of(const sim_kernels *kernels, uint32_t weight_dtype);

#endif
