/* AArch64 Advanced SIMD, as every ARMv8-A has it. Multiplications and additions round separately (-ffp-contract=off). */
#include "dot.h"
#include "vector.h"

#include "spans.inc"

enum { CHUNK = 96 };

const sim_kernels SIM_KERNELS_NEON = {
    .name = "neon",
    .int8 = {SIM_INT16, TILE_PIXELS, TILE_CHANNELS, 1, STEP, CHUNK, sim_neon_dot_s8},
    .int16 = {SIM_INT16, TILE_PIXELS, TILE_CHANNELS, 1, STEP, CHUNK, sim_neon_dot_s16},
    .float32 = {SIM_FLOAT32, TILE_PIXELS, TILE_CHANNELS, 1, 1, CHUNK, sim_neon_dot_f32},
    .depthwise = {WIDTH, depthwise},
    .quantize = quantize,
    .convert = convert,
    .finish = finish,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
