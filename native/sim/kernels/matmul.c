/* MATMUL (ARITHMETIC.md section 5). Every sum has its order, so columns go side by side: the float tile of convolutions
 * multiplies with `b` where those have weights. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { SPAN = 256, ROOM = 1 << 18 /* floats of rows at once */ };

typedef struct work {
    const sim_kernels *kernels;
    const sim_matmul *m;
    const sim_view *a, *b, *y;
    const sim_matmul_task *task;
    float *packed, *rows; /* in the scratch memory: the task's blocks of b, some rows of a */
} work;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Element (row, column) of a matrix, as it lies in memory. */
static const char *at(const work *w, const sim_view *v, size_t row, size_t column)
{
    const size_t pixel = (size_t)w->task->matrix * (size_t)v->w + row;
    return v->data + (pixel * (size_t)v->pitch + column) * sim_dtype_size(v->dtype);
}

static void widen(const work *w, const sim_view *v, size_t row, size_t column, size_t count, float *out)
{
    w->kernels->convert(at(w, v, row, column), v->dtype, out, SIM_FLOAT32, count);
}

/* ---- as it is defined ---- */

static float element(const work *w, const sim_view *v, bool turned, size_t row, size_t column)
{
    return sim_load(turned ? at(w, v, column, row) : at(w, v, row, column), v->dtype, 0);
}

static void run_plainly(const work *w)
{
    const sim_matmul_task *t = w->task;
    for (int32_t row = t->row; row < t->row + t->rows; row++) {
        for (int32_t column = t->block; column < t->block + t->blocks; column++) {
            float sum = 0.0f;
            for (int32_t k = 0; k < w->m->depth; k++) {
                const float product = element(w, w->a, w->m->turned_a, (size_t)row, (size_t)k) *
                                      element(w, w->b, w->m->turned_b, (size_t)k, (size_t)column);
                sum = sum + product;
            }
            sim_store((char *)(uintptr_t)at(w, w->y, (size_t)row, (size_t)column), w->y->dtype, 0,
                      sum * w->m->affine.scale[0]);
        }
    }
}

/* ---- by tiles ---- */

/* Values that lie beside each other to places `step` apart. */
static void spread(const work *w, const sim_view *v, size_t row, size_t column, size_t count, float *out, size_t step)
{
    float values[SPAN];
    for (size_t first = 0; first < count; first += SPAN) {
        const size_t some = least(count - first, SPAN);
        widen(w, v, row, column + first, some, values);
        for (size_t i = 0; i < some; i++) {
            out[(first + i) * step] = values[i];
        }
    }
}

/* [block][depth][columns of the tile], zeros past the last column. */
static void pack(const work *w)
{
    const size_t lanes = (size_t)w->kernels->float32.channels, depth = (size_t)w->m->depth;
    for (size_t i = 0; i < (size_t)w->task->blocks; i++) {
        const size_t first = ((size_t)w->task->block + i) * lanes, count = least(lanes, (size_t)w->m->columns - first);
        float *out = w->packed + i * depth * lanes;
        if (count < lanes) {
            memset(out, 0, depth * lanes * sizeof *out);
        }
        for (size_t c = 0; c < count && w->m->turned_b; c++) {
            spread(w, w->b, first + c, 0, depth, out + c, lanes);
        }
        for (size_t k = 0; k < depth && !w->m->turned_b; k++) {
            widen(w, w->b, k, first, count, out + k * lanes);
        }
    }
}

/* `count` rows from `first` on, without gaps. */
static void gather(const work *w, size_t first, size_t count)
{
    const size_t depth = (size_t)w->m->depth;
    for (size_t k = 0; k < depth && w->m->turned_a; k++) {
        spread(w, w->a, k, first, count, w->rows + k, depth);
    }
    for (size_t r = 0; r < count && !w->m->turned_a; r++) {
        widen(w, w->a, first + r, 0, depth, w->rows + r * depth);
    }
}

static void run_rows(const work *w, size_t first, size_t count)
{
    static const int32_t NOTHING[1] = {0};
    static const sim_activation LINEAR = {.function = SIM_LINEAR};
    const sim_float_tile *tile = &w->kernels->float32;
    const size_t lanes = (size_t)tile->channels, depth = (size_t)w->m->depth;
    _Alignas(64) float sums[SIM_MOST_SUMS];
    gather(w, first, count);
    for (size_t i = 0; i < (size_t)w->task->blocks; i++) {
        for (size_t p = 0; p < count; p += (size_t)tile->pixels) {
            const void *x[SIM_MOST_PIXELS];
            for (size_t k = 0; k < (size_t)tile->pixels; k++) { /* past the last: the last once more */
                x[k] = w->rows + least(p + k, count - 1) * depth;
            }
            tile->dot(x, w->packed + i * depth * lanes, NOTHING, 1, (int32_t)depth, sums + p * lanes);
        }
        const size_t column = ((size_t)w->task->block + i) * lanes;
        sim_target target = {.dtype = w->y->dtype, .plain = true, .y = *w->y};
        target.y.data = (char *)(uintptr_t)at(w, w->y, first, column);
        w->kernels->finish(&(sim_sums){sums, tile->channels, false}, (int32_t)count,
                           (int32_t)least(lanes, (size_t)w->m->columns - column), &w->m->affine, &LINEAR, &target);
    }
}

/* Rows of a that are gathered at once: whole tiles, few where they are long. */
static size_t chunk_of(const sim_kernels *kernels, const sim_matmul *m)
{
    const size_t pixels = (size_t)kernels->float32.pixels, tiles = ROOM / (size_t)m->depth / pixels;
    return least((size_t)kernels->float32.chunk, (tiles > 0 ? tiles : 1) * pixels);
}

int32_t sim_matmul_columns(const sim_kernels *kernels)
{
    return kernels->float32.dot ? kernels->float32.channels : 1;
}

size_t sim_matmul_scratch(const sim_kernels *kernels, const sim_matmul *m, int32_t blocks)
{
    const size_t columns = (size_t)blocks * (size_t)sim_matmul_columns(kernels);
    return kernels->float32.dot ? (columns + chunk_of(kernels, m)) * (size_t)m->depth * sizeof(float) : 0;
}

void sim_matmul_run(const sim_kernels *kernels, const sim_matmul *m, const sim_view *a, const sim_view *b,
                    const sim_view *y, const sim_matmul_task *task, void *scratch)
{
    work w = {kernels, m, a, b, y, task, scratch, scratch};
    if (!kernels->float32.dot) {
        run_plainly(&w);
        return;
    }
    w.rows += (size_t)task->blocks * (size_t)kernels->float32.channels * (size_t)m->depth;
    pack(&w);
    const size_t end = (size_t)(task->row + task->rows), chunk = chunk_of(kernels, m);
    for (size_t row = (size_t)task->row; row < end; row += chunk) {
        run_rows(&w, row, least(chunk, end - row));
    }
}
