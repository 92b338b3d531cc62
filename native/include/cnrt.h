/* CNRT 4.x for C and C++ programs: the declarations of cnrt_abi.h, and the types and macros of the vendor's header. */
#ifndef __CNRT_H /* the vendor's guard: headers beside his ask for it */
#define __CNRT_H

/* The version whose header this is. Another one is chosen when a program is compiled (-DCNRT_MINOR_VERSION=10): the numbers
 * of codes, some names and CNRT_CHECK follow it. Each literal stands once, at the start of its line: build files search for it. */
#ifndef CNRT_MAJOR_VERSION
#define CNRT_MAJOR_VERSION 4
#endif
#ifdef CNRT_PATCH_VERSION
#elif !defined(CNRT_MINOR_VERSION)
#define CNRT_PATCH_VERSION 12
#else /* the last one of the minor version that is known */
#define CNRT_PATCH_VERSION (CNRT_MINOR_VERSION == 10 ? 4 : CNRT_MINOR_VERSION == 7 ? 12 : 0)
#endif
#ifndef CNRT_MINOR_VERSION
#define CNRT_MINOR_VERSION 7
#endif
#define CNRT_VERSION (CNRT_MAJOR_VERSION * 10000 + CNRT_MINOR_VERSION * 100 + CNRT_PATCH_VERSION)
#if CNRT_VERSION < 40200 || CNRT_VERSION >= 41100
#error "This header can be that of CNRT 4.2 to 4.10: set CNRT_MINOR_VERSION to 2 ... 10, or leave it out."
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CNRT_DLL_API
#define CNRT_PARAM_END (void *)0xFFFFFFFF

#ifndef __CAMB_TYPES_H /* cnml.h and others bring them under the same guard */
#define __CAMB_TYPES_H
typedef uint64_t u64_t;
typedef int64_t i64_t;
typedef uint32_t u32_t;
typedef uint16_t u16_t;
typedef uint8_t u8_t;
typedef int32_t i32_t;
typedef int16_t i16_t;
typedef int8_t i8_t;
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Visible whatever -fvisibility says: the names below are the library's only exports. */
#pragma GCC visibility push(default)
#ifdef __clang__ /* which remarks on bool in C90, gcc does not */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc99-extensions"
#endif
#if CNRT_VERSION < 41000
#include "cnrt_codes.h"
#else
#include "cnrt_codes_4_10.h"
#endif
#include "cnrt_abi.h"
#ifdef __clang__
#pragma clang diagnostic pop
#endif
#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#if CNRT_VERSION >= 41000
#define cnrtDestoryParam cnrtDestroyParam /* the name that all versions before had */
#endif

#if CNRT_VERSION == 40200
/* Ends the program. As in 4.2.0 whoever uses it includes stdio.h and stdlib.h, and needs no semicolon after it. */
#define CNRT_CHECK(statement)                                                        \
    do {                                                                             \
        int cnrt_code = (statement);                                                 \
        if (cnrt_code != CNRT_RET_SUCCESS) {                                         \
            printf("[%s:%d] CNRT error, code: %d\n", __FILE__, __LINE__, cnrt_code); \
            exit(1);                                                                 \
        }                                                                            \
    } while (false);
#else
/* Prints what failed and where; does not end the program. */
#define CNRT_CHECK(result) cnrtCheck((result), #result, __FILE__, __LINE__)
#endif

#endif
