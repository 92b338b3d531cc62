/* The products of bytes in AMX: 32 pixels x 32 channels as two by two tiles of sums. */
#include <immintrin.h>

#include "dot.h"

/* A tile has 16 rows of 64 bytes: 16 pixels x 64 bytes of a run, 64 bytes x 16 channels of the weights (four bytes of one
 * channel side by side, as they are packed), 16 pixels x 16 channels of sums. Their numbers are part of the instructions:
 * sums 0 to 3, weights 4 and 5, pixels 6 and 7. Pixels are loaded from where they lie, `step` apart. */
enum {
    ROWS = 16,
    ROW_BYTES = 64,
    TILES = 8,
    FIRST_WEIGHTS = 4,
    LAST_WEIGHTS = 5,
    LANES = 16,                      /* channels of a tile */
    WEIGHT_STEP = 4 * BYTE_CHANNELS, /* bytes from one row of a tile to the next */
    SUM_STEP = 4 * BYTE_CHANNELS
};

typedef struct tile_config { /* as ldtilecfg reads it */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Tiles of so many pixels. Assembly, because gcc 12 tells the optimizer of eight bytes of what its intrinsic reads. */
static void configure(int32_t pixels)
{
    tile_config config = {.palette = 1};
    for (int t = 0; t < TILES; t++) {
        config.row_bytes[t] = ROW_BYTES;
        config.rows[t] = t >= FIRST_WEIGHTS && t <= LAST_WEIGHTS ? ROWS : (uint8_t)pixels;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

void sim_amx_begin(void)
{
    configure(ROWS);
}

/* The tiles are unused again: nothing of them is saved when another thread takes the processor. */
void sim_amx_end(void)
{
    _tile_release();
}

/* A product for nothing. Measured on Sapphire Rapids: after .6 us without one the next waits .3 us for the unit to wake up,
 * after 8 us up to 3 us. */
void sim_amx_awake(void)
{
    _tile_dpbssd(0, 6, 4);
}

/* One row for all pixels: a step of zero repeats it. */
#define START(low, high)        \
    _tile_loadd(low, start, 0); \
    _tile_loadd(high, start + LANES, 0)
#define STORE(low, high, y)           \
    _tile_stored(low, (y), SUM_STEP); \
    _tile_stored(high, (y) + LANES, SUM_STEP)

/* ROWS pixels from x0 on and as many from x1 on. */
static inline void two_tiles(const uint8_t *x0, const uint8_t *x1, int64_t step, const int8_t *w, const int32_t *offset,
                             int32_t runs, int32_t length, const int32_t *start, int32_t *y0, int32_t *y1)
{
    START(0, 1);
    START(2, 3);
    for (int32_t r = 0; r < runs; r++) {
        for (int32_t k = 0; k < length; k += ROW_BYTES, w += ROW_BYTES * BYTE_CHANNELS) {
            _tile_loadd(6, x0 + offset[r] + k, step);
            _tile_loadd(4, w, WEIGHT_STEP);
            _tile_dpbssd(0, 6, 4);
            _tile_loadd(7, x1 + offset[r] + k, step);
            _tile_dpbssd(2, 7, 4);
            _tile_loadd(5, w + ROW_BYTES, WEIGHT_STEP);
            _tile_dpbssd(1, 6, 5);
            _tile_dpbssd(3, 7, 5);
        }
    }
    STORE(0, 1, y0);
    STORE(2, 3, y1);
}

static inline void one_tile(const uint8_t *x, int64_t step, const int8_t *w, const int32_t *offset, int32_t runs,
                            int32_t length, const int32_t *start, int32_t *y)
{
    START(0, 1);
    for (int32_t r = 0; r < runs; r++) {
        for (int32_t k = 0; k < length; k += ROW_BYTES, w += ROW_BYTES * BYTE_CHANNELS) {
            _tile_loadd(6, x + offset[r] + k, step);
            _tile_loadd(4, w, WEIGHT_STEP);
            _tile_dpbssd(0, 6, 4);
            _tile_loadd(5, w + ROW_BYTES, WEIGHT_STEP);
            _tile_dpbssd(1, 6, 5);
        }
    }
    STORE(0, 1, y);
}

/* Memory behind the last pixel need not exist, so the last tile begins early and computes some pixels again; fewer pixels
 * than a tile has take smaller ones. */
void sim_amx_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                       int32_t runs, int32_t length, const int32_t *start, int32_t *y)
{
    if (pixels < ROWS) {
        configure(pixels);
        one_tile(x, step, w, offset, runs, length, start, y);
        configure(ROWS);
        return;
    }
    const int32_t last = pixels - ROWS;
    int32_t p = 0;
    for (; p < last; p += 2 * ROWS) {
        const int32_t q = p + ROWS < last ? p + ROWS : last;
        two_tiles(x + p * step, x + q * step, step, w, offset, runs, length, start, y + p * BYTE_CHANNELS,
                  y + q * BYTE_CHANNELS);
    }
    if (p < pixels) {
        one_tile(x + last * step, step, w, offset, runs, length, start, y + last * BYTE_CHANNELS);
    }
}
