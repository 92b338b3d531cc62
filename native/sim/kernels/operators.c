/* Operators with one plain form (ARITHMETIC.md section 5), written over spans of float32 so that any compiler makes vectors
 * of it: the table's `convert` widens what they read and rounds what they write, which no choice of table can change. */
#include <math.h>

#include "half.h"
#include "kernels.h"

enum { SPAN = 256 };

static size_t pixel_bytes(const sim_view *v)
{
    return (size_t)v->pitch * sim_dtype_size(v->dtype);
}

static char *pixel_at(const sim_view *v, int64_t n, int64_t row, int64_t column)
{
    return v->data + ((size_t)(n * v->h + row) * (size_t)v->w + (size_t)column) * pixel_bytes(v);
}

static int32_t span_of(int32_t channels, int32_t first)
{
    return channels - first < SPAN ? channels - first : SPAN;
}

/* Channels [first, first + count) of a pixel. */
static void widen(const sim_kernels *kernels, const sim_view *x, const char *pixel, int32_t first, int32_t count,
                  float *values)
{
    kernels->convert(pixel + (size_t)first * sim_dtype_size(x->dtype), x->dtype, values, SIM_FLOAT32, (size_t)count);
}

static void narrow(const sim_kernels *kernels, float *values, const sim_view *y, char *pixel, int32_t first,
                   int32_t count)
{
    char *out = pixel + (size_t)first * sim_dtype_size(y->dtype);
    if (y->dtype == SIM_FLOAT32) { /* `convert` would keep a NaN's bits */
        for (int32_t i = 0; i < count; i++) {
            values[i] = sim_float_canonical(values[i]);
        }
    }
    kernels->convert(values, SIM_FLOAT32, out, y->dtype, (size_t)count);
}

void sim_prelu_row(const sim_kernels *kernels, const float *slope, const sim_view *x, const sim_view *y, int32_t n,
                   int32_t row)
{
    float v[SPAN];
    for (int32_t column = 0; column < y->w; column++) {
        for (int32_t c = 0, count; c < y->c; c += count) {
            count = span_of(y->c, c);
            widen(kernels, x, pixel_at(x, n, row, column), c, count, v);
            for (int32_t i = 0; i < count; i++) {
                const float product = v[i] * slope[c + i];
                v[i] = v[i] > 0.0f ? v[i] : product;
            }
            narrow(kernels, v, y, pixel_at(y, n, row, column), c, count);
        }
    }
}

void sim_affine_row(const sim_kernels *kernels, const float *alpha, const float *beta, const sim_view *x,
                    const sim_view *y, int32_t n, int32_t row)
{
    float v[SPAN];
    for (int32_t column = 0; column < y->w; column++) {
        for (int32_t c = 0, count; c < y->c; c += count) {
            count = span_of(y->c, c);
            widen(kernels, x, pixel_at(x, n, row, column), c, count, v);
            for (int32_t i = 0; i < count; i++) {
                v[i] = v[i] * alpha[c + i] + beta[c + i];
            }
            narrow(kernels, v, y, pixel_at(y, n, row, column), c, count);
        }
    }
}

/* A stretch of one axis. */
typedef struct stretch {
    int32_t begin, end;
} stretch;

static stretch window_of(int32_t out, int32_t stride, int32_t pad, int32_t kernel, int32_t size)
{
    const int32_t begin = out * stride - pad, end = begin + kernel;
    return (stretch){begin > 0 ? begin : 0, end < size ? end : size};
}

/* Adds (or takes the maximum of) channels of all pixels of a box, in order. */
static void gather(const sim_kernels *kernels, const sim_view *x, bool maximum, const stretch *box, int32_t c,
                   int32_t count, float *sum)
{
    float v[SPAN];
    for (int32_t n = box[0].begin; n < box[0].end; n++) {
        for (int32_t row = box[1].begin; row < box[1].end; row++) {
            for (int32_t column = box[2].begin; column < box[2].end; column++) {
                widen(kernels, x, pixel_at(x, n, row, column), c, count, v);
                for (int32_t i = 0; i < count; i++) {
                    const float greatest = v[i] > sum[i] ? v[i] : sum[i];
                    sum[i] = maximum ? greatest : sum[i] + v[i];
                }
            }
        }
    }
}

void sim_average_pool_row(const sim_kernels *kernels, const sim_pool *pool, const sim_view *x, const sim_view *y,
                          int32_t n, int32_t row)
{
    float sum[SPAN];
    stretch box[3] = {{n, n + 1}, window_of(row, pool->stride_h, pool->pad_top, pool->kernel_h, x->h), {0, 0}};
    for (int32_t column = 0; column < y->w; column++) {
        box[2] = window_of(column, pool->stride_w, pool->pad_left, pool->kernel_w, x->w);
        const int32_t inside = (box[1].end - box[1].begin) * (box[2].end - box[2].begin);
        const float divisor = (float)(pool->count_padding ? pool->kernel_h * pool->kernel_w : inside);
        for (int32_t c = 0, count; c < y->c; c += count) {
            count = span_of(y->c, c);
            for (int32_t i = 0; i < count; i++) {
                sum[i] = 0.0f;
            }
            gather(kernels, x, false, box, c, count, sum);
            for (int32_t i = 0; i < count; i++) {
                sum[i] = sum[i] / divisor;
            }
            narrow(kernels, sum, y, pixel_at(y, n, row, column), c, count);
        }
    }
}

/* One value for all channels of a box. */
static float fold(const sim_kernels *kernels, const sim_view *x, bool maximum, const stretch *box)
{
    float v[SPAN], sum = maximum ? -INFINITY : 0.0f;
    for (int32_t n = box[0].begin; n < box[0].end; n++) {
        for (int32_t row = box[1].begin; row < box[1].end; row++) {
            for (int32_t column = box[2].begin; column < box[2].end; column++) {
                for (int32_t c = 0, count; c < x->c; c += count) {
                    count = span_of(x->c, c);
                    widen(kernels, x, pixel_at(x, n, row, column), c, count, v);
                    for (int32_t i = 0; i < count; i++) {
                        sum = !maximum ? sum + v[i] : v[i] > sum ? v[i] : sum;
                    }
                }
            }
        }
    }
    return sum;
}

static stretch reduced_axis(int32_t in, int32_t out, int32_t at)
{
    return in == out ? (stretch){at, at + 1} : (stretch){0, in};
}

void sim_reduce_row(const sim_kernels *kernels, sim_reduction kind, const sim_view *x, const sim_view *y, int32_t n,
                    int32_t row)
{
    const bool maximum = kind == SIM_REDUCE_MAX, channels = x->c != y->c;
    stretch box[3] = {reduced_axis(x->n, y->n, n), reduced_axis(x->h, y->h, row), {0, 0}};
    float sum[SPAN];
    for (int32_t column = 0; column < y->w; column++) {
        box[2] = reduced_axis(x->w, y->w, column);
        const int64_t elements = (int64_t)(box[0].end - box[0].begin) * (box[1].end - box[1].begin) *
                                 (box[2].end - box[2].begin) * (channels ? x->c : 1);
        const float divisor = kind == SIM_REDUCE_MEAN ? (float)elements : 1.0f; /* x / 1 is x */
        for (int32_t c = 0, count; c < y->c; c += count) {
            count = span_of(y->c, c);
            for (int32_t i = 0; i < count; i++) {
                sum[i] = maximum ? -INFINITY : 0.0f;
            }
            if (channels) {
                sum[0] = fold(kernels, x, maximum, box);
            } else {
                gather(kernels, x, maximum, box, c, count, sum);
            }
            for (int32_t i = 0; i < count; i++) {
                sum[i] = sum[i] / divisor;
            }
            narrow(kernels, sum, y, pixel_at(y, n, row, column), c, count);
        }
    }
}

typedef struct between { /* two neighbours and the weight of the second */
    int32_t first, second;
    float weight;
} between;

static between source_of(int32_t out, int32_t in_size, int32_t out_size, bool align_corners)
{
    float at;
    if (align_corners) {
        at = out_size > 1 ? (float)out * ((float)(in_size - 1) / (float)(out_size - 1)) : 0.0f;
    } else {
        at = ((float)out + 0.5f) * ((float)in_size / (float)out_size) - 0.5f;
        at = at > 0.0f ? at : 0.0f;
    }
    int32_t first = (int32_t)at;
    first = first < in_size - 1 ? first : in_size - 1;
    const float weight = at - (float)first;
    return (between){first, first < in_size - 1 ? first + 1 : first, weight < 1.0f ? weight : 1.0f};
}

/* Columns [first, first + count) of a row, channels [c, c + channels), as float32 without gaps. */
static void widen_columns(const sim_kernels *kernels, const sim_view *x, const char *row, int32_t first, int32_t count,
                          int32_t c, int32_t channels, float *values)
{
    const char *at = row + (size_t)first * pixel_bytes(x);
    if (channels == x->pitch) {
        kernels->convert(at, x->dtype, values, SIM_FLOAT32, (size_t)count * (size_t)channels);
        return;
    }
    for (int32_t i = 0; i < count; i++, at += pixel_bytes(x), values += channels) {
        widen(kernels, x, at, c, channels, values);
    }
}

static void narrow_columns(const sim_kernels *kernels, float *values, const sim_view *y, char *row, int32_t first,
                           int32_t count, int32_t c, int32_t channels)
{
    char *at = row + (size_t)first * pixel_bytes(y);
    if (channels == y->pitch) {
        narrow(kernels, values, y, at, 0, count * channels);
        return;
    }
    for (int32_t i = 0; i < count; i++, at += pixel_bytes(y), values += channels) {
        narrow(kernels, values, y, at, c, channels);
    }
}

typedef struct corners { /* one output pixel's neighbours: upper left, upper right, lower left, lower right */
    const float *a, *b, *c, *d;
} corners;

static void blend(const corners *x, float right, float below, int32_t channels, float *y)
{
    const float left = 1.0f - right, above = 1.0f - below;
    for (int32_t i = 0; i < channels; i++) {
        const float upper = x->a[i] * left + x->b[i] * right, lower = x->c[i] * left + x->d[i] * right;
        y[i] = upper * above + lower * below;
    }
}

enum { COLUMNS = 64, WINDOW = COLUMNS * 8 }; /* output columns at once; values of a row under them */

/* Output columns from `first` on whose inputs and outputs fit the memory of sim_resize_row: how many. */
static int32_t columns_from(const between *u, int32_t first, int32_t count, int32_t channels)
{
    int32_t n = 1;
    while (n < count && (n + 1) * channels <= WINDOW &&
           (u[first + n].second - u[first].first + 1) * channels <= WINDOW) {
        n++;
    }
    return n;
}

void sim_resize_row(const sim_kernels *kernels, bool align_corners, const sim_view *x, const sim_view *y, int32_t n,
                    int32_t row)
{
    const between v = source_of(row, x->h, y->h, align_corners);
    const char *above = pixel_at(x, n, v.first, 0), *below = pixel_at(x, n, v.second, 0);
    float upper[2 * WINDOW], lower[2 * WINDOW], out[WINDOW];
    between u[COLUMNS];
    for (int32_t start = 0, count; start < y->w; start += count) {
        count = y->w - start < COLUMNS ? y->w - start : COLUMNS;
        for (int32_t i = 0; i < count; i++) {
            u[i] = source_of(start + i, x->w, y->w, align_corners);
        }
        for (int32_t c = 0, channels; c < y->c; c += channels) {
            channels = span_of(y->c, c);
            for (int32_t i = 0, now; i < count; i += now) {
                now = columns_from(u, i, count - i, channels);
                const int32_t from = u[i].first, width = u[i + now - 1].second - from + 1;
                widen_columns(kernels, x, above, from, width, c, channels, upper);
                widen_columns(kernels, x, below, from, width, c, channels, lower);
                for (int32_t k = 0; k < now; k++) {
                    const int32_t left = (u[i + k].first - from) * channels,
                                  right = (u[i + k].second - from) * channels;
                    blend(&(corners){upper + left, upper + right, lower + left, lower + right}, u[i + k].weight,
                          v.weight, channels, out + k * channels);
                }
                narrow_columns(kernels, out, y, pixel_at(y, n, row, 0), start + i, now, c, channels);
            }
        }
    }
}

void sim_pad_row(const sim_kernels *kernels, int32_t top, int32_t left, float value, const sim_view *x,
                 const sim_view *y, int32_t n, int32_t row)
{
    const bool inside = row >= top && row < top + x->h;
    for (int32_t column = 0; column < y->w; column++) {
        char *out = pixel_at(y, n, row, column);
        if (inside && column >= left && column < left + x->w) {
            kernels->convert(pixel_at(x, n, row - top, column - left), x->dtype, out, y->dtype, (size_t)y->c);
            continue;
        }
        for (int32_t c = 0; c < y->c; c++) {
            sim_store(out, y->dtype, (size_t)c, value);
        }
    }
}

void sim_l2_normalize_row(const sim_kernels *kernels, const float *scale, float eps, const sim_view *x,
                          const sim_view *y, int32_t n, int32_t row)
{
    float v[SPAN];
    for (int32_t column = 0; column < y->w; column++) {
        const char *in = pixel_at(x, n, row, column);
        float sum = 0.0f;
        for (int32_t c = 0, count; c < x->c; c += count) {
            count = span_of(x->c, c);
            widen(kernels, x, in, c, count, v);
            for (int32_t i = 0; i < count; i++) {
                sum = sum + v[i] * v[i];
            }
        }
        const float root = sqrtf(sum), norm = root > eps ? root : eps;
        for (int32_t c = 0, count; c < y->c; c += count) {
            count = span_of(y->c, c);
            widen(kernels, x, in, c, count, v);
            for (int32_t i = 0; i < count; i++) {
                v[i] = v[i] / norm;
                v[i] = scale ? v[i] * scale[c + i] : v[i];
            }
            narrow(kernels, v, y, pixel_at(y, n, row, column), c, count);
        }
    }
}
