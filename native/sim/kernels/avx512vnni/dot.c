/* The products of bytes and of words in AVX-512 VNNI: register tiles of 14 pixels x 32 channels. 28 sums, two vectors of
 * weights and one of inputs leave one register. */
#include "dot.h"

#include <immintrin.h>
#include <string.h>

/* u8 x s8 into 32 bits, which never saturates: vpdpbusd, not vpdpbusds. */
#define NAME add_bytes
#define ELEMENT uint8_t
#define VECTOR __m512i
#define LANES 16
#define PIXELS 14
#define VECTORS 2
#define LOAD(at) _mm512_load_si512(at)
#define STORE(at, v) _mm512_store_si512(at, v)
#define BROADCAST(four) _mm512_set1_epi32(four)
#define ADD_PRODUCTS(sum, x, w) _mm512_dpbusd_epi32(sum, x, w)
#include "products.inc"

/* 24 sums, and loads enough for as many products. */
#define NAME add_bytes_of_half
#define ELEMENT uint8_t
#define VECTOR __m512i
#define LANES 16
#define PIXELS 24
#define VECTORS 1
#define LOAD(at) _mm512_load_si512(at)
#define STORE(at, v) _mm512_store_si512(at, v)
#define BROADCAST(four) _mm512_set1_epi32(four)
#define ADD_PRODUCTS(sum, x, w) _mm512_dpbusd_epi32(sum, x, w)
#include "products.inc"

#define NAME add_words
#define ELEMENT int16_t
#define VECTOR __m512i
#define LANES 16
#define PIXELS 14
#define VECTORS 2
#define LOAD(at) _mm512_load_si512(at)
#define STORE(at, v) _mm512_store_si512(at, v)
#define BROADCAST(four) _mm512_set1_epi32(four)
#define ADD_PRODUCTS(sum, x, w) _mm512_dpwssd_epi32(sum, x, w)
#include "products.inc"

void sim_avx512vnni_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                              int32_t runs, int32_t length, int32_t *y)
{
    static const _Alignas(64) int32_t NOTHING[PRODUCT_CHANNELS];
    add_words(x, step, pixels, w, offset, runs, length, NOTHING, y);
}

void sim_avx512vnni_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                              int32_t runs, int32_t length, const int32_t *start, int32_t *y)
{
    add_bytes(x, step, pixels, w, offset, runs, length, start, y);
}

void sim_avx512vnni_dot_bytes_of_half(const uint8_t *x, int64_t step, int32_t pixels, const void *w,
                                      const int32_t *offset, int32_t runs, int32_t length, const int32_t *start,
                                      int32_t *y)
{
    add_bytes_of_half(x, step, pixels, w, offset, runs, length, start, y);
}
