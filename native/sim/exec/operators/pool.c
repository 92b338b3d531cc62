/* MAX_POOL and AVERAGE_POOL. */
#include "build.h"
#include "check.h"
#include "invocation.h"

static sim_result check_max_pool(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (!sim_same_batch_and_channels(c) || !sim_window_fits(in[1], out[1], a[0], a[2], a[4], 1) ||
        !sim_window_fits(in[2], out[2], a[1], a[3], a[5], 1)) {
        return WRONG(c, "has a window, stride or padding that does not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_average_pool(const sim_check *c)
{
    const sim_result result = check_max_pool(c);
    if (result != SIM_OK) {
        return result;
    }
    return sim_in_range(c->op->attributes[6], 0, 1) ? SIM_OK
                                                    : WRONG(c, "has a count_include_pad that is neither 0 nor 1");
}

/* ---- maxima of quantized bytes: those of the rows under the window first, then across ---- */

/* Of a NaN and of -infinity too, which no maximum of values keeps where there is anything else. */
static uint8_t least_code(const sim_kernels *kernels)
{
    return (uint8_t)(kernels->bytes.zero - SIM_BYTE_MAX);
}

static int32_t between(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Of input rows [top, end) of image n: w * c bytes. */
static void maxima_down(const sim_invocation *v, int32_t n, int32_t top, int32_t end, uint8_t *out)
{
    const sim_kernels *k = v->plan->kernels;
    const sim_view *x = &v->x;
    const bool dense = sim_is_dense(x);
    const size_t spans = dense ? 1 : (size_t)x->w, length = (size_t)x->c * (dense ? (size_t)x->w : 1);
    memset(out, least_code(k), (size_t)x->w * (size_t)x->c);
    for (int32_t row = top; row < end; row++) {
        const uint8_t *in = (const uint8_t *)sim_row_of(x, (size_t)n * (size_t)x->h + (size_t)row);
        for (size_t i = 0; i < spans; i++) {
            k->greater(out + i * length, in + i * (size_t)x->pitch, length, k->bytes.zero, out + i * length);
        }
    }
}

/* Of `down`, w * c bytes, for each output pixel: out, y->w * c bytes. */
static void maxima_across(const sim_invocation *v, const sim_pool *pool, const uint8_t *down, uint8_t *out)
{
    const sim_kernels *k = v->plan->kernels;
    const size_t c = (size_t)v->x.c;
    const int32_t w = v->x.w, stride = pool->stride_w;
    memset(out, least_code(k), (size_t)v->y.w * c);
    for (int32_t kx = 0; kx < pool->kernel_w; kx++) {
        const int32_t shift = kx - pool->pad_left; /* output pixel i reads input pixel i * stride + shift */
        const int32_t first = shift < 0 ? (stride - 1 - shift) / stride : 0;
        const int32_t end = shift < w ? between((w - 1 - shift) / stride + 1, first, v->y.w) : first;
        const uint8_t *in = down + (size_t)(first * stride + shift) * c;
        const size_t together = stride == 1 ? (size_t)(end > first ? end - first : 0) : 1;
        for (int32_t i = first; i < end && together > 0; i += (int32_t)together, in += (size_t)stride * c) {
            uint8_t *y = out + (size_t)i * c;
            k->greater(y, in, together * c, k->bytes.zero, y);
        }
    }
}

static void run_max_bytes(const sim_invocation *v, size_t unit, unsigned member)
{
    const sim_pool *pool = v->step->parameters;
    const size_t c = (size_t)v->x.c;
    sim_scratch_head *head = sim_run_scratch(v, member);
    uint8_t *down = (uint8_t *)head + SIM_SCRATCH_HEAD, *across = down + (size_t)v->x.w * c;
    const int32_t top = sim_run_row(v, unit) * pool->stride_h - pool->pad_top, end = top + pool->kernel_h;
    head->holds = 0;
    maxima_down(v, sim_run_image(v, unit), between(top, 0, v->x.h), between(end, 0, v->x.h), down);
    maxima_across(v, pool, down, across);
    char *y = sim_row_of(&v->y, unit);
    for (int32_t i = 0; i < v->y.w; i++, y += sim_pixel_bytes(&v->y)) {
        memcpy(y, across + (size_t)i * c, c);
    }
}

/* Of values, which are quantized then. */
static void run_max_encoded(const sim_invocation *v, size_t unit, unsigned member)
{
    const sim_kernels *k = v->plan->kernels;
    const int32_t c = v->y.c;
    sim_scratch_head *head = sim_run_scratch(v, member);
    const sim_view row = {(char *)head + SIM_SCRATCH_HEAD, 1, 1, v->y.w, c, c, v->x.dtype};
    head->holds = 0;
    sim_pool pool = *(const sim_pool *)v->step->parameters; /* moved up, so that this row is its first */
    pool.pad_top -= sim_run_row(v, unit) * pool.stride_h;
    sim_view image = v->x;
    image.data = sim_row_of(&v->x, (size_t)sim_run_image(v, unit) * (size_t)v->x.h);
    k->max_pool(&pool, &image, &row, 0, 0);
    char *y = sim_row_of(&v->y, unit);
    for (int32_t i = 0; i < v->y.w; i++, y += sim_pixel_bytes(&v->y)) {
        sim_run_move(v, row.data + (size_t)i * sim_pixel_bytes(&row), y, (size_t)c);
    }
}

static sim_result plan_pool(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const int32_t *a = op->attributes;
    sim_step *s = sim_plan_new_step(b, op);
    sim_pool *pool = sim_plan_parameters(b, s, sizeof *pool);
    if (!pool) {
        return SIM_NO_MEMORY;
    }
    *pool = (sim_pool){a[0], a[1], a[2], a[3], a[4], a[5], op->opcode == SIM_OP_AVERAGE_POOL && a[6]};
    if (s->x.dtype == SIM_QUANTIZED) {
        s->run = run_max_bytes;
        sim_plan_need_scratch(b, (size_t)(s->x.dims[2] + s->y.dims[2]) * (size_t)s->x.dims[3]);
    } else if (s->y.dtype == SIM_QUANTIZED) {
        s->run = run_max_encoded;
        sim_plan_need_scratch(b, (size_t)s->y.dims[2] * (size_t)s->y.dims[3] * sim_dtype_size(s->x.dtype));
    }
    return SIM_OK;
}

static void run_max_pool(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    v->plan->kernels->max_pool(v->step->parameters, &v->x, &v->y, sim_run_image(v, unit), sim_run_row(v, unit));
}

static void run_average_pool(const sim_invocation *v, size_t unit, unsigned member)
{
    (void)member;
    sim_average_pool_row(v->plan->kernels, v->step->parameters, &v->x, &v->y, sim_run_image(v, unit),
                         sim_run_row(v, unit));
}

const sim_row sim_row_max_pool = {
    .kind = "max_pool", .check = check_max_pool, .plan = plan_pool, .run = run_max_pool, .passes = true};

const sim_row sim_row_average_pool = {
    .kind = "average_pool", .check = check_average_pool, .plan = plan_pool, .run = run_average_pool};
