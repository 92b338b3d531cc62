/* NORMALIZE of a uint8 picture, for the operators that take it over. */
#ifndef SIM_EXEC_OPERATORS_NORMALIZE_H
#define SIM_EXEC_OPERATORS_NORMALIZE_H

#include "build.h"

/* The channel of the picture that becomes `channel` of the output. */
int32_t sim_normalize_source(const sim_operator *op, int32_t channel);
/* What the output tensor would hold in `channel` for this byte of the picture. */
float sim_normalize_byte(const sim_builder *b, const sim_operator *op, int32_t channel, int32_t byte);

#endif
