/* The rules of the operators that rules.c leaves: activations, pooling, resizing, detection. */
#include <math.h>

#include "kernels.h"
#include "rules.h"

static bool same_batch_and_channels(const sim_check *c)
{
    return c->x->dims[0] == c->y->dims[0] && c->x->dims[3] == c->y->dims[3];
}

/* A float32 array of `elements`. */
static bool floats(const sim_constant *constant, int64_t elements)
{
    return constant && constant->dtype == SIM_FLOAT32 && constant->elements == (uint64_t)elements;
}

sim_result sim_check_activation(const sim_check *c)
{
    const float a = sim_attribute_float(c, 1), b = sim_attribute_float(c, 2);
    const int32_t function = c->op->attributes[0];
    if (!sim_in_range(function, SIM_RELU, SIM_FUNCTIONS - 1)) {
        return WRONG(c, "has an activation function that is not known");
    }
    if (c->op->constant_count != (function == SIM_PRELU)) {
        return WRONG(c, "needs a constant exactly if its function is prelu");
    }
    if (function == SIM_PRELU && !floats(sim_constant_of(c, 0), 1) && !floats(sim_constant_of(c, 0), c->y->dims[3])) {
        return WRONG(c, "needs one float32 slope, or one per channel");
    }
    if (!isfinite(a) || !isfinite(b) || (function == SIM_CLIP && a > b)) {
        return WRONG(c, "has parameters that are not finite, or bounds in the wrong order");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

sim_result sim_check_average_pool(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (!same_batch_and_channels(c) || !sim_window_fits(in[1], out[1], a[0], a[2], a[4], 1) ||
        !sim_window_fits(in[2], out[2], a[1], a[3], a[5], 1)) {
        return WRONG(c, "has a window, stride or padding that does not fit its tensors");
    }
    return sim_in_range(a[6], 0, 1) ? SIM_OK : WRONG(c, "has a count_include_pad that is neither 0 nor 1");
}

sim_result sim_check_reduce(const sim_check *c)
{
    const int32_t kind = c->op->attributes[0], mask = c->op->attributes[1];
    if (!sim_in_range(kind, SIM_REDUCE_SUM, SIM_REDUCE_MAX) || !sim_in_range(mask, 1, 15)) {
        return WRONG(c, "has a kind outside 1..3 or axes outside 1..15");
    }
    for (int k = 0; k < 4; k++) {
        if (c->y->dims[k] != (mask >> k & 1 ? 1 : c->x->dims[k])) {
            return WRONG(c, "has axes that do not fit its tensors");
        }
    }
    return SIM_OK;
}

static bool reaches(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int32_t dilation)
{
    if (!sim_in_range(kernel, 1, SIM_MOST_KERNEL) || !sim_in_range(stride, 1, SIM_MOST_STEP) ||
        !sim_in_range(dilation, 1, SIM_MOST_EXTENT)) {
        return false;
    }
    const int64_t extent = (int64_t)(kernel - 1) * dilation + 1;
    const int64_t most = (int64_t)(in - 1) * stride + extent - pad + (stride > dilation ? stride : dilation) - 1;
    return extent <= SIM_MOST_EXTENT && pad >= 0 && pad < extent && out <= most;
}

sim_result sim_check_deconv(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims, groups = a[SIM_CONV_GROUPS];
    if (groups < 1 || in[3] % groups || out[3] % groups || in[0] != out[0]) {
        return WRONG(c, "has channels or groups that do not fit its tensors");
    }
    if (!reaches(in[1], out[1], a[SIM_CONV_KERNEL_H], a[SIM_CONV_STRIDE_H], a[SIM_CONV_PAD_TOP],
                 a[SIM_CONV_DILATION_H]) ||
        !reaches(in[2], out[2], a[SIM_CONV_KERNEL_W], a[SIM_CONV_STRIDE_W], a[SIM_CONV_PAD_LEFT],
                 a[SIM_CONV_DILATION_W])) {
        return WRONG(c, "has a kernel, stride, padding or dilation that does not fit its tensors");
    }
    return sim_check_conv_constants(c);
}

sim_result sim_check_resize(const sim_check *c)
{
    if (!same_batch_and_channels(c)) {
        return WRONG(c, "has sizes that do not fit its tensors");
    }
    return sim_in_range(c->op->attributes[0], 0, 1) ? SIM_OK : WRONG(c, "has an align_corners that is neither 0 nor 1");
}

sim_result sim_check_pad(const sim_check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    for (int i = 0; i < 4; i++) {
        if (!sim_in_range(a[i], 0, 1 << 24)) {
            return WRONG(c, "has a padding outside 0..2^24");
        }
    }
    if (!same_batch_and_channels(c) || out[1] != (int64_t)in[1] + a[0] + a[2] ||
        out[2] != (int64_t)in[2] + a[1] + a[3]) {
        return WRONG(c, "has a padding that does not fit its tensors");
    }
    return isfinite(sim_attribute_float(c, 4)) ? SIM_OK : WRONG(c, "pads with a value that is not finite");
}

sim_result sim_check_affine(const sim_check *c)
{
    const int32_t channels = c->y->dims[3];
    if (!floats(sim_constant_of(c, 0), channels) || !floats(sim_constant_of(c, 1), channels)) {
        return WRONG(c, "needs a float32 alpha and beta per channel");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

sim_result sim_check_l2_normalize(const sim_check *c)
{
    const sim_constant *scale = sim_constant_of(c, 0);
    const float eps = sim_attribute_float(c, 0);
    if ((scale && !floats(scale, c->y->dims[3])) || !isfinite(eps) || !(eps > 0.0f)) {
        return WRONG(c, "needs a positive eps and, if any, a float32 scale per channel");
    }
    return sim_same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static bool fraction(float value)
{
    return value >= 0.0f && value <= 1.0f;
}

static sim_result check_heads(const sim_check *c, int64_t classes, int64_t anchors)
{
    int64_t candidates = 0;
    for (uint32_t i = 0; i < c->op->input_count; i++) {
        const sim_tensor *head = &c->model->tensors[c->op->inputs[i]];
        const float scale = sim_attribute_float(c, SIM_DETECT_ATTRIBUTES + i);
        if (head->dims[0] != c->y->dims[0] || head->dims[3] != anchors * (5 + classes) || head->dtype == SIM_UINT8) {
            return WRONG(c, "has a head that is not N, H, W, anchors * (5 + classes) of floats");
        }
        if (!isfinite(scale) || !(scale > 0.0f)) {
            return WRONG(c, "has a scale_x_y that is not positive");
        }
        candidates += (int64_t)head->dims[1] * head->dims[2] * anchors * classes;
    }
    return candidates <= UINT32_MAX ? SIM_OK : WRONG(c, "has more than 2^32 candidates");
}

sim_result sim_check_detection(const sim_check *c)
{
    const int32_t *a = c->op->attributes;
    const uint32_t heads = c->op->input_count;
    if (c->op->attribute_count < SIM_DETECT_ATTRIBUTES) {
        return WRONG(c, "needs eight attributes and a scale_x_y per head");
    }
    const uint32_t further = a[SIM_DETECT_KIND] == SIM_YOLOV4_DISTANCE ? 1 : 0;
    if (c->op->attribute_count != SIM_DETECT_ATTRIBUTES + heads + further) {
        return WRONG(c, "needs eight attributes, a scale_x_y per head, and for kind 4 a beta");
    }
    if (further != 0 && !(sim_attribute_float(c, SIM_DETECT_ATTRIBUTES + heads) > 0.0f &&
                          sim_attribute_float(c, SIM_DETECT_ATTRIBUTES + heads) <= 16.0f)) {
        return WRONG(c, "has a beta outside 0..16");
    }
    if (!sim_in_range(a[SIM_DETECT_KIND], SIM_YOLOV3, SIM_YOLOV4_SINGLE) ||
        !sim_in_range(a[SIM_DETECT_CLASSES], 1, 65535) || !sim_in_range(a[SIM_DETECT_ANCHORS], 1, 64) ||
        !sim_in_range(a[SIM_DETECT_HEIGHT], 1, 65535) || !sim_in_range(a[SIM_DETECT_WIDTH], 1, 65535) ||
        !sim_in_range(a[SIM_DETECT_MAX_BOXES], 1, SIM_MAX_CANDIDATES)) {
        return WRONG(c, "has a kind, classes, anchors, size or max_boxes outside its limits");
    }
    if (!fraction(sim_attribute_float(c, SIM_DETECT_CONFIDENCE)) || !fraction(sim_attribute_float(c, SIM_DETECT_IOU))) {
        return WRONG(c, "has a confidence or iou outside 0..1");
    }
    if (!floats(sim_constant_of(c, 0), (int64_t)heads * a[SIM_DETECT_ANCHORS] * 2)) {
        return WRONG(c, "needs a float32 width and height for every anchor of every head");
    }
    const int32_t width = SIM_DETECTION_HEAD + SIM_DETECTION_ROW * a[SIM_DETECT_MAX_BOXES];
    if (c->y->dims[1] != 1 || c->y->dims[2] != 1 || c->y->dims[3] != width || c->y->dtype != SIM_FLOAT16) {
        return WRONG(c, "needs a float16 output of N, 1, 1, 64 + 7 * max_boxes");
    }
    return check_heads(c, a[SIM_DETECT_CLASSES], a[SIM_DETECT_ANCHORS]);
}
