/* The products of a convolution in AVX2: register tiles of 6 pixels x 16 channels. */
#include <immintrin.h>
#include <string.h>

#include "dot.h"

/* The whole tile is assembly because gcc 12 spills accumulators in the intrinsics form: 12 accumulators, 2 weight vectors
 * and 2 temporaries are all sixteen registers. Pixel p has its 16 sums in ymm(2p), ymm(2p+1). One step is 4 bytes of each
 * pixel: a pair of int16 inputs, or one float32. Few general registers are used, so that it also builds without
 * optimisation and under sanitizers. Assembly reads by its lines, so no tool wraps them. */
/* clang-format off */
#define PAIR(pixel, low, high)                                                                       \
    "vpbroadcastd (%[" pixel "],%[k]), %%ymm14\n\t"                                                  \
    "vpmaddwd %%ymm12, %%ymm14, %%ymm15\n\t"                                                         \
    "vpmaddwd %%ymm13, %%ymm14, %%ymm14\n\t"                                                         \
    "vpaddd %%ymm15, %%ymm" low ", %%ymm" low "\n\t"                                                 \
    "vpaddd %%ymm14, %%ymm" high ", %%ymm" high "\n\t"
#define SINGLE(pixel, low, high)                                                                     \
    "vbroadcastss (%[" pixel "],%[k]), %%ymm14\n\t"                                                  \
    "vmulps %%ymm12, %%ymm14, %%ymm15\n\t"                                                           \
    "vmulps %%ymm13, %%ymm14, %%ymm14\n\t"                                                           \
    "vaddps %%ymm15, %%ymm" low ", %%ymm" low "\n\t"                                                 \
    "vaddps %%ymm14, %%ymm" high ", %%ymm" high "\n\t"
#define ALL_PIXELS(step)                                                                             \
    step("x0", "0", "1") step("x1", "2", "3") step("x2", "4", "5")                                   \
    step("x3", "6", "7") step("x4", "8", "9") step("x5", "10", "11")
#define CLEAR(r) "vpxor %%ymm" r ", %%ymm" r ", %%ymm" r "\n\t"
#define STORE(r, at) "vmovaps %%ymm" r ", " at "(%[k])\n\t"
#define ALL_SUMS(one)                                                                                \
    one("0") one("1") one("2") one("3") one("4") one("5")                                            \
    one("6") one("7") one("8") one("9") one("10") one("11")
#define STORE_ALL                                                                                    \
    STORE("0", "0") STORE("1", "32") STORE("2", "64") STORE("3", "96") STORE("4", "128") STORE("5", "160") \
    STORE("6", "192") STORE("7", "224") STORE("8", "256") STORE("9", "288") STORE("10", "320") STORE("11", "352")

/* step: PAIR or SINGLE; shift: log2 of the element size. */
#define DOT_TILE(step, shift)                                                                        \
    int32_t count = runs;                                                                            \
    const int64_t bytes = (int64_t)length << (shift);                                                \
    int64_t k = 0, end = 0;                                                                          \
    __asm__ volatile(ALL_SUMS(CLEAR)                                                                 \
        "2:\n\t"                                                                                     \
        "movslq (%[offset]), %[k]\n\t"                                                               \
        "add $4, %[offset]\n\t"                                                                      \
        "shl $" #shift ", %[k]\n\t"                                                                  \
        "mov %[k], %[end]\n\t"                                                                       \
        "add %[bytes], %[end]\n\t"                                                                   \
        ".p2align 5\n"                                                                               \
        "1:\n\t"                                                                                     \
        "vmovdqa (%[w]), %%ymm12\n\t"                                                                \
        "vmovdqa 32(%[w]), %%ymm13\n\t"                                                              \
        ALL_PIXELS(step)                                                                             \
        "add $64, %[w]\n\t"                                                                          \
        "add $4, %[k]\n\t"                                                                           \
        "cmp %[end], %[k]\n\t"                                                                       \
        "jl 1b\n\t"                                                                                  \
        "subl $1, %[count]\n\t"                                                                      \
        "jnz 2b\n\t"                                                                                 \
        "mov %[y], %[k]\n\t"                                                                         \
        STORE_ALL                                                                                    \
        : [w] "+r"(w), [offset] "+r"(offset), [k] "+&r"(k), [end] "+&r"(end), [count] "+m"(count)    \
        : [x0] "r"(x[0]), [x1] "r"(x[1]), [x2] "r"(x[2]), [x3] "r"(x[3]), [x4] "r"(x[4]), [x5] "r"(x[5]), \
          [bytes] "m"(bytes), [y] "m"(y)                                                             \
        : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
          "xmm13", "xmm14", "xmm15", "cc", "memory")
/* clang-format on */

void sim_avx2_dot_f32(const void *const *x, const void *w, const int32_t *offset, int32_t runs, int32_t length,
                      float *y)
{
    DOT_TILE(SINGLE, 2);
}

/* ---- sums of words over a stretch of pixels ---- */

static void six_pixels(const int16_t *const *x, const int16_t *w, const int32_t *offset, int32_t runs, int32_t length,
                       int32_t *y)
{
    DOT_TILE(PAIR, 1);
}

/* Fewer pixels leave registers enough for the compiler. */
static inline __attribute__((always_inline)) void some_pixels(int pixels, const int16_t *x, int64_t step,
                                                              const int16_t *w, const int32_t *offset, int32_t runs,
                                                              int32_t length, int32_t *y)
{
    __m256i sum[TILE_PIXELS][2];
#pragma GCC unroll 6
    for (int p = 0; p < pixels; p++) {
        sum[p][0] = sum[p][1] = _mm256_setzero_si256();
    }
    for (int32_t r = 0; r < runs; r++) {
        const int16_t *at = x + offset[r];
        for (int32_t k = 0; k < length; k += 2, w += 2 * TILE_CHANNELS) {
            const __m256i low = _mm256_load_si256((const __m256i *)(const void *)w),
                          high = _mm256_load_si256((const __m256i *)(const void *)(w + TILE_CHANNELS));
#pragma GCC unroll 6
            for (int p = 0; p < pixels; p++) {
                int32_t pair;
                memcpy(&pair, at + p * step + k, sizeof pair);
                const __m256i both = _mm256_set1_epi32(pair);
                sum[p][0] = _mm256_add_epi32(sum[p][0], _mm256_madd_epi16(both, low));
                sum[p][1] = _mm256_add_epi32(sum[p][1], _mm256_madd_epi16(both, high));
            }
        }
    }
#pragma GCC unroll 6
    for (int p = 0; p < pixels; p++) {
        __m256i *to = (__m256i *)(void *)(y + p * TILE_CHANNELS);
        _mm256_store_si256(to, sum[p][0]);
        _mm256_store_si256(to + 1, sum[p][1]);
    }
}

/* Evenly: two tiles of four pixels cost less than one of six and one of two. */
void sim_avx2_dot_words(const int16_t *x, int64_t step, int32_t pixels, const int16_t *w, const int32_t *offset,
                        int32_t runs, int32_t length, int32_t *y)
{
    for (int32_t tiles = (pixels + TILE_PIXELS - 1) / TILE_PIXELS; tiles > 0; tiles--) {
        const int32_t now = (pixels + tiles - 1) / tiles;
        const int16_t *const six[TILE_PIXELS] = {x, x + step, x + 2 * step, x + 3 * step, x + 4 * step, x + 5 * step};
        switch (now) {
        case 1: some_pixels(1, x, step, w, offset, runs, length, y); break;
        case 2: some_pixels(2, x, step, w, offset, runs, length, y); break;
        case 3: some_pixels(3, x, step, w, offset, runs, length, y); break;
        case 4: some_pixels(4, x, step, w, offset, runs, length, y); break;
        case 5: some_pixels(5, x, step, w, offset, runs, length, y); break;
        default: six_pixels(six, w, offset, runs, length, y); break;
        }
        x += now * step;
        y += now * TILE_CHANNELS;
        pixels -= now;
    }
}
