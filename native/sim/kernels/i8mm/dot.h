/* What the files of the matrix extension share: the register tile and its product. */
#ifndef SIM_KERNELS_I8MM_DOT_H
#define SIM_KERNELS_I8MM_DOT_H

#include "kernels.h"

enum { BYTE_PIXELS = 6, BYTE_CHANNELS = 16, BYTE_STEP = 8 }; /* BYTE_STEP: inputs of one product */

bool sim_i8mm_supported(void);
void sim_i8mm_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                        int32_t runs, int32_t length, const int32_t *start, int32_t *y);

#endif
