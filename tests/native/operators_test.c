/* Operators that are computed cleverly equal their definitions in ARITHMETIC.md to the bit, with every table: random shapes,
 * odd values.
 *
 *     operators_test [cases] [seed]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views.h"

static float value(const sim_view *v, int32_t row, int32_t column, int32_t c)
{
    return sim_load(v->data, v->dtype, ((size_t)row * (size_t)v->w + (size_t)column) * (size_t)v->pitch + (size_t)c);
}

static void put(const sim_view *v, int32_t row, int32_t column, int32_t c, float x)
{
    sim_store(v->data, v->dtype, ((size_t)row * (size_t)v->w + (size_t)column) * (size_t)v->pitch + (size_t)c, x);
}

/* ---- softmax ---- */

static void define_softmax(const sim_softmax *s, const sim_view *x, const sim_view *y)
{
    for (size_t i = 0; i < s->count; i++) {
        float m = -INFINITY, sum = 0.0f;
        for (size_t k = 0; k < s->length; k++) {
            const float v = sim_load(x->data, s->x_dtype, i * s->x_next + k * s->x_along);
            m = v > m ? v : m;
        }
        for (size_t k = 0; k < s->length; k++) {
            sum = sum + sim_exp(sim_load(x->data, s->x_dtype, i * s->x_next + k * s->x_along) - m);
        }
        for (size_t k = 0; k < s->length; k++) {
            const float v = sim_exp(sim_load(x->data, s->x_dtype, i * s->x_next + k * s->x_along) - m);
            sim_store(y->data, s->y_dtype, i * s->y_next + k * s->y_along, v / sum);
        }
    }
}

static void test_softmax(const sim_kernels *k)
{
    const bool along = draw() % 2; /* the channels; otherwise the columns */
    const int32_t w = between(1, along ? 20 : 60), c = draw() % 4 ? between(1, 100) : between(200, 600);
    const sim_view x = new_view(1, 1, w, c), y = new_view(1, 1, w, c), z = twin(&y);
    const size_t xp = (size_t)x.pitch, yp = (size_t)y.pitch;
    const sim_softmax s = along ? (sim_softmax){(size_t)w, (size_t)c, xp, 1, yp, 1, x.dtype, y.dtype}
                                : (sim_softmax){(size_t)c, (size_t)w, 1, xp, 1, yp, x.dtype, y.dtype};
    fill(&x, uniform(0.1f, 40.0f), draw() % 2);
    sim_softmax_run(k, &s, x.data, y.data);
    define_softmax(&s, &x, &z);
    equal("softmax", k, &y, &z);
    free(x.data);
    free(y.data);
    free(z.data);
}

/* ---- resize ---- */

typedef struct source {
    int32_t first, second;
    float a, b;
} source;

static source source_of(int32_t o, int32_t in, int32_t out, bool align)
{
    float t = align ? (out == 1 ? 0.0f : (float)o * ((float)(in - 1) / (float)(out - 1)))
                    : ((float)o + 0.5f) * ((float)in / (float)out) - 0.5f;
    t = t > 0.0f ? t : 0.0f;
    source s = {(int32_t)floorf(t), 0, 0.0f, 0.0f};
    s.first = s.first < in - 1 ? s.first : in - 1;
    s.second = s.first + 1 < in - 1 ? s.first + 1 : in - 1;
    s.b = t - (float)s.first;
    s.b = s.b < 1.0f ? s.b : 1.0f;
    s.a = 1.0f - s.b;
    return s;
}

static void define_resize(bool align, const sim_view *x, const sim_view *y)
{
    for (int32_t row = 0; row < y->h; row++) {
        const source v = source_of(row, x->h, y->h, align);
        for (int32_t column = 0; column < y->w; column++) {
            const source u = source_of(column, x->w, y->w, align);
            for (int32_t c = 0; c < y->c; c++) {
                const float upper = value(x, v.first, u.first, c) * u.a + value(x, v.first, u.second, c) * u.b,
                            lower = value(x, v.second, u.first, c) * u.a + value(x, v.second, u.second, c) * u.b;
                put(y, row, column, c, upper * v.a + lower * v.b);
            }
        }
    }
}

static void test_resize(const sim_kernels *k)
{
    const int32_t c = draw() % 8 ? between(1, 40) : between(200, 700);
    const sim_view x = new_view(1, between(1, 9), between(1, 90), c),
                   y = new_view(1, between(1, 9), between(1, 150), c), z = twin(&y);
    const bool align = draw() % 2;
    fill(&x, 4.0f, draw() % 2);
    for (int32_t row = 0; row < y.h; row++) {
        sim_resize_row(k, align, &x, &y, 0, row);
    }
    define_resize(align, &x, &z);
    equal("resize", k, &y, &z);
    free(x.data);
    free(y.data);
    free(z.data);
}

/* ---- detection output ---- */

typedef struct found {
    float score, corner[4];
    uint32_t number;
    int32_t label;
} found;

static float sigmoid(float x)
{
    return 1.0f / (1.0f + sim_exp(-x));
}

static int in_order(const void *a, const void *b)
{
    const found *x = a, *y = b;
    return x->score > y->score ? -1 : x->score < y->score ? 1 : x->number < y->number ? -1 : 1;
}

static void place(const sim_detection *d, const sim_view *head, int32_t h, int32_t row, int32_t column, int32_t anchor,
                  found *f)
{
    const int32_t cell[2] = {column, row}, cells[2] = {head->w, head->h}, image[2] = {d->image_w, d->image_h};
    for (int axis = 0; axis < 2; axis++) {
        const float v = value(head, row, column, anchor * (5 + d->classes) + axis),
                    s = value(head, row, column, anchor * (5 + d->classes) + 2 + axis),
                    size = d->anchor[(h * d->anchors + anchor) * 2 + axis],
                    stride = (float)image[axis] / (float)cells[axis], scale = d->scale_x_y[h];
        const bool five = d->kind == SIM_YOLOV5;
        const float centre = five ? ((v * 2.0f - 0.5f) + (float)cell[axis]) * stride
                                  : ((sigmoid(v) * scale - (scale - 1.0f) * 0.5f) + (float)cell[axis]) * stride;
        const float extent = five ? (s * 2.0f) * (s * 2.0f) * size : sim_exp(s) * size;
        f->corner[axis] = centre - extent * 0.5f;
        f->corner[2 + axis] = centre + extent * 0.5f;
    }
}

static float shared_along(const found *a, const found *b, int axis)
{
    const float low = a->corner[axis] > b->corner[axis] ? a->corner[axis] : b->corner[axis],
                high = a->corner[2 + axis] < b->corner[2 + axis] ? a->corner[2 + axis] : b->corner[2 + axis];
    return high - low > 0.0f ? high - low : 0.0f;
}

static float area(const found *f)
{
    return (f->corner[2] - f->corner[0]) * (f->corner[3] - f->corner[1]);
}

static float iou(const found *a, const found *b)
{
    const float shared = shared_along(a, b, 0) * shared_along(a, b, 1), all = (area(a) + area(b)) - shared;
    return all > 0.0f ? shared / all : 0.0f;
}

/* Every anchor's every class, in order: the candidates. */
static size_t define_candidates(const sim_detection *d, const sim_view *heads, found *all)
{
    size_t count = 0;
    uint32_t number = 0;
    for (int32_t h = 0; h < d->heads; h++) {
        for (int32_t at = 0; at < heads[h].h * heads[h].w * d->anchors; at++) {
            const int32_t anchor = at % d->anchors, row = at / d->anchors / heads[h].w,
                          column = at / d->anchors % heads[h].w;
            const float o = value(&heads[h], row, column, anchor * (5 + d->classes) + 4);
            found best = {.score = -1.0f};
            for (int32_t c = 0; c < d->classes; c++, number++) {
                const float v = value(&heads[h], row, column, anchor * (5 + d->classes) + 5 + c);
                found f = {
                    .score = d->kind == SIM_YOLOV5 ? o * v : sigmoid(o) * sigmoid(v), .number = number, .label = c};
                place(d, &heads[h], h, row, column, anchor, &f);
                best = f.score > best.score ? f : best;
                if (d->kind != SIM_YOLOV4_SINGLE && f.score >= d->confidence) {
                    all[count++] = f;
                }
            }
            if (d->kind == SIM_YOLOV4_SINGLE && best.score >= d->confidence) {
                all[count++] = best;
            }
        }
    }
    return count;
}

static void define_detection(const sim_detection *d, const sim_view *heads, const sim_view *y, found *all)
{
    const size_t count = define_candidates(d, heads, all);
    int32_t kept = 0;
    qsort(all, count, sizeof *all, in_order);
    for (int32_t i = 0; i < y->c; i++) {
        put(y, 0, 0, i, 0.0f);
    }
    for (size_t i = 0; i < count && i < SIM_MAX_CANDIDATES && kept < d->max_boxes; i++) {
        bool fits = true;
        for (int32_t k = 0; k < kept; k++) {
            fits &= all[k].label != all[i].label || iou(&all[k], &all[i]) < d->iou;
        }
        if (!fits) {
            continue;
        }
        const found f = all[kept++] = all[i];
        const float by[2] = {d->kind == SIM_YOLOV5 ? 1.0f : (float)d->image_w,
                             d->kind == SIM_YOLOV5 ? 1.0f : (float)d->image_h};
        const float row[7] = {0.0f,
                              (float)f.label,
                              f.score,
                              f.corner[0] / by[0],
                              f.corner[1] / by[1],
                              f.corner[2] / by[0],
                              f.corner[3] / by[1]};
        for (int32_t c = 0; c < 7; c++) {
            put(y, 0, 0, SIM_DETECTION_HEAD + 7 * (kept - 1) + c, row[c]);
        }
    }
    put(y, 0, 0, 0, (float)kept);
}

/* Values about the thresholds, where a bound that is off by a bit tells; the kinds but that of centres' distances. */
static void test_detection(const sim_kernels *k)
{
    static const sim_detection_kind KINDS[] = {SIM_YOLOV3, SIM_YOLOV5, SIM_YOLOV4, SIM_YOLOV4_SINGLE};
    static const float CONFIDENCES[] = {0.0f, 1e-40f, 1e-12f, 0.001f, 0.25f, 0.5f, 0.999f, 1.0f};
    float anchor[12], scale[2] = {1.0f, 1.05f};
    for (int i = 0; i < 12; i++) {
        anchor[i] = uniform(5.0f, 60.0f);
    }
    sim_detection d = {.kind = KINDS[draw() % 4],
                       .heads = between(1, 2),
                       .classes = draw() % 4 ? between(1, 20) : 140,
                       .anchors = between(1, 3),
                       .image_h = 96,
                       .image_w = 128,
                       .max_boxes = between(1, 60),
                       .confidence = draw() % 2 ? CONFIDENCES[draw() % 8] : uniform(0.0f, 1.0f),
                       .iou = draw() % 4 ? uniform(0.2f, 0.9f) : (float)(draw() % 2),
                       .anchor = anchor,
                       .scale_x_y = scale};
    const bool special = draw() % 3 == 0;
    const float c = d.confidence, middle = c > 0.0f && c < 1.0f ? logf(c / (1.0f - c)) : c > 0.5f ? 12.0f : -87.0f;
    sim_view heads[2];
    size_t most = 0;
    for (int32_t h = 0; h < d.heads; h++) {
        heads[h] = new_view(1, between(1, 6), between(1, 8), d.anchors * (5 + d.classes));
        most += (size_t)(heads[h].h * heads[h].w * d.anchors * d.classes);
        fill(&heads[h], 6.0f, special);
        for (size_t i = 0; i < elements(&heads[h]) && d.kind != SIM_YOLOV5; i++) {
            if (draw() % 3 == 0) { /* a few units in the last place of the threshold's logit away from it */
                sim_store(heads[h].data, heads[h].dtype, i,
                          draw() % 4   ? middle * (1.0f + 1e-7f * (float)between(-50, 50))
                          : draw() % 2 ? 30.0f
                                       : -100.0f);
            }
        }
        for (size_t i = 0; i < elements(&heads[h]) && d.kind == SIM_YOLOV5; i++) {
            const float v = sim_load(heads[h].data, heads[h].dtype, i);
            sim_store(heads[h].data, heads[h].dtype, i,
                      draw() % 4 == 0 ? sqrtf(c) * (1.0f + 1e-7f * (float)between(-50, 50))
                      : special       ? v
                                      : sigmoid(v));
        }
    }
    sim_view y = {.n = 1, .h = 1, .w = 1, .c = SIM_DETECTION_HEAD + 7 * d.max_boxes, .dtype = SIM_FLOAT16};
    y.pitch = y.c;
    y.data = room(bytes_of(&y));
    const sim_view z = twin(&y);
    void *scratch = room(sim_detection_scratch(&d));
    found *all = room((most + 1) * sizeof *all);
    sim_detection_run(k, &d, heads, &y, 0, scratch);
    define_detection(&d, heads, &z, all);
    equal("detection", k, &y, &z);
    for (int32_t h = 0; h < d.heads; h++) {
        free(heads[h].data);
    }
    free(y.data);
    free(z.data);
    free(scratch);
    free(all);
}

int main(int argc, char **argv)
{
    const long cases = argc > 1 ? atol(argv[1]) : 1000;
    state = argc > 2 ? (uint64_t)atoll(argv[2]) : 1;
    for (unsigned i = 0; sim_kernels_name(i); i++) {
        const sim_kernels *k = sim_kernels_select(sim_kernels_name(i));
        for (long c = 0; c < cases && failures < 20; c++) {
            test_softmax(k);
            test_resize(k);
            test_detection(k);
        }
        printf("%s: %ld cases\n", k->name, cases);
    }
    printf("%lu failures\n", failures);
    return failures ? 1 : 0;
}
