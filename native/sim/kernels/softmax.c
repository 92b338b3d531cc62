/* SOFTMAX (ARITHMETIC.md section 5). A sum has its order, so that several go side by side. */
#include <math.h>

#include "half.h"
#include "kernels.h"

enum { SPAN = 256, ROWS = 8, LANES = 8 };

typedef struct work {
    const sim_kernels *kernels;
    const sim_softmax *s;
    const void *x;
    void *y;
} work;

static void load(const work *w, size_t index, size_t count, float *v)
{
    const char *at = (const char *)w->x + index * sim_dtype_size(w->s->x_dtype);
    w->kernels->convert(at, w->s->x_dtype, v, SIM_FLOAT32, count);
}

static void store(const work *w, size_t index, size_t count, float *v)
{
    const uint32_t dtype = w->s->y_dtype;
    for (size_t i = 0; i < count && dtype == SIM_FLOAT32; i++) { /* `convert` would keep a NaN's bits */
        v[i] = sim_float_canonical(v[i]);
    }
    w->kernels->convert(v, SIM_FLOAT32, (char *)w->y + index * sim_dtype_size(dtype), dtype, count);
}

static void exponents(const work *w, float *v, size_t count)
{
    static const sim_activation EXP = {.function = SIM_EXP};
    w->kernels->activate(&EXP, v, SIM_FLOAT32, v, SIM_FLOAT32, count);
}

/* ---- over consecutive values ---- */

/* In any order: a NaN is passed over, and zeros of both signs give the same differences' exponents. */
static float greatest_of(const float *v, size_t count, float m)
{
    float each[LANES];
    size_t i = 0;
    for (int k = 0; k < LANES; k++) {
        each[k] = m;
    }
    for (; i + LANES <= count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            each[k] = v[i + k] > each[k] ? v[i + k] : each[k];
        }
    }
    for (; i < count; i++) {
        each[0] = v[i] > each[0] ? v[i] : each[0];
    }
    for (int k = 0; k < LANES; k++) {
        m = each[k] > m ? each[k] : m;
    }
    return m;
}

static size_t piece_at(const work *w, size_t at)
{
    return w->s->length - at < SPAN ? w->s->length - at : SPAN;
}

static float row_maximum(const work *w, size_t row)
{
    float v[SPAN], m = -INFINITY;
    for (size_t at = 0; at < w->s->length; at += SPAN) {
        load(w, row * w->s->x_next + at, piece_at(w, at), v);
        m = greatest_of(v, piece_at(w, at), m);
    }
    return m;
}

/* v = exp(x - m) of a piece of a row */
static void row_exponents(const work *w, size_t row, size_t at, float m, float *v)
{
    const size_t count = piece_at(w, at);
    load(w, row * w->s->x_next + at, count, v);
    for (size_t i = 0; i < count; i++) {
        v[i] = v[i] - m;
    }
    exponents(w, v, count);
}

static void add_columns(float v[ROWS][SPAN], size_t count, float *sum)
{
    for (size_t i = 0; i < count; i++) {
        for (int r = 0; r < ROWS; r++) {
            sum[r] = sum[r] + v[r][i];
        }
    }
}

static void run_rows(const work *w, size_t first, size_t rows)
{
    float v[ROWS][SPAN], m[ROWS], sum[ROWS] = {0};
    for (size_t r = 0; r < rows; r++) {
        m[r] = row_maximum(w, first + r);
    }
    for (size_t at = 0; at < w->s->length; at += SPAN) {
        for (size_t r = 0; r < ROWS; r++) { /* those that do not exist are the first once more */
            row_exponents(w, first + (r < rows ? r : 0), at, m[r < rows ? r : 0], v[r]);
        }
        add_columns(v, piece_at(w, at), sum);
    }
    for (size_t at = 0; at < w->s->length; at += SPAN) {
        for (size_t r = 0; r < rows; r++) {
            if (w->s->length > SPAN) { /* otherwise all are still there */
                row_exponents(w, first + r, at, m[r], v[r]);
            }
            for (size_t i = 0; i < piece_at(w, at); i++) {
                v[r][i] = v[r][i] / sum[r];
            }
            store(w, (first + r) * w->s->y_next + at, piece_at(w, at), v[r]);
        }
    }
}

/* ---- over values apart, of neighbours ---- */

static void lane_exponents(const work *w, size_t index, size_t lanes, const float *m, float *v)
{
    load(w, index, lanes, v);
    for (size_t i = 0; i < lanes; i++) {
        v[i] = v[i] - m[i];
    }
    exponents(w, v, lanes);
}

static void run_lanes(const work *w, size_t first, size_t lanes)
{
    float v[SPAN], m[SPAN], sum[SPAN];
    for (size_t i = 0; i < lanes; i++) {
        m[i] = -INFINITY;
        sum[i] = 0.0f;
    }
    for (size_t k = 0; k < w->s->length; k++) {
        load(w, first + k * w->s->x_along, lanes, v);
        for (size_t i = 0; i < lanes; i++) {
            m[i] = v[i] > m[i] ? v[i] : m[i];
        }
    }
    for (size_t k = 0; k < w->s->length; k++) {
        lane_exponents(w, first + k * w->s->x_along, lanes, m, v);
        for (size_t i = 0; i < lanes; i++) {
            sum[i] = sum[i] + v[i];
        }
    }
    for (size_t k = 0; k < w->s->length; k++) {
        lane_exponents(w, first + k * w->s->x_along, lanes, m, v);
        for (size_t i = 0; i < lanes; i++) {
            v[i] = v[i] / sum[i];
        }
        store(w, first + k * w->s->y_along, lanes, v);
    }
}

void sim_softmax_run(const sim_kernels *kernels, const sim_softmax *softmax, const void *x, void *y)
{
    const work w = {kernels, softmax, x, y};
    const bool rows = softmax->x_along == 1 && softmax->y_along == 1;
    const size_t most = rows ? ROWS : SPAN;
    for (size_t at = 0; at < softmax->count; at += most) {
        const size_t now = softmax->count - at < most ? softmax->count - at : most;
        if (rows) {
            run_rows(&w, at, now);
        } else {
            run_lanes(&w, at, now);
        }
    }
}
