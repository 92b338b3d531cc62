/* What each operator of a network must satisfy, so that plan.c and run.c need not look. */
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "rules.h"

enum { MAX_INT8_VOLUME = 133143, MAX_DIM = 1 << 24 };

bool sim_window_fits(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int32_t dilation)
{
    if (!sim_in_range(kernel, 1, SIM_MOST_KERNEL) || !sim_in_range(stride, 1, SIM_MOST_STEP) ||
        !sim_in_range(dilation, 1, SIM_MOST_EXTENT)) {
        return false;
    }
    const int64_t extent = (int64_t)(kernel - 1) * dilation + 1, last = (int64_t)(out - 1) * stride - pad;
    return extent <= SIM_MOST_EXTENT && pad >= 0 && pad < extent && last < in;
}

static bool positive(const sim_constant *constant)
{
    for (uint64_t i = 0; i < constant->elements; i++) {
        float value;
        memcpy(&value, constant->data + 4 * i, sizeof value);
        if (!(value > 0.0f)) {
            return false;
        }
    }
    return true;
}

sim_result sim_check_conv_constants(const sim_check *c)
{
    const int32_t *a = c->op->attributes;
    const sim_constant *weight = sim_constant_of(c, SIM_CONV_WEIGHT), *scale = sim_constant_of(c, SIM_CONV_SCALE);
    const int64_t volume = (int64_t)a[SIM_CONV_KERNEL_H] * a[SIM_CONV_KERNEL_W] * (c->x->dims[3] / a[SIM_CONV_GROUPS]);
    float quant_scale;
    memcpy(&quant_scale, &a[SIM_CONV_QUANT_SCALE], sizeof quant_scale);
    if (!weight || volume > (1LL << 31) || weight->elements != (uint64_t)volume * (uint64_t)c->y->dims[3]) {
        return WRONG(c, "has weights that do not fit its shape");
    }
    if (weight->dtype == SIM_INT8 && volume > MAX_INT8_VOLUME) {
        return WRONG(c, "has a kernel volume above 133143, which could overflow 32 bits");
    }
    for (int i = SIM_CONV_SCALE; i < SIM_CONV_CONSTANTS; i++) {
        const sim_constant *k = sim_constant_of(c, i);
        if (k && (k->dtype != SIM_FLOAT32 || k->elements != (uint64_t)c->y->dims[3])) {
            return WRONG(c, "has a scale, bias, alpha or beta that is no float32 per output channel");
        }
    }
    if (!sim_constant_of(c, SIM_CONV_ALPHA) != !sim_constant_of(c, SIM_CONV_BETA)) {
        return WRONG(c, "has only one of alpha and beta");
    }
    const bool quantized = weight->dtype != SIM_FLOAT32;
    if (quantized != (scale != NULL) || (scale && !positive(scale))) {
        return WRONG(c, "needs positive scales exactly if its weights are quantized");
    }
    if (!isfinite(quant_scale) || (quantized ? !(quant_scale > 0.0f) : quant_scale != 0.0f)) {
        return WRONG(c, "needs a positive quant_scale exactly if its weights are quantized");
    }
    return SIM_OK;
}

static sim_result check_conv(const sim_check *c)
{
    const int32_t *a = c->op->attributes;
    const int32_t *in = c->x->dims, *out = c->y->dims, groups = a[SIM_CONV_GROUPS];
    if (groups < 1 || in[3] % groups || out[3] % groups || in[0] != out[0]) {
        return WRONG(c, "has channels or groups that do not fit its tensors");
    }
    if (!sim_window_fits(in[1], out[1], a[SIM_CONV_KERNEL_H], a[SIM_CONV_STRIDE_H], a[SIM_CONV_PAD_TOP],
                         a[SIM_CONV_DILATION_H]) ||
        !sim_window_fits(in[2], out[2], a[SIM_CONV_KERNEL_W], a[SIM_CONV_STRIDE_W], a[SIM_CONV_PAD_LEFT],
                         a[SIM_CONV_DILATION_W])) {
        return WRONG(c, "has a kernel, stride, padding or dilation that does not fit its tensors");
    }
    return sim_check_conv_constants(c);
}

static sim_result check_pool(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (in[0] != out[0] || in[3] != out[3] || !sim_window_fits(in[1], out[1], a[0], a[2], a[4], 1) ||
        !sim_window_fits(in[2], out[2], a[1], a[3], a[5], 1)) {
        return WRONG(c, "has a window, stride or padding that does not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_upsample(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (a[0] < 1 || a[1] < 1 || in[0] != out[0] || in[3] != out[3] || out[1] != (int64_t)in[1] * a[0] ||
        out[2] != (int64_t)in[2] * a[1]) {
        return WRONG(c, "has factors that do not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_concat(const sim_check *c)
{
    const int32_t axis = c->op->attributes[0];
    int64_t sum = 0;
    if (!sim_in_range(axis, 1, 3)) {
        return WRONG(c, "has an axis outside 1..3");
    }
    for (uint32_t i = 0; i < c->op->input_count; i++) {
        const sim_tensor *x = &c->model->tensors[c->op->inputs[i]];
        for (int k = 0; k < 4; k++) {
            if (k != axis && x->dims[k] != c->y->dims[k]) {
                return WRONG(c, "joins tensors of different sizes");
            }
        }
        sum += x->dims[axis];
    }
    return sum == c->y->dims[axis] ? SIM_OK : WRONG(c, "joins tensors that do not add up to its output");
}

static bool per_channel(const sim_tensor *a, const sim_tensor *y)
{
    return a->dims[0] == y->dims[0] && a->dims[1] == 1 && a->dims[2] == 1 && a->dims[3] == y->dims[3];
}

static sim_result check_binary(const sim_check *c)
{
    const sim_tensor *a = c->x, *b = &c->model->tensors[c->op->inputs[1]];
    const bool fits = (sim_same_dims(a, c->y) && (sim_same_dims(b, c->y) || per_channel(b, c->y))) ||
                      (sim_same_dims(b, c->y) && per_channel(a, c->y));
    return fits ? SIM_OK : WRONG(c, "has operands that do not fit its output");
}

static sim_result check_slice(const sim_check *c)
{
    const int32_t *begin = c->op->attributes, *step = begin + 4;
    for (int k = 0; k < 4; k++) {
        if (begin[k] < 0 || !sim_in_range(step[k], 1, MAX_DIM) ||
            begin[k] + (int64_t)(c->y->dims[k] - 1) * step[k] >= c->x->dims[k]) {
            return WRONG(c, "takes a slice outside its input");
        }
    }
    return SIM_OK;
}

static sim_result check_softmax(const sim_check *c)
{
    return sim_same_dims(c->x, c->y) && sim_in_range(c->op->attributes[0], 1, 3)
               ? SIM_OK
               : WRONG(c, "has an axis or sizes that are not valid");
}

static int64_t elements(const sim_tensor *t)
{
    return t->bytes / (int64_t)sim_dtype_size(t->dtype);
}

static sim_result check_reshape(const sim_check *c)
{
    return elements(c->x) == elements(c->y) ? SIM_OK : WRONG(c, "changes the number of elements");
}

static sim_result check_permute(const sim_check *c)
{
    uint32_t seen = 0;
    for (int k = 0; k < 4; k++) {
        const int32_t axis = c->op->attributes[k];
        if (!sim_in_range(axis, 0, 3) || c->y->dims[k] != c->x->dims[axis]) {
            return WRONG(c, "has axes that do not fit its tensors");
        }
        seen |= 1u << axis;
    }
    return seen == 15 ? SIM_OK : WRONG(c, "uses an axis twice");
}

static sim_result check_normalize(const sim_check *c)
{
    const sim_constant *mean = sim_constant_of(c, 0), *std = sim_constant_of(c, 1);
    const uint32_t channels = (uint32_t)c->y->dims[3];
    if (memcmp(c->x->dims, c->y->dims, 3 * sizeof(int32_t)) != 0 || c->op->attribute_count != channels) {
        return WRONG(c, "has sizes that do not fit its tensors");
    }
    if (!mean || !std || mean->dtype != SIM_FLOAT32 || std->dtype != SIM_FLOAT32 || mean->elements != channels ||
        std->elements != channels || !positive(std)) {
        return WRONG(c, "needs a mean and a positive std per channel");
    }
    for (uint32_t i = 0; i < channels; i++) {
        if (!sim_in_range(c->op->attributes[i], 0, c->x->dims[3] - 1)) {
            return WRONG(c, "reads a channel that its input does not have");
        }
    }
    return SIM_OK;
}

static sim_result check_cast(const sim_check *c)
{
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static const sim_rule RULES[] = {
    [SIM_OP_CONV] = {1, 1, SIM_CONV_CONSTANTS, SIM_CONV_ATTRIBUTES, check_conv},
    [SIM_OP_MAX_POOL] = {1, 1, 0, 6, check_pool},
    [SIM_OP_UPSAMPLE_NEAREST] = {1, 1, 0, 2, check_upsample},
    [SIM_OP_CONCAT] = {1, SIM_MOST_INPUTS, 0, 1, check_concat},
    [SIM_OP_ADD] = {2, 2, 0, 0, check_binary},
    [SIM_OP_MUL] = {2, 2, 0, 0, check_binary},
    [SIM_OP_SLICE] = {1, 1, 0, 8, check_slice},
    [SIM_OP_ACTIVATION] = {1, 1, SIM_ABSENT, 3, sim_check_activation},
    [SIM_OP_SOFTMAX] = {1, 1, 0, 1, check_softmax},
    [SIM_OP_RESHAPE] = {1, 1, 0, 0, check_reshape},
    [SIM_OP_PERMUTE] = {1, 1, 0, 4, check_permute},
    [SIM_OP_NORMALIZE] = {1, 1, 2, SIM_ABSENT, check_normalize},
    [SIM_OP_CAST] = {1, 1, 0, 0, check_cast},
    [SIM_OP_SUB] = {2, 2, 0, 0, check_binary},
    [SIM_OP_DIV] = {2, 2, 0, 0, check_binary},
    [SIM_OP_MAX] = {2, 2, 0, 0, check_binary},
    [SIM_OP_MIN] = {2, 2, 0, 0, check_binary},
    [SIM_OP_AVERAGE_POOL] = {1, 1, 0, 7, sim_check_average_pool},
    [SIM_OP_REDUCE] = {1, 1, 0, 2, sim_check_reduce},
    [SIM_OP_DECONV] = {1, 1, SIM_CONV_CONSTANTS, SIM_CONV_ATTRIBUTES, sim_check_deconv},
    [SIM_OP_RESIZE_BILINEAR] = {1, 1, 0, 1, sim_check_resize},
    [SIM_OP_PAD] = {1, 1, 0, 5, sim_check_pad},
    [SIM_OP_AFFINE] = {1, 1, 2, 0, sim_check_affine},
    [SIM_OP_L2_NORMALIZE] = {1, 1, 1, 1, sim_check_l2_normalize},
    [SIM_OP_DETECTION_OUTPUT] = {1, SIM_MAX_HEADS, 1, SIM_ABSENT, sim_check_detection},
};

const sim_rule *sim_rule_of(uint32_t opcode)
{
    return opcode >= 1 && opcode < sizeof RULES / sizeof *RULES ? &RULES[opcode] : NULL;
}
