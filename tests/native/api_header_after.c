/* After other headers, and one that brings the short types under their guard, as cnml.h does. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef __CAMB_TYPES_H
#define __CAMB_TYPES_H
typedef uint8_t u8_t;
typedef uint64_t u64_t;
typedef int8_t i8_t;
#endif

#define header_is_used header_is_used_after
#include "cnrt.h"

#include "api_header.h"
