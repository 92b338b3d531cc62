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
    SUM_STEP = 4 * BYTE_CHANNELS,
    STEP_LINES = BYTE_CHANNELS, /* cache lines of weights that a step of ROW_BYTES reads */
    NEAR_BYTES = 24 * 1024,
    FAR_BYTES = 40 * 1024
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
    _tile_dpbusd(0, 6, 4);
}

/* The sums so far, or for a first product their start: one row for all pixels, by a step of zero. */
typedef struct sums {
    const int32_t *start; /* NULL: what y holds */
    int32_t *y;
} sums;

#define LOAD(tile, s, at, lane)                             \
    if ((s).start) {                                        \
        _tile_loadd(tile, (s).start + (lane), 0);           \
    } else {                                                \
        _tile_loadd(tile, (s).y + (at) + (lane), SUM_STEP); \
    }
#define STORE(tile, s, at, lane) _tile_stored(tile, (s).y + (at) + (lane), SUM_STEP)

/* Runs of a product: every pixel's are `offset` from it, the weights one behind the other. */
typedef struct runs {
    const int32_t *offset;
    int32_t count, length;
} runs;

/* ROWS pixels from p on and as many from q on. Asks for `ahead` lines of what lies behind the weights with each step. */
static inline void two_tiles(const uint8_t *x, int64_t step, const int8_t *w, runs r, sums s, int32_t p, int32_t q,
                             const int8_t *next, int32_t ahead)
{
    LOAD(0, s, p * BYTE_CHANNELS, 0)
    LOAD(1, s, p * BYTE_CHANNELS, LANES)
    LOAD(2, s, q * BYTE_CHANNELS, 0)
    LOAD(3, s, q * BYTE_CHANNELS, LANES)
    for (int32_t run = 0; run < r.count; run++) {
        const uint8_t *first = x + p * step + r.offset[run], *second = x + q * step + r.offset[run];
        for (int32_t k = 0; k < r.length; k += ROW_BYTES, w += ROW_BYTES * BYTE_CHANNELS) {
            _tile_loadd(6, first + k, step);
            _tile_loadd(4, w, WEIGHT_STEP);
            _tile_dpbusd(0, 6, 4);
            _tile_loadd(7, second + k, step);
            _tile_dpbusd(2, 7, 4);
            _tile_loadd(5, w + ROW_BYTES, WEIGHT_STEP);
            _tile_dpbusd(1, 6, 5);
            _tile_dpbusd(3, 7, 5);
            for (int32_t i = 0; i < ahead; i++, next += ROW_BYTES) {
                _mm_prefetch((const char *)next, _MM_HINT_T1);
            }
        }
    }
    STORE(0, s, p * BYTE_CHANNELS, 0);
    STORE(1, s, p * BYTE_CHANNELS, LANES);
    STORE(2, s, q * BYTE_CHANNELS, 0);
    STORE(3, s, q * BYTE_CHANNELS, LANES);
}

static inline void one_tile(const uint8_t *x, int64_t step, const int8_t *w, runs r, sums s, int32_t p)
{
    LOAD(0, s, p * BYTE_CHANNELS, 0)
    LOAD(1, s, p * BYTE_CHANNELS, LANES)
    for (int32_t run = 0; run < r.count; run++) {
        const uint8_t *first = x + p * step + r.offset[run];
        for (int32_t k = 0; k < r.length; k += ROW_BYTES, w += ROW_BYTES * BYTE_CHANNELS) {
            _tile_loadd(6, first + k, step);
            _tile_loadd(4, w, WEIGHT_STEP);
            _tile_dpbusd(0, 6, 4);
            _tile_loadd(5, w + ROW_BYTES, WEIGHT_STEP);
            _tile_dpbusd(1, 6, 5);
        }
    }
    STORE(0, s, p * BYTE_CHANNELS, 0);
    STORE(1, s, p * BYTE_CHANNELS, LANES);
}

/* Pixels [from, pixels). Memory behind the last need not exist, so the last tile begins early and computes some again. Weights
 * of the next block lie behind these and are asked for, a share with each tile: they come from memory once. */
static void stretch(const uint8_t *x, int64_t step, const int8_t *w, runs r, sums s, int32_t from, int32_t pixels)
{
    if (from == pixels) {
        return;
    }
    const int32_t last = pixels - ROWS, bytes = r.count * r.length * BYTE_CHANNELS,
                  tiles = (pixels - from + 2 * ROWS - 1) / (2 * ROWS),
                  lines = bytes > FAR_BYTES ? (STEP_LINES + tiles - 1) / tiles : 0;
    const int8_t *next = w + bytes;
    int32_t p = from;
    for (; p < last; p += 2 * ROWS, next += bytes / STEP_LINES * lines) {
        two_tiles(x, step, w, r, s, p, p + ROWS < last ? p + ROWS : last, next, lines);
    }
    if (p < pixels) {
        one_tile(x, step, w, r, s, last);
    }
}

/* Weights that the first cache cannot hold beside the pixels, but of one run it can: run by run over all pixels, as far as
 * these fill pairs of tiles. Returns how many pixels are done. */
static int32_t run_by_run(const uint8_t *x, int64_t step, const int8_t *w, runs r, sums s, int32_t pixels)
{
    const int32_t bytes = r.length * BYTE_CHANNELS, whole = pixels / (2 * ROWS) * (2 * ROWS);
    if (r.count < 2 || bytes > NEAR_BYTES || bytes * r.count <= FAR_BYTES) {
        return 0;
    }
    for (int32_t run = 0; run < r.count; run++, w += bytes, s.start = NULL) {
        for (int32_t p = 0; p < whole; p += 2 * ROWS) {
            two_tiles(x, step, w, (runs){r.offset + run, 1, r.length}, s, p, p + ROWS, w, 0);
        }
    }
    return whole;
}

void sim_amx_dot_bytes(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                       int32_t count, int32_t length, const int32_t *start, int32_t *y)
{
    const runs r = {offset, count, length};
    const sums s = {start, y};
    if (pixels < ROWS) { /* smaller tiles */
        configure(pixels);
        one_tile(x, step, w, r, s, 0);
        configure(ROWS);
        return;
    }
    stretch(x, step, w, r, s, run_by_run(x, step, w, r, s, pixels), pixels);
}

/* ---- half a block: one tile of channels, and four of pixels ---- */

enum { HALF_STEP = 4 * LANES };

#define LOAD_HALF(tile) _tile_loadd(tile, start, 0)
#define STORE_HALF(tile, p) _tile_stored(tile, y + (p) * LANES, HALF_STEP)

static inline void four_tiles(const uint8_t *x, int64_t step, const int8_t *w, runs r, const int32_t *start, int32_t *y,
                              const int32_t *p)
{
    LOAD_HALF(0);
    LOAD_HALF(1);
    LOAD_HALF(2);
    LOAD_HALF(3);
    for (int32_t run = 0; run < r.count; run++) {
        const uint8_t *at = x + r.offset[run];
        for (int32_t k = 0; k < r.length; k += ROW_BYTES, at += ROW_BYTES, w += ROW_BYTES * LANES) {
            _tile_loadd(4, w, HALF_STEP);
            _tile_loadd(6, at + p[0] * step, step);
            _tile_dpbusd(0, 6, 4);
            _tile_loadd(7, at + p[1] * step, step);
            _tile_dpbusd(1, 7, 4);
            _tile_loadd(6, at + p[2] * step, step);
            _tile_dpbusd(2, 6, 4);
            _tile_loadd(7, at + p[3] * step, step);
            _tile_dpbusd(3, 7, 4);
        }
    }
    STORE_HALF(0, p[0]);
    STORE_HALF(1, p[1]);
    STORE_HALF(2, p[2]);
    STORE_HALF(3, p[3]);
}

static inline void half_tile(const uint8_t *x, int64_t step, const int8_t *w, runs r, const int32_t *start, int32_t *y,
                             int32_t p)
{
    LOAD_HALF(0);
    for (int32_t run = 0; run < r.count; run++) {
        const uint8_t *at = x + p * step + r.offset[run];
        for (int32_t k = 0; k < r.length; k += ROW_BYTES, w += ROW_BYTES * LANES) {
            _tile_loadd(6, at + k, step);
            _tile_loadd(4, w, HALF_STEP);
            _tile_dpbusd(0, 6, 4);
        }
    }
    STORE_HALF(0, p);
}

void sim_amx_dot_half(const uint8_t *x, int64_t step, int32_t pixels, const void *w, const int32_t *offset,
                      int32_t count, int32_t length, const int32_t *start, int32_t *y)
{
    const runs r = {offset, count, length};
    const int32_t last = pixels - ROWS;
    if (last < 0) {
        configure(pixels);
        half_tile(x, step, w, r, start, y, 0);
        configure(ROWS);
        return;
    }
    int32_t p = 0;
    for (; p < last; p += 4 * ROWS) {
        int32_t at[4];
        for (int i = 0; i < 4; i++) {
            at[i] = p + i * ROWS < last ? p + i * ROWS : last;
        }
        four_tiles(x, step, w, r, start, y, at);
    }
    if (p < pixels) {
        half_tile(x, step, w, r, start, y, last);
    }
}
