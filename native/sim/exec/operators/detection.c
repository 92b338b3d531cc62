/* DETECTION_OUTPUT. */
#include <math.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "invocation.h"

enum { /* attributes; scale_x_y of each head follows, then beta where centres' distances count */
       KIND,
       CLASSES,
       ANCHORS,
       HEIGHT,
       WIDTH,
       CONFIDENCE,
       IOU,
       MAX_BOXES,
       ATTRIBUTES,
};

typedef struct detection_step {
    sim_detection detection;
    const sim_place *heads;
} detection_step;

static bool fraction(float value)
{
    return value >= 0.0f && value <= 1.0f;
}

static sim_result check_heads(const sim_check *c, int64_t classes, int64_t anchors)
{
    int64_t candidates = 0;
    for (uint32_t i = 0; i < c->op->input_count; i++) {
        const sim_tensor *head = &c->model->tensors[c->op->inputs[i]];
        const float scale = sim_float_of(c->op, ATTRIBUTES + i);
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

static sim_result check_numbers(const sim_check *c)
{
    const int32_t *a = c->op->attributes;
    if (!sim_in_range(a[KIND], SIM_NO_DETECTION + 1, SIM_DETECTIONS - 1) || !sim_in_range(a[CLASSES], 1, 65535) ||
        !sim_in_range(a[ANCHORS], 1, 64) || !sim_in_range(a[HEIGHT], 1, 65535) || !sim_in_range(a[WIDTH], 1, 65535) ||
        !sim_in_range(a[MAX_BOXES], 1, SIM_MAX_CANDIDATES)) {
        return WRONG(c, "has a kind, classes, anchors, size or max_boxes outside its limits");
    }
    if (!fraction(sim_float_of(c->op, CONFIDENCE)) || !fraction(sim_float_of(c->op, IOU))) {
        return WRONG(c, "has a confidence or iou outside 0..1");
    }
    return SIM_OK;
}

static sim_result check_detection(const sim_check *c)
{
    const int32_t *a = c->op->attributes;
    const uint32_t heads = c->op->input_count;
    if (c->op->attribute_count < ATTRIBUTES) {
        return WRONG(c, "needs eight attributes and a scale_x_y per head");
    }
    const uint32_t further = a[KIND] == SIM_YOLOV4_DISTANCE ? 1 : 0;
    if (c->op->attribute_count != ATTRIBUTES + heads + further) {
        return WRONG(c, "needs eight attributes, a scale_x_y per head, and for kind 4 a beta");
    }
    if (further != 0 &&
        !(sim_float_of(c->op, ATTRIBUTES + heads) > 0.0f && sim_float_of(c->op, ATTRIBUTES + heads) <= 16.0f)) {
        return WRONG(c, "has a beta outside 0..16");
    }
    const sim_result result = check_numbers(c);
    if (result != SIM_OK) {
        return result;
    }
    if (!sim_floats(sim_constant_of(c, 0), (int64_t)heads * a[ANCHORS] * 2)) {
        return WRONG(c, "needs a float32 width and height for every anchor of every head");
    }
    const int32_t width = SIM_DETECTION_HEAD + SIM_DETECTION_ROW * a[MAX_BOXES];
    if (c->y->dims[1] != 1 || c->y->dims[2] != 1 || c->y->dims[3] != width || c->y->dtype == SIM_UINT8) {
        return WRONG(c, "needs an output of N, 1, 1, 64 + 7 * max_boxes floats");
    }
    return check_heads(c, a[CLASSES], a[ANCHORS]);
}

static sim_detection describe(const sim_operator *op)
{
    const int32_t *a = op->attributes;
    return (sim_detection){
        .kind = (sim_detection_kind)a[KIND],
        .heads = (int32_t)op->input_count,
        .classes = a[CLASSES],
        .anchors = a[ANCHORS],
        .image_h = a[HEIGHT],
        .image_w = a[WIDTH],
        .max_boxes = a[MAX_BOXES],
        .confidence = sim_float_of(op, CONFIDENCE),
        .iou = sim_float_of(op, IOU),
        .beta = a[KIND] == SIM_YOLOV4_DISTANCE ? sim_float_of(op, ATTRIBUTES + op->input_count) : 0.0f,
    };
}

static sim_result plan_detection(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const size_t heads = op->input_count, values = 2 * heads * (size_t)op->attributes[ANCHORS];
    const size_t places = heads * sizeof(sim_place);
    sim_step *s = sim_plan_new_step(b, op);
    detection_step *p = sim_plan_parameters(b, s, sizeof *p);
    if (!p || sim_plan_allocate(b, s, (int64_t)(places + (values + heads) * sizeof(float))) != SIM_OK) {
        return SIM_NO_MEMORY;
    }
    sim_place *place = s->memory;
    float *anchor = (float *)(void *)((char *)s->memory + places), *scale = anchor + values;
    for (uint32_t i = 0; i < heads; i++) {
        place[i] = sim_plan_place_of(b, op->inputs[i]);
        scale[i] = sim_float_of(op, ATTRIBUTES + i);
    }
    memcpy(anchor, b->model->constants[op->constants[0]].data, values * sizeof(float));
    p->heads = place;
    p->detection = describe(op);
    p->detection.anchor = anchor;
    p->detection.scale_x_y = scale;
    sim_plan_need_scratch(b, sim_detection_scratch(&p->detection));
    return SIM_OK;
}

/* Unit: an image. */
static void run_detection(const sim_invocation *v, size_t unit, unsigned member)
{
    const detection_step *p = v->step->parameters;
    sim_view heads[SIM_MAX_HEADS];
    for (int32_t i = 0; i < p->detection.heads; i++) {
        heads[i] = sim_run_view(v, &p->heads[i]);
    }
    sim_detection_run(v->plan->kernels, &p->detection, heads, &v->y, (int32_t)unit,
                      (char *)sim_run_scratch(v, member) + SIM_SCRATCH_HEAD);
}

const sim_row sim_row_detection_output = {
    .kind = "detection", .check = check_detection, .plan = plan_detection, .run = run_detection};
