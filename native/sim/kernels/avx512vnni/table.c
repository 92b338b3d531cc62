/* AVX-512 VNNI. Compiled without FMA: every multiplication and addition rounds by itself. */
#include "dot.h"

#include "../avx512/entries.h"

const sim_kernels SIM_KERNELS_AVX512VNNI = {
    .name = "avx512vnni",
    .supported = sim_avx512vnni_supported,
    .bytes = AVX512VNNI_BYTES,
    .words = {PRODUCT_PIXELS, PRODUCT_CHANNELS, 2, 2, sim_avx512vnni_dot_words},
    AVX512_ENTRIES,
};
