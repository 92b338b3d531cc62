/* The end of a convolution, value by value: the definition of every table's `finish`. Written to be read. */
#include "kernels.h"

static float value_of(const sim_sums *sums, size_t pixel, size_t channel)
{
    const size_t at = pixel * (size_t)sums->pitch + channel;
    return sums->whole ? (float)((const int32_t *)sums->at)[at] : ((const float *)sums->at)[at];
}

static float finish_value(float v, size_t channel, const sim_affine *affine, const sim_activation *activation,
                          uint32_t dtype)
{
    v = v * affine->scale[channel];
    v = v + affine->bias[channel];
    v = v * affine->alpha[channel];
    v = v + affine->beta[channel];
    v = sim_rounded(v, dtype);
    return activation->function == SIM_LINEAR ? v : sim_rounded(sim_activation_value(activation, v), dtype);
}

void sim_finish(const sim_sums *sums, int32_t pixels, int32_t channels, const sim_affine *affine,
                const sim_activation *activation, const sim_target *target)
{
    const sim_view *y = &target->y, *add = &target->add, *bytes = &target->bytes;
    for (size_t p = 0; p < (size_t)pixels; p++) {
        for (size_t c = 0; c < (size_t)channels; c++) {
            float v = finish_value(value_of(sums, p, c), c, affine, activation, target->dtype);
            if (add->data) {
                const float other = sim_load(add->data, add->dtype, p * (size_t)add->pitch + c);
                v = sim_rounded(sim_binary_value(SIM_ADD, v, other), target->dtype);
            }
            if (y->data) {
                sim_store(y->data, y->dtype, p * (size_t)y->pitch + c, v);
            }
            if (bytes->data) {
                const int32_t code = sim_quantize_value(v, target->scale, SIM_BYTE_MAX);
                ((uint8_t *)bytes->data)[p * (size_t)bytes->pitch + c] = (uint8_t)(code + target->zero);
            }
        }
    }
}
