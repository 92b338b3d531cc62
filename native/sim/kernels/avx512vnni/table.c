/* AVX-512 VNNI. Compiled without FMA: every multiplication and addition rounds by itself. */
#include "dot.h"

#include "../avx512/lookup.h"
#include "../avx512/vector.h"

#include "spans.inc"

/* A processor with AVX-512 has AVX2. */
void sim_avx2_dot_s8(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                     float *y);
void sim_avx2_dot_s16(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);
void sim_avx2_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y);

enum { CHUNK = 96, BYTE_CHUNK = 112 };

const sim_kernels SIM_KERNELS_AVX512VNNI = {
    .name = "avx512vnni",
    .supported = sim_avx512vnni_supported,
    .int8 = {SIM_INT16, 6, 16, 2, 2, CHUNK, sim_avx2_dot_s8},
    .int16 = {SIM_INT16, 6, 16, 2, 2, CHUNK, sim_avx2_dot_s16},
    .float32 = {SIM_FLOAT32, 6, 16, 1, 1, CHUNK, sim_avx2_dot_f32},
    .bytes = {.zero = 128,
              .pixels = BYTE_PIXELS,
              .channels = BYTE_CHANNELS,
              .interleave = 4,
              .multiple = 4,
              .chunk = BYTE_CHUNK,
              .dot = sim_avx512vnni_dot_bytes},
    .depthwise = {WIDTH, depthwise},
    .quantize = quantize,
    .look_up = sim_avx512_look_up,
    .convert = convert,
    .finish = finish,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
