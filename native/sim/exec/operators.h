/* The table of the operators: what operators.def and the files of operators/ say together. */
#ifndef SIM_EXEC_OPERATORS_H
#define SIM_EXEC_OPERATORS_H

#include "row.h"

typedef struct sim_known_operator {
    uint32_t least_inputs, most_inputs;
    uint32_t constants, attributes; /* SIM_ABSENT: the row's check counts them */
    const sim_row *row;
} sim_known_operator;

/* NULL for a code that is not known. */
const sim_known_operator *sim_operator_known(uint32_t opcode);

#endif
