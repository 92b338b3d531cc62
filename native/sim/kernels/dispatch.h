/* The ends of `activate` and `finish` that every vector table shares: one copy of the inner loop per function and dtype.
 *
 * Included once by a table's file, behind its activate_as and finish_as (both inline: function and dtype are constants). */
#ifndef SIM_KERNELS_DISPATCH_H
#define SIM_KERNELS_DISPATCH_H

#include "kernels.h"

/* The functions of sim_activation_is_fast but SIM_LINEAR, which is `otherwise`. */
#define SIM_FOR_FUNCTION(function, call, otherwise)     \
    switch (function) {                                 \
    case SIM_RELU: call(SIM_RELU); break;               \
    case SIM_LEAKY_RELU: call(SIM_LEAKY_RELU); break;   \
    case SIM_SIGMOID: call(SIM_SIGMOID); break;         \
    case SIM_SILU: call(SIM_SILU); break;               \
    case SIM_HARDSWISH: call(SIM_HARDSWISH); break;     \
    case SIM_RELU6: call(SIM_RELU6); break;             \
    case SIM_HARDSIGMOID: call(SIM_HARDSIGMOID); break; \
    case SIM_CLIP: call(SIM_CLIP); break;               \
    default: otherwise; break;                          \
    }

static void activate(const sim_activation *activation, const void *x, uint32_t x_dtype, void *y, uint32_t y_dtype,
                     size_t count)
{
    if (x_dtype == SIM_UINT8) {
        SIM_KERNELS_REFERENCE.activate(activation, x, x_dtype, y, y_dtype, count);
        return;
    }
#define ACTIVATE(function) activate_as(function, activation, x, x_dtype, y, y_dtype, count)
    SIM_FOR_FUNCTION(activation->function, ACTIVATE,
                     SIM_KERNELS_REFERENCE.activate(activation, x, x_dtype, y, y_dtype, count))
#undef ACTIVATE
}

static inline void finish_dtype(uint32_t dtype, const float *acc, int32_t acc_pitch, int32_t pixels, int32_t channels,
                                const sim_affine *affine, const sim_activation *activation, char *y, int32_t pitch)
{
#define FINISH(function) finish_as(function, dtype, acc, acc_pitch, pixels, channels, affine, activation, y, pitch)
    SIM_FOR_FUNCTION(activation->function, FINISH, FINISH(SIM_LINEAR))
#undef FINISH
}

static void finish(const float *acc, int32_t acc_pitch, int32_t pixels, int32_t channels, const sim_affine *affine,
                   const sim_activation *activation, void *y, uint32_t dtype, int32_t pitch)
{
    if (dtype == SIM_FLOAT16) {
        finish_dtype(SIM_FLOAT16, acc, acc_pitch, pixels, channels, affine, activation, y, pitch);
    } else {
        finish_dtype(SIM_FLOAT32, acc, acc_pitch, pixels, channels, affine, activation, y, pitch);
    }
}

static void binary(sim_binary kind, const void *a, uint32_t a_dtype, const void *b, uint32_t b_dtype, void *y,
                   uint32_t y_dtype, size_t count)
{
    switch (kind) {
    case SIM_ADD: binary_as(SIM_ADD, a, a_dtype, b, b_dtype, y, y_dtype, count); break;
    case SIM_MUL: binary_as(SIM_MUL, a, a_dtype, b, b_dtype, y, y_dtype, count); break;
    case SIM_SUB: binary_as(SIM_SUB, a, a_dtype, b, b_dtype, y, y_dtype, count); break;
    case SIM_DIV: binary_as(SIM_DIV, a, a_dtype, b, b_dtype, y, y_dtype, count); break;
    case SIM_MAX: binary_as(SIM_MAX, a, a_dtype, b, b_dtype, y, y_dtype, count); break;
    default: binary_as(SIM_MIN, a, a_dtype, b, b_dtype, y, y_dtype, count); break;
    }
}

#endif
