/* What the files of AVX-512 VNNI share: the products of bytes and of words. */
#ifndef SIM_KERNELS_AVX512VNNI_DOT_H
#define SIM_KERNELS_AVX512VNNI_DOT_H

#include "kernels.h"

enum { PRODUCT_PIXELS = 14, PRODUCT_CHANNELS = 32 };

void sim_avx512vnni_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                              int32_t runs, int32_t length, const int32_t *start, int32_t *y);
void sim_avx512vnni_dot_bytes_of_half(const uint8_t *x, int64_t step, int32_t pixels, const void *w,
                                      const int32_t *offset, int32_t runs, int32_t length, const int32_t *start,
                                      int32_t *y);
void sim_avx512vnni_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                              int32_t runs, int32_t length, int32_t *y);

bool sim_avx512vnni_supported(void);

#endif
