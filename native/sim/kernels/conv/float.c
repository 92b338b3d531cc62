/* float32 weights over float32 elements: every product and every sum rounds, in the order of the taps. */
#include "direct.h"

static bool fits(const sim_kernels *kernels, const sim_conv *conv)
{
    return conv->weight_dtype == SIM_FLOAT32 && kernels->float32.element == SIM_FLOAT32 &&
           sim_direct_fits(conv, &kernels->float32);
}

static sim_conv_sizes sizes(const sim_kernels *kernels, const sim_conv *conv)
{
    return sim_direct_sizes(conv, &kernels->float32);
}

static void pack(const sim_kernels *kernels, const sim_conv *conv, const void *weights, void *packed)
{
    sim_direct_pack(conv, &kernels->float32, weights, packed);
}

static void run(const sim_kernels *kernels, const sim_conv *conv, const sim_view *x, const sim_target *target,
                const sim_conv_task *task, void *scratch)
{
    sim_direct_run(kernels, conv, &kernels->float32, &SIM_FLOAT32_ELEMENTS, x, target, task, scratch);
}

const sim_conv_algorithm SIM_CONV_FLOAT = {"float", fits, sizes, pack, run};
