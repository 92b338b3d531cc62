/* What one core of this machine can do at most, and what the tables' products of bytes reach of it.
 *
 *     bench_limits [milliseconds for each line]
 *
 * Each line is the best of many short runs by the thread's own CPU time, so that neighbours disturb it little:
 *     limit NAME VALUE UNIT         instructions without dependences on registers; memory read, and copied (both ways count)
 *     products TABLE SHAPE VALUE GMAC/s SHARE     sim_byte_tile.dot over data that stays in the first or second cache, and its
 *                                                 share of the instruction's limit, timed in turns with it */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double budget = 0.2;

typedef void (*work_fn)(void *argument);

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double time_of(work_fn work, void *argument)
{
    const double start = seconds();
    work(argument);
    return seconds() - start;
}

/* Units of one call over its least time. */
static double best_rate(work_fn work, void *argument, double units)
{
    double least = 1e9;
    for (double spent = 0.0, took; spent < budget; spent += took) {
        took = time_of(work, argument);
        least = took < least ? took : least;
    }
    return units / least;
}

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    memset(memory, 1, bytes);
    return memory;
}

static void limit(const char *name, work_fn work, void *argument, double units, const char *unit)
{
    printf("limit %s %.1f %s\n", name, best_rate(work, argument, units) / 1e9, unit);
}

/* ---- instructions ---- */

enum { TURNS = 20000, AT_ONCE = 12 }; /* as many chains as hide every latency */

#if defined(__x86_64__)
/* clang-format off */
#define TWELVE(one) one("0") one("1") one("2") one("3") one("4") one("5") one("6") one("7") one("8") one("9") one("10") one("11")
#define LOOP(name, one)                                                                              \
    static void name(void *argument)                                                                 \
    {                                                                                                \
        (void)argument;                                                                              \
        for (int i = 0; i < TURNS; i++) {                                                            \
            __asm__ volatile(TWELVE(one) ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                             "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");          \
        }                                                                                            \
    }
/* clang-format on */
#define TO(instruction, width, r) instruction " %%" width "14, %%" width "15, %%" width r "\n\t"
#define BYTES_512(r) TO("vpdpbusd", "zmm", r)
#define PAIRS_512(r) TO("vpdpwssd", "zmm", r)
#define BYTES_256(r) TO("%{vex%} vpdpbusd", "ymm", r)
#define PAIRS_256(r) TO("%{vex%} vpdpwssd", "ymm", r)
#define ADD_512(r) "vpmaddwd %%zmm14, %%zmm15, %%zmm13\n\tvpaddd %%zmm13, %%zmm" r ", %%zmm" r "\n\t"
#define ADD_256(r) "vpmaddwd %%ymm14, %%ymm15, %%ymm13\n\tvpaddd %%ymm13, %%ymm" r ", %%ymm" r "\n\t"
#define FMA_512(r) TO("vfmadd231ps", "zmm", r)
#define FMA_256(r) TO("vfmadd231ps", "ymm", r)
LOOP(bytes_512, BYTES_512)
LOOP(pairs_512, PAIRS_512)
LOOP(bytes_256, BYTES_256)
LOOP(pairs_256, PAIRS_256)
LOOP(add_512, ADD_512)
LOOP(add_256, ADD_256)
LOOP(fma_512, FMA_512)
LOOP(fma_256, FMA_256)

static void instructions(void)
{
    __builtin_cpu_init();
    const double turns = (double)TURNS * AT_ONCE;
    if (__builtin_cpu_supports("avx512vnni")) {
        limit("vpdpbusd-512", bytes_512, NULL, turns * 64, "GMAC/s");
        limit("vpdpwssd-512", pairs_512, NULL, turns * 32, "GMAC/s");
    }
    if (__builtin_cpu_supports("avx512bw")) {
        limit("vpmaddwd+vpaddd-512", add_512, NULL, turns * 32, "GMAC/s");
        limit("fma-512", fma_512, NULL, turns * 16, "GMAC/s");
    }
    if (sim_kernels_select("avxvnni")) {
        limit("vpdpbusd-256", bytes_256, NULL, turns * 32, "GMAC/s");
        limit("vpdpwssd-256", pairs_256, NULL, turns * 16, "GMAC/s");
    }
    if (__builtin_cpu_supports("avx2")) {
        limit("vpmaddwd+vpaddd-256", add_256, NULL, turns * 16, "GMAC/s");
        limit("fma-256", fma_256, NULL, turns * 8, "GMAC/s");
    }
}
#else
static void instructions(void)
{
}
#endif

/* ---- memory ---- */

enum { LARGE = 256 << 20 };

static void read_memory(void *argument)
{
    const uint64_t *x = argument;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < LARGE / sizeof *x; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            sum[k] += x[i + k];
        }
    }
    for (size_t k = 0; k < 8; k++) {
        __asm__ volatile("" ::"r"(sum[k]));
    }
}

static void copy_memory(void *argument)
{
    char *x = argument;
    memcpy(x, x + LARGE / 2, LARGE / 2);
    __asm__ volatile("" ::: "memory");
}

static void memory(void)
{
    void *x = allocate(LARGE);
    limit("memory-read", read_memory, x, LARGE, "GB/s");
    limit("memory-copy", copy_memory, x, LARGE, "GB/s");
    free(x);
}

/* ---- the tables' products of bytes ---- */

typedef struct shape {
    const char *name;
    int32_t pixels, step, runs, run_bytes, blocks;
} shape;

/* The instruction that a table multiplies with, NULL where there is no loop of it here. */
typedef struct instruction {
    work_fn work;
    double products; /* of one call */
} instruction;

static instruction instruction_of(const sim_kernels *k)
{
#if defined(__x86_64__)
    if (strcmp(k->name, "avx512vnni") == 0) {
        return (instruction){bytes_512, (double)TURNS * AT_ONCE * 64};
    }
    if (strcmp(k->name, "avxvnni") == 0) {
        return (instruction){bytes_256, (double)TURNS * AT_ONCE * 32};
    }
#endif
    (void)k;
    return (instruction){NULL, 0.0};
}

typedef struct products {
    const sim_byte_tile *tile;
    shape s;
    int32_t length, times, offset[3];
    uint8_t *x;
    char *w;
    int32_t *start, *y;
} products;

/* All pixels times all blocks. */
static void multiply_once(const products *p)
{
    const sim_byte_tile *tile = p->tile;
    for (int32_t b = 0; b < p->s.blocks; b++) {
        const char *w = p->w + (size_t)b * (size_t)(p->s.runs * p->length * tile->channels);
        for (int32_t at = 0; at < p->s.pixels; at += tile->chunk) {
            const int32_t count = p->s.pixels - at < tile->chunk ? p->s.pixels - at : tile->chunk;
            tile->dot(p->x + (size_t)at * (size_t)p->s.step, p->s.step, count, w, p->offset, p->s.runs, p->length,
                      p->start, p->y);
        }
    }
}

static void multiply(void *argument)
{
    const products *p = argument;
    const sim_byte_tile *tile = p->tile;
    if (tile->begin) {
        tile->begin();
    }
    for (int32_t i = 0; i < p->times; i++) { /* long against a look at the clock */
        multiply_once(p);
    }
    if (tile->end) {
        tile->end();
    }
}

/* In turns, so that both see the same clock; the middle one, not the luckiest. */
static void print_products(const sim_kernels *k, products *p, double macs)
{
    enum { MOST = 4096 };
    static double shares[MOST];
    const instruction limit = instruction_of(k);
    double least = 1e9, took;
    size_t turns = 0;
    for (double spent = 0.0; spent < budget && turns < MOST; spent += took, turns++) {
        took = time_of(multiply, p);
        least = took < least ? took : least;
        shares[turns] = limit.work ? macs / took * time_of(limit.work, NULL) / limit.products : 0.0;
    }
    qsort(shares, turns, sizeof *shares, ascending);
    printf("products %s %s %.1f GMAC/s %.2f\n", k->name, p->s.name, macs / least / 1e9, shares[turns / 2]);
}

static void table(const sim_kernels *k)
{
    static const shape SHAPES[] = {
        {"1x1x128x32-pixels-64", 64, 128, 1, 128, 1},        {"1x1x64x256-pixels-400", 400, 64, 1, 64, 8},
        {"3x3x64x64-pixels-80", 80, 64, 3, 192, 2},          {"3x3x16x32-pixels-160", 160, 16, 3, 48, 1},
        {"3x3x256x256-pixels-26", 26, 256, 3, 768, 8},       {"3x3x512x1024-pixels-13", 13, 512, 3, 1536, 32},
        {"1x1x1024x512-pixels-169", 169, 1024, 1, 1024, 16},
    };
    const sim_byte_tile *tile = &k->bytes;
    for (size_t i = 0; tile->dot && i < sizeof SHAPES / sizeof *SHAPES; i++) {
        const shape s = SHAPES[i];
        const int32_t channels = s.blocks * 32,
                      length = (s.run_bytes + tile->multiple - 1) / tile->multiple * tile->multiple;
        const int32_t row = (s.pixels + 2) * s.step;
        const double macs = (double)s.pixels * s.runs * s.run_bytes * channels;
        products p = {tile, s, length, 1 + (int32_t)(2e7 / macs), {0, row, 2 * row}, NULL, NULL, NULL, NULL};
        p.s.blocks = (channels + tile->channels - 1) / tile->channels;
        p.x = allocate((size_t)(3 * row + 128));
        p.w = allocate((size_t)s.runs * (size_t)length * (size_t)tile->channels * (size_t)p.s.blocks);
        p.start = allocate((size_t)tile->channels * sizeof *p.start);
        p.y = allocate((size_t)tile->chunk * (size_t)tile->channels * sizeof *p.y);
        print_products(k, &p, macs * p.times);
        free(p.x);
        free(p.w);
        free(p.start);
        free(p.y);
    }
}

int main(int argc, char **argv)
{
    budget = argc > 1 ? atof(argv[1]) / 1e3 : budget;
    instructions();
    memory();
    for (unsigned i = 0; sim_kernels_name(i); i++) {
        table(sim_kernels_select(sim_kernels_name(i)));
    }
    return 0;
}
