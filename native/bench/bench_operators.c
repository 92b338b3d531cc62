/* Times the operators beside convolutions on sizes of real networks, with every table that this processor runs.
 *
 *     bench_operators [milliseconds for each line]
 *
 * Each line is the best of many runs by the thread's own CPU time: NAME TABLE MILLISECONDS. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "half.h"
#include "kernels.h"

static double budget = 0.2;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t draw(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* Sums of four uniform values: about normal. */
static float around(float middle, float width)
{
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        sum += (float)(draw() % 65536) / 65536.0f - 0.5f;
    }
    return middle + sum * width;
}

static sim_view new_view(int32_t h, int32_t w, int32_t c)
{
    const size_t count = (size_t)h * (size_t)w * (size_t)c;
    uint16_t *data = aligned_alloc(64, (2 * count + 127) / 64 * 64);
    if (!data) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    for (size_t i = 0; i < count; i++) {
        data[i] = sim_half_from_float(around(0.0f, 2.0f));
    }
    return (sim_view){(char *)data, 1, h, w, c, c, SIM_FLOAT16};
}

typedef struct work {
    const sim_kernels *kernels;
    sim_view x, y;
    sim_pool pool;
    sim_detection detection;
    sim_view heads[3];
    void *scratch;
} work;

typedef void (*work_fn)(const work *w);

static void tell(const char *name, work_fn run, const work *w)
{
    double least = 1e9;
    for (double spent = 0.0; spent < budget;) {
        const double start = seconds();
        run(w);
        const double took = seconds() - start;
        least = took < least ? took : least;
        spent += took;
    }
    printf("%-28s %-12s %8.3f\n", name, w->kernels->name, least * 1e3);
}

static void run_softmax(const work *w)
{
    const sim_softmax s = {(size_t)w->x.w, (size_t)w->x.c, (size_t)w->x.c, 1, (size_t)w->x.c, 1,
                           SIM_FLOAT16,    SIM_FLOAT16};
    sim_softmax_run(w->kernels, &s, w->x.data, w->y.data);
}

static void run_softmax_across(const work *w)
{
    const sim_softmax s = {(size_t)w->x.c, (size_t)w->x.w, 1,          (size_t)w->x.c, 1,
                           (size_t)w->x.c, SIM_FLOAT16,    SIM_FLOAT16};
    sim_softmax_run(w->kernels, &s, w->x.data, w->y.data);
}

static void run_resize(const work *w)
{
    for (int32_t row = 0; row < w->y.h; row++) {
        sim_resize_row(w->kernels, false, &w->x, &w->y, 0, row);
    }
}

static void run_average(const work *w)
{
    for (int32_t row = 0; row < w->y.h; row++) {
        sim_average_pool_row(w->kernels, &w->pool, &w->x, &w->y, 0, row);
    }
}

static void run_mean(const work *w)
{
    sim_reduce_row(w->kernels, SIM_REDUCE_MEAN, &w->x, &w->y, 0, 0);
}

/* The shares of 400 pixels in two heads' values, or their scores: y, and both operands in x. */
static void run_matmul(const work *w, bool scores)
{
    enum { PIXELS = 400, KEY = 32, VALUE = 64, MOST = 64 };
    float terms[2][MOST];
    for (int i = 0; i < MOST; i++) {
        terms[0][i] = 1.0f;
        terms[1][i] = -0.0f;
    }
    const sim_matmul m = {.rows = scores ? PIXELS : VALUE,
                          .depth = scores ? KEY : PIXELS,
                          .columns = PIXELS,
                          .turned_a = scores,
                          .turned_b = !scores,
                          .affine = {terms[0], terms[1], terms[0], terms[1]}};
    const sim_view a = {w->x.data, 1, 2, scores ? KEY : VALUE, PIXELS, PIXELS, SIM_FLOAT16},
                   b = {w->x.data, 1, 2, scores ? KEY : PIXELS, PIXELS, PIXELS, SIM_FLOAT16},
                   y = {w->y.data, 1, 2, m.rows, PIXELS, PIXELS, SIM_FLOAT16};
    const int32_t blocks = (PIXELS + sim_matmul_columns(w->kernels) - 1) / sim_matmul_columns(w->kernels);
    for (int32_t matrix = 0; matrix < 2; matrix++) {
        const sim_matmul_task task = {matrix, 0, m.rows, 0, blocks};
        sim_matmul_run(w->kernels, &m, &a, &b, &y, &task, w->scratch);
    }
}

static void run_scores(const work *w)
{
    run_matmul(w, true);
}

static void run_shares(const work *w)
{
    run_matmul(w, false);
}

static void run_layer_norm(const work *w)
{
    for (size_t first = 0; first < (size_t)w->x.w; first += SIM_NORM_PIXELS) {
        sim_layer_norm_run(w->kernels, &(sim_layer_norm){.eps = 1e-5f}, &w->x, &w->y, first, SIM_NORM_PIXELS);
    }
}

static void run_detection(const work *w)
{
    sim_detection_run(w->kernels, &w->detection, w->heads, &w->y, 0, w->scratch);
}

static void of_shape(const sim_kernels *k, const char *name, work_fn run, const int32_t *x, const int32_t *y)
{
    work w = {.kernels = k,
              .x = new_view(x[0], x[1], x[2]),
              .y = new_view(y[0], y[1], y[2]),
              .pool = {3, 3, 2, 2, 1, 1, false},
              .scratch = aligned_alloc(64, 1 << 22)};
    tell(name, run, &w);
    free(w.scratch);
    free(w.x.data);
    free(w.y.data);
}

/* Heads whose objectness is rarely above the threshold, as they are; `confidence` as in service or as in evaluation. */
static void of_heads(const sim_kernels *k, const char *name, sim_detection_kind kind, int32_t size, float confidence)
{
    static const float ANCHOR[18] = {10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326},
                       SCALE[3] = {1.0f, 1.0f, 1.0f};
    const sim_detection d = {.kind = kind,
                             .heads = 3,
                             .classes = 80,
                             .anchors = 3,
                             .image_h = size,
                             .image_w = size,
                             .max_boxes = 300,
                             .confidence = confidence,
                             .iou = 0.45f,
                             .anchor = ANCHOR,
                             .scale_x_y = SCALE};
    work w = {.kernels = k,
              .detection = d,
              .y = new_view(1, 1, 64 + 7 * 300),
              .scratch = aligned_alloc(64, (sim_detection_scratch(&d) + 63) / 64 * 64)};
    for (int i = 0; i < 3; i++) {
        const int32_t cells = size >> (5 - i);
        w.heads[i] = new_view(cells, cells, 255);
        uint16_t *data = (uint16_t *)(void *)w.heads[i].data;
        for (int32_t at = 0; at < cells * cells * 255; at++) {
            const float logit = at % 85 == 4  ? around(-8.0f, 8.0f)
                                : at % 85 > 4 ? around(-4.0f, 4.0f)
                                              : around(0.0f, 1.0f);
            data[at] = sim_half_from_float(kind == SIM_YOLOV5 ? 1.0f / (1.0f + sim_exp(-logit)) : logit);
        }
    }
    tell(name, run_detection, &w);
    for (int i = 0; i < 3; i++) {
        free(w.heads[i].data);
    }
    free(w.y.data);
    free(w.scratch);
}

int main(int argc, char **argv)
{
    budget = (argc > 1 ? atof(argv[1]) : 200.0) / 1e3;
    for (unsigned i = 0; sim_kernels_name(i); i++) {
        const sim_kernels *k = sim_kernels_select(sim_kernels_name(i));
        of_shape(k, "softmax 8400x80", run_softmax, (int32_t[]){1, 8400, 80}, (int32_t[]){1, 8400, 80});
        of_shape(k, "softmax across 80 of 8400", run_softmax_across, (int32_t[]){1, 80, 8400},
                 (int32_t[]){1, 80, 8400});
        of_shape(k, "resize 160x160x32 to 640", run_resize, (int32_t[]){160, 160, 32}, (int32_t[]){640, 640, 32});
        of_shape(k, "resize 160x160x1 to 640", run_resize, (int32_t[]){160, 160, 1}, (int32_t[]){640, 640, 1});
        of_shape(k, "average pool 80x80x64", run_average, (int32_t[]){80, 80, 64}, (int32_t[]){40, 40, 64});
        of_shape(k, "mean 20x20x1280", run_mean, (int32_t[]){20, 20, 1280}, (int32_t[]){1, 1, 1280});
        of_shape(k, "scores 2x400x32x400", run_scores, (int32_t[]){2, 400, 400}, (int32_t[]){2, 400, 400});
        of_shape(k, "shares 2x64x400x400", run_shares, (int32_t[]){2, 400, 400}, (int32_t[]){2, 400, 400});
        of_shape(k, "layer norm 400x256", run_layer_norm, (int32_t[]){1, 400, 256}, (int32_t[]){1, 400, 256});
        of_shape(k, "softmax 800x400", run_softmax, (int32_t[]){1, 800, 400}, (int32_t[]){1, 800, 400});
        of_heads(k, "detection yolov3 416 .25", SIM_YOLOV3, 416, 0.25f);
        of_heads(k, "detection yolov3 416 .001", SIM_YOLOV3, 416, 0.001f);
        of_heads(k, "detection yolov5 640 .25", SIM_YOLOV5, 640, 0.25f);
        of_heads(k, "detection yolov5 640 .001", SIM_YOLOV5, 640, 0.001f);
    }
    return 0;
}
