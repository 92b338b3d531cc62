/* Values in memory: loads, stores and what is done to one value (native/ARITHMETIC.md). */
#include <math.h>

#include "half.h"
#include "kernels.h"

float sim_load(const void *data, uint32_t dtype, size_t index)
{
    const char *at = (const char *)data + index * sim_dtype_size(dtype);
    if (dtype == SIM_UINT8) {
        return (float)*(const uint8_t *)at;
    }
    if (dtype == SIM_FLOAT16) {
        uint16_t half;
        memcpy(&half, at, sizeof half);
        return sim_float_from_half(half);
    }
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

void sim_store(void *data, uint32_t dtype, size_t index, float value)
{
    char *at = (char *)data + index * sim_dtype_size(dtype);
    if (dtype == SIM_FLOAT16) {
        const uint16_t half = sim_half_from_float(value);
        memcpy(at, &half, sizeof half);
        return;
    }
    const float kept = sim_float_canonical(value);
    memcpy(at, &kept, sizeof kept);
}

float sim_rounded(float value, uint32_t dtype)
{
    return dtype == SIM_FLOAT16 ? sim_float_from_half(sim_half_from_float(value)) : value;
}

int32_t sim_quantize_value(float x, float scale, float qmax)
{
    float v = x * scale;
    v = v > -qmax ? v : -qmax;
    v = v < qmax ? v : qmax;
    return (int32_t)rintf(v);
}

float sim_binary_value(sim_binary kind, float a, float b)
{
    switch (kind) {
    case SIM_ADD: return a + b;
    case SIM_MUL: return a * b;
    case SIM_SUB: return a - b;
    case SIM_DIV: return a / b;
    case SIM_MAX: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

float sim_normalize_value(float x, float mean, float std)
{
    return (x - mean) / std;
}

void sim_look_up(const sim_lookup *lookup, const uint8_t *x, int32_t x_pitch, size_t pixels, uint8_t *y)
{
    for (size_t p = 0; p < pixels; p++, x += x_pitch) {
        for (int32_t i = 0; i < lookup->channels; i++) {
            *y++ = (uint8_t)(lookup->table[i * 256 + x[lookup->channel[i]]] + lookup->zero);
        }
    }
}
