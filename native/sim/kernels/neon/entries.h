/* What every table of Advanced SIMD has, whatever it brings for products of bytes. */
#ifndef SIM_KERNELS_NEON_ENTRIES_H
#define SIM_KERNELS_NEON_ENTRIES_H

#include "loops.h"

enum { TILE_PIXELS = 4, TILE_CHANNELS = 16, CHUNK = 96, FLOATS = 4, WORDS = 2 * FLOATS };
enum { STEP = 4 }; /* inputs of a run read together */

void sim_neon_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                        int32_t runs, int32_t length, int32_t *y);
void sim_neon_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
SIM_TILE_FITS(TILE_PIXELS, TILE_CHANNELS, CHUNK);

SIM_DECLARE_LOOPS(sim_neon_);

#define NEON_ENTRIES                                                                                             \
    .words = {TILE_PIXELS, TILE_CHANNELS, 1, STEP, sim_neon_dot_words},                                          \
    .winograd = {false, WORDS, sim_neon_winograd_input, sim_neon_winograd_output},                               \
    .float32 = {TILE_PIXELS, TILE_CHANNELS, CHUNK, sim_neon_dot_f32}, .depthwise = {FLOATS, sim_neon_depthwise}, \
    .look_up = sim_look_up, SIM_LOOPS(sim_neon_)

#endif
