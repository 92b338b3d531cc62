/* Tensors of the tests: random sizes and values, and their comparison to the bit. */
#ifndef TESTS_NATIVE_VIEWS_H
#define TESTS_NATIVE_VIEWS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draws.h"
#include "kernels.h"

static unsigned long failures;

static inline void *room(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    memset(memory, 0xa5, (bytes + 127) / 64 * 64);
    return memory;
}

static inline size_t elements(const sim_view *v)
{
    return (size_t)v->n * (size_t)v->h * (size_t)v->w * (size_t)v->pitch;
}

static inline size_t bytes_of(const sim_view *v)
{
    return elements(v) * sim_dtype_size(v->dtype);
}

static inline sim_view new_view(int32_t n, int32_t h, int32_t w, int32_t c)
{
    sim_view v = {NULL, n, h, w, c, c + (draw() % 2 ? 0 : between(1, 9)), draw() % 2 ? SIM_FLOAT16 : SIM_FLOAT32};
    v.data = room(bytes_of(&v));
    return v;
}

/* Within +-size; now and then an infinity, a zero or any bits, NaNs of both signs among them. */
static inline void fill(const sim_view *v, float size, bool special)
{
    for (size_t i = 0; i < elements(v); i++) {
        const float odd[] = {INFINITY, -INFINITY, 0.0f, -0.0f, NAN, -NAN};
        sim_store(v->data, v->dtype, i, special && draw() % 16 == 0 ? odd[draw() % 6] : uniform(-size, size));
        if (special && v->dtype == SIM_FLOAT16 && draw() % 16 == 0) {
            ((uint16_t *)(void *)v->data)[i] = draw() % 2 ? (uint16_t)draw() : 0xfe00; /* no operator writes this NaN */
        }
    }
}

static inline sim_view twin(const sim_view *v)
{
    sim_view other = *v;
    other.data = room(bytes_of(v));
    return other;
}

static inline void equal(const char *what, const sim_kernels *k, const sim_view *got, const sim_view *wanted)
{
    const unsigned char *a = (const unsigned char *)got->data, *b = (const unsigned char *)wanted->data;
    size_t at = 0;
    while (at < bytes_of(got) && a[at] == b[at]) {
        at++;
    }
    if (at < bytes_of(got)) {
        fprintf(stderr, "FAIL %s: %s differs from the definition at byte %zu of %zu\n", what, k->name, at,
                bytes_of(got));
        failures++;
    }
}

#endif
