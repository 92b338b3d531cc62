/* What the files of AVX-512 VNNI share: the products of bytes and of words. */
#ifndef SIM_KERNELS_AVX512VNNI_DOT_H
#define SIM_KERNELS_AVX512VNNI_DOT_H

#include "kernels.h"

enum { PRODUCT_PIXELS = 14, PRODUCT_CHANNELS = 32, PRODUCT_CHUNK = 56 };
SIM_TILE_FITS(PRODUCT_PIXELS, PRODUCT_CHANNELS, PRODUCT_CHUNK);

void sim_avx512vnni_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                              int32_t runs, int32_t length, const int32_t *start, int32_t *y);
void sim_avx512vnni_dot_bytes_of_half(const uint8_t *x, int64_t step, int32_t pixels, const void *w,
                                      const int32_t *offset, int32_t runs, int32_t length, const int32_t *start,
                                      int32_t *y);
void sim_avx512vnni_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                              int32_t runs, int32_t length, int32_t *y);

#define AVX512VNNI_BYTES              \
    {.zero = 128,                     \
     .pixels = PRODUCT_PIXELS,        \
     .channels = PRODUCT_CHANNELS,    \
     .interleave = 4,                 \
     .multiple = 4,                   \
     .chunk = PRODUCT_CHUNK,          \
     .evenly = true,                  \
     .dot = sim_avx512vnni_dot_bytes, \
     .dot_half = sim_avx512vnni_dot_bytes_of_half}

bool sim_avx512vnni_supported(void);

#endif
