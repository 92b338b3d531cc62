/* Advanced SIMD with the dot product extension, as nearly every 64-bit ARM since 2018 has it. */
#include "dot.h"

#include "../neon/entries.h"

enum { BYTE_CHUNK = 16 * BYTE_PIXELS };
SIM_TILE_FITS(BYTE_PIXELS, BYTE_CHANNELS, BYTE_CHUNK);

const sim_kernels SIM_KERNELS_NEONDOT = {
    .name = "neondot",
    .supported = sim_neondot_supported,
    NEON_ENTRIES,
    .bytes = {.zero = 0,
              .pixels = BYTE_PIXELS,
              .channels = BYTE_CHANNELS,
              .interleave = BYTE_STEP,
              .multiple = BYTE_STEP,
              .chunk = BYTE_CHUNK,
              .dot = sim_neondot_dot_bytes},
};
