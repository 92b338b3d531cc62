/* AVX2 + F16C. Compiled without FMA: every multiplication and addition rounds by itself. */
#include "dot.h"
#include "vector.h"

#include "spans.inc"
#include "winograd.inc"

enum { CHUNK = 96, PAIRS = 2 };

const sim_kernels SIM_KERNELS_AVX2 = {
    .name = "avx2",
    .supported = sim_avx2_supported,
    .float32 = {TILE_PIXELS, TILE_CHANNELS, CHUNK, sim_avx2_dot_f32},
    .words = {TILE_PIXELS, TILE_CHANNELS, PAIRS, PAIRS, sim_avx2_dot_words},
    .winograd = {false, WORDS, winograd_input, winograd_output},
    .depthwise = {WIDTH, depthwise},
    .quantize = quantize,
    .encode = encode,
    .greater = greater,
    .look_up = sim_look_up,
    .widen = widen,
    .convert = convert,
    .finish = finish_folded,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
