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

/* Eight bytes as their least one in eighths, plus what makes the sum with 0 to 7 pass the next eighth where they step up;
 * the highest bit where they step down, that is up from behind. False: they do more than step. */
static bool step_of(const uint8_t *codes, uint16_t *step)
{
    const bool down = codes[7] < codes[0];
    const int least = down ? codes[7] : codes[0];
    int greater = 0;
    for (int i = 0; i < 8; i++) {
        const int above = codes[down ? 7 - i : i] - least;
        if (above < 0 || above > 1 || (greater && !above)) {
            return false;
        }
        greater += above;
    }
    *step = (uint16_t)((down ? 0x8000 : 0) | least << 3 | greater);
    return true;
}

/* No rounding to a half gives a signalling NaN, which lie behind the infinities: their bytes may be anything. */
static bool fill_steps(sim_codes *codes)
{
    for (uint32_t i = 0; i < SIM_HALVES / 8; i++) {
        uint8_t eight[8];
        memcpy(eight, codes->of + 8 * i, 8);
        if ((8 * i & 0x7fff) == 0x7c00) {
            memset(eight, eight[0], 8);
        }
        if (!step_of(eight, &codes->steps[i])) {
            return false;
        }
    }
    return true;
}

void sim_table_of_codes(const sim_kernels *kernels, const sim_activation *activation, float scale, uint8_t zero,
                        sim_codes *table)
{
    enum { PART = 1024 };
    uint16_t halves[PART];
    int16_t quantized[PART];
    for (uint32_t first = 0; first < SIM_HALVES; first += PART) {
        fill(kernels, activation, first, PART, halves);
        kernels->quantize(halves, SIM_FLOAT16, PART, scale, SIM_BYTE_MAX, quantized);
        for (uint32_t i = 0; i < PART; i++) {
            table->of[first + i] = (uint8_t)(quantized[i] + zero);
        }
    }
    memset(table->of + SIM_HALVES, 0, SIM_PAST_HALVES);
    memset(table->steps, 0, sizeof table->steps);
    table->stepped = fill_steps(table);
    table->ranged = kernels->ranges && kernels->ranges() && sim_ranges_of(table->of, &table->ranges);
}
