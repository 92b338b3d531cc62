/* LAYER_NORM (ARITHMETIC.md section 5). A sum has its order, so that several pixels go side by side. */
#include <math.h>

#include "half.h"
#include "kernels.h"

enum { SPAN = 256, PIXELS = SIM_NORM_PIXELS };

typedef struct work {
    const sim_kernels *kernels;
    const sim_layer_norm *norm;
    const sim_view *x, *y;
    size_t first, count;
    float mean[PIXELS], root[PIXELS];
    float v[PIXELS][SPAN];
} work;

static size_t piece(const work *w, size_t at)
{
    const size_t left = (size_t)w->x->c - at;
    return left < SPAN ? left : SPAN;
}

/* Of pixels past the last: the first once more. */
static void load(work *w, size_t at)
{
    const size_t size = sim_dtype_size(w->x->dtype);
    for (size_t p = 0; p < PIXELS; p++) {
        const size_t pixel = w->first + (p < w->count ? p : 0);
        w->kernels->convert(w->x->data + (pixel * (size_t)w->x->pitch + at) * size, w->x->dtype, w->v[p], SIM_FLOAT32,
                            piece(w, at));
    }
}

static void find_means(work *w)
{
    float sum[PIXELS] = {0};
    for (size_t at = 0; at < (size_t)w->x->c; at += SPAN) {
        load(w, at);
        for (size_t i = 0; i < piece(w, at); i++) {
            for (size_t p = 0; p < PIXELS; p++) {
                sum[p] = sum[p] + w->v[p][i];
            }
        }
    }
    for (size_t p = 0; p < PIXELS; p++) {
        w->mean[p] = sum[p] / (float)w->x->c;
    }
}

static void find_roots(work *w)
{
    float sum[PIXELS] = {0};
    for (size_t at = 0; at < (size_t)w->x->c; at += SPAN) {
        load(w, at);
        for (size_t i = 0; i < piece(w, at); i++) {
            for (size_t p = 0; p < PIXELS; p++) {
                const float d = w->v[p][i] - w->mean[p], square = d * d;
                sum[p] = sum[p] + square;
            }
        }
    }
    for (size_t p = 0; p < PIXELS; p++) {
        w->root[p] = sqrtf(sum[p] / (float)w->x->c + w->norm->eps);
    }
}

static void write(work *w, size_t at, size_t p)
{
    const float *gamma = w->norm->gamma, *beta = w->norm->beta;
    const size_t count = piece(w, at);
    float *v = w->v[p];
    for (size_t i = 0; i < count; i++) {
        v[i] = (v[i] - w->mean[p]) / w->root[p];
    }
    for (size_t i = 0; i < count && gamma; i++) {
        v[i] = v[i] * gamma[at + i];
    }
    for (size_t i = 0; i < count && beta; i++) {
        v[i] = v[i] + beta[at + i];
    }
    for (size_t i = 0; i < count && w->y->dtype == SIM_FLOAT32; i++) { /* `convert` would keep a NaN's bits */
        v[i] = sim_float_canonical(v[i]);
    }
    char *out = w->y->data + ((w->first + p) * (size_t)w->y->pitch + at) * sim_dtype_size(w->y->dtype);
    w->kernels->convert(v, SIM_FLOAT32, out, w->y->dtype, count);
}

void sim_layer_norm_run(const sim_kernels *kernels, const sim_layer_norm *norm, const sim_view *x, const sim_view *y,
                        size_t first, size_t count)
{
    work w = {.kernels = kernels, .norm = norm, .x = x, .y = y, .first = first, .count = count};
    find_means(&w);
    find_roots(&w);
    for (size_t at = 0; at < (size_t)x->c; at += SPAN) {
        load(&w, at);
        for (size_t p = 0; p < count; p++) {
            write(&w, at, p);
        }
    }
}
