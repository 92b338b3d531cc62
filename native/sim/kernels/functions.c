/* The functions of one value (ARITHMETIC.md section 4): one polynomial for exp, one for log, and basic operations. */
#include <math.h>

#include "half.h"
#include "kernels.h"

typedef struct reduced { /* exp(x) = (part + 1) * 2^n */
    float n, part;
} reduced;

static reduced reduce(float x)
{
    x = x > -86.0f ? x : -86.0f;
    x = x < 88.0f ? x : 88.0f;
    const float n = rintf(x * 1.44269504088896341f);
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return (reduced){n, p * (r * r) + r};
}

float sim_exp(float x)
{
    const reduced e = reduce(x);
    return sim_float_from_bits(sim_float_bits(e.part + 1.0f) + ((uint32_t)(int32_t)e.n << 23));
}

float sim_expm1(float x)
{
    const reduced e = reduce(x);
    return e.n == 0.0f ? e.part : sim_exp(x) - 1.0f;
}

float sim_log(float x)
{
    const uint32_t bits = sim_float_bits(x);
    float n = (float)((int32_t)(bits >> 23) - 126);
    float r = sim_float_from_bits((bits & 0x7fffffu) | 0x3f000000u); /* in [0.5, 1) */
    const bool low = r < 0.707106781186547524f;
    n = low ? n - 1.0f : n;
    r = low ? (r + r) - 1.0f : r - 1.0f;
    const float z = r * r;
    float p = 7.0376836292e-2f;
    p = p * r + -1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r + -1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r + -1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r + -2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    float y = (p * r) * z;
    y = y + n * -2.12194440e-4f;
    y = y - 0.5f * z;
    return (r + y) + n * 0.693359375f;
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + sim_exp(-x));
}

static float relu6(float x)
{
    const float v = x > 0.0f ? x : 0.0f;
    return v < 6.0f ? v : 6.0f;
}

static float tanh_of(float x)
{
    const float t = sim_expm1(x * 2.0f);
    return t / (t + 2.0f);
}

/* tanh(log(1 + e)) = (e * e + 2 * e) / (e * e + 2 * e + 2) */
static float mish(float x)
{
    const float e = sim_exp(x), t = e * (e + 2.0f);
    return x > 20.0f ? x : x * (t / (t + 2.0f));
}

/* log(1 + e): what the rounding of 1 + e lost is put back by the factor. */
static float softplus(float x)
{
    const float e = sim_exp(x), u = 1.0f + e;
    return x > 20.0f ? x : u == 1.0f ? e : sim_log(u) * (e / (u - 1.0f));
}

static float clip(float x, float low, float high)
{
    const float v = x > low ? x : low;
    return v < high ? v : high;
}

float sim_activation_value(const sim_activation *activation, float x)
{
    switch (activation->function) {
    case SIM_RELU: return x > 0.0f ? x : 0.0f;
    case SIM_LEAKY_RELU: return x > 0.0f ? x : x * activation->a;
    case SIM_SIGMOID: return sigmoid(x);
    case SIM_SILU: return x * sigmoid(x);
    case SIM_HARDSWISH: return (x * relu6(x + 3.0f)) / 6.0f;
    case SIM_MISH: return mish(x);
    case SIM_RELU6: return relu6(x);
    case SIM_TANH: return tanh_of(x);
    case SIM_HARDSIGMOID: return relu6(x + 3.0f) / 6.0f;
    case SIM_EXP: return sim_exp(x);
    case SIM_SQRT: return sqrtf(x);
    case SIM_SOFTPLUS: return softplus(x);
    case SIM_ELU: return x > 0.0f ? x : activation->a * sim_expm1(x);
    case SIM_CLIP: return clip(x, activation->a, activation->b);
    default: return x;
    }
}

bool sim_activation_is_fast(uint32_t function)
{
    return function <= SIM_HARDSWISH || function == SIM_RELU6 || function == SIM_HARDSIGMOID || function == SIM_CLIP;
}
