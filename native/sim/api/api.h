/* Common ground of the exported functions: each enters (where a fault may be asked for), checks its arguments in the header's
 * order, where the condition, the code and the sentence stand together, then makes one call down into core/. */
#ifndef SIM_API_API_H
#define SIM_API_API_H

#include "cnrt.h"
#include "core/calls.h"
#include "core/error.h"
#include "core/faults.h"

#define REQUIRE(condition, ...)                \
    do {                                       \
        if (!(condition)) {                    \
            return sim_error_set(__VA_ARGS__); \
        }                                      \
    } while (0)

/* For arguments that a result is written to, or that are read from. */
#define REQUIRE_POINTER(pointer, code) REQUIRE_POINTER_OF(__func__, pointer, code)
/* The same in a helper, for the exported function `call`, whose name a program knows. */
#define REQUIRE_POINTER_OF(call, pointer, code) REQUIRE((pointer) != NULL, code, "%s: %s is NULL.", call, #pointer)

/* Passes a failure on. */
#define TRY(call)                           \
    do {                                    \
        cnrtRet_t try_code = (call);        \
        if (try_code != CNRT_RET_SUCCESS) { \
            return try_code;                \
        }                                   \
    } while (0)

/* The head of every function that can fail: which one it is, for those who look at calls. */
#define ENTER_HELPER()              \
    static atomic_uint calls_of_it; \
    sim_call_enter(__func__, &calls_of_it)
/* The head of those of core/functions.def: does to the call what CNRT_SIMULATOR_FAULTS says, too. */
#define ENTER(function) ENTER_COPY(function, SIM_ANY)
#define ENTER_COPY(function, direction) \
    ENTER_HELPER();                     \
    TRY(sim_faults_enter(SIM_CALL_##function, (int)(direction)))

#endif
