/* Which algorithm computes a layer. */
#include "algorithm.h"

/* The rules of Winograd's forms, as measured layer by layer (native/bench/bench_conv.c) with AVX2. Their transforms cost by
 * input and output channel what their products save: F(4x4) is even at 8 input channels, 1.9 times faster at 32, 2.9 at
 * 128. Weights are 8 times as large as those of the model, so with many channels they come from memory: from 256 to 512
 * channels on F(2x2), which has them 3.6 times as large, is as fast. The form of stride 2 (18 times) gains 1.05 at 32
 * channels, 1.16 at 64, 1.27 from 128 to 256, and no more beyond; the one of first layers 1.1. A tile over the edge saves
 * nothing.
 * Where a processor multiplies bytes, twice as many at once, a quarter of the products take half the time at best. Within
 * a network AVX-VNNI gains 1.1 to 1.2 times from 64 channels on while a cache holds the weights; registers of 512 bits
 * gain nothing. */
static bool weights_are_below(const sim_conv *conv, int32_t in, int32_t out)
{
    return (int64_t)conv->in_c * conv->out_c <= (int64_t)in * out;
}

static bool saves(const sim_conv *conv, int32_t out, int32_t places)
{
    const int64_t across = (conv->out_w + out - 1) / out, down = (conv->out_h + out - 1) / out;
    return 4 * across * down * places <= 3 * 9 * (int64_t)conv->out_h * conv->out_w;
}

static bool winograd4_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    if (kernels->bytes.dot) {
        return kernels->winograd.beats_bytes && conv->in_c >= 64 && weights_are_below(conv, 128, 128) &&
               saves(conv, 4, 36);
    }
    return conv->in_c >= 16 && weights_are_below(conv, 256, 256) && saves(conv, 4, 36);
}

static bool winograd2_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    return !kernels->bytes.dot && conv->in_c >= 16 && saves(conv, 2, 16);
}

static bool winograd_stride_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    return !kernels->bytes.dot && conv->in_c >= 32 && weights_are_below(conv, 128, 256) && saves(conv, 4, 81);
}

static bool winograd_stem_pays(const sim_kernels *kernels, const sim_conv *conv)
{
    return !kernels->bytes.dot && conv->out_c >= 32;
}

static const struct {
    const sim_conv_algorithm *algorithm;
    bool (*pays)(const sim_kernels *kernels, const sim_conv *conv); /* NULL: wherever it fits */
} ALGORITHMS[] = {
    /* best first; the last fits every layer */
    {&SIM_CONV_DEPTHWISE, NULL},
    {&SIM_CONV_WINOGRAD4, winograd4_pays},
    {&SIM_CONV_WINOGRAD2, winograd2_pays},
    {&SIM_CONV_WINOGRAD_STRIDE, winograd_stride_pays},
    {&SIM_CONV_WINOGRAD_STEM, winograd_stem_pays},
    {&SIM_CONV_BYTES, NULL},
    {&SIM_CONV_WORDS, NULL},
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
