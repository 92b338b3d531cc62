/* How many products this table makes in a second at most: from the first cache, on one core. */
#include "limit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LENGTH = 256, ROUNDS = 40, AGAIN = 4, ALIGNED = 64, PAST_THE_END = 64 };

typedef struct operands {
    char *x, *w, *y;
    int32_t *start;
    int32_t pixels, channels;
} operands;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_bytes(const sim_kernels *k, const operands *o)
{
    const int32_t offset = 0;
    k->bytes.dot((const uint8_t *)o->x, LENGTH, o->pixels, o->w, &offset, 1, LENGTH, o->start, (void *)o->y);
}

static void run_words(const sim_kernels *k, const operands *o)
{
    const int32_t offset = 0;
    k->words.dot((const void *)o->x, LENGTH, o->pixels, (const void *)o->w, &offset, 1, LENGTH, (void *)o->y);
}

/* Of one run, in the shortest of some rounds: neighbours only lengthen one. */
static double shortest(const sim_kernels *k, const operands *o, void (*run)(const sim_kernels *, const operands *))
{
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        const double start = seconds_now();
        for (int again = 0; again < AGAIN; again++) {
            run(k, o);
        }
        const double spent = (seconds_now() - start) / AGAIN;
        best = i == 0 || spent < best ? spent : best;
    }
    return best;
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
}

static double measure(const sim_kernels *k, bool bytes)
{
    const size_t size = bytes ? sizeof(int8_t) : sizeof(int16_t);
    operands o = {.pixels = 2 * (bytes ? k->bytes.pixels : k->words.pixels),
                  .channels = bytes ? k->bytes.channels : k->words.channels};
    const size_t x = whole_lines((size_t)o.pixels * LENGTH * size + PAST_THE_END),
                 w = whole_lines((size_t)o.channels * LENGTH * size),
                 y = whole_lines((size_t)(2 * o.pixels * o.channels) * sizeof(int32_t)),
                 start = whole_lines((size_t)o.channels * sizeof(int32_t));
    char *memory = aligned_alloc(ALIGNED, x + w + y + start);
    if (!memory) {
        return 0;
    }
    memset(memory, 1, x + w + y + start);
    o.x = memory;
    o.w = o.x + x;
    o.y = o.w + w;
    o.start = (void *)(o.y + y);
    if (bytes && k->bytes.begin) {
        k->bytes.begin();
    }
    const double spent = shortest(k, &o, bytes ? run_bytes : run_words);
    if (bytes && k->bytes.end) {
        k->bytes.end();
    }
    free(memory);
    return spent > 0 ? (double)o.pixels * o.channels * LENGTH / spent : 0;
}

double sim_limit_of(const sim_kernels *k, uint32_t weight_dtype)
{
    if (weight_dtype == SIM_INT8 && k->bytes.dot) {
        return measure(k, true);
    }
    return weight_dtype != SIM_FLOAT32 && k->words.dot ? measure(k, false) : 0;
}
