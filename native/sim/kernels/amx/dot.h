/* What the files of AMX share: the products of bytes, around a task the configuration of the tiles. */
#ifndef SIM_KERNELS_AMX_DOT_H
#define SIM_KERNELS_AMX_DOT_H

#include "kernels.h"

enum { BYTE_PIXELS = 32, BYTE_CHANNELS = 32, BYTE_MULTIPLE = 64 };

void sim_amx_begin(void);
void sim_amx_end(void);
void sim_amx_awake(void);
void sim_amx_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                       int32_t runs, int32_t length, const int32_t *start, int32_t *y);
void sim_amx_dot_half(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                      int32_t runs, int32_t length, const int32_t *start, int32_t *y);

bool sim_amx_supported(void);

#endif
