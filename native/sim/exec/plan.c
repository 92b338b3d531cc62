/* Turns a checked network into steps: fuses operators, finds views, packs weights, places buffers. All searching is here. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

enum { NONE = -1, ALIGNMENT = 64, ROW_TASKS = 64, CONV_TASKS = 16 };

/* What is known of a tensor while planning. */
typedef struct fact {
    uint32_t uses;        /* operators that read it */
    int32_t producer;     /* operator */
    int32_t input, output; /* number among the inputs, among the outputs */
    int32_t parent;       /* the tensor whose memory it shares */
    int32_t first_channel; /* in the parent */
    bool reshaped;        /* shares all of the parent under other dims */
    bool pinned;          /* must stay dense: a reshaped view looks at it */
    int32_t first, last;  /* steps, of roots only */
    int64_t offset;       /* in the arena, of roots only */
} fact;

typedef struct builder {
    const sim_model *model;
    sim_plan *plan;
    sim_error *error;
    fact *facts;
    int32_t *fused;  /* per operator: the activation it takes over, or NONE */
    bool *skipped;   /* per operator: nothing to do at run time */
    uint32_t capacity;
} builder;

static const sim_tensor *tensor_of(const builder *b, uint32_t number)
{
    return &b->model->tensors[number];
}

static const sim_operator *operator_of(const builder *b, int32_t number)
{
    return &b->model->operators[number];
}

/* ---- facts and fusion ---- */

static void gather_facts(builder *b)
{
    const sim_model *m = b->model;
    for (uint32_t t = 0; t < m->tensor_count; t++) {
        b->facts[t] = (fact){.producer = NONE, .input = NONE, .output = NONE, .parent = NONE, .first = NONE, .last = NONE};
    }
    for (int32_t i = 0; i < m->info.input_count; i++) {
        b->facts[m->io_tensors[i]].input = i;
    }
    for (int32_t i = m->info.output_count - 1; i >= 0; i--) { /* a tensor that is several outputs lives in the first */
        b->facts[m->io_tensors[m->info.input_count + i]].output = i;
    }
    for (uint32_t o = 0; o < m->operator_count; o++) {
        b->fused[o] = NONE;
        b->facts[m->operators[o].output].producer = (int32_t)o;
        for (uint32_t i = 0; i < m->operators[o].input_count; i++) {
            b->facts[m->operators[o].inputs[i]].uses++;
        }
    }
}

static bool is_quantized_conv(const builder *b, const sim_operator *op)
{
    return op->opcode == SIM_OP_CONV && b->model->constants[op->constants[SIM_CONV_WEIGHT]].dtype != SIM_FLOAT32;
}

/* An activation is taken over by the convolution before it if nobody else sees what lies between. */
static void fuse_activations(builder *b)
{
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        const sim_operator *op = operator_of(b, (int32_t)o);
        const fact *x = &b->facts[op->inputs[0]];
        if (op->opcode == SIM_OP_ACTIVATION && x->producer != NONE && x->uses == 1 && x->output == NONE &&
            operator_of(b, x->producer)->opcode == SIM_OP_CONV && tensor_of(b, op->inputs[0])->dtype == tensor_of(b, op->output)->dtype) {
            b->fused[x->producer] = (int32_t)o;
            b->skipped[o] = true;
        }
    }
}

/* A normalization of a uint8 picture becomes a table in each convolution that reads it, if only such read it. */
static void fuse_normalizations(builder *b)
{
    uint32_t *tables = calloc(b->model->tensor_count, sizeof *tables);
    if (!tables) {
        return; /* only slower */
    }
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        const sim_operator *op = operator_of(b, (int32_t)o);
        tables[op->inputs[0]] += is_quantized_conv(b, op);
    }
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        const sim_operator *op = operator_of(b, (int32_t)o);
        const fact *y = &b->facts[op->output];
        if (op->opcode == SIM_OP_NORMALIZE && tensor_of(b, op->inputs[0])->dtype == SIM_UINT8 && y->output == NONE && y->uses > 0 &&
            tables[op->output] == y->uses) {
            b->skipped[o] = true;
        }
    }
    free(tables);
}

/* The tensor that an operator writes once fused operators are taken into account. */
static uint32_t final_output(const builder *b, int32_t o)
{
    return b->fused[o] == NONE ? operator_of(b, o)->output : operator_of(b, b->fused[o])->output;
}

static bool folded_normalization(const builder *b, uint32_t tensor)
{
    const int32_t producer = b->facts[tensor].producer;
    return producer != NONE && b->skipped[producer] && operator_of(b, producer)->opcode == SIM_OP_NORMALIZE;
}

/* ---- views ---- */

static uint32_t root_of(const builder *b, uint32_t tensor)
{
    while (b->facts[tensor].parent != NONE) {
        tensor = (uint32_t)b->facts[tensor].parent;
    }
    return tensor;
}

static int32_t pitch_of(const builder *b, uint32_t tensor)
{
    while (b->facts[tensor].parent != NONE && !b->facts[tensor].reshaped) {
        tensor = (uint32_t)b->facts[tensor].parent;
    }
    return tensor_of(b, tensor)->dims[3];
}

static bool is_dense(const builder *b, uint32_t tensor)
{
    return pitch_of(b, tensor) == tensor_of(b, tensor)->dims[3];
}

/* Channels of the same pixels. */
static void try_slice_view(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    const sim_tensor *x = tensor_of(b, op->inputs[0]), *y = tensor_of(b, op->output);
    fact *out = &b->facts[op->output];
    const bool whole = memcmp(x->dims, y->dims, 3 * sizeof(int32_t)) == 0 && (op->attributes[7] == 1 || y->dims[3] == 1);
    if (whole && x->dtype == y->dtype && out->output == NONE) {
        out->parent = (int32_t)op->inputs[0];
        out->first_channel = op->attributes[3];
        b->skipped[o] = true;
    }
}

static void try_reshape_view(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    fact *out = &b->facts[op->output];
    if (tensor_of(b, op->inputs[0])->dtype == tensor_of(b, op->output)->dtype && out->output == NONE && is_dense(b, op->inputs[0])) {
        out->parent = (int32_t)op->inputs[0];
        out->reshaped = true;
        b->skipped[o] = true;
        for (int32_t t = (int32_t)op->inputs[0]; t != NONE; t = b->facts[t].parent) {
            b->facts[t].pinned = true;
        }
    }
}

/* Parts that can be written straight into the joined tensor are; the others stay to be copied. */
static void try_concat_view(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    int32_t channel = 0;
    bool all = true;
    for (uint32_t i = 0; i < op->input_count; i++) {
        fact *x = &b->facts[op->inputs[i]];
        const bool free_to_move = op->attributes[0] == 3 && x->parent == NONE && x->input == NONE && x->output == NONE && !x->pinned &&
                                  tensor_of(b, op->inputs[i])->dtype == tensor_of(b, op->output)->dtype &&
                                  operator_of(b, x->producer)->opcode != SIM_OP_RESHAPE;
        if (free_to_move) {
            x->parent = (int32_t)op->output;
            x->first_channel = channel;
        }
        all &= free_to_move;
        channel += tensor_of(b, op->inputs[i])->dims[3];
    }
    b->skipped[o] = all;
}

static void find_views(builder *b)
{
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        switch (operator_of(b, (int32_t)o)->opcode) {
        case SIM_OP_SLICE: try_slice_view(b, (int32_t)o); break;
        case SIM_OP_RESHAPE: try_reshape_view(b, (int32_t)o); break;
        case SIM_OP_CONCAT: try_concat_view(b, (int32_t)o); break;
        default: break;
        }
    }
}

/* ---- lifetimes and the arena ---- */

static void touch(builder *b, uint32_t tensor, int32_t time)
{
    fact *root = &b->facts[root_of(b, tensor)];
    if (root->first == NONE) {
        root->first = time;
    }
    root->last = time;
}

static void find_lifetimes(builder *b)
{
    for (int32_t o = 0; o < (int32_t)b->model->operator_count; o++) {
        const sim_operator *op = operator_of(b, o);
        if (b->skipped[o]) {
            continue;
        }
        for (uint32_t i = 0; i < op->input_count; i++) {
            if (!folded_normalization(b, op->inputs[i])) {
                touch(b, op->inputs[i], o);
            }
        }
        touch(b, final_output(b, o), o);
    }
}

static bool in_arena(const builder *b, uint32_t tensor)
{
    const fact *f = &b->facts[tensor];
    return f->parent == NONE && f->input == NONE && f->output == NONE && f->first != NONE;
}

typedef struct occupied {
    int64_t offset, end;
    int32_t last;
} occupied;

/* Best fit among the tensors alive at that moment, which are kept by offset. */
static int64_t place(occupied *alive, uint32_t *count, int32_t now, int64_t bytes, int32_t last)
{
    uint32_t kept = 0, best = 0;
    int64_t end = 0, best_offset = NONE, best_gap = INT64_MAX;
    for (uint32_t i = 0; i < *count; i++) {
        if (alive[i].last >= now) {
            alive[kept++] = alive[i];
        }
    }
    for (uint32_t i = 0; i < kept; i++) {
        const int64_t gap = alive[i].offset - end;
        if (gap >= bytes && gap < best_gap) {
            best_gap = gap;
            best_offset = end;
            best = i;
        }
        end = alive[i].end;
    }
    if (best_offset == NONE) {
        best_offset = end;
        best = kept;
    }
    memmove(alive + best + 1, alive + best, (kept - best) * sizeof *alive);
    alive[best] = (occupied){best_offset, best_offset + bytes, last};
    *count = kept + 1;
    return best_offset;
}

static int64_t aligned(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Roots become alive when their first step runs; a root of views may do so before its own operator. */
static sim_result place_tensors(builder *b)
{
    const sim_model *m = b->model;
    occupied *alive = malloc((m->tensor_count + 1u) * sizeof *alive);
    if (!alive) {
        return sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
    }
    uint32_t count = 0;
    for (int32_t o = 0; o < (int32_t)m->operator_count; o++) {
        if (b->skipped[o]) {
            continue;
        }
        const uint32_t root = root_of(b, final_output(b, o));
        if (in_arena(b, root) && b->facts[root].first == o) {
            const int64_t bytes = aligned(tensor_of(b, root)->bytes);
            fact *f = &b->facts[root];
            f->offset = place(alive, &count, o, bytes, f->last);
            const uint64_t end = (uint64_t)(f->offset + bytes);
            b->plan->arena_bytes = end > b->plan->arena_bytes ? end : b->plan->arena_bytes;
        }
    }
    free(alive);
    return SIM_OK;
}

static sim_place place_of(const builder *b, uint32_t tensor)
{
    const sim_tensor *t = tensor_of(b, tensor);
    sim_place p = {.buffer = NONE, .pitch = pitch_of(b, tensor), .dtype = t->dtype};
    memcpy(p.dims, t->dims, sizeof p.dims);
    uint32_t at = tensor;
    for (; b->facts[at].parent != NONE; at = (uint32_t)b->facts[at].parent) {
        p.offset += b->facts[at].first_channel * (int64_t)sim_dtype_size(t->dtype);
    }
    const fact *root = &b->facts[at];
    if (root->input != NONE) {
        p.buffer = root->input;
    } else if (root->output != NONE) {
        p.buffer = b->model->info.input_count + root->output;
    } else {
        p.offset += root->offset;
    }
    return p;
}

/* ---- steps ---- */

static void set_units(sim_step *s, int64_t units)
{
    s->units = (uint32_t)units;
    s->units_per_task = (uint32_t)((units + ROW_TASKS - 1) / ROW_TASKS);
    s->tasks = (s->units + s->units_per_task - 1) / s->units_per_task;
}

static sim_step *new_step(builder *b, sim_step_kind kind, const sim_operator *op)
{
    sim_step *s = &b->plan->steps[b->plan->step_count++];
    s->kind = kind;
    const uint32_t length = op->name_length < sizeof s->name - 1 ? op->name_length : (uint32_t)sizeof s->name - 1;
    memcpy(s->name, op->name, length);
    s->x = place_of(b, op->inputs[0]);
    s->y = place_of(b, op->output);
    set_units(s, (int64_t)s->y.dims[0] * s->y.dims[1]);
    return s;
}

static void need_scratch(builder *b, size_t bytes)
{
    const uint64_t whole = SIM_SCRATCH_HEAD + (uint64_t)aligned((int64_t)bytes);
    b->plan->scratch_bytes = whole > b->plan->scratch_bytes ? whole : b->plan->scratch_bytes;
}

static sim_result allocate(builder *b, sim_step *s, int64_t bytes)
{
    s->memory = aligned_alloc(ALIGNMENT, (size_t)aligned(bytes));
    b->plan->packed_bytes += (uint64_t)aligned(bytes);
    return s->memory ? SIM_OK : sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the weights of %s (%lld bytes).", s->name, (long long)bytes);
}

/* The constant, or the identity where the layer has none; room behind the last channel for a whole vector. */
static const float *affine_array(const builder *b, const sim_operator *op, int which, float identity, int32_t channels, float *out)
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
static void fill_lookup(const builder *b, const sim_operator *normalize, const sim_conv *conv, int16_t *lookup, int32_t *channels)
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
        .in_h = in[1], .in_w = in[2], .in_c = in[3], .out_h = out[1], .out_w = out[2], .out_c = out[3],
        .kernel_h = a[SIM_CONV_KERNEL_H], .kernel_w = a[SIM_CONV_KERNEL_W], .stride_h = a[SIM_CONV_STRIDE_H],
        .stride_w = a[SIM_CONV_STRIDE_W], .pad_top = a[SIM_CONV_PAD_TOP], .pad_left = a[SIM_CONV_PAD_LEFT],
        .dilation_h = a[SIM_CONV_DILATION_H], .dilation_w = a[SIM_CONV_DILATION_W], .groups = a[SIM_CONV_GROUPS],
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
    const sim_operator *normalize = folded_normalization(b, op->inputs[0]) ? operator_of(b, b->facts[op->inputs[0]].producer) : NULL;
    const int64_t floats = (int64_t)conv->out_c + SIM_OC_BLOCK;
    const int64_t affine_bytes = aligned(4 * floats * (int64_t)sizeof(float));
    const int64_t lookup_bytes = normalize ? aligned((int64_t)conv->in_c * (512 + (int64_t)sizeof(int32_t))) : 0;
    const sim_result result = allocate(b, s, affine_bytes + lookup_bytes + (int64_t)conv->tiling.packed_bytes);
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
        s->x = place_of(b, normalize->inputs[0]);
    }
    void *packed = rest + lookup_bytes;
    sim_conv_pack(b->plan->kernels, conv, b->model->constants[op->constants[SIM_CONV_WEIGHT]].data, packed);
    conv->packed = packed;
    return SIM_OK;
}

static sim_result add_conv(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    sim_step *s = new_step(b, SIM_STEP_CONV, op);
    s->y = place_of(b, final_output(b, o));
    describe_conv(b, op, &s->conv);
    if (b->fused[o] != NONE) {
        const int32_t *a = operator_of(b, b->fused[o])->attributes;
        s->conv.activation.function = (uint32_t)a[0];
        memcpy(&s->conv.activation.a, &a[1], sizeof(float));
        memcpy(&s->conv.activation.b, &a[2], sizeof(float));
    }
    sim_conv_prepare(b->plan->kernels, &s->conv);
    cut_conv(s);
    need_scratch(b, s->conv.tiling.scratch_bytes);
    s->multiplications = (double)s->y.dims[0] * s->conv.out_h * s->conv.out_w * s->conv.out_c * s->conv.kernel_h * s->conv.kernel_w *
                         (s->conv.in_c / s->conv.groups);
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
    sim_step *s = new_step(b, SIM_STEP_COPY, op);
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
        const bool in_place = axis == 3 && x->parent == (int32_t)op->output && !x->reshaped && x->first_channel == first;
        if (!in_place) {
            sim_step *s = add_copy(b, op);
            s->x = place_of(b, op->inputs[i]);
            strides_of(&s->x, s->copy.x_stride);
            s->copy.dims[axis] = size;
            s->copy.y_first = first * s->copy.y_stride[axis];
            set_units(s, s->copy.dims[0] * s->copy.dims[1]);
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
    set_units(s, s->copy.dims[0] * s->copy.dims[1]);
}

static sim_result add_normalize(builder *b, const sim_operator *op)
{
    sim_step *s = new_step(b, SIM_STEP_NORMALIZE, op);
    const size_t channels = (size_t)s->y.dims[3];
    const sim_result result = allocate(b, s, (int64_t)(channels * 12));
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
    new_step(b, SIM_STEP_MAX_POOL, op)->pool = (sim_pool){a[0], a[1], a[2], a[3], a[4], a[5]};
}

static void add_binary(builder *b, const sim_operator *op)
{
    sim_step *s = new_step(b, op->opcode == SIM_OP_ADD ? SIM_STEP_ADD : SIM_STEP_MUL, op);
    s->x2 = place_of(b, op->inputs[1]);
}

static void add_activation(builder *b, const sim_operator *op)
{
    sim_step *s = new_step(b, SIM_STEP_ACTIVATE, op);
    s->activation.function = (uint32_t)op->attributes[0];
    memcpy(&s->activation.a, &op->attributes[1], sizeof(float));
    memcpy(&s->activation.b, &op->attributes[2], sizeof(float));
}

static void add_softmax(builder *b, const sim_operator *op)
{
    sim_step *s = new_step(b, SIM_STEP_SOFTMAX, op);
    s->axis = op->attributes[0];
    set_units(s, (int64_t)s->y.dims[0] * s->y.dims[s->axis == 1 ? 2 : 1]);
}

static void add_upsample(builder *b, const sim_operator *op)
{
    sim_step *s = new_step(b, SIM_STEP_UPSAMPLE, op);
    s->factor_h = op->attributes[0];
    s->factor_w = op->attributes[1];
}

static sim_result add_step(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    switch (op->opcode) {
    case SIM_OP_CONV: return add_conv(b, o);
    case SIM_OP_NORMALIZE: return add_normalize(b, op);
    case SIM_OP_MAX_POOL: add_pool(b, op); break;
    case SIM_OP_UPSAMPLE_NEAREST: add_upsample(b, op); break;
    case SIM_OP_CONCAT: add_concat(b, op); break;
    case SIM_OP_ADD: case SIM_OP_MUL: add_binary(b, op); break;
    case SIM_OP_SLICE: add_slice(b, op); break;
    case SIM_OP_ACTIVATION: add_activation(b, op); break;
    case SIM_OP_SOFTMAX: add_softmax(b, op); break;
    case SIM_OP_RESHAPE: add_reshape(b, op); break;
    case SIM_OP_PERMUTE: add_permute(b, op); break;
    case SIM_OP_CAST: add_copy(b, op); break;
    default: break;
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
    gather_facts(b);
    fuse_activations(b);
    fuse_normalizations(b);
    find_views(b);
    find_lifetimes(b);
    sim_result result = place_tensors(b);
    for (int32_t o = 0; o < (int32_t)b->model->operator_count && result == SIM_OK; o++) {
        result = b->skipped[o] ? SIM_OK : add_step(b, o);
    }
    if (result == SIM_OK) {
        add_output_copies(b);
    }
    return result;
}

static sim_result choose_kernels(sim_plan *plan, sim_error *error)
{
    const char *wanted = getenv("CNRT_SIMULATOR_KERNELS");
    plan->kernels = sim_kernels_select(wanted && *wanted ? wanted : NULL);
    if (!plan->kernels) {
        char names[128] = "";
        for (unsigned i = 0; sim_kernels_name(i); i++) {
            const size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", sim_kernels_name(i));
        }
        return sim_fail(error, SIM_NOT_SUPPORTED, "CNRT_SIMULATOR_KERNELS is \"%.32s\", this machine has %s.", wanted, names);
    }
    if (wanted && *wanted) {
        fprintf(stderr, "cnrt simulator: kernels \"%s\" as CNRT_SIMULATOR_KERNELS says\n", plan->kernels->name);
    }
    return SIM_OK;
}

sim_result sim_plan_create(const sim_model *model, sim_plan **out, sim_error *error)
{
    *out = NULL;
    if (!model->info.has_network) {
        return sim_fail(error, SIM_DEVICE_CODE, "This model holds device code only and cannot run in the simulator; build it again with mlu-export.");
    }
    sim_plan *plan = calloc(1, sizeof *plan);
    builder b = {
        .model = model, .plan = plan, .error = error,
        .facts = calloc(model->tensor_count, sizeof *b.facts),
        .fused = calloc(model->operator_count, sizeof *b.fused),
        .skipped = calloc(model->operator_count, sizeof *b.skipped),
    };
    sim_result result = plan && b.facts && b.fused && b.skipped ? SIM_OK : sim_fail(error, SIM_NO_MEMORY, "There is no memory for the plan.");
    if (result == SIM_OK) {
        const char *profile = getenv("CNRT_SIMULATOR_PROFILE");
        plan->profile = profile && strcmp(profile, "1") == 0;
        plan->input_count = model->info.input_count;
        plan->output_count = model->info.output_count;
        plan->scratch_bytes = SIM_SCRATCH_HEAD;
        result = choose_kernels(plan, error);
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
