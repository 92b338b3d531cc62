/* Quantized bytes of a picture by table, for every table of 512 bits. */
#ifndef SIM_KERNELS_AVX512_LOOKUP_H
#define SIM_KERNELS_AVX512_LOOKUP_H

#include "kernels.h"

void sim_avx512_look_up(const sim_lookup *lookup, const uint8_t *x, int32_t x_pitch, size_t pixels, uint8_t *y);

#endif
