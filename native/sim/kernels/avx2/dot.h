/* What the files of AVX2 share: the register tile and its products. */
#ifndef SIM_KERNELS_AVX2_DOT_H
#define SIM_KERNELS_AVX2_DOT_H

#include "kernels.h"

enum { TILE_PIXELS = 6, TILE_CHANNELS = 16 };

void sim_avx2_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                        int32_t runs, int32_t length, int32_t *y);

bool sim_avx2_supported(void);

#endif
