/* The products of bytes in AVX-512 VNNI: register tiles of 14 pixels x 32 channels. */
#include <immintrin.h>
#include <string.h>

#include "dot.h"

/* u8 x s8 into 32 bits, which never saturates (vpdpbusd, not vpdpbusds). 28 sums, two vectors of weights and one of inputs
 * leave one register. */
#define NAME sim_avx512vnni_dot_bytes
#define VECTOR __m512i
#define LANES 16
#define PIXELS 14
#define VECTORS 2
#define LOAD(at) _mm512_load_si512(at)
#define STORE(at, v) _mm512_store_si512(at, v)
#define BROADCAST(four) _mm512_set1_epi32(four)
#define ADD_PRODUCTS(sum, x, w) _mm512_dpbusd_epi32(sum, x, w)
#include "products.inc"
