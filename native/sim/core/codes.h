/* The runtime's codes: their names and texts. */
#ifndef SIM_CORE_CODES_H
#define SIM_CORE_CODES_H

#include "cnrt.h"

const char *sim_code_text(cnrtRet_t code); /* of a number that is none: that of the unknown error */
const char *sim_code_name(cnrtRet_t code);
cnrtRet_t sim_code_named(const char *name); /* CNRT_RET_SUCCESS: there is none of that name */
bool sim_code_is_failure(int64_t number);

#endif
