/* The products of bytes of every table equal plain sums modulo 2^32: any number of pixels, any step, any runs. Memory ends
 * 64 bytes behind the last run and behind the last whole tile of sums, and what is behind faults.
 *
 *     products_test [cases] [seed]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "draws.h"
#include "kernels.h"

enum { RUNS = 9, LENGTH = 512, STEP = 700, SPREAD = 3000, PAST = 64 };

typedef struct product {
    int32_t pixels, lanes, runs, real, length; /* `real` of the `length` weights of a run are not zero */
    int64_t step;
    int32_t offset[RUNS];
    int8_t weights[RUNS][LENGTH][64];
    int32_t start[64];
} product;

/* `bytes` that end where a page ends behind which nothing may be read or written. */
static char *guarded(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    char *memory = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + whole, page, PROT_NONE)) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    return memory + whole - bytes;
}

static void release(char *memory, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    munmap(memory + bytes - whole, whole + page);
}

static void any_product(const sim_byte_tile *tile, int32_t lanes, product *p)
{
    p->pixels = between(1, draw() % 2 ? tile->chunk : 40);
    p->pixels = p->pixels < tile->chunk ? p->pixels : tile->chunk;
    p->lanes = lanes;
    p->runs = between(1, RUNS);
    p->length = between(1, LENGTH / tile->multiple < 40 ? LENGTH / tile->multiple : 40) * tile->multiple;
    p->real = p->length - between(0, tile->multiple - 1);
    p->step = between(1, STEP);
    const bool extreme = draw() % 4 == 0;
    for (int32_t r = 0; r < p->runs; r++) {
        p->offset[r] = between(0, SPREAD);
        for (int32_t k = 0; k < p->length; k++) {
            for (int32_t o = 0; o < lanes; o++) {
                p->weights[r][k][o] = (int8_t)(k >= p->real ? 0 : extreme ? -127 : between(-127, 127));
            }
        }
    }
    for (int32_t o = 0; o < lanes; o++) {
        p->start[o] = (int32_t)(draw() << 1);
    }
}

static int32_t wanted(const sim_byte_tile *tile, const product *p, const uint8_t *x, int32_t pixel, int32_t o)
{
    uint32_t sum = (uint32_t)p->start[o];
    for (int32_t r = 0; r < p->runs; r++) {
        const uint8_t *at = x + pixel * p->step + p->offset[r];
        for (int32_t k = 0; k < p->real; k++) {
            sum += (uint32_t)((tile->zero ? at[k] : (int8_t)at[k]) * p->weights[r][k][o]);
        }
    }
    return (int32_t)sum;
}

/* [run][length / interleave][lanes][interleave] */
static void pack(const sim_byte_tile *tile, const product *p, int8_t *to)
{
    for (int32_t r = 0; r < p->runs; r++) {
        for (int32_t k = 0; k < p->length; k += tile->interleave) {
            for (int32_t o = 0; o < p->lanes; o++) {
                for (int32_t i = 0; i < tile->interleave; i++) {
                    *to++ = p->weights[r][k + i][o];
                }
            }
        }
    }
}

static unsigned long compare(const sim_kernels *k, const product *p, const uint8_t *x, const int32_t *y)
{
    for (int32_t pixel = 0; pixel < p->pixels; pixel++) {
        for (int32_t o = 0; o < p->lanes; o++) {
            if (y[pixel * p->lanes + o] != wanted(&k->bytes, p, x, pixel, o)) {
                fprintf(stderr, "FAIL %s: pixel %d of %d, channel %d of %d, step %ld, %d runs of %d\n", k->name, pixel,
                        p->pixels, o, p->lanes, (long)p->step, p->runs, p->length);
                return 1;
            }
        }
    }
    return 0;
}

static unsigned long test_products(const sim_kernels *k, bool half)
{
    const sim_byte_tile *tile = &k->bytes;
    static product p;
    any_product(tile, half ? tile->channels / 2 : tile->channels, &p);
    int32_t last = 0;
    for (int32_t r = 0; r < p.runs; r++) {
        last = p.offset[r] > last ? p.offset[r] : last;
    }
    const size_t x_bytes = (size_t)((p.pixels - 1) * p.step + last + p.real + PAST),
                 w_bytes = (size_t)p.runs * (size_t)p.length * (size_t)p.lanes,
                 places = (size_t)((p.pixels + tile->pixels - 1) / tile->pixels * tile->pixels),
                 y_bytes = places * (size_t)p.lanes * sizeof(int32_t);
    char *x = guarded(x_bytes), *w = guarded((w_bytes + 63) / 64 * 64), *y = guarded((y_bytes + 63) / 64 * 64),
         *start = guarded(64 * sizeof(int32_t));
    for (size_t i = 0; i < x_bytes; i++) {
        x[i] = (char)draw();
    }
    pack(tile, &p, (int8_t *)w);
    memcpy(start, p.start, (size_t)p.lanes * sizeof(int32_t));
    if (tile->begin) {
        tile->begin();
    }
    (half ? tile->dot_half : tile->dot)((const uint8_t *)x, p.step, p.pixels, w, p.offset, p.runs, p.length,
                                        (const int32_t *)(const void *)start, (int32_t *)(void *)y);
    if (tile->awake) {
        tile->awake();
    }
    if (tile->end) {
        tile->end();
    }
    const unsigned long failures = compare(k, &p, (const uint8_t *)x, (const int32_t *)(const void *)y);
    release(x, x_bytes);
    release(w, (w_bytes + 63) / 64 * 64);
    release(y, (y_bytes + 63) / 64 * 64);
    release(start, 64 * sizeof(int32_t));
    return failures;
}

int main(int argc, char **argv)
{
    const long cases = argc > 1 ? atol(argv[1]) : 300;
    unsigned long failures = 0;
    state = argc > 2 ? (uint64_t)atoll(argv[2]) : 1;
    for (unsigned i = 0; sim_kernels_name(i); i++) {
        const sim_kernels *k = sim_kernels_select(sim_kernels_name(i));
        for (long c = 0; c < cases && k->bytes.dot && failures < 20; c++) {
            failures += test_products(k, false);
            failures += k->bytes.dot_half ? test_products(k, true) : 0;
        }
        printf("%s: %s\n", k->name, k->bytes.dot ? "equal to plain sums" : "no products of bytes");
    }
    printf("%lu failures\n", failures);
    return failures ? 1 : 0;
}
