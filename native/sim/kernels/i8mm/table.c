/* Advanced SIMD with the matrix extension (FEAT_I8MM): most 64-bit ARMs since 2021. */
#include "dot.h"

#include "../neon/entries.h"

enum { BYTE_CHUNK = 16 * BYTE_PIXELS };
SIM_TILE_FITS(BYTE_PIXELS, BYTE_CHANNELS, BYTE_CHUNK);

const sim_kernels SIM_KERNELS_I8MM = {
    .name = "i8mm",
    .supported = sim_i8mm_supported,
    NEON_ENTRIES,
    .bytes = {.zero = 0,
              .pixels = BYTE_PIXELS,
              .channels = BYTE_CHANNELS,
              .interleave = BYTE_STEP,
              .multiple = BYTE_STEP,
              .chunk = BYTE_CHUNK,
              .dot = sim_i8mm_dot_bytes},
};
