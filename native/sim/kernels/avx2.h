/* What avx2.c and avx2_dot.c share. */
#ifndef SIM_KERNELS_AVX2_H
#define SIM_KERNELS_AVX2_H

#include "kernels.h"

enum { SIM_AVX2_PIXELS = 6 };

void sim_avx2_dot_s8(const int16_t *const *x, const int16_t *w, const int32_t *offset, int32_t runs, int32_t length,
                     float *y);
void sim_avx2_dot_s16(const int16_t *const *x, const int16_t *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_dot_f32(const float *const *x, const float *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_depthwise(const float *const *x, const float *w, int32_t w_pitch, const int32_t *offset, int32_t taps,
                        int32_t count, float *y);

#endif
