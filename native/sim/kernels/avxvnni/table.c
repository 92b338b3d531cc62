/* AVX-VNNI: the products of AVX-512 VNNI in 256 bits, beside the vectors of AVX2. Compiled without FMA: every
 * multiplication and addition rounds by itself. */
#include "dot.h"

#include "../avx2/dot.h"
#include "../avx2/vector.h"

#include "spans.inc"
#include "winograd.inc"

enum { CHUNK = 96, BYTE_CHUNK = 192, PAIRS = 2 };

const sim_kernels SIM_KERNELS_AVXVNNI = {
    .name = "avxvnni",
    .supported = sim_avxvnni_supported,
    .float32 = {TILE_PIXELS, TILE_CHANNELS, CHUNK, sim_avx2_dot_f32},
    .bytes = {.zero = 128,
              .pixels = PRODUCT_PIXELS,
              .channels = PRODUCT_CHANNELS,
              .interleave = 4,
              .multiple = 4,
              .chunk = BYTE_CHUNK,
              .evenly = true,
              .dot = sim_avxvnni_dot_bytes,
              .dot_half = sim_avxvnni_dot_bytes_of_half},
    .words = {PRODUCT_PIXELS, PRODUCT_CHANNELS, PAIRS, PAIRS, sim_avxvnni_dot_words},
    .winograd = {true, WORDS, winograd_input, winograd_output},
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
