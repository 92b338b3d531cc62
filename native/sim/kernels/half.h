/* IEEE-754 binary16 in plain C: the definition that F16C and NEON must equal.
 *
 * A NaN written to a tensor is always the canonical quiet NaN (ARITHMETIC.md section 1), because processors differ in
 * the NaN they make. */
#ifndef SIM_KERNELS_HALF_H
#define SIM_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

#define SIM_HALF_NAN 0x7e00u
#define SIM_FLOAT_NAN 0x7fc00000u

static inline uint32_t sim_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float sim_float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float sim_float_from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t fraction = half & 0x3ffu;
    if (exponent == 0x1f) {
        return sim_float_from_bits(sign | 0x7f800000u | (fraction ? 0x400000u | fraction << 13 : 0));
    }
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact */
        const float magnitude = (float)fraction * 0x1p-24f;
        return sim_float_from_bits(sign | sim_float_bits(magnitude));
    }
    return sim_float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Rounds to nearest even; overflow becomes infinity, a NaN the canonical one. */
static inline uint16_t sim_half_from_float(float value)
{
    const uint32_t bits = sim_float_bits(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return SIM_HALF_NAN;
    }
    if (magnitude >= 0x477ff000u) { /* 65520 and above */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { /* below 2^-14: the float addition rounds at 2^-24 */
        const float shifted = sim_float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (sim_float_bits(shifted) - 0x3f000000u));
    }
    const uint32_t odd = magnitude >> 13 & 1u;
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + odd) >> 13);
}

/* What a float32 tensor keeps of a value. */
static inline float sim_float_canonical(float value)
{
    return value != value ? sim_float_from_bits(SIM_FLOAT_NAN) : value;
}

#endif
