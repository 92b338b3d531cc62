/* CNRT 4.x for C and C++ programs: the declarations of cnrt_abi.h and the macros of the vendor's header. */
#ifndef CNRT_H
#define CNRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CNRT_MAJOR_VERSION 4
#define CNRT_MINOR_VERSION 7
#define CNRT_PATCH_VERSION 12
#define CNRT_VERSION (CNRT_MAJOR_VERSION * 10000 + CNRT_MINOR_VERSION * 100 + CNRT_PATCH_VERSION)

#ifdef __cplusplus
extern "C" {
#endif

/* Visible whatever -fvisibility says: the names below are the library's only exports. */
#pragma GCC visibility push(default)
#include "cnrt_abi.h"
#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

/* Prints what failed and where; does not end the program. */
#define CNRT_CHECK(result) cnrtCheck((result), #result, __FILE__, __LINE__)

#endif
