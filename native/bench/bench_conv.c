/* Times every algorithm that fits a convolution layer, with one table of kernels, in one thread.
 *
 *     bench_conv KERNELS SIZE IN OUT KERNEL STRIDE [runs] [int8|int16|bytes] [ALGORITHM]
 *
 * SIZE: pixels of the square input along one axis. Prints the least CPU time of one run and int8 products a second, the
 * algorithms interleaved and each with cold caches; "bytes": int8 weights between tensors that stay quantized. The rules
 * of sim/kernels/conv/choose.c are taken from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conv/algorithm.h"

enum { MOST = 16 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *room(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    memset(memory, 0, bytes);
    return memory;
}

static void run_layer(const sim_kernels *k, const sim_conv_algorithm *a, const sim_conv *conv, const sim_view *x,
                      const sim_target *y, void *scratch)
{
    const sim_conv_sizes sizes = a->sizes(k, conv);
    for (int32_t row = 0; row < conv->out_h; row += sizes.rows) {
        const int32_t left = conv->out_h - row;
        const sim_conv_task task = {.row = row, .rows = left < sizes.rows ? left : sizes.rows, .blocks = sizes.blocks};
        a->run(k, conv, x, y, &task, scratch);
    }
}

static sim_conv layer_of(char **argv)
{
    const int32_t size = atoi(argv[2]), kernel = atoi(argv[5]), stride = atoi(argv[6]);
    const int32_t pad = kernel == 6 ? 2 : kernel / 2, out = (size + 2 * pad - kernel) / stride + 1;
    return (sim_conv){.in_h = size,
                      .in_w = size,
                      .in_c = atoi(argv[3]),
                      .out_h = out,
                      .out_w = out,
                      .out_c = atoi(argv[4]),
                      .kernel_h = kernel,
                      .kernel_w = kernel,
                      .stride_h = stride,
                      .stride_w = stride,
                      .pad_top = pad,
                      .pad_left = pad,
                      .dilation_h = 1,
                      .dilation_w = 1,
                      .groups = 1,
                      .weight_dtype = SIM_INT8,
                      .quant_scale = 30.0f,
                      .activation = {.function = SIM_RELU}};
}

/* The input as its bytes, and the output as those of a next layer alone. */
static void keep_bytes(const sim_kernels *k, const sim_conv *conv, sim_view *x, sim_target *y)
{
    sim_codes *codes = room(sizeof *codes);
    sim_table_of_codes(k, &conv->activation, 30.0f, k->bytes.zero, codes);
    y->codes = codes;
    y->bytes = y->y;
    y->bytes.dtype = x->dtype = SIM_QUANTIZED;
    y->y.data = NULL;
    y->scale = 30.0f;
    y->zero = k->bytes.zero;
}

/* As within a network: another layer's tensors and weights were the last that this core touched. */
static unsigned char touch(const unsigned char *others, size_t bytes)
{
    unsigned char sum = 0;
    for (size_t i = 0; i < bytes; i += 64) {
        sum ^= others[i];
    }
    return sum;
}

static bool is_timed(const sim_kernels *k, const sim_conv *conv, const sim_conv_algorithm *a, const char *name)
{
    return a->fits(k, conv) && a != &SIM_CONV_REFERENCE && (!name || strcmp(a->name, name) == 0);
}

int main(int argc, char **argv)
{
    const sim_kernels *k = argc > 6 ? sim_kernels_select(argv[1]) : NULL;
    if (!k) {
        fprintf(stderr, "usage: bench_conv KERNELS SIZE IN OUT KERNEL STRIDE [runs] [int8|int16|bytes] [ALGORITHM]\n");
        return 2;
    }
    sim_conv conv = layer_of(argv);
    const char *name = argc > 9 ? argv[9] : NULL;
    const int runs = argc > 7 ? atoi(argv[7]) : 20;
    if (argc > 8 && strcmp(argv[8], "int16") == 0) {
        conv.weight_dtype = SIM_INT16;
    }
    const size_t volume = (size_t)conv.kernel_h * (size_t)conv.kernel_w * (size_t)conv.in_c, o = (size_t)conv.out_c;
    int8_t *weights = room(volume * o * 2);
    for (size_t i = 0; i < volume * o * sim_dtype_size(conv.weight_dtype); i++) {
        weights[i] = (int8_t)(rand() % 127 - 63);
    }
    conv.weights = weights;
    float *ones = room((o + 256) * sizeof(float));
    for (size_t i = 0; i < o; i++) {
        ones[i] = 1e-3f;
    }
    conv.affine = (sim_affine){ones, ones, ones, ones};
    const sim_view x = {room((size_t)conv.in_h * (size_t)conv.in_w * (size_t)conv.in_c * 2),
                        1,
                        conv.in_h,
                        conv.in_w,
                        conv.in_c,
                        conv.in_c,
                        SIM_FLOAT16};
    sim_target y = {.dtype = SIM_FLOAT16};
    y.y = (sim_view){room((size_t)conv.out_h * (size_t)conv.out_w * o * 2),
                     1,
                     conv.out_h,
                     conv.out_w,
                     conv.out_c,
                     conv.out_c,
                     SIM_FLOAT16};
    for (size_t i = 0; i < (size_t)conv.in_h * (size_t)conv.in_w * (size_t)conv.in_c; i++) {
        ((uint16_t *)(void *)x.data)[i] = (uint16_t)(rand() & 0xbfff);
    }
    sim_view input = x;
    if (argc > 8 && strcmp(argv[8], "bytes") == 0) {
        keep_bytes(k, &conv, &input, &y);
    }
    const size_t others_bytes = (size_t)8 << 20;
    unsigned char *others = room(others_bytes);
    double least[MOST];
    void *packed[MOST], *scratch[MOST];
    for (int r = 0; r <= runs; r++) {
        for (size_t i = 0; i < MOST && sim_conv_algorithm_at(i); i++) {
            const sim_conv_algorithm *a = sim_conv_algorithm_at(i);
            if (!is_timed(k, &conv, a, name)) {
                continue;
            }
            if (r == 0) {
                packed[i] = room(a->sizes(k, &conv).packed_bytes);
                scratch[i] = room(a->sizes(k, &conv).scratch_bytes);
                a->pack(k, &conv, weights, packed[i]);
                least[i] = 1e30;
            }
            conv.packed = packed[i];
            others[0] = touch(others, others_bytes);
            const double start = now_ms();
            run_layer(k, a, &conv, &input, &y, scratch[i]);
            const double ms = now_ms() - start;
            least[i] = ms < least[i] ? ms : least[i];
        }
    }
    const double products = (double)conv.out_h * conv.out_w * (double)volume * conv.out_c;
    for (size_t i = 0; i < MOST && sim_conv_algorithm_at(i); i++) {
        const sim_conv_algorithm *a = sim_conv_algorithm_at(i);
        if (is_timed(k, &conv, a, name)) {
            printf("%-18s %8.3f ms %7.1f GMAC/s\n", a->name, least[i], products / least[i] / 1e6);
        }
    }
    return 0;
}
