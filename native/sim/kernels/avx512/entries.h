/* What every table of 512 bits has, whatever it brings for products of bytes. */
#ifndef SIM_KERNELS_AVX512_ENTRIES_H
#define SIM_KERNELS_AVX512_ENTRIES_H

#include "dot.h"

enum { TILE_PIXELS = 12, TILE_CHANNELS = 32, CHUNK = 120, WORD_PIXELS = 13 };

#define AVX512_ENTRIES                                                                                         \
    .float32 = {TILE_PIXELS, TILE_CHANNELS, CHUNK, sim_avx512_dot_f32},                                        \
    .winograd = {false, WORDS, winograd_input, winograd_output}, .depthwise = {WIDTH / 2, depthwise_halved},   \
    .quantize = quantize, .encode = encode, .greater = greater, .look_up = sim_avx512_look_up, .widen = widen, \
    .convert = convert, .finish = finish_folded, .activate = activate, .binary = binary, .max_pool = max_pool

#endif
