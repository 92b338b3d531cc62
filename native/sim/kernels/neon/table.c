/* AArch64 Advanced SIMD, as every ARMv8-A has it. Multiplications and additions round separately (-ffp-contract=off). */
#include "entries.h"

const sim_kernels SIM_KERNELS_NEON = {.name = "neon", NEON_ENTRIES};
