/* What every table of 512 bits has, whatever it brings for products of bytes. */
#ifndef SIM_KERNELS_AVX512_ENTRIES_H
#define SIM_KERNELS_AVX512_ENTRIES_H

#include "dot.h"

enum { TILE_PIXELS = 12, TILE_CHANNELS = 32, CHUNK = 120, WORD_PIXELS = 13 };

/* A processor with AVX-512 has AVX2. */
void sim_avx2_dot_s16(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);

#define AVX512_ENTRIES                                                                                             \
    .int8 = {SIM_INT16, TILE_PIXELS, TILE_CHANNELS, 2, 2, CHUNK, sim_avx512_dot_s8},                               \
    .int16 = {SIM_INT16, 6, 16, 2, 2, 96, sim_avx2_dot_s16},                                                       \
    .float32 = {SIM_FLOAT32, TILE_PIXELS, TILE_CHANNELS, 1, 1, CHUNK, sim_avx512_dot_f32},                         \
    .winograd = {false, WORDS, winograd_input, winograd_output}, .depthwise = {WIDTH, depthwise},                  \
    .quantize = quantize, .encode = encode, .greater = greater, .look_up = sim_avx512_look_up, .convert = convert, \
    .finish = finish, .activate = activate, .binary = binary, .max_pool = max_pool

#endif
