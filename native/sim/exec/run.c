/* Follows a plan. Nothing is allocated, searched or checked here. */
#include <string.h>
#include <time.h>

#include "plan.h"

typedef sim_invocation invocation;

static void run_alone(void *state, size_t count, sim_task_fn task, void *argument)
{
    (void)state;
    for (size_t i = 0; i < count; i++) {
        task(argument, i, 0);
    }
}

const sim_team SIM_TEAM_OF_ONE = {.size = 1, .run = run_alone};

sim_view sim_run_view(const invocation *v, const sim_place *p)
{
    char *base = p->buffer < 0 ? v->workspace : v->buffers[p->buffer];
    return (sim_view){
        base ? base + p->offset : NULL, p->dims[0], p->dims[1], p->dims[2], p->dims[3], p->pitch, p->dtype};
}

sim_scratch_head *sim_run_scratch(const invocation *v, unsigned member)
{
    return (sim_scratch_head *)(void *)(v->workspace + v->plan->arena_bytes + (size_t)member * v->plan->scratch_bytes);
}

static size_t pixel_bytes(const sim_view *v)
{
    return (size_t)v->pitch * sim_dtype_size(v->dtype);
}

/* Start of a row; rows count through all images. */
static char *row_of(const sim_view *v, size_t row)
{
    return v->data + row * (size_t)v->w * pixel_bytes(v);
}

static bool dense(const sim_view *v)
{
    return v->pitch == v->c;
}

/* ---- one unit of each kind ---- */

static void conv_task(void *argument, size_t index, unsigned member)
{
    const invocation *v = argument;
    const sim_step *s = v->step;
    const size_t rows_index = index / s->block_tasks, n = rows_index / s->row_tasks;
    const int32_t row = (int32_t)(rows_index % s->row_tasks) * s->conv.tiling.rows;
    const int32_t rows = s->conv.out_h - row < s->conv.tiling.rows ? s->conv.out_h - row : s->conv.tiling.rows;
    const int32_t block = (int32_t)(index % s->block_tasks * s->blocks_per_task), all = sim_conv_blocks(&s->conv);
    const int32_t blocks = all - block < (int32_t)s->blocks_per_task ? all - block : (int32_t)s->blocks_per_task;
    sim_scratch_head *scratch = sim_run_scratch(v, member);
    const uint64_t key = ((uint64_t)(s - v->plan->steps) + 1) << 40 | rows_index;
    const bool fresh = scratch->holds == key;
    scratch->holds = key;
    sim_conv_run(v->plan->kernels, &s->conv, &v->x, &v->y, (int32_t)n, row, rows, block, blocks,
                 (char *)scratch + SIM_SCRATCH_HEAD, fresh);
}

static void copy_element(const invocation *v, int64_t from, int64_t to)
{
    if (v->x.dtype != v->y.dtype) {
        sim_store(v->y.data, v->y.dtype, (size_t)to, sim_load(v->x.data, v->x.dtype, (size_t)from));
        return;
    }
    const size_t size = sim_dtype_size(v->y.dtype);
    memcpy(v->y.data + (size_t)to * size, v->x.data + (size_t)from * size, size);
}

static void copy_row(const invocation *v, size_t unit)
{
    const sim_copy *c = &v->step->copy;
    const int64_t i0 = (int64_t)unit / c->dims[1], i1 = (int64_t)unit % c->dims[1];
    const int64_t from = c->x_first + i0 * c->x_stride[0] + i1 * c->x_stride[1],
                  to = c->y_first + i0 * c->y_stride[0] + i1 * c->y_stride[1];
    const size_t x_size = sim_dtype_size(v->x.dtype), y_size = sim_dtype_size(v->y.dtype);
    if (c->x_stride[3] != 1 || c->y_stride[3] != 1) {
        for (int64_t i2 = 0; i2 < c->dims[2]; i2++) {
            for (int64_t i3 = 0; i3 < c->dims[3]; i3++) {
                copy_element(v, from + i2 * c->x_stride[2] + i3 * c->x_stride[3],
                             to + i2 * c->y_stride[2] + i3 * c->y_stride[3]);
            }
        }
        return;
    }
    const bool whole = c->x_stride[2] == c->dims[3] && c->y_stride[2] == c->dims[3];
    const int64_t spans = whole ? 1 : c->dims[2], length = whole ? c->dims[2] * c->dims[3] : c->dims[3];
    for (int64_t i2 = 0; i2 < spans; i2++) {
        v->plan->kernels->convert(v->x.data + (size_t)(from + i2 * c->x_stride[2]) * x_size, v->x.dtype,
                                  v->y.data + (size_t)(to + i2 * c->y_stride[2]) * y_size, v->y.dtype, (size_t)length);
    }
}

static void pool_row(const invocation *v, size_t unit)
{
    v->plan->kernels->max_pool(&v->step->pool, &v->x, &v->y, (int32_t)(unit / (size_t)v->y.h),
                               (int32_t)(unit % (size_t)v->y.h));
}

static void upsample_row(const invocation *v, size_t unit)
{
    const size_t n = unit / (size_t)v->y.h,
                 source = n * (size_t)v->x.h + unit % (size_t)v->y.h / (size_t)v->step->factor_h;
    const char *x = row_of(&v->x, source);
    char *y = row_of(&v->y, unit);
    for (int32_t i = 0; i < v->x.w; i++, x += pixel_bytes(&v->x)) {
        for (int32_t k = 0; k < v->step->factor_w; k++, y += pixel_bytes(&v->y)) {
            v->plan->kernels->convert(x, v->x.dtype, y, v->y.dtype, (size_t)v->y.c);
        }
    }
}

static void activate_row(const invocation *v, size_t unit)
{
    const bool whole = dense(&v->x) && dense(&v->y);
    const size_t count = (size_t)v->y.c * (whole ? (size_t)v->y.w : 1);
    const char *x = row_of(&v->x, unit);
    char *y = row_of(&v->y, unit);
    for (int32_t i = 0; i < (whole ? 1 : v->y.w); i++, x += pixel_bytes(&v->x), y += pixel_bytes(&v->y)) {
        v->plan->kernels->activate(&v->step->activation, x, v->x.dtype, y, v->y.dtype, count);
    }
}

/* An operand of one pixel per image is read again for every pixel. */
static void binary_row(const invocation *v, size_t unit)
{
    const sim_kernels *k = v->plan->kernels;
    const sim_view *a = &v->x, *b = &v->x2, *y = &v->y;
    const bool one_a = a->h != y->h || a->w != y->w, one_b = b->h != y->h || b->w != y->w;
    const bool whole = !one_a && !one_b && dense(a) && dense(b) && dense(y);
    const size_t n = unit / (size_t)y->h, count = (size_t)y->c * (whole ? (size_t)y->w : 1);
    const char *pa = one_a ? a->data + n * pixel_bytes(a) : row_of(a, unit),
               *pb = one_b ? b->data + n * pixel_bytes(b) : row_of(b, unit);
    char *py = row_of(y, unit);
    for (int32_t i = 0; i < (whole ? 1 : y->w); i++) {
        k->binary(v->step->binary, pa, a->dtype, pb, b->dtype, py, y->dtype, count);
        pa += one_a ? 0 : pixel_bytes(a);
        pb += one_b ? 0 : pixel_bytes(b);
        py += pixel_bytes(y);
    }
}

/* Unit: a row for the axes within it, a column for axis 1. */
static void softmax_unit(const invocation *v, size_t unit)
{
    const sim_view *x = &v->x, *y = &v->y;
    const size_t x_size = sim_dtype_size(x->dtype), y_size = sim_dtype_size(y->dtype), w = (size_t)y->w,
                 c = (size_t)y->c;
    const size_t n = unit / w, column = unit % w, first = n * (size_t)y->h * w + column;
    if (v->step->axis == 3) {
        for (size_t i = 0; i < w; i++) {
            sim_softmax(row_of(x, unit) + i * pixel_bytes(x), x->dtype, row_of(y, unit) + i * pixel_bytes(y), y->dtype,
                        c, 1, 1);
        }
    } else if (v->step->axis == 2) {
        for (size_t i = 0; i < c; i++) {
            sim_softmax(row_of(x, unit) + i * x_size, x->dtype, row_of(y, unit) + i * y_size, y->dtype, w,
                        (size_t)x->pitch, (size_t)y->pitch);
        }
    } else {
        for (size_t i = 0; i < c; i++) {
            sim_softmax(x->data + first * pixel_bytes(x) + i * x_size, x->dtype,
                        y->data + first * pixel_bytes(y) + i * y_size, y->dtype, (size_t)y->h, w * (size_t)x->pitch,
                        w * (size_t)y->pitch);
        }
    }
}

static void normalize_row(const invocation *v, size_t unit)
{
    const sim_step *s = v->step;
    const char *x = row_of(&v->x, unit);
    char *y = row_of(&v->y, unit);
    for (int32_t i = 0; i < v->y.w; i++, x += pixel_bytes(&v->x), y += pixel_bytes(&v->y)) {
        for (int32_t c = 0; c < v->y.c; c++) {
            const float value = sim_load(x, v->x.dtype, (size_t)s->channels[c]);
            sim_store(y, v->y.dtype, (size_t)c, sim_normalize_value(value, s->mean[c], s->std[c]));
        }
    }
}

static void unit_task(void *argument, size_t index, unsigned member)
{
    static void (*const UNITS[SIM_STEP_KINDS])(const invocation *, size_t) = {
        [SIM_STEP_MAX_POOL] = pool_row,       [SIM_STEP_UPSAMPLE] = upsample_row, [SIM_STEP_COPY] = copy_row,
        [SIM_STEP_BINARY] = binary_row,       [SIM_STEP_ACTIVATE] = activate_row, [SIM_STEP_SOFTMAX] = softmax_unit,
        [SIM_STEP_NORMALIZE] = normalize_row,
    };
    const invocation *v = argument;
    const size_t first = index * v->step->units_per_task, end = first + v->step->units_per_task;
    for (size_t unit = first; unit < end && unit < v->step->units; unit++) {
        if (UNITS[v->step->kind]) {
            UNITS[v->step->kind](v, unit);
        } else {
            sim_run_more(v, unit, member);
        }
    }
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(sim_step *s, uint64_t nanoseconds)
{
    atomic_fetch_add_explicit(&s->nanoseconds, nanoseconds, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->calls, 1, memory_order_relaxed);
    uint64_t least = atomic_load_explicit(&s->least, memory_order_relaxed);
    while ((least == 0 || nanoseconds < least) &&
           !atomic_compare_exchange_weak_explicit(&s->least, &least, nanoseconds, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

void sim_plan_run(const sim_plan *plan, void *workspace, void *const *buffers, const sim_team *team)
{
    invocation v = {.plan = plan, .workspace = workspace, .buffers = buffers};
    for (unsigned m = 0; m < team->size; m++) {
        sim_run_scratch(&v, m)->holds = 0;
    }
    for (uint32_t i = 0; i < plan->step_count; i++) {
        sim_step *s = &plan->steps[i];
        const uint64_t start = plan->profile ? now() : 0;
        v.step = s;
        v.x = sim_run_view(&v, &s->x);
        v.y = sim_run_view(&v, &s->y);
        if (s->kind == SIM_STEP_BINARY) {
            v.x2 = sim_run_view(&v, &s->x2);
        }
        team->run(team->state, s->tasks, s->kind == SIM_STEP_CONV ? conv_task : unit_task, &v);
        if (plan->profile) {
            record(s, now() - start);
        }
    }
}
