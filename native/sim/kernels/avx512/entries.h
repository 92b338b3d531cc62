/* What every table of 512 bits has, whatever it brings for products of bytes. */
#ifndef SIM_KERNELS_AVX512_ENTRIES_H
#define SIM_KERNELS_AVX512_ENTRIES_H

#include "dot.h"
#include "loops.h"

enum { TILE_PIXELS = 12, TILE_CHANNELS = 32, CHUNK = 120, WORD_PIXELS = 13, FLOATS = 16, WORDS = 2 * FLOATS };
SIM_TILE_FITS(TILE_PIXELS, TILE_CHANNELS, CHUNK);

SIM_DECLARE_LOOPS(sim_avx512_);

#define AVX512_ENTRIES                                                                     \
    .float32 = {TILE_PIXELS, TILE_CHANNELS, CHUNK, sim_avx512_dot_f32},                    \
    .winograd = {false, WORDS, sim_avx512_winograd_input, sim_avx512_winograd_output},     \
    .depthwise = {FLOATS / 2, sim_avx512_depthwise_halved}, .look_up = sim_avx512_look_up, \
    .ranges = sim_avx512_has_ranges, SIM_LOOPS(sim_avx512_)

#endif
