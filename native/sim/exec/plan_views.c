/* Which operators of a network are fused, and which tensors are views of others. */
#include <stdlib.h>
#include <string.h>

#include "plan_build.h"

static void gather_facts(builder *b)
{
    const sim_model *m = b->model;
    for (uint32_t t = 0; t < m->tensor_count; t++) {
        b->facts[t] =
            (fact){.producer = NONE, .input = NONE, .output = NONE, .parent = NONE, .first = NONE, .last = NONE};
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
    return is_convolution(op) && b->model->constants[op->constants[SIM_CONV_WEIGHT]].dtype != SIM_FLOAT32;
}

/* An activation is taken over by the convolution before it if nobody else sees what lies between. */
static void fuse_activations(builder *b)
{
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        const sim_operator *op = operator_of(b, (int32_t)o);
        const fact *x = &b->facts[op->inputs[0]];
        if (op->opcode == SIM_OP_ACTIVATION && x->producer != NONE && x->uses == 1 && x->output == NONE &&
            is_convolution(operator_of(b, x->producer)) && sim_activation_is_fast((uint32_t)op->attributes[0]) &&
            tensor_of(b, op->inputs[0])->dtype == tensor_of(b, op->output)->dtype) {
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
        if (op->opcode == SIM_OP_NORMALIZE && tensor_of(b, op->inputs[0])->dtype == SIM_UINT8 && y->output == NONE &&
            y->uses > 0 && tables[op->output] == y->uses) {
            b->skipped[o] = true;
        }
    }
    free(tables);
}

/* The tensor that an operator writes once fused operators are taken into account. */
uint32_t sim_plan_final_output(const builder *b, int32_t o)
{
    return b->fused[o] == NONE ? operator_of(b, o)->output : operator_of(b, b->fused[o])->output;
}

bool sim_plan_folded(const builder *b, uint32_t tensor)
{
    const int32_t producer = b->facts[tensor].producer;
    return producer != NONE && b->skipped[producer] && operator_of(b, producer)->opcode == SIM_OP_NORMALIZE;
}

/* ---- views ---- */

uint32_t sim_plan_root(const builder *b, uint32_t tensor)
{
    while (b->facts[tensor].parent != NONE) {
        tensor = (uint32_t)b->facts[tensor].parent;
    }
    return tensor;
}

int32_t sim_plan_pitch(const builder *b, uint32_t tensor)
{
    while (b->facts[tensor].parent != NONE && !b->facts[tensor].reshaped) {
        tensor = (uint32_t)b->facts[tensor].parent;
    }
    return tensor_of(b, tensor)->dims[3];
}

static bool is_dense(const builder *b, uint32_t tensor)
{
    return sim_plan_pitch(b, tensor) == tensor_of(b, tensor)->dims[3];
}

/* Channels of the same pixels. */
static void try_slice_view(builder *b, int32_t o)
{
    const sim_operator *op = operator_of(b, o);
    const sim_tensor *x = tensor_of(b, op->inputs[0]), *y = tensor_of(b, op->output);
    fact *out = &b->facts[op->output];
    const bool whole =
        memcmp(x->dims, y->dims, 3 * sizeof(int32_t)) == 0 && (op->attributes[7] == 1 || y->dims[3] == 1);
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
    if (tensor_of(b, op->inputs[0])->dtype == tensor_of(b, op->output)->dtype && out->output == NONE &&
        is_dense(b, op->inputs[0])) {
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
        const bool free_to_move = op->attributes[0] == 3 && x->parent == NONE && x->input == NONE &&
                                  x->output == NONE && !x->pinned &&
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

static void share_memory(builder *b)
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

void sim_plan_find_views(builder *b)
{
    gather_facts(b);
    fuse_activations(b);
    fuse_normalizations(b);
    share_memory(b);
}
