/* What every table of 256 bits has, whatever it brings for products of bytes. */
#ifndef SIM_KERNELS_AVX2_ENTRIES_H
#define SIM_KERNELS_AVX2_ENTRIES_H

#include "dot.h"
#include "loops.h"

enum { CHUNK = 96, PAIRS = 2, FLOATS = 8, WORDS = 2 * FLOATS };
SIM_TILE_FITS(TILE_PIXELS, TILE_CHANNELS, CHUNK);

SIM_DECLARE_LOOPS(sim_avx2_);

#define AVX2_ENTRIES                                                                                             \
    .float32 = {TILE_PIXELS, TILE_CHANNELS, CHUNK, sim_avx2_dot_f32}, .depthwise = {FLOATS, sim_avx2_depthwise}, \
    .look_up = sim_look_up, SIM_LOOPS(sim_avx2_)

#endif
