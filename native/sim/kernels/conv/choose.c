/* Which algorithm computes a layer. */
#include "algorithm.h"

static const sim_conv_algorithm *const ALGORITHMS[] = {
    /* best first; the last fits every layer */
    &SIM_CONV_DEPTHWISE, &SIM_CONV_BYTES, &SIM_CONV_DIRECT16, &SIM_CONV_FLOAT, &SIM_CONV_REFERENCE,
};

const sim_conv_algorithm *sim_conv_choose(const sim_kernels *kernels, const sim_conv *conv)
{
    size_t i = 0;
    while (!ALGORITHMS[i]->fits(kernels, conv)) {
        i++;
    }
    return ALGORITHMS[i];
}

const sim_conv_algorithm *sim_conv_algorithm_at(size_t i)
{
    return i < sizeof ALGORITHMS / sizeof *ALGORITHMS ? ALGORITHMS[i] : NULL;
}
