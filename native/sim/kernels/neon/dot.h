/* What the files of Advanced SIMD share: the register tile and its products. */
#ifndef SIM_KERNELS_NEON_DOT_H
#define SIM_KERNELS_NEON_DOT_H

#include "kernels.h"

enum { TILE_PIXELS = 4, TILE_CHANNELS = 16, STEP = 4 }; /* STEP: inputs of a run read together */

void sim_neon_dot_s8(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                     float *y);
void sim_neon_dot_s16(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_neon_dot_f32(const void *const *x, const void *weights, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);

#endif
