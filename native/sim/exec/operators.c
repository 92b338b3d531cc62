/* The table of the operators. Nothing here names one: an operator is a line of operators.def and a row in operators/. */
#include "operators.h"

#define SIM_OPERATOR(code, NAME, name, least, most, constants, attributes) extern const sim_row sim_row_##name;
#include "operators.def"
#undef SIM_OPERATOR

static const sim_known_operator KNOWN[] = {
#define SIM_OPERATOR(code, NAME, name, least, most, constants, attributes) \
    [code] = {least, most, constants, attributes, &sim_row_##name},
#include "operators.def"
#undef SIM_OPERATOR
};

const sim_known_operator *sim_operator_known(uint32_t opcode)
{
    return opcode < sizeof KNOWN / sizeof *KNOWN && KNOWN[opcode].row ? &KNOWN[opcode] : NULL;
}
