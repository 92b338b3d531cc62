/* The loops over vectors of 512 bits. Compiled without FMA: every multiplication and addition rounds by itself. */
#include "entries.h"
#include "vector.h"

#define VEC_FINISH_RANGES sim_avx512_finish_ranges

#define ENTRY(name) sim_avx512_##name
#include "spans.inc"
#include "winograd.inc"
