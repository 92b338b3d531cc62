/* AMX's products of bytes beside the vectors of AVX-512. Compiled without FMA: every multiplication and addition rounds by
 * itself. */
#include "dot.h"

#include "../avx512/lookup.h"
#include "../avx512/vector.h"

#include "spans.inc"

/* A processor with AMX has AVX2. */
void sim_avx2_dot_s8(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                     float *y);
void sim_avx2_dot_s16(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);

enum { CHUNK = 96, BYTE_CHUNK = 128 };

const sim_kernels SIM_KERNELS_AMX = {
    .name = "amx",
    .supported = sim_amx_supported,
    .int8 = {SIM_INT16, 6, 16, 2, 2, CHUNK, sim_avx2_dot_s8},
    .int16 = {SIM_INT16, 6, 16, 2, 2, CHUNK, sim_avx2_dot_s16},
    .float32 = {SIM_FLOAT32, 6, 16, 1, 1, CHUNK, sim_avx2_dot_f32},
    .bytes = {.zero = 0,
              .pixels = BYTE_PIXELS,
              .channels = BYTE_CHANNELS,
              .interleave = 4,
              .multiple = BYTE_MULTIPLE,
              .chunk = BYTE_CHUNK,
              .begin = sim_amx_begin,
              .end = sim_amx_end,
              .dot = sim_amx_dot_bytes},
    .depthwise = {WIDTH, depthwise},
    .quantize = quantize,
    .look_up = sim_avx512_look_up,
    .convert = convert,
    .finish = finish,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
