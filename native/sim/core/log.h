/* CNRT_SIMULATOR_LOG: every call that fails, with its sentence, when it fails (ABI.md section 10.5). */
#ifndef SIM_CORE_LOG_H
#define SIM_CORE_LOG_H

#include <stdbool.h>

#include "cnrt.h"

bool sim_log_wanted(void);
/* Tells of a failure of that function (a string that stays; NULL: not known), or of its work when a queue came to it (`queued`). Repeats are counted and told less and
 * less often, and at the end of the process. */
void sim_log_failure(const char *function, bool queued, cnrtRet_t code, const char *sentence);

#endif
