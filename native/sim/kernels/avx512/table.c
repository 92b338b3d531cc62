/* AVX-512 with BW, DQ and VL, as processors had it before VNNI: int8 layers in words. Compiled without FMA: every
 * multiplication and addition rounds by itself. */
#include "entries.h"

const sim_kernels SIM_KERNELS_AVX512 = {
    .name = "avx512",
    .supported = sim_avx512_supported,
    .words = {WORD_PIXELS, TILE_CHANNELS, 2, 2, sim_avx512_dot_words},
    AVX512_ENTRIES,
};
