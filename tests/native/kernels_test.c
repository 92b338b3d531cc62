/* Every fast kernel and every convolution algorithm equals the plain C reference to the bit: random shapes, odd values.
 *
 *     kernels_test [cases] [seed]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conv/algorithm.h"
#include "conv/direct.h"
#include "draws.h"
#include "half.h"
#include "kernels.h"

static unsigned long failures;

/* Mostly ordinary values; now and then a zero of either sign, a subnormal, an infinity, a NaN, something huge. */
static float any_float(bool special)
{
    static const float SPECIAL[] = {0.0f, -0.0f, 1e-40f, -1e-40f, 6e-8f, 65504.0f, 65519.0f, 65520.0f, 1e30f, -1e38f};
    if (special && draw() % 8 == 0) {
        const uint32_t which = draw() % 13;
        return which < 10 ? SPECIAL[which] : which == 10 ? INFINITY : which == 11 ? -INFINITY : NAN;
    }
    return uniform(-4.0f, 4.0f);
}

static void fill(void *data, uint32_t dtype, size_t count, bool special)
{
    for (size_t i = 0; i < count; i++) {
        if (dtype == SIM_UINT8) {
            ((uint8_t *)data)[i] = (uint8_t)draw();
        } else if (dtype == SIM_FLOAT16) {
            ((uint16_t *)data)[i] =
                special && draw() % 16 == 0 ? (uint16_t)draw() : sim_half_from_float(any_float(special));
        } else {
            ((float *)data)[i] = any_float(special);
        }
    }
}

static void *room(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    memset(memory, 0xa5, (bytes + 127) / 64 * 64);
    return memory;
}

/* What must not be read or written past its end lies at the end of one of these, behind which everything faults. */
typedef enum guard { PACKED, SCRATCH, QUANTIZED, GUARDS } guard;

/* The last `bytes` of that memory: until they are asked for again. */
static void *guarded(guard which, size_t bytes)
{
    enum { MOST = 64 << 20 };
    static char *memory[GUARDS];
    if (!memory[which]) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *whole = mmap(NULL, MOST + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (whole == MAP_FAILED || mprotect(whole + MOST, page, PROT_NONE)) {
            fprintf(stderr, "no memory\n");
            exit(3);
        }
        memory[which] = whole;
    }
    if (bytes > MOST) {
        fprintf(stderr, "FAIL a layer asks for %zu bytes\n", bytes);
        exit(1);
    }
    return memset(memory[which] + MOST - bytes, 0xa5, bytes);
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static void equal(const char *what, const sim_kernels *k, const void *a, const void *b, size_t bytes)
{
    if (memcmp(a, b, bytes) == 0) {
        return;
    }
    size_t at = 0;
    while (((const unsigned char *)a)[at] == ((const unsigned char *)b)[at]) {
        at++;
    }
    fprintf(stderr, "FAIL %s: %s differs from the reference at byte %zu of %zu\n", what, k->name, at, bytes);
    failures++;
}

static void expect(const char *what, double got, double wanted)
{
    if (got != wanted) {
        fprintf(stderr, "FAIL %s: %.9g, expected %.9g\n", what, got, wanted);
        failures++;
    }
}

static uint32_t any_dtype(void)
{
    return draw() % 2 ? SIM_FLOAT16 : SIM_FLOAT32;
}

static sim_activation any_activation(bool fast)
{
    sim_activation activation = {draw() % SIM_FUNCTIONS, uniform(-0.5f, 0.5f), uniform(0.5f, 3.0f)};
    while (activation.function == SIM_PRELU || (fast && !sim_activation_is_fast(activation.function))) {
        activation.function = draw() % SIM_FUNCTIONS;
    }
    return activation;
}

/* ---- spans ---- */

static void test_spans(const sim_kernels *k)
{
    const size_t count = draw() % 100;
    const uint32_t x_dtype = draw() % 8 ? any_dtype() : SIM_UINT8, y_dtype = any_dtype(), b_dtype = any_dtype();
    float x[100], b[100], y[100], z[100];
    int16_t p[100], q[100];
    fill(x, x_dtype, 100, true);
    fill(b, b_dtype, 100, true);
    memset(y, 0, sizeof y);
    memset(z, 0, sizeof z);
    memset(p, 0, sizeof p);
    memset(q, 0, sizeof q);
    const sim_kernels *r = &SIM_KERNELS_REFERENCE;
    const float scale = uniform(0.01f, 100.0f), qmax = draw() % 2 ? 127.0f : 32767.0f;
    k->quantize(x, x_dtype, count, scale, qmax, p);
    r->quantize(x, x_dtype, count, scale, qmax, q);
    equal("quantize", k, p, q, sizeof p);
    const uint8_t zero = draw() % 2 ? 128 : 0;
    k->widen((const uint8_t *)x, zero, count, p);
    r->widen((const uint8_t *)x, zero, count, q);
    equal("widen", k, p, q, sizeof p);
    k->convert(x, x_dtype, y, y_dtype, x_dtype == SIM_UINT8 ? 0 : count);
    r->convert(x, x_dtype, z, y_dtype, x_dtype == SIM_UINT8 ? 0 : count);
    equal("convert", k, y, z, sizeof y);
    sim_activation activation = any_activation(false);
    activation.function += activation.function == SIM_LINEAR;
    k->activate(&activation, x, x_dtype, y, y_dtype, count);
    r->activate(&activation, x, x_dtype, z, y_dtype, count);
    equal("activate", k, y, z, sizeof y);
    for (int kind = SIM_ADD; kind < SIM_BINARIES; kind++) {
        k->binary((sim_binary)kind, x, x_dtype, b, b_dtype, y, y_dtype, count);
        r->binary((sim_binary)kind, x, x_dtype, b, b_dtype, z, y_dtype, count);
        equal("binary", k, y, z, sizeof y);
    }
}

/* A picture's bytes: three channels out of three or four, the usual case, more often than others. */
static void test_look_up(const sim_kernels *k)
{
    const bool usual = draw() % 4;
    const int32_t channels = usual ? 3 : between(1, 5), pitch = channels + between(0, 1), pixels = between(0, 150);
    int16_t *table = room((size_t)channels * 512);
    int32_t channel[5];
    for (int32_t i = 0; i < channels * 256; i++) {
        table[i] = (int16_t)between(-127, 127);
    }
    for (int32_t i = 0; i < channels; i++) {
        channel[i] = between(0, pitch - 1);
    }
    uint8_t *x = room((size_t)(pixels * pitch)), *y = room((size_t)(pixels * channels)),
            *z = room((size_t)(pixels * channels));
    fill(x, SIM_UINT8, (size_t)(pixels * pitch), false);
    const sim_lookup lookup = {table, channel, channels, draw() % 2 ? 128 : 0};
    k->look_up(&lookup, x, pitch, (size_t)pixels, y);
    sim_look_up(&lookup, x, pitch, (size_t)pixels, z);
    equal("look_up", k, y, z, (size_t)(pixels * channels + 64));
    free(table);
    free(x);
    free(y);
    free(z);
}

/* All halves through conversion and every function. */
static void test_all_halves(const sim_kernels *k)
{
    uint16_t *x = room(65536 * 2), *y = room(65536 * 2), *z = room(65536 * 2);
    float *f = room(65536 * 4), *g = room(65536 * 4);
    for (uint32_t i = 0; i < 65536; i++) {
        x[i] = (uint16_t)i;
    }
    k->convert(x, SIM_FLOAT16, f, SIM_FLOAT32, 65536);
    SIM_KERNELS_REFERENCE.convert(x, SIM_FLOAT16, g, SIM_FLOAT32, 65536);
    equal("all halves to float", k, f, g, 65536 * 4);
    for (uint32_t function = SIM_RELU; function < SIM_FUNCTIONS; function++) {
        const sim_activation activation = {function, 0.1f, 2.5f};
        k->activate(&activation, x, SIM_FLOAT16, y, SIM_FLOAT16, 65536);
        SIM_KERNELS_REFERENCE.activate(&activation, x, SIM_FLOAT16, z, SIM_FLOAT16, 65536);
        equal("activation of all halves", k, y, z, 65536 * 2);
    }
    free(x);
    free(y);
    free(z);
    free(f);
    free(g);
}

/* Around every rounding boundary of binary16: both halves' midpoints and their neighbours. */
static void test_roundings(const sim_kernels *k)
{
    float *x = room(65536 * 3 * 4);
    uint16_t *y = room(65536 * 3 * 2), *z = room(65536 * 3 * 2);
    for (uint32_t i = 0; i < 65536; i++) {
        const uint32_t bits = sim_float_bits(sim_float_from_half((uint16_t)i)) + 0x1000u;
        for (uint32_t d = 0; d < 3; d++) {
            x[3 * i + d] = sim_float_from_bits(bits + d - 1u);
        }
    }
    k->convert(x, SIM_FLOAT32, y, SIM_FLOAT16, 65536 * 3);
    SIM_KERNELS_REFERENCE.convert(x, SIM_FLOAT32, z, SIM_FLOAT16, 65536 * 3);
    equal("rounding to half", k, y, z, 65536 * 3 * 2);
    free(x);
    free(y);
    free(z);
}

static sim_view new_view(int32_t n, int32_t h, int32_t w, int32_t c, uint32_t dtype)
{
    const int32_t pitch = c + (draw() % 2 ? 0 : between(1, 9));
    return (sim_view){
        room((size_t)n * (size_t)h * (size_t)w * (size_t)pitch * sim_dtype_size(dtype)), n, h, w, c, pitch, dtype};
}

static size_t view_bytes(const sim_view *v)
{
    return (size_t)v->n * (size_t)v->h * (size_t)v->w * (size_t)v->pitch * sim_dtype_size(v->dtype);
}

/* ---- the end of a convolution ---- */

typedef struct ending {
    sim_target target; /* without the data of y and bytes, which are each table's own */
    uint16_t *halves;
    sim_codes *codes;
} ending;

/* Anything that may stand behind an activation. */
static ending any_ending(const sim_kernels *k, const sim_activation *activation, int32_t n, int32_t h, int32_t w,
                         int32_t c)
{
    ending e = {.target = {.dtype = any_dtype(), .scale = uniform(0.5f, 80.0f), .zero = draw() % 2 ? 128 : 0}};
    sim_target *t = &e.target;
    t->y = new_view(n, h, w, c, t->dtype);
    t->bytes = new_view(n, h, w, c, SIM_QUANTIZED);
    t->add = new_view(n, h, w, c, any_dtype());
    fill(t->add.data, t->add.dtype, view_bytes(&t->add) / sim_dtype_size(t->add.dtype), true);
    const uint32_t absent = draw() % 4; /* never both outputs */
    free(t->y.data);
    free(t->bytes.data);
    t->y.data = absent == 1 ? NULL : t->add.data; /* anything: it is there */
    t->bytes.data = absent == 2 ? NULL : t->add.data;
    if (draw() % 2) {
        free(t->add.data);
        t->add.data = NULL;
    }
    if (t->dtype == SIM_FLOAT16 && draw() % 12 == 0) {
        e.halves = room((SIM_HALVES + SIM_PAST_HALVES) * sizeof *e.halves);
        e.codes = room(sizeof *e.codes);
        sim_table_of_halves(k, activation, e.halves);
        sim_table_of_codes(k, activation, t->scale, t->zero, e.codes);
        t->halves = e.halves;
        t->codes = e.codes;
    }
    return e;
}

static void free_ending(ending *e)
{
    free(e->target.add.data);
    free(e->halves);
    free(e->codes);
}

/* The target with memory of its own; freed by free_outputs. */
static sim_target with_outputs(const sim_target *target)
{
    sim_target t = *target;
    t.y.data = t.y.data ? room(view_bytes(&t.y)) : NULL;
    t.bytes.data = t.bytes.data ? room(view_bytes(&t.bytes)) : NULL;
    return t;
}

static void free_outputs(sim_target *t)
{
    free(t->y.data);
    free(t->bytes.data);
}

static void equal_outputs(const char *what, const sim_kernels *k, const sim_target *a, const sim_target *b)
{
    if (a->y.data) {
        equal(what, k, a->y.data, b->y.data, view_bytes(&a->y));
    }
    if (a->bytes.data) {
        equal(what, k, a->bytes.data, b->bytes.data, view_bytes(&a->bytes));
    }
}

/* Every half (a signalling NaN comes from no rounding) through the table of its codes; with the
 * last scale they are too steep to be kept as steps or ranges. */
static void test_codes(const sim_kernels *k)
{
    enum { CHANNELS = 64, PIXELS = SIM_HALVES / CHANNELS };
    float *halves = room(SIM_HALVES * sizeof *halves), terms[2 * CHANNELS];
    uint8_t *y = room(SIM_HALVES), *z = room(SIM_HALVES);
    sim_codes *codes = room(sizeof *codes);
    for (uint32_t i = 0; i < SIM_HALVES; i++) {
        halves[i] = sim_float_from_half((uint16_t)i);
    }
    for (int i = 0; i < CHANNELS; i++) {
        terms[i] = 1.0f;
        terms[CHANNELS + i] = -0.0f;
    }
    const sim_affine affine = {terms, terms + CHANNELS, terms, terms + CHANNELS};
    static const float SCALES[] = {3.7f, 25.4f, 61.0f, 900.0f};
    for (uint32_t i = 0; i < 4; i++) {
        const sim_activation silu = {SIM_SILU, 0.0f, 0.0f};
        sim_target t = {.dtype = SIM_FLOAT16, .scale = SCALES[i], .zero = 128};
        sim_table_of_codes(k, &silu, t.scale, t.zero, codes);
        t.codes = codes;
        t.bytes = (sim_view){(char *)y, 1, 1, PIXELS, CHANNELS, CHANNELS, SIM_QUANTIZED};
        k->finish(&(sim_sums){halves, CHANNELS, false}, PIXELS, CHANNELS, &affine, &silu, &t);
        t.bytes.data = (char *)z;
        sim_finish(&(sim_sums){halves, CHANNELS, false}, PIXELS, CHANNELS, &affine, &silu, &t);
        equal("codes of all halves", k, y, z, SIM_HALVES);
        expect("the codes of SiLU are steps", codes->stepped, i < 3);
        expect("the codes of SiLU are ranges", codes->ranged, k->ranges && k->ranges() && i < 3);
    }
    free(halves);
    free(y);
    free(z);
    free(codes);
}

/* Each step an operator of its own, one value after the other. */
static void finish_in_steps(const sim_sums *sums, int32_t pixels, int32_t channels, const sim_affine *a,
                            const sim_activation *activation, const sim_target *t)
{
    const sim_kernels *r = &SIM_KERNELS_REFERENCE;
    for (int32_t p = 0; p < pixels; p++) {
        for (int32_t c = 0; c < channels; c++) {
            const size_t at = (size_t)(p * sums->pitch + c);
            float v = sums->whole ? (float)((const int32_t *)sums->at)[at] : ((const float *)sums->at)[at];
            v = (v * a->scale[c] + a->bias[c]) * a->alpha[c] + a->beta[c];
            float kept = 0;
            int16_t code = 0;
            sim_store(&kept, t->dtype, 0, v);
            if (activation->function != SIM_LINEAR) {
                r->activate(activation, &kept, t->dtype, &kept, t->dtype, 1);
            }
            if (t->add.data) {
                const char *other = t->add.data + (size_t)(p * t->add.pitch + c) * sim_dtype_size(t->add.dtype);
                r->binary(SIM_ADD, &kept, t->dtype, other, t->add.dtype, &kept, t->dtype, 1);
            }
            r->quantize(&kept, t->dtype, 1, t->scale, SIM_BYTE_MAX, &code);
            if (t->y.data) {
                const size_t size = sim_dtype_size(t->dtype);
                memcpy(t->y.data + (size_t)(p * t->y.pitch + c) * size, &kept, size);
            }
            if (t->bytes.data) {
                ((uint8_t *)t->bytes.data)[p * t->bytes.pitch + c] = (uint8_t)(code + t->zero);
            }
        }
    }
}

static void test_finish(const sim_kernels *k)
{
    enum { MOST_PIXELS = 40, MOST_CHANNELS = 80 };
    static _Alignas(64) float values[MOST_PIXELS * MOST_CHANNELS + 64], terms[4][MOST_CHANNELS + 64];
    const int32_t pixels = between(1, MOST_PIXELS), channels = between(1, MOST_CHANNELS);
    const sim_sums sums = {values, between(channels, MOST_CHANNELS), draw() % 2};
    fill(values, SIM_FLOAT32, sizeof values / sizeof *values, true);
    if (sums.whole) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            ((int32_t *)(void *)values)[i] = between(-60000, 60000) * (1 << (draw() % 16));
        }
    }
    for (int i = 0; i < 4; i++) {
        fill(terms[i], SIM_FLOAT32, MOST_CHANNELS + 64, false);
        terms[i][0] *= draw() % 4 ? 1.0f : 1e30f;
        for (int c = 0; c < MOST_CHANNELS && i == 0 && sums.whole; c++) {
            terms[i][c] *= 1e-6f;
        }
    }
    const sim_affine affine = {terms[0], terms[1], terms[2], terms[3]};
    const bool unnormed = draw() % 2;
    for (int c = 0; c < MOST_CHANNELS && unnormed; c++) {
        terms[2][c] = 1.0f;
        terms[3][c] = -0.0f;
    }
    ending e = {0};
    sim_activation activation = any_activation(true);
    e = any_ending(k, &activation, 1, 1, pixels, channels);
    e.target.plain = unnormed;
    sim_target steps = with_outputs(&e.target), plain = with_outputs(&e.target), fast = with_outputs(&e.target);
    finish_in_steps(&sums, pixels, channels, &affine, &activation, &steps);
    SIM_KERNELS_REFERENCE.finish(&sums, pixels, channels, &affine, &activation, &plain);
    equal_outputs("finish in steps", &SIM_KERNELS_REFERENCE, &steps, &plain);
    k->finish(&sums, pixels, channels, &affine, &activation, &fast);
    equal_outputs("finish", k, &fast, &plain);
    free_outputs(&steps);
    free_outputs(&plain);
    free_outputs(&fast);
    free_ending(&e);
}

/* ---- max-pool ---- */

static void test_pool(const sim_kernels *k)
{
    sim_pool pool = {between(1, 5), between(1, 5), between(1, 3), between(1, 3), 0, 0, false};
    pool.pad_top = between(0, pool.kernel_h - 1);
    pool.pad_left = between(0, pool.kernel_w - 1);
    const int32_t h = between(1, 12), w = between(1, 12), c = between(1, 40), n = between(1, 2);
    const int32_t oh = between(1, (h - 1 + pool.pad_top) / pool.stride_h + 1),
                  ow = between(1, (w - 1 + pool.pad_left) / pool.stride_w + 1);
    sim_view x = new_view(n, h, w, c, any_dtype()), y = new_view(n, oh, ow, c, any_dtype()), z = y;
    z.data = room(view_bytes(&y));
    fill(x.data, x.dtype, view_bytes(&x) / sim_dtype_size(x.dtype), true);
    for (int32_t i = 0; i < n * oh; i++) {
        k->max_pool(&pool, &x, &y, i / oh, i % oh);
        SIM_KERNELS_REFERENCE.max_pool(&pool, &x, &z, i / oh, i % oh);
    }
    equal("max_pool", k, y.data, z.data, view_bytes(&y));
    free(x.data);
    free(y.data);
    free(z.data);
}

/* ---- convolution ---- */

static sim_conv any_shape(void)
{
    sim_conv c = {.kernel_h = between(1, 5),
                  .kernel_w = between(1, 5),
                  .stride_h = between(1, 3),
                  .stride_w = between(1, 3),
                  .dilation_h = between(1, 3),
                  .dilation_w = between(1, 3),
                  .groups = 1};
    if (draw() % 3 == 0) {
        c.kernel_h = c.kernel_w = 1;
    }
    if (draw() % 2 == 0) {
        c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = 1;
    }
    if (draw() % 3 == 0) { /* those that need fewer products than taps */
        c.dilation_h = c.dilation_w = 1;
        c.stride_h = c.stride_w = between(1, 2);
        c.kernel_h = c.kernel_w = c.stride_h == 2 && draw() % 3 == 0 ? 6 : 3;
    }
    c.in_c = draw() % 10 == 0 ? 512 : between(1, 70);
    c.out_c = between(1, 50);
    const uint32_t grouping = draw() % 6;
    if (grouping == 0) { /* depthwise */
        c.groups = c.out_c = c.in_c;
    } else if (grouping == 1) {
        c.groups = between(2, 4);
        c.in_c = c.groups * between(1, 9);
        c.out_c = c.groups * between(1, 20);
    }
    const int32_t extent_h = (c.kernel_h - 1) * c.dilation_h + 1, extent_w = (c.kernel_w - 1) * c.dilation_w + 1;
    c.pad_top = between(0, extent_h - 1);
    c.pad_left = between(0, extent_w - 1);
    c.in_h = between(1, 14);
    c.in_w = between(1, 20);
    c.out_h = between(1, (c.in_h - 1 + c.pad_top) / c.stride_h + 1);
    c.out_w = between(1, (c.in_w - 1 + c.pad_left) / c.stride_w + 1);
    return c;
}

static void fill_weights(void *weights, uint32_t dtype, size_t count, bool extreme)
{
    for (size_t i = 0; i < count; i++) {
        if (dtype == SIM_INT8) {
            ((int8_t *)weights)[i] = (int8_t)(extreme ? (draw() % 2 ? 127 : -127) : between(-127, 127));
        } else if (dtype == SIM_INT16) {
            ((int16_t *)weights)[i] = (int16_t)(extreme ? (draw() % 8 ? 32767 : -32767) : between(-32767, 32767));
        } else {
            ((float *)weights)[i] = uniform(-1.0f, 1.0f);
        }
    }
}

/* `elements`: more than channels, for what an algorithm reads past the last. */
static const float *any_affine(int32_t channels, int32_t elements, bool present, float identity, float low, float high)
{
    float *values = room((size_t)elements * sizeof(float));
    for (int32_t i = 0; i < elements; i++) {
        values[i] = present && i < channels ? uniform(low, high) : identity;
    }
    return values;
}

typedef struct layer {
    sim_conv conv;
    sim_view x;
    ending y; /* its outputs are each algorithm's own */
    void *weights;
    int16_t *table;
    int32_t *source;
} layer;

/* The most that any algorithm reads of the arrays of channels. */
static int32_t affine_elements(const sim_kernels *k, const sim_conv *conv)
{
    int32_t most = conv->out_c;
    for (size_t i = 0; sim_conv_algorithm_at(i); i++) {
        const sim_conv_algorithm *a = sim_conv_algorithm_at(i);
        const int32_t elements = a->fits(k, conv) ? a->sizes(k, conv).affine : 0;
        most = elements > most ? elements : most;
    }
    return most;
}

static void any_lookup(layer *l)
{
    const int32_t channels = l->conv.in_c, qmax = (int32_t)sim_conv_qmax(&l->conv);
    l->table = room((size_t)channels * 512);
    l->source = room((size_t)channels * sizeof(int32_t));
    for (int32_t i = 0; i < channels * 256; i++) {
        l->table[i] = (int16_t)between(-qmax, qmax);
    }
    for (int32_t i = 0; i < channels; i++) {
        l->source[i] = between(0, channels - 1);
    }
    l->conv.lookup = l->table;
    l->conv.lookup_channel = l->source;
}

/* A layer of that shape and type of weights. */
static layer layer_of(const sim_kernels *k, sim_conv shape)
{
    layer l = {.conv = shape};
    sim_conv *conv = &l.conv;
    const bool quantized = conv->weight_dtype != SIM_FLOAT32, extreme = draw() % 4 == 0;
    conv->quant_scale = extreme ? 1e6f : sim_conv_qmax(conv) / uniform(2.0f, 5.0f);
    const bool has_bias = draw() % 2, has_norm = draw() % 2, lookup = quantized && draw() % 6 == 0;
    const int32_t c = conv->out_c;
    const size_t count =
        (size_t)c * (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)(conv->in_c / conv->groups);
    l.weights = room(count * sim_dtype_size(conv->weight_dtype));
    fill_weights(l.weights, conv->weight_dtype, count, extreme);
    conv->weights = l.weights;
    const int32_t elements = affine_elements(k, conv);
    conv->affine = (sim_affine){any_affine(c, elements, quantized, 1.0f, 1e-5f, draw() % 8 ? 1e-3f : 1e2f),
                                any_affine(c, elements, has_bias, -0.0f, -1.0f, 1.0f),
                                any_affine(c, elements, has_norm, 1.0f, -2.0f, 2.0f),
                                any_affine(c, elements, has_norm, -0.0f, -1.0f, 1.0f)};
    conv->activation = any_activation(true);
    const int32_t n = between(1, 2);
    l.x = new_view(n, conv->in_h, conv->in_w, conv->in_c, lookup ? SIM_UINT8 : any_dtype());
    l.y = any_ending(k, &conv->activation, n, conv->out_h, conv->out_w, conv->out_c);
    l.y.target.plain = !has_norm;
    fill(l.x.data, l.x.dtype, view_bytes(&l.x) / sim_dtype_size(l.x.dtype), draw() % 2);
    if (lookup) {
        any_lookup(&l);
    }
    return l;
}

static layer any_layer(const sim_kernels *k)
{
    static const uint32_t KINDS[] = {SIM_INT8, SIM_INT8, SIM_INT16, SIM_FLOAT32};
    sim_conv shape = any_shape();
    shape.weight_dtype = KINDS[draw() % 4];
    return layer_of(k, shape);
}

static void free_layer(layer *l)
{
    const sim_affine *a = &l->conv.affine;
    const void *const owned[] = {a->scale, a->bias, a->alpha, a->beta};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) {
        free((void *)(uintptr_t)owned[i]);
    }
    free(l->weights);
    free(l->x.data);
    free_ending(&l->y);
    free(l->table);
    free(l->source);
}

/* Runs all rows and blocks in random pieces, in an order that reuses the scratch memory now and then. */
static void run_in_pieces(const sim_kernels *k, const sim_conv_algorithm *a, const layer *l, const sim_conv *conv,
                          const sim_target *y, void *scratch)
{
    const sim_conv_sizes sizes = a->sizes(k, conv);
    sim_conv_task task = {0};
    for (task.n = 0; task.n < l->x.n; task.n++) {
        for (task.row = 0; task.row < conv->out_h; task.row += task.rows) {
            const int32_t left = conv->out_h - task.row;
            task.rows = between(1, sizes.rows < left ? sizes.rows : left);
            for (task.block = 0; task.block < sizes.blocks; task.block += task.blocks) {
                task.blocks = between(1, sizes.blocks - task.block);
                task.fresh = task.block > 0 && draw() % 2;
                a->run(k, conv, &l->x, y, &task, scratch);
            }
        }
    }
}

/* What a plan may keep of the input for a layer of int8 weights: its values quantized, as the table wants them. The room
 * past the end is read. */
static sim_view quantized(const sim_kernels *k, const sim_conv *conv, const sim_view *x)
{
    sim_view q = *x;
    const size_t count = view_bytes(x) / sim_dtype_size(x->dtype);
    q.dtype = SIM_QUANTIZED;
    q.data = guarded(QUANTIZED, count + SIM_PAST_BYTES);
    for (size_t i = 0; i < count; i++) {
        const int32_t value = sim_quantize_value(sim_load(x->data, x->dtype, i), conv->quant_scale, 127.0f);
        ((uint8_t *)q.data)[i] = (uint8_t)(value + k->bytes.zero);
    }
    return q;
}

/* The layer's outputs as this algorithm computes them; the caller frees them. */
static sim_target compute(const sim_kernels *k, const sim_conv_algorithm *a, const layer *l)
{
    sim_conv conv = l->conv;
    const sim_conv_sizes sizes = a->sizes(k, &conv);
    void *packed = guarded(PACKED, whole_lines(sizes.packed_bytes)),
         *scratch = guarded(SCRATCH, whole_lines(sizes.scratch_bytes));
    sim_target y = with_outputs(&l->y.target);
    a->pack(k, &conv, l->weights, packed);
    conv.packed = packed;
    run_in_pieces(k, a, l, &conv, &y, scratch);
    return y;
}

enum { ALGORITHMS = 16, PRODUCTS = 4 };
static unsigned long taken[ALGORITHMS]; /* layers that each algorithm was forced to compute with one table */
static unsigned long fast[PRODUCTS];    /* computed by others than the reference, by the product that they need */

static int product_of(const sim_conv *c)
{
    const bool depthwise = c->groups > 1 && c->groups == c->in_c && c->groups == c->out_c;
    return c->weight_dtype == SIM_INT8 ? 0 : c->weight_dtype == SIM_INT16 ? 1 : depthwise ? 3 : 2;
}

/* The same layer over an input that is kept in bytes. */
static void test_quantized(const sim_kernels *k, const sim_conv_algorithm *a, const layer *l, const char *what,
                           const sim_target *wanted)
{
    layer kept = *l;
    kept.x = quantized(k, &l->conv, &l->x);
    sim_target got = compute(k, a, &kept);
    equal_outputs(what, k, &got, wanted);
    free_outputs(&got);
}

/* Every algorithm that fits is forced, not the chosen one alone. */
static void test_conv(const sim_kernels *k, layer l)
{
    const sim_conv *c = &l.conv;
    sim_target wanted = compute(&SIM_KERNELS_REFERENCE, &SIM_CONV_REFERENCE, &l);
    for (size_t i = 0; sim_conv_algorithm_at(i); i++) {
        const sim_conv_algorithm *a = sim_conv_algorithm_at(i);
        if (!a->fits(k, c)) {
            continue;
        }
        taken[i]++;
        fast[product_of(c)] += a != &SIM_CONV_REFERENCE;
        sim_target got = compute(k, a, &l);
        char what[192];
        snprintf(what, sizeof what,
                 "conv %s %s %dx%dx%d -> %dx%dx%d kernel %dx%d stride %dx%d pad %d,%d dilation %dx%d groups %d",
                 a->name,
                 c->weight_dtype == SIM_INT8    ? "int8"
                 : c->weight_dtype == SIM_INT16 ? "int16"
                                                : "float",
                 c->in_h, c->in_w, c->in_c, c->out_h, c->out_w, c->out_c, c->kernel_h, c->kernel_w, c->stride_h,
                 c->stride_w, c->pad_top, c->pad_left, c->dilation_h, c->dilation_w, c->groups);
        equal_outputs(what, k, &got, &wanted);
        free_outputs(&got);
        if (a != &SIM_CONV_REFERENCE && c->weight_dtype == SIM_INT8 && !c->lookup) {
            test_quantized(k, a, &l, what, &wanted);
        }
    }
    free_outputs(&wanted);
    free_layer(&l);
}

/* One output channel whose weights have magnitudes of `sum` in all, over a picture that makes the most of it: every
 * output is 127 * sum or less it. */
static void test_range(const sim_kernels *k, const sim_conv_algorithm *a, int32_t stride, int32_t sum, bool fits)
{
    const int32_t channels = (sum / 127 + 9) / 9, side = 3 + stride, sign = draw() % 2 ? 1 : -1;
    const float one = 1.0f, none = -0.0f;
    float affine[4][64];
    layer l = {.conv = {.in_h = side,
                        .in_w = side,
                        .in_c = channels,
                        .out_h = 2,
                        .out_w = 2,
                        .out_c = 1,
                        .kernel_h = 3,
                        .kernel_w = 3,
                        .stride_h = stride,
                        .stride_w = stride,
                        .dilation_h = 1,
                        .dilation_w = 1,
                        .groups = 1,
                        .weight_dtype = SIM_INT8,
                        .quant_scale = 1.0f,
                        .affine = {affine[0], affine[1], affine[2], affine[3]}},
               .x = new_view(1, side, side, channels, SIM_FLOAT32),
               .y.target = {.dtype = SIM_FLOAT32}};
    l.y.target.y = new_view(1, 2, 2, 1, SIM_FLOAT32);
    for (int i = 0; i < 4 * 64; i++) {
        affine[i / 64][i % 64] = i / 64 % 2 ? none : one;
    }
    int8_t *weights = room((size_t)channels * 9);
    for (int32_t i = 0, left = sum; i < channels * 9; i++) {
        const int32_t w = left < 127 ? left : 127;
        weights[i] = (int8_t)(sign * w);
        left -= w;
    }
    for (size_t i = 0; i < view_bytes(&l.x) / sizeof(float); i++) {
        ((float *)(void *)l.x.data)[i] = 127.0f;
    }
    l.conv.weights = l.weights = weights;
    if (a->fits(k, &l.conv) != fits) {
        fprintf(stderr, "FAIL %s: %s %s a channel of magnitudes %d\n", k->name, a->name, fits ? "refuses" : "takes",
                sum);
        failures++;
    }
    if (a->fits(k, &l.conv)) {
        sim_target wanted = compute(&SIM_KERNELS_REFERENCE, &SIM_CONV_REFERENCE, &l), got = compute(k, a, &l);
        equal_outputs(a->name, k, &got, &wanted);
        free_outputs(&wanted);
        free_outputs(&got);
    }
    free(l.weights);
    free(l.x.data);
    free(l.y.target.y.data);
}

/* Where the sums of Winograd's forms just fit 32 bits, and where they just do not. */
static void test_ranges(const sim_kernels *k)
{
    enum { MOST4 = ((1 << 25) - 1) / 127, MOST2 = ((1 << 29) - 1) / 127 };
    if (!k->winograd.input) {
        return;
    }
    test_range(k, &SIM_CONV_WINOGRAD4, 1, MOST4, true);
    test_range(k, &SIM_CONV_WINOGRAD4, 1, MOST4 + 1, false);
    test_range(k, &SIM_CONV_WINOGRAD2, 1, MOST2, true);
    test_range(k, &SIM_CONV_WINOGRAD2, 1, MOST2 + 1, false);
    test_range(k, &SIM_CONV_WINOGRAD_STRIDE, 2, MOST2, true);
    test_range(k, &SIM_CONV_WINOGRAD_STRIDE, 2, MOST2 + 1, false);
}

/* Values whose parts are the greatest there are, times the greatest weights: as many as overflow 32 bits many times. */
static void test_split(const sim_kernels *k)
{
    enum { CHANNELS = 1100, PLACES = 3 };
    static const float X[] = {32640.0f, -32640.0f, 32767.0f}; /* 256 * 128 - 128 and its opposite; the greatest */
    const float one = 1.0f, none = -0.0f;
    float affine[4][64];
    sim_view x = {room(PLACES * CHANNELS * sizeof(float)), 1, 1, PLACES, CHANNELS, CHANNELS, SIM_FLOAT32};
    sim_target y = {.dtype = SIM_FLOAT32, .y = {NULL, 1, 1, PLACES, 1, 1, SIM_FLOAT32}};
    int16_t *weights = room(CHANNELS * sizeof(int16_t));
    for (int i = 0; i < 4 * 64; i++) {
        affine[i / 64][i % 64] = i / 64 % 2 ? none : one;
    }
    for (int32_t i = 0; i < CHANNELS; i++) {
        weights[i] = INT16_MAX;
        for (int32_t p = 0; p < PLACES; p++) {
            ((float *)(void *)x.data)[p * CHANNELS + i] = X[p];
        }
    }
    layer l = {.conv = {.in_h = 1,
                        .in_w = PLACES,
                        .in_c = CHANNELS,
                        .out_h = 1,
                        .out_w = PLACES,
                        .out_c = 1,
                        .kernel_h = 1,
                        .kernel_w = 1,
                        .stride_h = 1,
                        .stride_w = 1,
                        .dilation_h = 1,
                        .dilation_w = 1,
                        .groups = 1,
                        .weight_dtype = SIM_INT16,
                        .quant_scale = 1.0f,
                        .affine = {affine[0], affine[1], affine[2], affine[3]},
                        .weights = weights},
               .x = x,
               .y.target = y,
               .weights = weights};
    l.y.target.y.data = x.data; /* anything: it is there */
    sim_target got = compute(k, sim_conv_choose(k, &l.conv), &l);
    for (int32_t p = 0; p < PLACES; p++) {
        expect("a sum of int16 products", (double)((float *)(void *)got.y.data)[p],
               (double)(float)((double)X[p] * INT16_MAX * CHANNELS));
    }
    free_outputs(&got);
    free(x.data);
    free(weights);
}

/* The largest kernel that the loader lets pass, all values at their ends: sums come within 128 * 127 of 2^31, on either
 * side, and what is added on the way to them goes round. */
static void test_greatest_sums(const sim_kernels *k)
{
    enum { TAPS = 3, INPUTS = 44381, VOLUME = TAPS * INPUTS, OUTPUTS = 2, EXTREME = VOLUME * 127 * 127 };
    layer l = {.conv = {.in_h = 1,
                        .in_w = TAPS,
                        .in_c = INPUTS,
                        .out_h = 1,
                        .out_w = 1,
                        .out_c = OUTPUTS,
                        .kernel_h = 1,
                        .kernel_w = TAPS,
                        .stride_h = 1,
                        .stride_w = 1,
                        .dilation_h = 1,
                        .dilation_w = 1,
                        .groups = 1,
                        .weight_dtype = SIM_INT8,
                        .quant_scale = 1.0f}};
    const int32_t elements = affine_elements(k, &l.conv);
    l.conv.affine = (sim_affine){
        any_affine(OUTPUTS, elements, false, 1.0f, 0, 0), any_affine(OUTPUTS, elements, false, -0.0f, 0, 0),
        any_affine(OUTPUTS, elements, false, 1.0f, 0, 0), any_affine(OUTPUTS, elements, false, -0.0f, 0, 0)};
    l.x = (sim_view){room(VOLUME * sizeof(float)), 1, 1, TAPS, INPUTS, INPUTS, SIM_FLOAT32};
    int8_t *weights = room((size_t)VOLUME * OUTPUTS);
    for (int i = 0; i < VOLUME; i++) {
        ((float *)(void *)l.x.data)[i] = 127.0f;
        weights[i] = 127;
        weights[VOLUME + i] = -127;
    }
    l.conv.weights = l.weights = weights;
    l.y.target.dtype = SIM_FLOAT32;
    l.y.target.y = (sim_view){l.x.data, 1, 1, 1, OUTPUTS, OUTPUTS, SIM_FLOAT32};
    for (size_t i = 0; sim_conv_algorithm_at(i); i++) {
        const sim_conv_algorithm *a = sim_conv_algorithm_at(i);
        if (a->fits(k, &l.conv)) {
            sim_target y = compute(k, a, &l);
            expect(a->name, ((const float *)(const void *)y.y.data)[0], (double)(float)EXTREME);
            expect(a->name, ((const float *)(const void *)y.y.data)[1], (double)(float)-EXTREME);
            free_outputs(&y);
        }
    }
    free_layer(&l);
}

static void fits_exactly_if(const sim_kernels *k, const sim_conv_algorithm *a, const sim_conv *conv, bool wanted,
                            const char *what)
{
    if (a->fits(k, conv) != wanted) {
        fprintf(stderr, "FAIL %s: %s %s %s\n", k->name, a->name, wanted ? "refuses" : "takes", what);
        failures++;
    }
}

/* A layer of kernel_h x kernel_w taps at one place. */
static sim_conv one_pixel(uint32_t weight_dtype, int32_t kernel_h, int32_t kernel_w, int32_t in_c, int32_t out_c)
{
    return (sim_conv){.in_h = kernel_h,
                      .in_w = kernel_w,
                      .in_c = in_c,
                      .out_h = 1,
                      .out_w = 1,
                      .out_c = out_c,
                      .kernel_h = kernel_h,
                      .kernel_w = kernel_w,
                      .stride_h = 1,
                      .stride_w = 1,
                      .dilation_h = 1,
                      .dilation_w = 1,
                      .groups = 1,
                      .weight_dtype = weight_dtype,
                      .quant_scale = 1.0f};
}

/* Groups make a run of every tap: 256 are computed, 272 are left to the reference. */
static void test_most_runs(const sim_kernels *k)
{
    static const uint32_t KINDS[] = {SIM_INT8, SIM_INT16, SIM_FLOAT32};
    for (int i = 0; i < 6; i++) {
        const int32_t kernel_h = 16 + i % 2;
        sim_conv shape = one_pixel(KINDS[i / 2], kernel_h, 16, 6, 10);
        shape.groups = 2;
        shape.in_w = shape.out_w = 5;
        const bool within = kernel_h * 16 <= 256, byte = i / 2 == 0, real = i / 2 == 2;
        fits_exactly_if(k, &SIM_CONV_BYTES, &shape, within && byte && k->bytes.dot, "that many taps");
        fits_exactly_if(k, &SIM_CONV_WORDS, &shape, within && !real && k->words.dot, "that many taps");
        fits_exactly_if(k, &SIM_CONV_FLOAT, &shape, within && real && k->float32.dot, "that many taps");
        test_conv(k, layer_of(k, shape));
    }
}

/* Beyond 2^22 products of 2^30 a float64 does not hold their sum. */
static void test_most_volume(const sim_kernels *k)
{
    for (int32_t more = 0; more < 2; more++) {
        const sim_conv shape = one_pixel(SIM_INT16, 1, 1, (1 << 22) + more, 32);
        fits_exactly_if(k, &SIM_CONV_WORDS, &shape, !more && k->words.dot, "a volume of 2^22 or one more");
    }
}

/* Rows under one output row: 64 MiB, and a row more. */
static void test_largest_rows(void)
{
    for (int32_t more = 0; more < 2; more++) {
        sim_conv shape = one_pixel(SIM_FLOAT32, 16 + more, 1, 1, 1);
        shape.in_w = shape.out_w = 1 << 20;
        const sim_rows rows = sim_rows_of(&shape, sizeof(float), 1);
        expect("rows of 4 MiB fit", sim_rows_fit(&shape, &rows), !more);
    }
}

/* Of F(2x2,3x3) two tiles beside each other, 112 bytes of scratch memory for each channel: 64 MiB are just enough for
 * 599168 of them. */
static void test_widest_tiles(const sim_kernels *k)
{
    const int32_t most = 599168;
    void *weights = calloc((size_t)most + 32, 9);
    for (int32_t more = 0; weights && more <= 32; more += 32) {
        sim_conv shape = one_pixel(SIM_INT8, 3, 3, most + more, 1);
        shape.in_w = 6;
        shape.out_w = 4;
        shape.weights = weights;
        fits_exactly_if(k, &SIM_CONV_WINOGRAD2, &shape, !more && k->winograd.input, "a row of tiles of 64 MiB or more");
    }
    free(weights);
}

/* No product of a table lies idle. */
static void report_algorithms(const sim_kernels *k)
{
    const bool has[PRODUCTS] = {k->bytes.dot || k->words.dot, k->words.dot, k->float32.dot, k->depthwise.run};
    for (size_t i = 0; sim_conv_algorithm_at(i); i++) {
        printf("%s: %s computed %lu layers\n", k->name, sim_conv_algorithm_at(i)->name, taken[i]);
    }
    for (size_t i = 0; i < PRODUCTS; i++) {
        if (has[i] && fast[i] == 0) {
            fprintf(stderr, "FAIL conv: no layer was computed with product %zu of %s\n", i, k->name);
            failures++;
        }
    }
    memset(taken, 0, sizeof taken);
    memset(fast, 0, sizeof fast);
}

/* The driver's memory is bounded, a table's tiles are not: each must stay below the bound. */
static void test_tiles(const sim_kernels *k)
{
    const sim_float_tile *t = &k->float32;
    if (t->dot && (t->pixels > SIM_MOST_PIXELS || t->chunk % t->pixels || t->chunk * t->channels > SIM_MOST_SUMS)) {
        fprintf(stderr, "FAIL %s: the tile of float32 is too large for the driver\n", k->name);
        failures++;
    }
    for (const sim_byte_tile *b = &k->bytes; b; b = b == &k->bytes ? &k->thin : NULL) {
        if (b->dot && (b->chunk % b->pixels || b->chunk * b->channels > SIM_MOST_SUMS || b->zero != k->bytes.zero)) {
            fprintf(stderr, "FAIL %s: a tile of bytes is too large for the driver, or of another zero\n", k->name);
            failures++;
        }
    }
}

/* A file of some MiB whose groups have few channels must not ask for gigabytes. */
static void test_packing(const sim_kernels *k)
{
    enum { GROUPS = 12945, KERNEL = 9, OUTPUTS = 4 };
    sim_conv conv = {.in_h = KERNEL,
                     .in_w = KERNEL,
                     .in_c = GROUPS,
                     .out_h = 1,
                     .out_w = 1,
                     .out_c = GROUPS * OUTPUTS,
                     .kernel_h = KERNEL,
                     .kernel_w = KERNEL,
                     .stride_h = 1,
                     .stride_w = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = GROUPS,
                     .quant_scale = 1.0f};
    static const uint32_t DTYPES[] = {SIM_INT8, SIM_INT16, SIM_FLOAT32};
    for (int d = 0; d < 3; d++) {
        conv.weight_dtype = DTYPES[d];
        const sim_conv_algorithm *a = sim_conv_choose(k, &conv);
        const size_t weights = (size_t)conv.out_c * KERNEL * KERNEL * sim_dtype_size(conv.weight_dtype);
        if (a->sizes(k, &conv).packed_bytes > 20 * weights) {
            fprintf(stderr, "FAIL %s: %s packs %zu bytes of weights into %zu\n", k->name, a->name, weights,
                    a->sizes(k, &conv).packed_bytes);
            failures++;
        }
    }
}

/* ---- the reference itself, against values worked out by hand ---- */

static void test_definitions(void)
{
    expect("one as half", sim_half_from_float(1.0f), 0x3c00);
    expect("largest half", sim_half_from_float(65519.0f), 0x7bff);
    expect("overflow", sim_half_from_float(65520.0f), 0x7c00);
    expect("smallest subnormal", sim_half_from_float(0x1p-24f), 1);
    expect("half of it, to even", sim_half_from_float(0x1p-25f), 0);
    expect("a little more", sim_half_from_float(0x1.02p-25f), 1);
    expect("NaN", sim_half_from_float(-NAN), SIM_HALF_NAN);
    for (uint32_t i = 0; i < 65536; i++) {
        const uint16_t half = (uint16_t)i;
        const bool nan = (half & 0x7fff) > 0x7c00;
        expect("half to float and back", sim_half_from_float(sim_float_from_half(half)), nan ? SIM_HALF_NAN : half);
    }
    expect("ties to even, down", sim_quantize_value(2.5f, 1.0f, 127.0f), 2);
    expect("ties to even, up", sim_quantize_value(3.5f, 1.0f, 127.0f), 4);
    expect("clamped", sim_quantize_value(-1e9f, 1.0f, 127.0f), -127);
    expect("NaN is the least code", sim_quantize_value(NAN, 1.0f, 127.0f), -127);
    expect("infinity is the greatest", sim_quantize_value(INFINITY, 1.0f, 32767.0f), 32767);
    for (float x = -80.0f; x < 80.0f; x += 0.37f) {
        const double relative = fabs((double)sim_exp(x) / exp((double)x) - 1.0);
        if (!(relative < 3e-7)) {
            fprintf(stderr, "FAIL exp(%g) is off by %g\n", (double)x, relative);
            failures++;
        }
    }
    const sim_activation leaky = {SIM_LEAKY_RELU, 0.125f, 0.0f};
    expect("leaky", sim_activation_value(&leaky, -8.0f), -1.0);
}

/* 3 x 3 x 2 to one channel, stride 2, padding 1: the sums are done by hand here. */
static void test_conv_by_hand(void)
{
    float x[18], y[4];
    int8_t w[18];
    const float one = 0.5f, two = 1.0f, three = 2.0f, four = -1.0f;
    for (int i = 0; i < 18; i++) {
        x[i] = (float)i;
        w[i] = (int8_t)(i % 2 ? -1 : 2);
    }
    sim_conv conv = {.in_h = 3,
                     .in_w = 3,
                     .in_c = 2,
                     .out_h = 2,
                     .out_w = 2,
                     .out_c = 1,
                     .kernel_h = 3,
                     .kernel_w = 3,
                     .stride_h = 2,
                     .stride_w = 2,
                     .pad_top = 1,
                     .pad_left = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = 1,
                     .weight_dtype = SIM_INT8,
                     .quant_scale = 1.0f,
                     .affine = {&one, &two, &three, &four},
                     .activation = {SIM_LEAKY_RELU, 0.25f, 0.0f},
                     .packed = w};
    float scratch[18];
    const sim_view in = {(char *)x, 1, 3, 3, 2, 2, SIM_FLOAT32};
    const sim_target out = {.dtype = SIM_FLOAT32, .y = {(char *)y, 1, 2, 2, 1, 1, SIM_FLOAT32}};
    const sim_conv_task task = {.rows = 2, .blocks = 1};
    SIM_CONV_REFERENCE.run(&SIM_KERNELS_REFERENCE, &conv, &in, &out, &task, scratch);
    /* pixel (r, c) holds 2(3r+c) and one more: 2*even - odd = 2(3r+c) - 1 */
    const double sums[4] = {-1 + 1 + 5 + 7, 1 + 3 + 7 + 9, 5 + 7 + 11 + 13, 7 + 9 + 13 + 15};
    for (int i = 0; i < 4; i++) {
        expect("convolution by hand", (double)y[i], (sums[i] * 0.5 + 1.0) * 2.0 - 1.0);
    }
}

/* A table that a compiler does not know is not in the build. */
static void report_skipped(void)
{
    for (unsigned i = 0; sim_kernels_known(i); i++) {
        if (!sim_kernels_select(sim_kernels_known(i))) {
            printf("%s: skipped, this processor lacks it\n", sim_kernels_known(i));
        }
    }
}

int main(int argc, char **argv)
{
    const long cases = argc > 1 ? atol(argv[1]) : 1000;
    state = argc > 2 ? (uint64_t)atoll(argv[2]) : 1;
    test_definitions();
    test_conv_by_hand();
    test_largest_rows();
    for (unsigned i = 0; sim_kernels_name(i); i++) {
        const sim_kernels *k = sim_kernels_select(sim_kernels_name(i));
        test_tiles(k);
        test_packing(k);
        test_ranges(k);
        test_split(k);
        test_all_halves(k);
        test_codes(k);
        test_greatest_sums(k);
        test_most_runs(k);
        test_most_volume(k);
        test_widest_tiles(k);
        test_roundings(k);
        for (long c = 0; c < cases && failures < 20; c++) {
            test_spans(k);
            test_look_up(k);
            test_finish(k);
            test_pool(k);
            test_conv(k, any_layer(k));
        }
        printf("%s: %ld cases\n", k->name, cases);
        report_algorithms(k);
    }
    report_skipped();
    printf("%lu failures\n", failures);
    return failures ? 1 : 0;
}
