/* Turns a checked network into steps: fuses operators, finds views, packs weights, places buffers. All searching is here. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "plan_build.h"

enum { ROW_TASKS = 64, CONV_TASKS = 16 };

void sim_plan_set_units(sim_step *s, int64_t units)
{
    s->units = (uint32_t)units;
    s->units_per_task = (uint32_t)((units + ROW_TASKS - 1) / ROW_TASKS);
    s->tasks = (s->units + s->units_per_task - 1) / s->units_per_task;
}

sim_step *sim_plan_new_step(builder *b, sim_step_kind kind, const sim_operator *op)
{
    sim_step *s = &b->plan->steps[b->plan->step_count++];
    s->kind = kind;
    const uint32_t length = op->name_length < sizeof s->name - 1 ? op->name_length : (uint32_t)sizeof s->name - 1;
    memcpy(s->name, op->name, length);
    s->x = sim_plan_place_of(b, op->inputs[0]);
    s->y = sim_plan_place_of(b, op->output);
    sim_plan_set_units(s, (int64_t)s->y.dims[0] * s->y.dims[1]);
    return s;
}

void sim_plan_need_scratch(builder *b, size_t bytes)
{
    const uint64_t whole = SIM_SCRATCH_HEAD + (uint64_t)aligned((int64_t)bytes);
    b->plan->scratch_bytes = whole > b->plan->scratch_bytes ? whole : b->plan->scratch_bytes;
}

sim_result sim_plan_allocate(builder *b, sim_step *s, int64_t bytes)
{
    s->memory = aligned_alloc(ALIGNMENT, (size_t)aligned(bytes));
    b->plan->packed_bytes += (uint64_t)aligned(bytes);
    return s->memory ? SIM_OK
                     : sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the weights of %s (%lld bytes).",
                                s->name, (long long)bytes);
}

/* The constant, or the identity where the layer has none; room behind the last channel for a whole vector. */
static const float *affine_array(const builder *b, const sim_operator *op, int which, float identity, int32_t channels,
                                 float *out)
{
    const uint32_t number = op->constants[which];
    const size_t bytes = (size_t)channels * sizeof(float);
    for (int32_t i = 0; i < channels + SIM_OC_BLOCK; i++) {
        out[i] = identity;
    }
    if (number != SIM_ABSENT) {
        memcpy(out, b->model->constants[number].data, bytes);
    }
    return out;
}

/* Quantized value of every byte in every channel: normalize, round to the tensor's type, quantize. */
static void fill_lookup(const builder *b, const sim_operator *normalize, const sim_conv *conv, int16_t *lookup,
                        int32_t *channels)
{
    const float *mean = (const float *)(const void *)b->model->constants[normalize->constants[0]].data;
    const float *std = (const float *)(const void *)b->model->constants[normalize->constants[1]].data;
    const uint32_t dtype = tensor_of(b, normalize->output)->dtype;
    const float qmax = conv->weight_dtype == SIM_INT8 ? 127.0f : 32767.0f;
    for (int32_t c = 0; c < conv->in_c; c++) {
        channels[c] = normalize->attributes[c];
        for (int32_t byte = 0; byte < 256; byte++) {
            float kept[1];
            sim_store(kept, dtype, 0, sim_normalize_value((float)byte, mean[c], std[c]));
            lookup[c * 256 + byte] = (int16_t)sim_quantize_value(sim_load(kept, dtype, 0), conv->quant_scale, qmax);
        }
    }
}

static void describe_conv(const builder *b, const sim_operator *op, sim_conv *conv)
{
    const int32_t *a = op->attributes, *in = tensor_of(b, op->inputs[0])->dims, *out = tensor_of(b, op->output)->dims;
    *conv = (sim_conv){
        .in_h = in[1],
        .in_w = in[2],
        .in_c = in[3],
        .out_h = out[1],
        .out_w = out[2],
        .out_c = out[3],
        .kernel_h = a[SIM_CONV_KERNEL_H],
        .kernel_w = a[SIM_CONV_KERNEL_W],
        .stride_h = a[SIM_CONV_STRIDE_H],
        .stride_w = a[SIM_CONV_STRIDE_W],
        .pad_top = a[SIM_CONV_PAD_TOP],
        .pad_left = a[SIM_CONV_PAD_LEFT],
        .dilation_h = a[SIM_CONV_DILATION_H],
        .dilation_w = a[SIM_CONV_DILATION_W],
        .groups = a[SIM_CONV_GROUPS],
        .transposed = op->opcode == SIM_OP_DECONV,
        .weight_dtype = b->model->constants[op->constants[SIM_CONV_WEIGHT]].dtype,
    };
    memcpy(&conv->quant_scale, &a[SIM_CONV_QUANT_SCALE], sizeof conv->quant_scale);
}

/* Tasks: stretches of rows times stretches of channel blocks. Neighbours share rows, so that a member fills them once. */
static void cut_conv(sim_step *s)
{
    const sim_conv *conv = &s->conv;
    const uint32_t blocks = (uint32_t)sim_conv_blocks(conv), rows = (uint32_t)conv->tiling.rows;
    s->row_tasks = ((uint32_t)conv->out_h + rows - 1) / rows;
    const uint32_t outer = s->row_tasks * (uint32_t)s->y.dims[0];
    const uint32_t wanted = outer >= CONV_TASKS ? 1 : (CONV_TASKS + outer - 1) / outer;
    s->blocks_per_task = (blocks + wanted - 1) / wanted;
    s->block_tasks = (blocks + s->blocks_per_task - 1) / s->blocks_per_task;
    s->tasks = outer * s->block_tasks;
}

static sim_result pack_conv(builder *b, const sim_operator *op, sim_step *s)
{
    sim_conv *conv = &s->conv;
    const sim_operator *normalize =
        sim_plan_folded(b, op->inputs[0]) ? operator_of(b, b->facts[op->inputs[0]].producer) : NULL;
    const int64_t floats = (int64_t)conv->out_c + SIM_OC_BLOCK;
    const int64_t affine_bytes = aligned(4 * floats * (int64_t)sizeof(float));
    const int64_t lookup_bytes = normalize ? aligned((int64_t)conv->in_c * (512 + (int64_t)sizeof(int32_t))) : 0;
    const sim_result result = sim_plan_allocate(b, s, affine_bytes + lookup_bytes + (int64_t)conv->tiling.packed_bytes);
    if (result != SIM_OK) {
        return result;
    }
    float *affine = s->memory;
    conv->affine.scale = affine_array(b, op, SIM_CONV_SCALE, 1.0f, conv->out_c, affine);
    conv->affine.bias = affine_array(b, op, SIM_CONV_BIAS, -0.0f, conv->out_c, affine + floats);
    conv->affine.alpha = affine_array(b, op, SIM_CONV_ALPHA, 1.0f, conv->out_c, affine + 2 * floats);
    conv->affine.beta = affine_array(b, op, SIM_CONV_BETA, -0.0f, conv->out_c, affine + 3 * floats);
    char *rest = (char *)s->memory + affine_bytes;
    if (normalize) {
        int32_t *channels = (int32_t *)(void *)(rest + (size_t)conv->in_c * 512);
        fill_lookup(b, normalize, conv, (int16_t *)(void *)rest, channels);
        conv->lookup = (const int16_t *)(void *)rest;
        conv->lookup_channel = channels;
        s->x = sim_plan_place_of(b, normalize->inputs[0]);
    }
    void *packed = rest + lookup_bytes;
    sim_conv_pack(b->plan->kernels, conv, b->model->constants[op->constants[SIM_CONV_WEIGHT]].data, packed);
    conv->packed = packed;
    return SIM_OK;
}

static sim_result add_conv(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, SIM_STEP_CONV, op);
    s->y = sim_plan_place_of(b, sim_plan_final_output(b, o));
    describe_conv(b, op, &s->conv);
    if (b->fused[o] != NONE) {
        const int32_t *a = operator_of(b, b->fused[o])->attributes;
        s->conv.activation.function = (uint32_t)a[0];
        memcpy(&s->conv.activation.a, &a[1], sizeof(float));
        memcpy(&s->conv.activation.b, &a[2], sizeof(float));
    }
    sim_conv_prepare(b->plan->kernels, &s->conv);
    cut_conv(s);
    sim_plan_need_scratch(b, s->conv.tiling.scratch_bytes);
    s->multiplications = (double)s->y.dims[0] * s->conv.out_h * s->conv.out_w * s->conv.out_c * s->conv.kernel_h *
                         s->conv.kernel_w * (s->conv.in_c / s->conv.groups);
    return pack_conv(b, op, s);
}

static void strides_of(const sim_place *p, int64_t *strides)
{
    strides[3] = 1;
    strides[2] = p->pitch;
    strides[1] = strides[2] * p->dims[2];
    strides[0] = strides[1] * p->dims[1];
}

static sim_step *add_copy(builder *b, const sim_operator *op)
{
    sim_step *s = sim_plan_new_step(b, SIM_STEP_COPY, op);
    strides_of(&s->x, s->copy.x_stride);
    strides_of(&s->y, s->copy.y_stride);
    for (int k = 0; k < 4; k++) {
        s->copy.dims[k] = s->y.dims[k];
    }
    return s;
}

static void add_concat(builder *b, const sim_operator *op)
{
    const int32_t axis = op->attributes[0];
    int64_t first = 0;
    for (uint32_t i = 0; i < op->input_count; i++) {
        const fact *x = &b->facts[op->inputs[i]];
        const int32_t size = tensor_of(b, op->inputs[i])->dims[axis];
        const bool in_place =
            axis == 3 && x->parent == (int32_t)op->output && !x->reshaped && x->first_channel == first;
        if (!in_place) {
            sim_step *s = add_copy(b, op);
            s->x = sim_plan_place_of(b, op->inputs[i]);
            strides_of(&s->x, s->copy.x_stride);
            s->copy.dims[axis] = size;
            s->copy.y_first = first * s->copy.y_stride[axis];
            sim_plan_set_units(s, s->copy.dims[0] * s->copy.dims[1]);
        }
        first += size;
    }
}

static void add_slice(builder *b, const sim_operator *op)
{
    sim_step *s = add_copy(b, op);
    for (int k = 0; k < 4; k++) {
        s->copy.x_first += op->attributes[k] * s->copy.x_stride[k];
        s->copy.x_stride[k] *= op->attributes[4 + k];
    }
}

static void add_permute(builder *b, const sim_operator *op)
{
    sim_step *s = add_copy(b, op);
    int64_t strides[4];
    memcpy(strides, s->copy.x_stride, sizeof strides);
    for (int k = 0; k < 4; k++) {
        s->copy.x_stride[k] = strides[op->attributes[k]];
    }
}

/* Elements in order; the output of a reshape is always dense. */
static void add_reshape(builder *b, const sim_operator *op)
{
    sim_step *s = add_copy(b, op);
    sim_place dense = s->x;
    dense.pitch = dense.dims[3];
    strides_of(&dense, s->copy.y_stride);
    for (int k = 0; k < 4; k++) {
        s->copy.dims[k] = s->x.dims[k];
    }
    sim_plan_set_units(s, s->copy.dims[0] * s->copy.dims[1]);
}

static sim_result add_step(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    switch (op->opcode) {
    case SIM_OP_CONV:
    case SIM_OP_DECONV: return add_conv(b, o);
    case SIM_OP_CONCAT: add_concat(b, op); break;
    case SIM_OP_SLICE: add_slice(b, op); break;
    case SIM_OP_RESHAPE: add_reshape(b, op); break;
    case SIM_OP_PERMUTE: add_permute(b, op); break;
    case SIM_OP_CAST: add_copy(b, op); break;
    default: return sim_plan_add_simple(b, op);
    }
    return SIM_OK;
}

/* Outputs that do not live in their own buffer: inputs passed through, and tensors that are outputs twice. */
static void add_output_copies(builder *b)
{
    const sim_model *m = b->model;
    for (int32_t i = 0; i < m->info.output_count; i++) {
        const uint32_t tensor = m->io_tensors[m->info.input_count + i];
        if (b->facts[tensor].input == NONE && b->facts[tensor].output == i) {
            continue;
        }
        const sim_operator op = {.inputs = &tensor, .output = tensor, .name = "output", .name_length = 6};
        sim_step *s = add_copy(b, &op);
        s->y.buffer = m->info.input_count + i;
        s->y.offset = 0;
        s->y.pitch = s->y.dims[3];
        strides_of(&s->y, s->copy.y_stride);
    }
}

static sim_result build(builder *b)
{
    uint64_t steps = (uint64_t)b->model->info.output_count;
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        steps += b->model->operators[o].opcode == SIM_OP_CONCAT ? b->model->operators[o].input_count : 1;
    }
    b->plan->steps = calloc(steps, sizeof *b->plan->steps);
    if (!b->plan->steps) {
        return sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
    }
    sim_plan_find_views(b);
    sim_result result = sim_plan_place_tensors(b);
    for (int32_t o = 0; o < (int32_t)b->model->operator_count && result == SIM_OK; o++) {
        result = b->skipped[o] ? SIM_OK : add_step(b, o);
    }
    if (result == SIM_OK) {
        add_output_copies(b);
    }
    return result;
}

sim_result sim_plan_create(const sim_model *model, sim_plan **out, sim_error *error)
{
    *out = NULL;
    if (!model->info.has_network) {
        return sim_fail(
            error, SIM_DEVICE_CODE,
            "This model holds device code only and cannot run in the simulator; build it again with mlu-export.");
    }
    sim_plan *plan = calloc(1, sizeof *plan);
    builder b = {
        .model = model,
        .plan = plan,
        .error = error,
        .facts = calloc(model->tensor_count, sizeof *b.facts),
        .fused = calloc(model->operator_count, sizeof *b.fused),
        .skipped = calloc(model->operator_count, sizeof *b.skipped),
    };
    sim_result result = plan && b.facts && b.fused && b.skipped
                            ? SIM_OK
                            : sim_fail(error, SIM_NO_MEMORY, "There is no memory for the plan.");
    if (result == SIM_OK) {
        plan->input_count = model->info.input_count;
        plan->output_count = model->info.output_count;
        plan->scratch_bytes = SIM_SCRATCH_HEAD;
        result = sim_plan_read_environment(plan, error);
    }
    if (result == SIM_OK) {
        result = build(&b);
    }
    free(b.facts);
    free(b.fused);
    free(b.skipped);
    if (result != SIM_OK) {
        sim_plan_free(plan);
        return result;
    }
    *out = plan;
    return SIM_OK;
}

void sim_plan_free(sim_plan *plan)
{
    if (!plan) {
        return;
    }
    if (plan->profile && plan->step_count) {
        sim_plan_report(plan);
    }
    for (uint32_t i = 0; i < plan->step_count; i++) {
        free(plan->steps[i].memory);
    }
    free(plan->steps);
    free(plan);
}

uint64_t sim_plan_packed_bytes(const sim_plan *plan)
{
    return plan->packed_bytes;
}

uint64_t sim_plan_workspace_bytes(const sim_plan *plan, unsigned team_size)
{
    return plan->arena_bytes + (uint64_t)team_size * plan->scratch_bytes;
}
