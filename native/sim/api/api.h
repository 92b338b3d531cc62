/* Common ground of the exported functions: each checks its arguments in the header's order, where the condition, the code
 * and the sentence stand together, then makes one call down into core/. */
#ifndef SIM_API_API_H
#define SIM_API_API_H

#include "cnrt.h"
#include "core/error.h"

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

#endif
