/* What the files of AVX-512 VNNI share: the products of bytes and the tile of the depthwise filters. */
#ifndef SIM_KERNELS_AVX512VNNI_DOT_H
#define SIM_KERNELS_AVX512VNNI_DOT_H

#include "kernels.h"

enum { BYTE_PIXELS = 14, BYTE_CHANNELS = 32 };

void sim_avx512vnni_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                              int32_t runs, int32_t length, const int32_t *start, int32_t *y);

bool sim_avx512vnni_supported(void);

#endif
