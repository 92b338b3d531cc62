/* The bytes of a picture through its three tables, in AVX-512 BW. */
#include "dot.h"

#include <immintrin.h>

enum { LANES = 32, TABLE_VECTORS = 8, MOST_CHANNELS = 3, HALF = 16 /* pixels of a vector */ };

/* Words of a table, looked up by the low byte of each word: 64 entries at a time, then the right one of four. */
static inline __m512i entries(const __m512i *table, __m512i index)
{
    const __mmask32 odd = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x40)),
                    high = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x80));
    const __m512i a = _mm512_permutex2var_epi16(table[0], index, table[1]),
                  b = _mm512_permutex2var_epi16(table[2], index, table[3]),
                  c = _mm512_permutex2var_epi16(table[4], index, table[5]),
                  d = _mm512_permutex2var_epi16(table[6], index, table[7]);
    return _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(a, odd, b), high, _mm512_mask_mov_epi16(c, odd, d));
}

/* Sixteen pixels of 3 or 4 bytes, each in 32 bits. */
static inline __m512i load_pixels(const uint8_t *x, int32_t pitch)
{
    if (pitch == 4) {
        return _mm512_loadu_si512(x);
    }
    const __m512i packed = _mm512_maskz_loadu_epi32(0x0fff, x);
    const __m512i parts =
        _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0), packed);
    return _mm512_shuffle_epi8(
        parts, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1)));
}

/* The three low bytes of sixteen pixels, one after the other. */
static inline void store_pixels(uint8_t *y, __m512i pixels)
{
    const __m512i parts = _mm512_shuffle_epi8(
        pixels, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)));
    const __m512i packed =
        _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0), parts);
    _mm512_mask_storeu_epi32(y, 0x0fff, packed);
}

static inline void look_up_pixels(const __m512i tables[][TABLE_VECTORS], const __m128i *shift, const uint8_t *x,
                                  int32_t pitch, uint8_t *y)
{
    const __m512i first = load_pixels(x, pitch), second = load_pixels(x + HALF * pitch, pitch),
                  byte = _mm512_set1_epi32(255);
    __m512i v[MOST_CHANNELS];
    for (int c = 0; c < MOST_CHANNELS;
         c++) { /* of the first sixteen in the low words, of the others in the high ones */
        const __m512i low = _mm512_and_si512(_mm512_srl_epi32(first, shift[c]), byte),
                      high = _mm512_and_si512(_mm512_srl_epi32(second, shift[c]), byte);
        v[c] = entries(tables[c], _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
    const __m512i two = _mm512_or_si512(v[0], _mm512_slli_epi16(v[1], 8));
    store_pixels(y, _mm512_or_si512(_mm512_and_si512(two, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(v[2], 16)));
    store_pixels(y + MOST_CHANNELS * HALF,
                 _mm512_or_si512(_mm512_srli_epi32(two, 16), _mm512_andnot_si512(_mm512_set1_epi32(0xffff), v[2])));
}

void sim_avx512_look_up(const sim_lookup *lookup, const uint8_t *x, int32_t x_pitch, size_t pixels, uint8_t *y)
{
    size_t p = 0;
    if (lookup->channels == MOST_CHANNELS && (x_pitch == 3 || x_pitch == 4)) {
        __m512i tables[MOST_CHANNELS][TABLE_VECTORS];
        __m128i shift[MOST_CHANNELS];
        const __m512i zero = _mm512_set1_epi16(lookup->zero), byte = _mm512_set1_epi16(255);
        for (int c = 0; c < MOST_CHANNELS; c++) {
            shift[c] = _mm_cvtsi32_si128(8 * lookup->channel[c]);
            for (int i = 0; i < TABLE_VECTORS; i++) {
                const __m512i words = _mm512_loadu_si512(lookup->table + c * 256 + i * LANES);
                tables[c][i] = _mm512_and_si512(_mm512_add_epi16(words, zero), byte);
            }
        }
        for (; p + LANES <= pixels; p += LANES) {
            look_up_pixels((const __m512i(*)[TABLE_VECTORS])tables, shift, x + p * (size_t)x_pitch, x_pitch,
                           y + p * MOST_CHANNELS);
        }
    }
    sim_look_up(lookup, x + p * (size_t)x_pitch, x_pitch, pixels - p, y + p * (size_t)lookup->channels);
}
