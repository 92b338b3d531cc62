/* What the files of the dot product extension share: the register tile and its product. */
#ifndef SIM_KERNELS_NEONDOT_DOT_H
#define SIM_KERNELS_NEONDOT_DOT_H

#include "kernels.h"

enum { BYTE_PIXELS = 6, BYTE_CHANNELS = 16, BYTE_STEP = 4 }; /* BYTE_STEP: inputs of one product */

bool sim_neondot_supported(void);
void sim_neondot_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                           int32_t runs, int32_t length, const int32_t *start, int32_t *y);

#endif
