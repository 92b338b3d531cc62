/* What avx2.c and avx2_dot.c share. */
#ifndef SIM_KERNELS_AVX2_H
#define SIM_KERNELS_AVX2_H

#include "kernels.h"

enum { SIM_AVX2_PIXELS = 6, SIM_AVX2_CHANNELS = 16 }; /* of a register tile */

void sim_avx2_dot_s8(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                     float *y);
void sim_avx2_dot_s16(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_depthwise(const float *const *x, const float *w, int32_t w_pitch, const int32_t *offset, int32_t taps,
                        int32_t count, float *y);

#endif
