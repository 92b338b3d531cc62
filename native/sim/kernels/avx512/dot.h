/* The products that every table of 512 bits has. */
#ifndef SIM_KERNELS_AVX512_DOT_H
#define SIM_KERNELS_AVX512_DOT_H

#include "kernels.h"

void sim_avx512_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                        float *y);
void sim_avx512_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                          int32_t runs, int32_t length, int32_t *y);
void sim_avx512_look_up(const sim_lookup *lookup, const uint8_t *x, int32_t x_pitch, size_t pixels, uint8_t *y);
/* At least so many pixels and channels as it takes together: 4 and 16. */
void sim_avx512_finish_ranges(const sim_sums *sums, int32_t pixels, int32_t channels, const sim_affine *affine,
                              const sim_target *target);

bool sim_avx512_supported(void);
bool sim_avx512_has_ranges(void);

#endif
