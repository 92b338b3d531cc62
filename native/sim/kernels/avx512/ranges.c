/* The end of a convolution that wants bytes alone, which are kept as ranges (sim_ranges): looked up in registers, by
 * AVX512-VBMI, where a gather takes a cycle for each value. */
#include "dot.h"
#include "vector.h"

#define EACH(statement)                  \
    for (int i = 0; i < TOGETHER; i++) { \
        statement;                       \
    }

enum { PARTS = SIM_RANGES / 64 };

typedef struct tables {
    __m512i shift, base, least[PARTS], steps[2][PARTS], falling;
} tables;

static inline tables tables_of(const sim_ranges *r)
{
    tables t = {.shift = _mm512_loadu_si512(r->shift),
                .base = _mm512_loadu_si512(r->base),
                .falling = _mm512_set1_epi8((char)r->falling)};
    for (int i = 0; i < PARTS; i++) {
        t.least[i] = _mm512_loadu_si512(r->least + 64 * i);
        t.steps[0][i] = _mm512_loadu_si512(r->steps[0] + 64 * i);
        t.steps[1][i] = _mm512_loadu_si512(r->steps[1] + 64 * i);
    }
    return t;
}

/* Entries of a table of 256: `odd` and `high` are bits 6 and 7 of the places. */
static inline __m512i entries(const __m512i *table, __m512i place, __mmask64 odd, __mmask64 high)
{
    __m512i v = _mm512_permutexvar_epi8(place, table[0]);
    v = _mm512_mask_permutexvar_epi8(v, odd, place, table[1]);
    v = _mm512_mask_permutexvar_epi8(v, high, place, table[2]);
    return _mm512_mask_permutexvar_epi8(v, odd & high, place, table[3]);
}

/* Of 64 halves: by their ranges and low bytes. */
static inline __m512i codes_of(const tables *t, __m512i range, __m512i low)
{
    const __mmask64 odd = _mm512_test_epi8_mask(range, _mm512_set1_epi8(0x40)), high = _mm512_movepi8_mask(range);
    const __m512i least = entries(t->least, range, odd, high), first = entries(t->steps[0], range, odd, high),
                  second = entries(t->steps[1], range, odd, high);
    const __m512i one =
        _mm512_mask_mov_epi8(_mm512_set1_epi8(1), _mm512_cmplt_epu8_mask(range, t->falling), _mm512_set1_epi8(-1));
    const __m512i y = _mm512_mask_add_epi8(least, _mm512_cmpgt_epu8_mask(low, first), least, one);
    return _mm512_mask_add_epi8(y, _mm512_cmpgt_epu8_mask(low, second), y, one);
}

static inline void look_up(const tables *t, const vec *v, uint8_t *out, size_t step)
{
    const __mmask64 even = 0x5555555555555555;
    const __m512i byte = _mm512_set1_epi16(255);
    __m512i low[2], octave[2], range[2];
    for (int i = 0; i < 2; i++) {
        const __m256i a = _mm512_cvtps_ph(v[2 * i], _MM_FROUND_TO_NEAREST_INT),
                      b = _mm512_cvtps_ph(v[2 * i + 1], _MM_FROUND_TO_NEAREST_INT);
        const __m512i half = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
        octave[i] = _mm512_srli_epi16(half, 10);
        const __m512i shift = _mm512_maskz_permutexvar_epi8(even, octave[i], t->shift);
        range[i] = _mm512_and_si512(byte, _mm512_srlv_epi16(half, shift));
        low[i] = _mm512_and_si512(byte, half);
    }
    const __m512i base = _mm512_permutexvar_epi8(_mm512_packus_epi16(octave[0], octave[1]), t->base);
    const __m512i y = codes_of(t, _mm512_add_epi8(_mm512_packus_epi16(range[0], range[1]), base),
                               _mm512_packus_epi16(low[0], low[1]));
    const __m512i all = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), y);
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_castsi512_si128(all));
    _mm_storeu_si128((__m128i *)(void *)(out + step), _mm512_extracti32x4_epi32(all, 1));
    _mm_storeu_si128((__m128i *)(void *)(out + 2 * step), _mm512_extracti32x4_epi32(all, 2));
    _mm_storeu_si128((__m128i *)(void *)(out + 3 * step), _mm512_extracti32x4_epi32(all, 3));
}

static inline void finish_vectors(bool whole, bool plain, const sim_sums *sums, int32_t pixels, int32_t c,
                                  const sim_affine *a, const sim_target *target, const tables *t)
{
    const vec scale = vec_load(a->scale + c, SIM_FLOAT32, 0), bias = vec_load(a->bias + c, SIM_FLOAT32, 0),
              alpha = vec_load(a->alpha + c, SIM_FLOAT32, 0), beta = vec_load(a->beta + c, SIM_FLOAT32, 0);
    const size_t pitch = (size_t)sums->pitch, step = (size_t)target->bytes.pitch;
    for (int32_t next = 0; next < pixels; next += TOGETHER) {
        const size_t p = (size_t)(next + TOGETHER <= pixels ? next : pixels - TOGETHER); /* some once more */
        const size_t first = p * pitch + (size_t)c;
        vec v[TOGETHER];
        if (whole) {
            EACH(v[i] = vec_load_int32((const int32_t *)sums->at + first + (size_t)i * pitch))
        } else {
            EACH(v[i] = vec_load((const float *)sums->at + first + (size_t)i * pitch, SIM_FLOAT32, 0))
        }
        EACH(v[i] = vec_add(vec_mul(v[i], scale), bias))
        if (!plain) {
            EACH(v[i] = vec_add(vec_mul(v[i], alpha), beta))
        }
        look_up(t, v, (uint8_t *)target->bytes.data + p * step + (size_t)c, step);
    }
}

void sim_avx512_finish_ranges(const sim_sums *sums, int32_t pixels, int32_t channels, const sim_affine *affine,
                              const sim_target *target)
{
    const tables t = tables_of(&target->codes->ranges);
    for (int32_t next = 0; next < channels; next += WIDTH) {
        const int32_t c = next + WIDTH <= channels ? next : channels - WIDTH;
        if (sums->whole && target->plain) {
            finish_vectors(true, true, sums, pixels, c, affine, target, &t);
        } else {
            finish_vectors(sums->whole, target->plain, sums, pixels, c, affine, target, &t);
        }
    }
}
