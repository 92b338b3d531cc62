/* Functions of a half by table: every half goes through the function once. */
#include <string.h>

#include "half.h"
#include "kernels.h"

static void fill(const sim_kernels *kernels, const sim_activation *activation, uint32_t first, uint32_t count,
                 uint16_t *halves)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint16_t half = (uint16_t)(first + i);
        halves[i] = (half & 0x7fff) > 0x7c00 ? SIM_HALF_NAN : half; /* as a tensor keeps it */
    }
    if (activation->function != SIM_LINEAR) {
        kernels->activate(activation, halves, SIM_FLOAT16, halves, SIM_FLOAT16, count);
    }
}

void sim_table_of_halves(const sim_kernels *kernels, const sim_activation *activation, uint16_t *table)
{
    fill(kernels, activation, 0, SIM_HALVES, table);
    memset(table + SIM_HALVES, 0, SIM_PAST_HALVES * sizeof *table);
}

void sim_table_of_codes(const sim_kernels *kernels, const sim_activation *activation, float scale, uint8_t zero,
                        uint8_t *table)
{
    enum { PART = 1024 };
    uint16_t halves[PART];
    int16_t codes[PART];
    for (uint32_t first = 0; first < SIM_HALVES; first += PART) {
        fill(kernels, activation, first, PART, halves);
        kernels->quantize(halves, SIM_FLOAT16, PART, scale, SIM_BYTE_MAX, codes);
        for (uint32_t i = 0; i < PART; i++) {
            table[first + i] = (uint8_t)(codes[i] + zero);
        }
    }
    memset(table + SIM_HALVES, 0, SIM_PAST_HALVES);
}
