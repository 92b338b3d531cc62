/* The bytes of a function of every half as ranges (sim_ranges): few enough to stay in registers. */
#include <string.h>

#include "kernels.h"

enum { OCTAVE = SIM_HALVES / SIM_OCTAVES, OCTAVE_BITS = 10, NEGATIVE = SIM_OCTAVES / 2, NEVER = 255, ALIKE = 16 };
enum { LONGEST = 8, SHORTEST = 3 /* bits of the halves of a range: the low byte tells one from another */ };

typedef struct making {
    sim_ranges *ranges;
    int count;
    int alike[256]; /* the range of an octave that has this byte alone, or -1 */
} making;

/* A range of the halves that start with low byte `low`: two steps of one at most, both in the same direction. */
static bool add_range(making *m, const uint8_t *codes, int size, int low)
{
    int steps[2] = {NEVER, NEVER}, count = 0, direction = 0;
    for (int i = 1; i < size; i++) {
        const int step = (int8_t)(codes[i] - codes[i - 1]); /* a zero of 0 keeps them as int8 */
        if (step == 0) {
            continue;
        }
        if ((step != 1 && step != -1) || count == 2 || (count && step != direction)) {
            return false;
        }
        direction = step;
        steps[count++] = (low + i - 1) & 0xff;
    }
    if (m->count == SIM_RANGES) {
        return false;
    }
    if (direction < 0) {
        m->ranges->falling = (uint8_t)(m->count + 1);
    }
    m->ranges->least[m->count] = codes[0];
    m->ranges->steps[0][m->count] = (uint8_t)steps[0];
    m->ranges->steps[1][m->count] = (uint8_t)steps[1];
    m->count++;
    return true;
}

static bool is_alike(const uint8_t *codes)
{
    return memcmp(codes, codes + 1, OCTAVE - 1) == 0;
}

static bool add_alike(making *m, int octave, const uint8_t *codes)
{
    int *range = &m->alike[codes[0]];
    if (*range < 0) {
        *range = m->count;
        if (!add_range(m, codes, 1, 0)) {
            return false;
        }
    }
    m->ranges->shift[octave] = ALIKE;
    m->ranges->base[octave] = (uint8_t)*range;
    return true;
}

/* In ranges as long as may be. */
static bool add_octave(making *m, int octave, const uint8_t *codes)
{
    const making before = *m;
    const uint8_t falling = m->ranges->falling;
    for (int shift = LONGEST; shift >= SHORTEST; shift--) {
        bool fits = true;
        for (int first = 0; first < OCTAVE && fits; first += 1 << shift) {
            fits = add_range(m, codes + first, 1 << shift, first);
        }
        if (fits) {
            m->ranges->shift[octave] = (uint8_t)shift;
            m->ranges->base[octave] = (uint8_t)(before.count - (octave << OCTAVE_BITS >> shift));
            return true;
        }
        *m = before;
        m->ranges->falling = falling;
    }
    return false;
}

static uint8_t code_of(const sim_ranges *r, uint32_t half)
{
    const uint32_t octave = half >> OCTAVE_BITS;
    const uint8_t range = (uint8_t)(r->base[octave] + (half >> r->shift[octave])), low = (uint8_t)half;
    const int steps = (low > r->steps[0][range]) + (low > r->steps[1][range]);
    return (uint8_t)(r->least[range] + (range < r->falling ? -steps : steps));
}

/* No rounding to a half gives a signalling NaN: their bytes may be anything. */
static bool is_right(const sim_ranges *r, const uint8_t *codes)
{
    for (uint32_t half = 0; half < SIM_HALVES; half++) {
        const uint32_t magnitude = half & 0x7fff;
        if ((magnitude <= 0x7c00 || magnitude >= 0x7e00) && code_of(r, half) != codes[half]) {
            return false;
        }
    }
    return true;
}

/* Negative halves first: where they fall, they do so near 0, before all that rise. */
bool sim_ranges_of(const uint8_t *codes, sim_ranges *ranges)
{
    making m = {.ranges = ranges};
    uint8_t octave[OCTAVE];
    memset(ranges, 0, sizeof *ranges);
    memset(m.alike, -1, sizeof m.alike);
    for (int i = 0; i < SIM_OCTAVES; i++) {
        const int which = i ^ NEGATIVE;
        memcpy(octave, codes + which * OCTAVE, OCTAVE);
        if (which % NEGATIVE == NEGATIVE - 1) { /* infinity, signalling NaNs and NaNs */
            memset(octave, octave[0], OCTAVE / 2);
        }
        if (!(is_alike(octave) ? add_alike(&m, which, octave) : add_octave(&m, which, octave))) {
            return false;
        }
    }
    return is_right(ranges, codes);
}
