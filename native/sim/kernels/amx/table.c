/* AMX's products of bytes beside the vectors of AVX-512. Compiled without FMA: every multiplication and addition rounds by
 * itself. */
#include "dot.h"

#include "../avx512/entries.h"
#include "../avx512vnni/dot.h"

/* Measured on Sapphire Rapids against AVX-512 VNNI: 27 inputs to 16 channels at 416x416 1.90 and 1.44 ms, 8 to 8 at 160x160 .25
 * and .12, 32 to 8 at 80x80 .066 and .043; alike at 108 to 16, the other way round from 120 to 120 on. */
enum { BYTE_CHUNK = 128, THIN_PRODUCTS = 1152 };
SIM_TILE_FITS(BYTE_PIXELS, BYTE_CHANNELS, BYTE_CHUNK);

const sim_kernels SIM_KERNELS_AMX = {
    .name = "amx",
    .supported = sim_amx_supported,
    .bytes = {.zero = 128,
              .pixels = BYTE_PIXELS,
              .channels = BYTE_CHANNELS,
              .interleave = 4,
              .multiple = BYTE_MULTIPLE,
              .chunk = BYTE_CHUNK,
              .begin = sim_amx_begin,
              .end = sim_amx_end,
              .awake = sim_amx_awake,
              .dot = sim_amx_dot_bytes,
              .dot_half = sim_amx_dot_half},
    .thin_products = THIN_PRODUCTS,
    .thin = AVX512VNNI_BYTES,
    .words = {PRODUCT_PIXELS, PRODUCT_CHANNELS, 2, 2, sim_avx512vnni_dot_words},
    AVX512_ENTRIES,
};
