/* AVX-512 VNNI. Compiled without FMA: every multiplication and addition rounds by itself. */
#include "dot.h"

#include "../avx512/entries.h"

enum { BYTE_CHUNK = 56 };

const sim_kernels SIM_KERNELS_AVX512VNNI = {
    .name = "avx512vnni",
    .supported = sim_avx512vnni_supported,
    .bytes = {.zero = 128,
              .pixels = PRODUCT_PIXELS,
              .channels = PRODUCT_CHANNELS,
              .interleave = 4,
              .multiple = 4,
              .chunk = BYTE_CHUNK,
              .evenly = true,
              .dot = sim_avx512vnni_dot_bytes,
              .dot_half = sim_avx512vnni_dot_bytes_of_half},
    .words = {PRODUCT_PIXELS, PRODUCT_CHANNELS, 2, 2, sim_avx512vnni_dot_words},
    AVX512_ENTRIES,
};
