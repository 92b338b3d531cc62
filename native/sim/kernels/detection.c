/* DETECTION_OUTPUT: heads to boxes, in plain C (ARITHMETIC.md section 6). */
#include <float.h>
#include <string.h>

#include "kernels.h"

typedef struct candidate {
    float score;
    uint32_t index; /* ((cell * anchors) + anchor) * classes + class, cells counted through all heads */
} candidate;

typedef struct box {
    float x1, y1, x2, y2;
    int32_t label;
} box;

typedef struct work {
    const sim_detection *d;
    const sim_view *heads;
    int32_t n;
    candidate *heap; /* the last of them in order on top */
    int32_t count;
} work;

size_t sim_detection_scratch(const sim_detection *d)
{
    return SIM_MAX_CANDIDATES * sizeof(candidate) + (size_t)d->max_boxes * sizeof(box);
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + sim_exp(-x));
}

static float probability(const sim_detection *d, float x)
{
    return d->kind == SIM_YOLOV5 ? x : sigmoid(x);
}

/* ---- the best candidates, in a heap ---- */

static bool before(candidate a, candidate b)
{
    return a.score > b.score || (a.score == b.score && a.index < b.index);
}

static void sift_down(candidate *heap, int32_t count, int32_t at)
{
    const candidate moved = heap[at];
    for (int32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && before(heap[child], heap[child + 1]);
        if (!before(moved, heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void keep_candidate(work *w, candidate c)
{
    if (w->count == SIM_MAX_CANDIDATES) {
        if (before(c, w->heap[0])) {
            w->heap[0] = c;
            sift_down(w->heap, w->count, 0);
        }
        return;
    }
    int32_t at = w->count++;
    for (; at > 0 && before(w->heap[(at - 1) / 2], c); at = (at - 1) / 2) {
        w->heap[at] = w->heap[(at - 1) / 2];
    }
    w->heap[at] = c;
}

static void sort_candidates(work *w)
{
    for (int32_t left = w->count - 1; left > 0; left--) {
        const candidate last = w->heap[0];
        w->heap[0] = w->heap[left];
        w->heap[left] = last;
        sift_down(w->heap, left, 0);
    }
}

/* ---- reading heads ---- */

/* Where the values of an anchor of a cell begin, in elements. */
static size_t values_at(const work *w, const sim_view *head, int32_t cell, int32_t anchor)
{
    const size_t pixel = (size_t)w->n * (size_t)head->h * (size_t)head->w + (size_t)cell;
    return pixel * (size_t)head->pitch + (size_t)anchor * (size_t)(5 + w->d->classes);
}

static void collect_anchor(work *w, const sim_view *head, size_t at, uint32_t index)
{
    const float objectness = probability(w->d, sim_load(head->data, head->dtype, at + 4));
    if (w->d->kind != SIM_YOLOV5 && !(objectness >= w->d->confidence)) {
        return; /* a probability is at most 1, so no product can reach it */
    }
    candidate best = {-1.0f, index};
    for (int32_t k = 0; k < w->d->classes; k++) {
        const float score = objectness * probability(w->d, sim_load(head->data, head->dtype, at + 5 + (size_t)k));
        if (w->d->kind == SIM_YOLOV4_SINGLE) {
            best = score > best.score ? (candidate){score, index + (uint32_t)k} : best;
        } else if (score >= w->d->confidence) {
            keep_candidate(w, (candidate){score, index + (uint32_t)k});
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
    return (box){corner[0], corner[1], corner[2], corner[3], label};
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
    const float area_a = (a->x2 - a->x1) * (a->y2 - a->y1), area_b = (b->x2 - b->x1) * (b->y2 - b->y1);
    const float all = (area_a + area_b) - shared;
    return all > 0.0f ? shared / all : 0.0f;
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

static bool suppressed(const sim_detection *d, const box *kept, int32_t count, const box *b)
{
    for (int32_t i = 0; i < count; i++) {
        if (kept[i].label != b->label) {
            continue;
        }
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

void sim_detection_run(const sim_detection *d, const sim_view *heads, const sim_view *y, int32_t n, void *scratch)
{
    work w = {.d = d, .heads = heads, .n = n, .heap = scratch};
    box *kept = (box *)(void *)((char *)scratch + SIM_MAX_CANDIDATES * sizeof(candidate));
    const size_t first = (size_t)n * (size_t)y->pitch;
    int32_t count = 0;
    memset(y->data + first * sim_dtype_size(y->dtype), 0, (size_t)y->c * sim_dtype_size(y->dtype));
    collect(&w);
    sort_candidates(&w);
    for (int32_t i = 0; i < w.count && count < d->max_boxes; i++) {
        const box b = decode(&w, w.heap[i]);
        if (!suppressed(d, kept, count, &b)) {
            write_row(&w, y, first + SIM_DETECTION_HEAD + SIM_DETECTION_ROW * (size_t)count, &b, w.heap[i].score);
            kept[count++] = b;
        }
    }
    sim_store(y->data, y->dtype, first, (float)count);
}
