/* Steps of the operators whose plan is little more than their attributes. */
#include <stdlib.h>
#include <string.h>

#include "plan_build.h"

enum { HALVES = 65536, TABLE_ELEMENTS = 4096 };

static float float_of(const sim_operator *op, uint32_t which)
{
    float value;
    memcpy(&value, &op->attributes[which], sizeof value);
    return value;
}

/* Copies up to two float constants behind each other into the step's memory; one element fills `channels`. */
static sim_result take_floats(builder *b, sim_step *s, const sim_operator *op, int64_t channels)
{
    const sim_result result = sim_plan_allocate(b, s, (int64_t)op->constant_count * channels * (int64_t)sizeof(float));
    if (result != SIM_OK) {
        return result;
    }
    float *out = s->memory;
    for (uint32_t k = 0; k < op->constant_count; k++, out += channels) {
        const sim_constant *constant = &b->model->constants[op->constants[k]];
        for (int64_t i = 0; i < channels; i++) {
            memcpy(&out[i], constant->data + (constant->elements == 1 ? 0 : 4 * (size_t)i), sizeof(float));
        }
    }
    s->mean = s->memory;
    s->std = s->mean + channels;
    return SIM_OK;
}

static sim_result add_normalize(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_NORMALIZE, op);
    const size_t channels = (size_t)s->y.dims[3];
    const sim_result result = sim_plan_allocate(b, s, (int64_t)(channels * 12));
    if (result != SIM_OK) {
        return result;
    }
    float *mean = s->memory, *std = mean + channels;
    int32_t *sources = (int32_t *)(void *)(std + channels);
    memcpy(mean, b->model->constants[op->constants[0]].data, 4 * channels);
    memcpy(std, b->model->constants[op->constants[1]].data, 4 * channels);
    memcpy(sources, op->attributes, 4 * channels);
    s->mean = mean;
    s->std = std;
    s->channels = sources;
    return SIM_OK;
}

static void add_pool(builder *b, const sim_operator *op)
{
    const int32_t *a = op->attributes;
    const bool average = op->opcode == SIM_OP_AVERAGE_POOL;
    sim_step *s = sim_plan_new_step(b, average ? SIM_STEP_AVERAGE_POOL : SIM_STEP_MAX_POOL, op);
    s->pool = (sim_pool){a[0], a[1], a[2], a[3], a[4], a[5], average && a[6]};
}

static void add_binary(builder *b, const sim_operator *op, sim_binary kind)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_BINARY, op);
    s->x2 = sim_plan_place_of(b, op->inputs[1]);
    s->binary = kind;
}

static const uint16_t *known_table(const builder *b, const sim_activation *activation)
{
    for (uint32_t i = 0; i < b->plan->step_count; i++) {
        const sim_step *s = &b->plan->steps[i];
        if (s->table && memcmp(&s->activation, activation, sizeof *activation) == 0) {
            return s->table;
        }
    }
    return NULL;
}

/* Every half through the function once; steps of one function share the first one's table. */
static sim_result make_table(builder *b, sim_step *s)
{
    s->kind = SIM_STEP_TABLE;
    s->table = known_table(b, &s->activation);
    if (s->table) {
        return SIM_OK;
    }
    const sim_result result = sim_plan_allocate(b, s, HALVES * (int64_t)sizeof(uint16_t));
    if (result != SIM_OK) {
        return result;
    }
    uint16_t *table = s->memory;
    for (uint32_t i = 0; i < HALVES; i++) {
        const uint16_t half = (uint16_t)i;
        sim_store(table, SIM_FLOAT16, i, sim_activation_value(&s->activation, sim_load(&half, SIM_FLOAT16, 0)));
    }
    s->table = table;
    return SIM_OK;
}

static sim_result add_activation(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_ACTIVATE, op);
    s->activation = (sim_activation){(uint32_t)op->attributes[0], float_of(op, 1), float_of(op, 2)};
    if (s->activation.function == SIM_PRELU) {
        s->kind = SIM_STEP_PRELU;
        return take_floats(b, s, op, s->y.dims[3]);
    }
    const int64_t elements = tensor_of(b, op->output)->bytes / 2;
    const bool halves = s->x.dtype == SIM_FLOAT16 && s->y.dtype == SIM_FLOAT16;
    return halves && elements >= TABLE_ELEMENTS && !sim_activation_is_fast(s->activation.function) ? make_table(b, s)
                                                                                                   : SIM_OK;
}

static void add_softmax(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_SOFTMAX, op);
    s->axis = op->attributes[0];
    sim_plan_set_units(s, (int64_t)s->y.dims[0] * s->y.dims[s->axis == 1 ? 2 : 1]);
}

static void add_upsample(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_UPSAMPLE, op);
    s->factor_h = op->attributes[0];
    s->factor_w = op->attributes[1];
}

static void add_pad(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_PAD, op);
    s->factor_h = op->attributes[0];
    s->factor_w = op->attributes[1];
    s->value = float_of(op, 4);
}

static sim_result add_affine(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_AFFINE, op);
    return take_floats(b, s, op, s->y.dims[3]);
}

static sim_result add_l2_normalize(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_L2_NORMALIZE, op);
    s->value = float_of(op, 0);
    return op->constants[0] == SIM_ABSENT ? SIM_OK : take_floats(b, s, op, s->y.dims[3]);
}

static sim_result add_detection(builder *b, const sim_operator *op)
{
    const int32_t *a = op->attributes, anchors = a[SIM_DETECT_ANCHORS];
    const size_t heads = op->input_count, values = 2 * heads * (size_t)anchors, places = heads * sizeof(sim_place);
    sim_step *s = sim_plan_new_step(b, SIM_STEP_DETECTION, op);
    const sim_result result = sim_plan_allocate(b, s, (int64_t)(places + (values + heads) * sizeof(float)));
    if (result != SIM_OK) {
        return result;
    }
    sim_place *place = s->memory;
    float *anchor = (float *)(void *)((char *)s->memory + places), *scale = anchor + values;
    for (uint32_t i = 0; i < heads; i++) {
        place[i] = sim_plan_place_of(b, op->inputs[i]);
        scale[i] = float_of(op, SIM_DETECT_ATTRIBUTES + i);
    }
    memcpy(anchor, b->model->constants[op->constants[0]].data, values * sizeof(float));
    s->heads = place;
    s->detection = (sim_detection){
        .kind = (sim_detection_kind)a[SIM_DETECT_KIND],
        .heads = (int32_t)heads,
        .classes = a[SIM_DETECT_CLASSES],
        .anchors = anchors,
        .image_h = a[SIM_DETECT_HEIGHT],
        .image_w = a[SIM_DETECT_WIDTH],
        .max_boxes = a[SIM_DETECT_MAX_BOXES],
        .confidence = float_of(op, SIM_DETECT_CONFIDENCE),
        .iou = float_of(op, SIM_DETECT_IOU),
        .anchor = anchor,
        .scale_x_y = scale,
        .beta =
            a[SIM_DETECT_KIND] == SIM_YOLOV4_DISTANCE ? float_of(op, SIM_DETECT_ATTRIBUTES + op->input_count) : 0.0f,
    };
    sim_plan_need_scratch(b, sim_detection_scratch(&s->detection));
    return SIM_OK;
}

sim_result sim_plan_add_simple(builder *b, const sim_operator *op)
{
    switch (op->opcode) {
    case SIM_OP_NORMALIZE: return add_normalize(b, op);
    case SIM_OP_ACTIVATION: return add_activation(b, op);
    case SIM_OP_AFFINE: return add_affine(b, op);
    case SIM_OP_L2_NORMALIZE: return add_l2_normalize(b, op);
    case SIM_OP_DETECTION_OUTPUT: return add_detection(b, op);
    case SIM_OP_MAX_POOL:
    case SIM_OP_AVERAGE_POOL: add_pool(b, op); break;
    case SIM_OP_UPSAMPLE_NEAREST: add_upsample(b, op); break;
    case SIM_OP_SOFTMAX: add_softmax(b, op); break;
    case SIM_OP_PAD: add_pad(b, op); break;
    case SIM_OP_REDUCE: sim_plan_new_step(b, SIM_STEP_REDUCE, op)->reduction = (sim_reduction)op->attributes[0]; break;
    case SIM_OP_RESIZE_BILINEAR:
        sim_plan_new_step(b, SIM_STEP_RESIZE, op)->align_corners = op->attributes[0] != 0;
        break;
    case SIM_OP_ADD: add_binary(b, op, SIM_ADD); break;
    case SIM_OP_MUL: add_binary(b, op, SIM_MUL); break;
    case SIM_OP_SUB: add_binary(b, op, SIM_SUB); break;
    case SIM_OP_DIV: add_binary(b, op, SIM_DIV); break;
    case SIM_OP_MAX: add_binary(b, op, SIM_MAX); break;
    case SIM_OP_MIN: add_binary(b, op, SIM_MIN); break;
    default: break;
    }
    return SIM_OK;
}
