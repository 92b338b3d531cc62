/* Which algorithm computes a layer. */
#include "algorithm.h"

/* Winograd's transforms cost by input and output channel what their products save: measured with AVX2 (bench_conv) they
 * are even at 8 input channels and 3 times faster at 128, with a stride of 2 even at 16 and 1.4 times faster at 128. A
 * tile over the edge saves nothing. */
static bool pays(const sim_conv *conv, int32_t least_channels, int32_t out, int32_t places)
{
    const int64_t across = (conv->out_w + out - 1) / out, down = (conv->out_h + out - 1) / out;
    const int64_t products = across * down * places, direct = 9 * (int64_t)conv->out_h * conv->out_w;
    return conv->in_c >= least_channels && 4 * products <= 3 * direct;
}

static bool winograd4_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    (void)kernels;
    return pays(conv, 16, 4, 36);
}

static bool winograd2_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    (void)kernels;
    return pays(conv, 16, 2, 16);
}

static bool winograd_stride_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    (void)kernels;
    return pays(conv, 32, 4, 81);
}

static bool winograd_stem_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    (void)kernels;
    return conv->out_c >= 32;
}

static const struct {
    const sim_conv_algorithm *algorithm;
    bool (*pays)(const sim_kernels *kernels, const sim_conv *conv); /* NULL: wherever it fits */
} ALGORITHMS[] = {
    /* best first; the last fits every layer */
    {&SIM_CONV_DEPTHWISE, NULL},
    {&SIM_CONV_BYTES, NULL},
    {&SIM_CONV_WINOGRAD4, winograd4_pays},
    {&SIM_CONV_WINOGRAD2, winograd2_pays},
    {&SIM_CONV_WINOGRAD_STRIDE, winograd_stride_pays},
    {&SIM_CONV_WINOGRAD_STEM, winograd_stem_pays},
    {&SIM_CONV_DIRECT16, NULL},
    {&SIM_CONV_FLOAT, NULL},
    {&SIM_CONV_REFERENCE, NULL},
};

const sim_conv_algorithm *sim_conv_choose(const sim_kernels *kernels, const sim_conv *conv)
{
    size_t i = 0;
    while ((ALGORITHMS[i].pays && !ALGORITHMS[i].pays(kernels, conv)) ||
           !ALGORITHMS[i].algorithm->fits(kernels, conv)) {
        i++;
    }
    return ALGORITHMS[i].algorithm;
}

const sim_conv_algorithm *sim_conv_algorithm_at(size_t i)
{
    return i < sizeof ALGORITHMS / sizeof *ALGORITHMS ? ALGORITHMS[i].algorithm : NULL;
}
