/* The runtime's codes as the reported version numbers them: their names and texts. The library itself returns such as have the
 * same number in every version; others come from files of faults, and from sim_code_call. */
#ifndef SIM_CORE_CODES_H
#define SIM_CORE_CODES_H

#include "cnrt.h"

/* What a device's library calls: a failure of theirs has a code of its own since 4.10, and was FUNC_CALL before. */
typedef enum sim_interface { SIM_DRIVER, SIM_DEVICE_TOOLS } sim_interface;

const char *sim_code_text(cnrtRet_t code); /* of a number that is none: that of the unknown error */
const char *sim_code_name(cnrtRet_t code);
cnrtRet_t sim_code_named(const char *name); /* CNRT_RET_SUCCESS: there is none of that name */
cnrtRet_t sim_code_call(sim_interface interface);
bool sim_code_is_failure(int64_t number);

#endif
