/* The plain C form of what every table does: the executable definition of native/ARITHMETIC.md. Written to be read. */
#include <math.h>
#include <string.h>

#include "kernels.h"

static void quantize(const void *x, uint32_t dtype, size_t count, float scale, float qmax, int16_t *y)
{
    for (size_t i = 0; i < count; i++) {
        y[i] = (int16_t)sim_quantize_value(sim_load(x, dtype, i), scale, qmax);
    }
}

static void widen(const uint8_t *x, uint8_t zero, size_t count, int16_t *y)
{
    for (size_t i = 0; i < count; i++) {
        y[i] = (int8_t)(uint8_t)(x[i] - zero);
    }
}

static void convert(const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype, size_t count)
{
    if (x_dtype == y_dtype) { /* a copy keeps every bit */
        memcpy(y, x, count * sim_dtype_size(x_dtype));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i, sim_load(x, x_dtype, i));
    }
}

static void activate(const sim_activation *activation, const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i, sim_activation_value(activation, sim_load(x, x_dtype, i)));
    }
}

static void binary(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                   uint32_t y_dtype, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sim_store(y, y_dtype, i, sim_binary_value(kind, sim_load(a, a_dtype, i), sim_load(b, b_dtype, i)));
    }
}

static void max_pool(const sim_pool *pool, const sim_view *x, const sim_view *y, int32_t n, int32_t row)
{
    for (int32_t ox = 0; ox < y->w; ox++) {
        for (int32_t c = 0; c < y->c; c++) {
            float m = -INFINITY;
            for (int32_t ky = 0; ky < pool->kernel_h; ky++) {
                for (int32_t kx = 0; kx < pool->kernel_w; kx++) {
                    const int64_t iy = (int64_t)row * pool->stride_h - pool->pad_top + ky;
                    const int64_t ix = (int64_t)ox * pool->stride_w - pool->pad_left + kx;
                    if (iy < 0 || iy >= x->h || ix < 0 || ix >= x->w) {
                        continue;
                    }
                    const size_t pixel = ((size_t)n * (size_t)x->h + (size_t)iy) * (size_t)x->w + (size_t)ix;
                    const float v = sim_load(x->data, x->dtype, pixel * (size_t)x->pitch + (size_t)c);
                    m = v > m ? v : m;
                }
            }
            const size_t pixel = ((size_t)n * (size_t)y->h + (size_t)row) * (size_t)y->w + (size_t)ox;
            sim_store(y->data, y->dtype, pixel * (size_t)y->pitch + (size_t)c, m);
        }
    }
}

const sim_kernels SIM_KERNELS_REFERENCE = {
    .name = "reference",
    .quantize = quantize,
    .look_up = sim_look_up,
    .widen = widen,
    .convert = convert,
    .finish = sim_finish,
    .activate = activate,
    .binary = binary,
    .max_pool = max_pool,
};
