/* Convolution over tiles: what every instruction set shares.
 *
 * A task computes some output rows for some blocks of output channels. It first copies the input rows under them into
 * scratch memory, quantized to int16 (or widened to float32), with the padding written out; then every output pixel is a
 * dot product over a few runs of consecutive scratch elements. Integer Winograd can stand beside sim_conv_run as another
 * way to fill the accumulators: prepare, pack and run are the only places that know how it is done. */
#include <string.h>

#include "kernels.h"

enum { SCRATCH_TARGET = 256 * 1024, SCRATCH_LIMIT = 64 * 1024 * 1024, MAX_RUNS = 256, DEPTHWISE_CHUNK = 256 };

static size_t element_size(const sim_conv *conv)
{
    return conv->weight_dtype == SIM_FLOAT32 ? sizeof(float) : sizeof(int16_t);
}

static int64_t up_to(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static int64_t scratch_rows_for(const sim_conv *conv, int64_t rows)
{
    return (rows - 1) * conv->stride_h + (int64_t)(conv->kernel_h - 1) * conv->dilation_h + 1;
}

/* Output rows per task: as many as fit the target, spread evenly. 0 if not even one row fits the limit. */
static int32_t choose_rows(const sim_conv *conv, int64_t row_bytes)
{
    if (scratch_rows_for(conv, 1) > SCRATCH_LIMIT / row_bytes) {
        return 0;
    }
    int64_t rows = 1;
    while (rows < conv->out_h && scratch_rows_for(conv, rows + 1) * row_bytes <= SCRATCH_TARGET) {
        rows++;
    }
    const int64_t tasks = (conv->out_h + rows - 1) / rows;
    return (int32_t)((conv->out_h + tasks - 1) / tasks);
}

static void prepare_untiled(sim_conv *conv)
{
    sim_conv_tiling *t = &conv->tiling;
    const size_t weights =
        (size_t)conv->out_c * (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)(conv->in_c / conv->groups);
    *t = (sim_conv_tiling){
        .rows = 1,
        .blocks = (conv->out_c + SIM_OC_BLOCK - 1) / SIM_OC_BLOCK,
        .scratch_bytes = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)conv->in_c * sizeof(float),
        .packed_bytes = weights * sim_dtype_size(conv->weight_dtype),
    };
}

/* Distance from pixel to pixel. Multiples of 1 KiB put the pixels of one register tile into the same cache sets. */
static int64_t choose_pixel_pitch(const sim_conv *conv, bool depthwise)
{
    const int64_t size = (int64_t)element_size(conv);
    const int64_t pitch = depthwise ? up_to(conv->in_c, 8) : conv->in_c;
    return pitch * size % 1024 ? pitch : pitch + 64 / size;
}

static void prepare_runs(const sim_kernels *kernels, const sim_conv *conv, sim_conv_tiling *t)
{
    const int32_t multiple = conv->weight_dtype == SIM_FLOAT32 ? 1 : kernels->multiple;
    const bool merged = conv->groups == 1 && conv->dilation_w == 1 && t->pixel_pitch == conv->in_c && !t->depthwise;
    const int64_t length = merged ? (int64_t)conv->kernel_w * conv->in_c : conv->in_c / conv->groups;
    t->runs = merged ? conv->kernel_h : conv->kernel_h * conv->kernel_w;
    t->run_length = (int32_t)up_to(length, multiple);
}

void sim_conv_prepare(const sim_kernels *kernels, sim_conv *conv)
{
    sim_conv_tiling t = {.tiled = true};
    const int32_t group_outputs = conv->out_c / conv->groups;
    t.depthwise = conv->weight_dtype == SIM_FLOAT32 && conv->groups == conv->in_c && conv->out_c == conv->in_c &&
                  conv->groups > 1;
    const bool wasteful = conv->groups > 1 && group_outputs < 4 && !t.depthwise;
    const int64_t size = (int64_t)element_size(conv);
    const int64_t pixel_pitch = choose_pixel_pitch(conv, t.depthwise);
    const int64_t width =
        (int64_t)(conv->out_w - 1) * conv->stride_w + (int64_t)(conv->kernel_w - 1) * conv->dilation_w + 1;
    const int64_t row_pitch = width * pixel_pitch;
    if (!kernels->tiled || conv->transposed || wasteful || row_pitch * size > SCRATCH_LIMIT ||
        conv->kernel_h * (int64_t)conv->kernel_w > MAX_RUNS) {
        prepare_untiled(conv);
        return;
    }
    t.rows = choose_rows(conv, row_pitch * size);
    if (t.rows == 0) {
        prepare_untiled(conv);
        return;
    }
    t.pixel_pitch = (int32_t)pixel_pitch;
    t.row_pitch = (int32_t)row_pitch;
    t.pad_left = conv->pad_left;
    t.scratch_rows = (int32_t)scratch_rows_for(conv, t.rows);
    t.scratch_bytes = (size_t)(t.scratch_rows * row_pitch * size) + 64; /* a padded run reads a little past its end */
    prepare_runs(kernels, conv, &t);
    t.blocks = ((t.depthwise ? conv->out_c : group_outputs) + SIM_OC_BLOCK - 1) / SIM_OC_BLOCK;
    const size_t taps = (size_t)conv->kernel_h * (size_t)conv->kernel_w;
    t.packed_bytes = t.depthwise ? taps * (size_t)up_to(conv->in_c, 8) * sizeof(float)
                                 : (size_t)conv->groups * (size_t)t.blocks * (size_t)t.runs * (size_t)t.run_length *
                                       SIM_OC_BLOCK * (size_t)size;
    conv->tiling = t;
}

int32_t sim_conv_blocks(const sim_conv *conv)
{
    return conv->tiling.tiled && !conv->tiling.depthwise ? conv->groups * conv->tiling.blocks : conv->tiling.blocks;
}

/* ---- packing ---- */

static void pack_depthwise(const sim_conv *conv, const float *weights, float *packed)
{
    const size_t taps = (size_t)conv->kernel_h * (size_t)conv->kernel_w, pitch = (size_t)up_to(conv->in_c, 8);
    memset(packed, 0, conv->tiling.packed_bytes);
    for (size_t t = 0; t < taps; t++) {
        for (size_t c = 0; c < (size_t)conv->in_c; c++) {
            packed[t * pitch + c] = weights[c * taps + t];
        }
    }
}

static void pack_one(void *packed, size_t at, const void *weights, size_t from, uint32_t dtype)
{
    if (dtype == SIM_INT8) {
        ((int16_t *)packed)[at] = ((const int8_t *)weights)[from];
    } else if (dtype == SIM_INT16) {
        memcpy((int16_t *)packed + at, (const int16_t *)weights + from, sizeof(int16_t));
    } else {
        memcpy((float *)packed + at, (const float *)weights + from, sizeof(float));
    }
}

/* [group][block][run][length / interleave][SIM_OC_BLOCK][interleave], zeros where there is no weight. */
void sim_conv_pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    const sim_conv_tiling *t = &conv->tiling;
    if (!t->tiled) {
        memcpy(packed, weights, t->packed_bytes);
        return;
    }
    if (t->depthwise) {
        pack_depthwise(conv, weights, packed);
        return;
    }
    const size_t group_outputs = (size_t)(conv->out_c / conv->groups);
    const size_t volume = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)(conv->in_c / conv->groups);
    const size_t real = volume / (size_t)t->runs,
                 interleave = conv->weight_dtype == SIM_FLOAT32 ? 1 : (size_t)kernels->interleave;
    const size_t block_size = (size_t)t->runs * (size_t)t->run_length * SIM_OC_BLOCK;
    memset(packed, 0, t->packed_bytes);
    for (size_t o = 0; o < (size_t)conv->out_c; o++) {
        const size_t group = o / group_outputs, in_group = o % group_outputs, lane = in_group % SIM_OC_BLOCK;
        const size_t base = (group * (size_t)t->blocks + in_group / SIM_OC_BLOCK) * block_size;
        for (size_t k = 0; k < volume; k++) {
            const size_t place = k / real * (size_t)t->run_length + k % real;
            const size_t at = base + (place / interleave * SIM_OC_BLOCK + lane) * interleave + place % interleave;
            pack_one(packed, at, weights, o * volume + k, conv->weight_dtype);
        }
    }
}

/* ---- the scratch copy of the input ---- */

static void fill_lookup(const sim_conv *conv, const uint8_t *x, int32_t pitch, size_t pixels, int16_t *out,
                        int32_t out_pitch)
{
    const int16_t *table = conv->lookup;
    const int32_t *channel = conv->lookup_channel;
    if (conv->in_c == 3) { /* nearly every first layer */
        const int32_t r = channel[0], g = channel[1], b = channel[2];
        for (size_t p = 0; p < pixels; p++, x += pitch, out += out_pitch) {
            const int16_t q0 = table[x[r]], q1 = table[256 + x[g]], q2 = table[512 + x[b]];
            out[0] = q0;
            out[1] = q1;
            out[2] = q2;
        }
        return;
    }
    for (size_t p = 0; p < pixels; p++, x += pitch, out += out_pitch) {
        for (int32_t i = 0; i < conv->in_c; i++) {
            out[i] = table[i * 256 + x[channel[i]]];
        }
    }
}

static void fill_span(const sim_kernels *kernels, const sim_conv *conv, const char *x, uint32_t dtype, size_t count,
                      void *out)
{
    if (conv->weight_dtype == SIM_FLOAT32) {
        kernels->convert(x, dtype, out, SIM_FLOAT32, count);
    } else {
        kernels->quantize(x, dtype, count, conv->quant_scale, conv->weight_dtype == SIM_INT8 ? 127.0f : 32767.0f, out);
    }
}

/* Pixels [0, pixels) of one input row, without padding. */
static void fill_pixels(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const char *row,
                        size_t pixels, char *out)
{
    const size_t size = element_size(conv), step = sim_dtype_size(x->dtype) * (size_t)x->pitch;
    const size_t out_step = size * (size_t)conv->tiling.pixel_pitch;
    if (conv->lookup) {
        fill_lookup(conv, (const uint8_t *)row, x->pitch, pixels, (int16_t *)out, conv->tiling.pixel_pitch);
    } else if (x->pitch == conv->in_c && conv->tiling.pixel_pitch == conv->in_c) {
        fill_span(kernels, conv, row, x->dtype, pixels * (size_t)conv->in_c, out);
    } else {
        for (size_t p = 0; p < pixels; p++) {
            fill_span(kernels, conv, row + p * step, x->dtype, (size_t)conv->in_c, out + p * out_step);
        }
    }
}

static void fill_scratch(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, int32_t n, int32_t row,
                         int32_t rows, char *scratch)
{
    const sim_conv_tiling *t = &conv->tiling;
    const size_t size = element_size(conv), pixel = size * (size_t)t->pixel_pitch, bytes = size * (size_t)t->row_pitch;
    const int64_t width = t->row_pitch / t->pixel_pitch;
    const int64_t left = t->pad_left < width ? t->pad_left : width;
    const int64_t inside = conv->in_w < width - left ? conv->in_w : width - left;
    const int64_t first = (int64_t)row * conv->stride_h - conv->pad_top, count = scratch_rows_for(conv, rows);
    for (int64_t r = 0; r < count; r++, scratch += bytes) {
        const int64_t iy = first + r;
        if (iy < 0 || iy >= conv->in_h) {
            memset(scratch, 0, bytes);
            continue;
        }
        const size_t start = ((size_t)n * (size_t)x->h + (size_t)iy) * (size_t)x->w * (size_t)x->pitch;
        memset(scratch, 0, (size_t)left * pixel);
        fill_pixels(kernels, conv, x, x->data + start * sim_dtype_size(x->dtype), (size_t)inside,
                    scratch + (size_t)left * pixel);
        memset(scratch + (size_t)(left + inside) * pixel, 0, (size_t)(width - left - inside) * pixel);
    }
}

static void fill_offsets(const sim_conv *conv, int32_t *offset)
{
    const sim_conv_tiling *t = &conv->tiling;
    const int32_t per_row = t->runs / conv->kernel_h;
    for (int32_t r = 0; r < t->runs; r++) {
        offset[r] = r / per_row * conv->dilation_h * t->row_pitch + r % per_row * conv->dilation_w * t->pixel_pitch;
    }
}

/* ---- the products ---- */

typedef struct walk { /* over the output pixels of a task, row by row */
    const char *at, *row_start;
    size_t pixel_step, row_step;
    int32_t x, width;
} walk;

static walk walk_start(const sim_conv *conv, const char *scratch, int32_t first_channel)
{
    const size_t size = element_size(conv);
    const char *at = scratch + (size_t)first_channel * size;
    return (walk){at,
                  at,
                  size * (size_t)conv->tiling.pixel_pitch * (size_t)conv->stride_w,
                  size * (size_t)conv->tiling.row_pitch * (size_t)conv->stride_h,
                  0,
                  conv->out_w};
}

static inline const char *walk_next(walk *w)
{
    const char *here = w->at;
    w->at += w->pixel_step;
    if (++w->x == w->width) {
        w->x = 0;
        w->row_start += w->row_step;
        w->at = w->row_start;
    }
    return here;
}

static void dot(const sim_kernels *kernels, const sim_conv *conv, const void *const *x, const char *w,
                const int32_t *offset, float *y)
{
    const sim_conv_tiling *t = &conv->tiling;
    if (conv->weight_dtype == SIM_INT8) {
        kernels->dot_s8((const int16_t *const *)x, (const int16_t *)w, offset, t->runs, t->run_length, y);
    } else if (conv->weight_dtype == SIM_INT16) {
        kernels->dot_s16((const int16_t *const *)x, (const int16_t *)w, offset, t->runs, t->run_length, y);
    } else {
        kernels->dot_f32((const float *const *)x, (const float *)w, offset, t->runs, t->run_length, y);
    }
}

static sim_affine affine_at(const sim_conv *conv, int32_t channel)
{
    const sim_affine *a = &conv->affine;
    return (sim_affine){a->scale + channel, a->bias + channel, a->alpha + channel, a->beta + channel};
}

static char *output_at(const sim_conv *conv, const sim_view *y, int32_t n, int32_t row, int32_t channel)
{
    const size_t pixel = ((size_t)n * (size_t)conv->out_h + (size_t)row) * (size_t)conv->out_w;
    return y->data + (pixel * (size_t)y->pitch + (size_t)channel) * sim_dtype_size(y->dtype);
}

/* One block of output channels for all pixels of the task. */
static void run_block(const sim_kernels *kernels, const sim_conv *conv, const sim_view *y, int32_t n, int32_t row,
                      int32_t rows, int32_t block, const char *scratch, const int32_t *offset)
{
    _Alignas(64) float acc[SIM_PIXEL_CHUNK * SIM_OC_BLOCK];
    const sim_conv_tiling *t = &conv->tiling;
    const int32_t group = block / t->blocks, in_group = block % t->blocks * SIM_OC_BLOCK,
                  outputs = conv->out_c / conv->groups;
    const int32_t channel = group * outputs + in_group,
                  channels = outputs - in_group < SIM_OC_BLOCK ? outputs - in_group : SIM_OC_BLOCK;
    const char *w = (const char *)conv->packed +
                    (size_t)block * (size_t)t->runs * (size_t)t->run_length * SIM_OC_BLOCK * element_size(conv);
    const sim_affine affine = affine_at(conv, channel);
    walk pixels = walk_start(conv, scratch, group * (conv->in_c / conv->groups));
    char *out = output_at(conv, y, n, row, channel);
    int32_t left = rows * conv->out_w;
    while (left > 0) {
        const int32_t chunk = left < SIM_PIXEL_CHUNK ? left : SIM_PIXEL_CHUNK;
        for (int32_t p = 0; p < chunk; p += kernels->pixels) {
            const void *x[SIM_MAX_PIXELS];
            for (int32_t i = 0; i < kernels->pixels; i++) {
                x[i] = p + i < chunk ? walk_next(&pixels) : x[i - 1];
            }
            dot(kernels, conv, x, w, offset, acc + p * SIM_OC_BLOCK);
        }
        kernels->finish(acc, SIM_OC_BLOCK, chunk, channels, &affine, &conv->activation, out, y->dtype, y->pitch);
        out += (size_t)chunk * (size_t)y->pitch * sim_dtype_size(y->dtype);
        left -= chunk;
    }
}

static void run_depthwise(const sim_kernels *kernels, const sim_conv *conv, const sim_view *y, int32_t n, int32_t row,
                          int32_t rows, int32_t channel, int32_t channels, const char *scratch, const int32_t *offset)
{
    _Alignas(64) float acc[SIM_MAX_PIXELS * DEPTHWISE_CHUNK];
    const int32_t count = (int32_t)up_to(channels, 8), tile = kernels->pixels;
    const sim_affine affine = affine_at(conv, channel);
    walk pixels = walk_start(conv, scratch, channel);
    char *out = output_at(conv, y, n, row, channel);
    int32_t left = rows * conv->out_w;
    while (left > 0) {
        const int32_t chunk = left < tile ? left : tile;
        const float *x[SIM_MAX_PIXELS];
        for (int32_t i = 0; i < tile; i++) {
            x[i] = i < chunk ? (const float *)(const void *)walk_next(&pixels) : x[i - 1];
        }
        kernels->depthwise(x, (const float *)conv->packed + channel, (int32_t)up_to(conv->in_c, 8), offset,
                           conv->tiling.runs, count, acc);
        kernels->finish(acc, count, chunk, channels, &affine, &conv->activation, out, y->dtype, y->pitch);
        out += (size_t)chunk * (size_t)y->pitch * sim_dtype_size(y->dtype);
        left -= chunk;
    }
}

void sim_conv_run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_view *y, int32_t n,
                  int32_t row, int32_t rows, int32_t block, int32_t blocks, void *scratch, bool fresh)
{
    const int32_t channel = block * SIM_OC_BLOCK;
    const int32_t end = (block + blocks) * SIM_OC_BLOCK < conv->out_c ? (block + blocks) * SIM_OC_BLOCK : conv->out_c;
    if (!conv->tiling.tiled) {
        sim_conv_reference(conv, x, y, n, row, rows, channel, end - channel, scratch);
        return;
    }
    int32_t offset[MAX_RUNS];
    fill_offsets(conv, offset);
    if (!fresh) {
        fill_scratch(kernels, conv, x, n, row, rows, scratch);
    }
    if (conv->tiling.depthwise) {
        for (int32_t c = channel; c < end; c += DEPTHWISE_CHUNK) {
            run_depthwise(kernels, conv, y, n, row, rows, c, end - c < DEPTHWISE_CHUNK ? end - c : DEPTHWISE_CHUNK,
                          scratch, offset);
        }
        return;
    }
    for (int32_t b = block; b < block + blocks; b++) {
        run_block(kernels, conv, y, n, row, rows, b, scratch, offset);
    }
}
