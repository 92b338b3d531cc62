/* DETECTION_OUTPUT: heads to boxes, in plain C (ARITHMETIC.md section 6). */
#include <float.h>
#include <math.h>
#include <string.h>

#include "half.h"
#include "kernels.h"

typedef struct candidate {
    float score;
    uint32_t index; /* ((cell * anchors) + anchor) * classes + class, cells counted through all heads */
} candidate;

typedef struct box {
    float x1, y1, x2, y2, area;
    int32_t label, before; /* the box of its label that was kept before it, or -1 */
} box;

enum { CLASSES = 128 }; /* that are looked at together */

typedef struct work {
    const sim_kernels *kernels;
    const sim_detection *d;
    const sim_view *heads;
    int32_t n;
    candidate *heap; /* the last of them in order on top, once there are as many as are kept */
    int32_t count;
    float cut; /* what sigmoid makes of less is below the confidence */
} work;

size_t sim_detection_scratch(const sim_detection *d)
{
    return SIM_MAX_CANDIDATES * sizeof(candidate) + (size_t)d->max_boxes * sizeof(box) +
           (size_t)d->classes * sizeof(int32_t);
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + sim_exp(-x));
}

/* ---- the best candidates, in a heap ---- */

static bool before(candidate a, candidate b)
{
    return a.score > b.score || (a.score == b.score && a.index < b.index);
}

/* What is on top of a heap: the first in order, or the last. */
typedef bool (*above_fn)(candidate a, candidate b);

static bool after(candidate a, candidate b)
{
    return before(b, a);
}

static inline void sift_down(candidate *heap, int32_t count, int32_t at, above_fn above)
{
    const candidate moved = heap[at];
    for (int32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && above(heap[child + 1], heap[child]);
        if (!above(heap[child], moved)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void make_heap(work *w, above_fn above)
{
    for (int32_t at = w->count / 2 - 1; at >= 0; at--) {
        sift_down(w->heap, w->count, at, above);
    }
}

static void keep_candidate(work *w, candidate c)
{
    if (w->count < SIM_MAX_CANDIDATES) {
        w->heap[w->count++] = c;
        if (w->count == SIM_MAX_CANDIDATES) {
            make_heap(w, after);
        }
    } else if (before(c, w->heap[0])) {
        w->heap[0] = c;
        sift_down(w->heap, w->count, 0, after);
    }
}

/* The first of those that are left, once make_heap put it on top. */
static candidate take_first(work *w)
{
    const candidate first = w->heap[0];
    w->heap[0] = w->heap[--w->count];
    sift_down(w->heap, w->count, 0, before);
    return first;
}

/* ---- reading heads ---- */

/* Where the values of an anchor of a cell begin, in elements. */
static size_t values_at(const work *w, const sim_view *head, int32_t cell, int32_t anchor)
{
    const size_t pixel = (size_t)w->n * (size_t)head->h * (size_t)head->w + (size_t)cell;
    return pixel * (size_t)head->pitch + (size_t)anchor * (size_t)(5 + w->d->classes);
}

/* The greatest known value such that sigmoid as it is computed (ARITHMETIC.md section 4) gives less than `confidence` for
 * everything below. It is off by less than 1e-6 of itself, exp's 3e-7 and two roundings, until exp stops at 88: the margins
 * are several times that. */
static float cut_of(float confidence)
{
    const double low = (double)confidence * (1.0 - 4e-6);
    if (!(low > 1e-30)) {
        return -INFINITY;
    }
    const double cut = -log1p(1.0 / low - 2.0); /* log(low / (1 - low)); log itself is another one since glibc 2.29 */
    return (float)(cut - 1e-6 * (1.0 + fabs(cut)));
}

/* The bits of a half such that integers are in the values' order; NaNs are above infinity or below its negative. */
static int16_t in_order(uint16_t half)
{
    return (int16_t)(half ^ ((int16_t)half >> 15 & 0x7fff));
}

/* Whether one of `count` class values may reach `least`: false only where all are numbers below it. */
static bool reaches(const sim_view *head, size_t at, int32_t count, float least)
{
    if (head->dtype == SIM_FLOAT16) {
        const char *values = head->data + at * sizeof(uint16_t); /* a caller's buffer may begin anywhere */
        int16_t greatest = INT16_MIN, smallest = INT16_MAX;
        for (int32_t k = 0; k < count; k++) {
            uint16_t half;
            memcpy(&half, values + (size_t)k * sizeof half, sizeof half);
            const int16_t value = in_order(half);
            greatest = value > greatest ? value : greatest;
            smallest = value < smallest ? value : smallest;
        }
        const uint16_t most = (uint16_t)in_order((uint16_t)greatest); /* its own inverse */
        return smallest < in_order(0xfc00) || !(sim_float_from_half(most) < least);
    }
    for (int32_t k = 0; k < count; k++) {
        if (!(sim_load(head->data, head->dtype, at + (size_t)k) < least)) {
            return true;
        }
    }
    return false;
}

/* What a class value must reach to make a candidate of an anchor; everything below certainly makes none. */
static float least_class(const work *w, float objectness)
{
    if (w->d->kind != SIM_YOLOV5) { /* a probability is at most 1, so no product exceeds either factor */
        return w->cut;
    }
    return objectness >= 0.0f && w->d->confidence > FLT_MIN ? w->d->confidence / objectness * 0.999f : -INFINITY;
}

/* Of class values beside each other. */
static void probabilities(const work *w, const sim_view *head, size_t at, size_t count, float *p)
{
    static const sim_activation SIGMOID = {.function = SIM_SIGMOID};
    const char *values = head->data + at * sim_dtype_size(head->dtype);
    if (w->d->kind == SIM_YOLOV5) {
        w->kernels->convert(values, head->dtype, p, SIM_FLOAT32, count);
    } else {
        w->kernels->activate(&SIGMOID, values, head->dtype, p, SIM_FLOAT32, count);
    }
}

static void collect_anchor(work *w, const sim_view *head, size_t at, uint32_t index)
{
    const bool logits = w->d->kind != SIM_YOLOV5;
    const float raw = sim_load(head->data, head->dtype, at + 4);
    if (logits && raw < w->cut) {
        return;
    }
    const float objectness = logits ? sigmoid(raw) : raw, least = least_class(w, objectness);
    if ((logits && !(objectness >= w->d->confidence)) || !reaches(head, at + 5, w->d->classes, least)) {
        return;
    }
    candidate best = {-1.0f, index};
    for (int32_t first = 0; first < w->d->classes; first += CLASSES) {
        const int32_t count = w->d->classes - first < CLASSES ? w->d->classes - first : CLASSES;
        float p[CLASSES];
        probabilities(w, head, at + 5 + (size_t)first, (size_t)count, p);
        for (int32_t k = 0; k < count; k++) {
            const candidate c = {objectness * p[k], index + (uint32_t)(first + k)};
            if (w->d->kind == SIM_YOLOV4_SINGLE) {
                best = c.score > best.score ? c : best;
            } else if (c.score >= w->d->confidence) {
                keep_candidate(w, c);
            }
        }
    }
    if (w->d->kind == SIM_YOLOV4_SINGLE && best.score >= w->d->confidence) {
        keep_candidate(w, best);
    }
}

static void collect(work *w)
{
    uint32_t index = 0;
    for (int32_t h = 0; h < w->d->heads; h++) {
        const sim_view *head = &w->heads[h];
        for (int32_t cell = 0; cell < head->h * head->w; cell++) {
            for (int32_t anchor = 0; anchor < w->d->anchors; anchor++, index += (uint32_t)w->d->classes) {
                collect_anchor(w, head, values_at(w, head, cell, anchor), index);
            }
        }
    }
}

/* Centre and extent along one axis, in pixels of the network's input. */
static void decode_axis(const sim_detection *d, float centre, float extent, int32_t cell, float stride, float anchor,
                        float scale, float *out)
{
    float at, size;
    if (d->kind == SIM_YOLOV5) {
        const float twice = extent * 2.0f;
        at = (((centre * 2.0f) - 0.5f) + (float)cell) * stride;
        size = (twice * twice) * anchor;
    } else {
        at = (((sigmoid(centre) * scale) - (scale - 1.0f) * 0.5f) + (float)cell) * stride;
        size = sim_exp(extent) * anchor;
    }
    const float half = size * 0.5f;
    out[0] = at - half;
    out[2] = at + half;
}

static box decode(const work *w, candidate c)
{
    const sim_detection *d = w->d;
    const uint32_t anchors = (uint32_t)d->anchors, classes = (uint32_t)d->classes;
    const int32_t label = (int32_t)(c.index % classes), anchor = (int32_t)(c.index / classes % anchors);
    int32_t cell = (int32_t)(c.index / classes / anchors), h = 0;
    for (; cell >= w->heads[h].h * w->heads[h].w; h++) {
        cell -= w->heads[h].h * w->heads[h].w;
    }
    const sim_view *head = &w->heads[h];
    const size_t at = values_at(w, head, cell, anchor);
    const float *size = d->anchor + ((size_t)h * anchors + (size_t)anchor) * 2;
    float values[4], corner[4];
    for (size_t i = 0; i < 4; i++) {
        values[i] = sim_load(head->data, head->dtype, at + i);
    }
    decode_axis(d, values[0], values[2], cell % head->w, (float)d->image_w / (float)head->w, size[0], d->scale_x_y[h],
                corner);
    decode_axis(d, values[1], values[3], cell / head->w, (float)d->image_h / (float)head->h, size[1], d->scale_x_y[h],
                corner + 1);
    const float area = (corner[2] - corner[0]) * (corner[3] - corner[1]);
    return (box){corner[0], corner[1], corner[2], corner[3], area, label, -1};
}

/* ---- suppression ---- */

static float overlap(float a1, float a2, float b1, float b2)
{
    const float low = a1 > b1 ? a1 : b1, high = a2 < b2 ? a2 : b2, length = high - low;
    return length > 0.0f ? length : 0.0f;
}

static float iou(const box *a, const box *b)
{
    const float shared = overlap(a->x1, a->x2, b->x1, b->x2) * overlap(a->y1, a->y2, b->y1, b->y2);
    const float all = (a->area + b->area) - shared;
    return shared > 0.0f && all > 0.0f ? shared / all : 0.0f;
}

/* How far the centres are apart, against the diagonal of what encloses both, to the power of beta. */
static float distance(const box *a, const box *b, float beta)
{
    const float dx = (a->x1 + a->x2) * 0.5f - (b->x1 + b->x2) * 0.5f,
                dy = (a->y1 + a->y2) * 0.5f - (b->y1 + b->y2) * 0.5f;
    const float width = (a->x2 > b->x2 ? a->x2 : b->x2) - (a->x1 < b->x1 ? a->x1 : b->x1);
    const float height = (a->y2 > b->y2 ? a->y2 : b->y2) - (a->y1 < b->y1 ? a->y1 : b->y1);
    const float diagonal = width * width + height * height;
    const float ratio = diagonal > 0.0f ? (dx * dx + dy * dy) / diagonal : 0.0f;
    return ratio >= FLT_MIN ? sim_exp(beta * sim_log(ratio)) : 0.0f;
}

/* last: the box of b's label that was kept last, or -1 */
static bool suppressed(const sim_detection *d, const box *kept, int32_t last, const box *b)
{
    for (int32_t i = last; i >= 0; i = kept[i].before) {
        const float apart = d->kind == SIM_YOLOV4_DISTANCE ? distance(&kept[i], b, d->beta) : 0.0f;
        if (!(iou(&kept[i], b) - apart < d->iou)) {
            return true;
        }
    }
    return false;
}

static void write_row(const work *w, const sim_view *y, size_t at, const box *b, float score)
{
    const bool pixels = w->d->kind == SIM_YOLOV5;
    const float width = pixels ? 1.0f : (float)w->d->image_w, height = pixels ? 1.0f : (float)w->d->image_h;
    const float row[SIM_DETECTION_ROW] = {(float)w->n,    (float)b->label, score,         b->x1 / width,
                                          b->y1 / height, b->x2 / width,   b->y2 / height};
    for (size_t i = 0; i < SIM_DETECTION_ROW; i++) {
        sim_store(y->data, y->dtype, at + i, row[i]);
    }
}

void sim_detection_run(const sim_kernels *kernels, const sim_detection *d, const sim_view *heads, const sim_view *y,
                       int32_t n, void *scratch)
{
    work w = {.kernels = kernels, .d = d, .heads = heads, .n = n, .heap = scratch, .cut = cut_of(d->confidence)};
    box *kept = (box *)(void *)((char *)scratch + SIM_MAX_CANDIDATES * sizeof(candidate));
    int32_t *last = (int32_t *)(void *)(kept + d->max_boxes); /* of each label */
    const size_t first = (size_t)n * (size_t)y->pitch;
    int32_t count = 0;
    memset(y->data + first * sim_dtype_size(y->dtype), 0, (size_t)y->c * sim_dtype_size(y->dtype));
    memset(last, -1, (size_t)d->classes * sizeof *last);
    collect(&w);
    make_heap(&w, before);
    while (w.count > 0 && count < d->max_boxes) {
        const candidate c = take_first(&w);
        box b = decode(&w, c);
        if (!suppressed(d, kept, last[b.label], &b)) {
            write_row(&w, y, first + SIM_DETECTION_HEAD + SIM_DETECTION_ROW * (size_t)count, &b, c.score);
            b.before = last[b.label];
            last[b.label] = count;
            kept[count++] = b;
        }
    }
    sim_store(y->data, y->dtype, first, (float)count);
}
