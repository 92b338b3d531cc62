/* Common ground of the exported functions: each enters (where a fault may be asked for), checks its arguments in the header's
 * order, where the condition, the code and the sentence stand together, then makes one call down into core/. */
#ifndef SIM_API_API_H
#define SIM_API_API_H

#include "cnrt.h"
#include "core/error.h"
#include "core/faults.h"

#define REQUIRE(condition, ...)                \
    do {                                       \
        if (!(condition)) {                    \
            return sim_error_set(__VA_ARGS__); \
        }                                      \
    } while (0)

/* For arguments that a result is written to, or that are read from. */
#define REQUIRE_POINTER(pointer, code) REQUIRE((pointer) != NULL, code, "%s: %s is NULL.", __func__, #pointer)

/* Passes a failure on. */
#define TRY(call)                           \
    do {                                    \
        cnrtRet_t try_code = (call);        \
        if (try_code != CNRT_RET_SUCCESS) { \
            return try_code;                \
        }                                   \
    } while (0)

/* The head of every function of core/functions.def: counts the call, and does to it what CNRT_SIMULATOR_FAULTS says. */
#define ENTER(function) TRY(sim_faults_enter(SIM_CALL_##function, SIM_ANY, __func__))
#define ENTER_COPY(function, direction) TRY(sim_faults_enter(SIM_CALL_##function, (int)(direction), __func__))
/* The head of the others that can fail: which one it is, for CNRT_SIMULATOR_LOG. */
#define ENTER_HELPER() sim_faults_enter_helper(__func__)

#endif
