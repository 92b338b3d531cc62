/* The rules of the operators: how many operands, and which of them fit together. */
#ifndef SIM_EXEC_RULES_H
#define SIM_EXEC_RULES_H

#include "network.h"

typedef struct sim_check { /* what one operator's rule looks at */
    const sim_model *model;
    const sim_operator *op;
    const sim_tensor *x, *y; /* first input, output */
    uint32_t number;
    sim_error *error;
} sim_check;

typedef struct sim_rule {
    uint32_t min_inputs, max_inputs, constants, attributes; /* attributes: SIM_ABSENT if the rule counts them itself */
    sim_result (*rule)(const sim_check *);
} sim_rule;

const sim_rule *sim_rule_of(uint32_t opcode); /* NULL for a code that is not known */

#endif
