/* AVX2 + F16C. Compiled without FMA: every multiplication and addition rounds by itself. */
#include "entries.h"

const sim_kernels SIM_KERNELS_AVX2 = {
    .name = "avx2",
    .supported = sim_avx2_supported,
    .words = {TILE_PIXELS, TILE_CHANNELS, PAIRS, PAIRS, sim_avx2_dot_words},
    .winograd = {false, WORDS, sim_avx2_winograd_input, sim_avx2_winograd_output},
    AVX2_ENTRIES,
};
