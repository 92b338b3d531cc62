/* The functions of one value (ARITHMETIC.md section 4): one polynomial for exp, one for log, three for erf,
 * and basic operations. */
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

/* 1 - erf(a), for a of at least 1: nothing cancels. */
static float error_beyond(float a)
{
    const float q = 1.0f / a, z = q * q;
    float p;
    if (a < 2.0f) {
        p = 2.326819970068386e-2f;
        p = p * z + -1.387039388740657e-1f;
        p = p * z + 3.687424674597105e-1f;
        p = p * z + -5.824733027278666e-1f;
        p = p * z + 6.210004621745983e-1f;
        p = p * z + -4.944515323274145e-1f;
        p = p * z + 3.404879937665872e-1f;
        p = p * z + -2.741127028184656e-1f;
        p = p * z + 5.638259427386472e-1f;
    } else {
        p = -1.047766399936249e+1f;
        p = p * z + 1.297719955372516e+1f;
        p = p * z + -7.495518717768503e+0f;
        p = p * z + 2.921019019210786e+0f;
        p = p * z + -1.015265279202700e+0f;
        p = p * z + 4.218463358204948e-1f;
        p = p * z + -2.820767439740514e-1f;
        p = p * z + 5.641895067754075e-1f;
    }
    return (sim_exp(-(a * a)) * q) * p;
}

/* erf(x), for magnitudes below 1. */
static float error_within(float x)
{
    const float z = x * x;
    float p = 7.853861353153693e-5f;
    p = p * z + -8.010193625184903e-4f;
    p = p * z + 5.188327685732524e-3f;
    p = p * z + -2.685381193529856e-2f;
    p = p * z + 1.128358514861418e-1f;
    p = p * z + -3.761262582423300e-1f;
    p = p * z + 1.128379165726710e+0f;
    return x * p;
}

float sim_erf(float x)
{
    const float a = fabsf(x);
    if (a < 1.0f) {
        return error_within(x);
    }
    const float r = 1.0f - error_beyond(a);
    return x > 0.0f ? r : -r;
}

/* x times the normal distribution's share below x, which keeps its digits where it is small. */
static float gelu(float x)
{
    const float z = x * 0.707106781186547524f, a = fabsf(z);
    float twice;
    if (a < 1.0f) {
        twice = 1.0f + error_within(z);
    } else {
        const float beyond = error_beyond(a);
        twice = z > 0.0f ? 2.0f - beyond : beyond;
    }
    return (x * 0.5f) * twice;
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

/* x * (1 + tanh(u)) / 2 is x * sigmoid(2 * u). */
static float gelu_tanh(float x)
{
    const float cubic = 0.044715f * (x * x);
    return x * sigmoid((x * 1.59576912160573071f) * (1.0f + cubic));
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
    case SIM_ERF: return sim_erf(x);
    case SIM_GELU: return gelu(x);
    case SIM_GELU_TANH: return gelu_tanh(x);
    case SIM_CLIP: return clip(x, activation->a, activation->b);
    default: return x;
    }
}

bool sim_activation_is_fast(uint32_t function)
{
    return function <= SIM_HARDSWISH || function == SIM_RELU6 || function == SIM_HARDSIGMOID || function == SIM_CLIP;
}
