/* The loops over vectors of 128 bits. Multiplications and additions round separately (-ffp-contract=off). */
#include "entries.h"
#include "vector.h"

#define ENTRY(name) sim_neon_##name
#include "spans.inc"
#include "winograd.inc"
