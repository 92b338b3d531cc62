/* AVX-VNNI: the products of AVX-512 VNNI in 256 bits, beside the vectors of AVX2. Compiled without FMA: every
 * multiplication and addition rounds by itself. */
#include "dot.h"

#include "../avx2/entries.h"

enum { BYTE_CHUNK = 192 };
SIM_TILE_FITS(PRODUCT_PIXELS, PRODUCT_CHANNELS, BYTE_CHUNK);

const sim_kernels SIM_KERNELS_AVXVNNI = {
    .name = "avxvnni",
    .supported = sim_avxvnni_supported,
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
    .winograd = {true, WORDS, sim_avx2_winograd_input, sim_avx2_winograd_output},
    AVX2_ENTRIES,
};
