/* Which tensors are kept as values, as the quantized bytes that convolutions read, or as both (ARITHMETIC.md section 2).
 *
 * From the last operator to the first, so that all readers of a tensor are known before its writer: bytes take the place of
 * the values where every reader takes them with one scale. An operator that passes values on reads what it writes, since
 * quantization is monotone: a maximum of bytes is the byte of the maximum. Where some readers want values, or bytes of
 * another scale, a convolution writes both. Nobody sees the difference in a bit. */
#include <stdlib.h>

#include "build.h"

typedef struct need { /* of all readers of a tensor */
    bool values, bytes;
    bool direct; /* the scale is that of a convolution, not of something that passes the bytes on */
    float scale;
} need;

/* A tensor has bytes of one scale at most; convolutions go before, readers of the others quantize its values. */
static void want_bytes(need *n, float scale, bool direct)
{
    const bool other = n->bytes && n->scale != scale;
    n->values |= other;
    if (!other || (direct && !n->direct)) {
        n->scale = scale;
        n->direct |= direct;
    }
    n->bytes = true;
}

static bool same_dtype(const sim_builder *b, const sim_operator *op)
{
    for (uint32_t i = 0; i < op->input_count; i++) {
        if (sim_tensor_of(b, op->inputs[i])->dtype != sim_tensor_of(b, op->output)->dtype) {
            return false; /* the values round on their way */
        }
    }
    return true;
}

static void want_inputs(const sim_builder *b, int32_t o, need *needs)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_row *row = b->rows[o];
    const uint32_t out = sim_plan_kept(b, op->output), addend = sim_plan_addend(b, o);
    const float scale = row->quantized_by ? row->quantized_by(b->model, op) : 0.0f;
    for (uint32_t i = 0; i < op->input_count; i++) {
        need *n = &needs[op->inputs[i]];
        if (scale > 0.0f) {
            want_bytes(n, scale, true);
        } else if (row->passes && sim_plan_is_bytes(b, out)) {
            want_bytes(n, b->facts[out].scale, false);
        } else {
            n->values = true;
        }
    }
    if (addend != SIM_ABSENT) {
        needs[addend].values = true;
    }
}

/* What `o` writes of its final output, whose readers are all known. */
static void choose(sim_builder *b, int32_t o, const need *n, uint32_t tensor)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_row *row = b->rows[o];
    sim_fact *values = &b->facts[tensor], *bytes = &b->facts[sim_plan_bytes_of(b, tensor)];
    const bool all = n->bytes && !n->values && values->output == NONE;
    const bool writes_bytes = b->plan->kernels->encode && (row->ends || (row->passes && same_dtype(b, op)));
    bytes->kept = n->bytes && writes_bytes && (all || row->ends);
    bytes->scale = n->scale;
    values->kept = !(bytes->kept && all);
}

sim_result sim_plan_choose_formats(sim_builder *b)
{
    const sim_model *m = b->model;
    need *needs = calloc(m->tensor_count, sizeof *needs);
    if (!needs) {
        return sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
    }
    for (int32_t o = (int32_t)m->operator_count - 1; o >= 0; o--) {
        if (!b->skipped[o]) {
            const uint32_t tensor = sim_plan_final_output(b, o);
            choose(b, o, &needs[tensor], tensor);
            want_inputs(b, o, needs);
        }
    }
    free(needs);
    return SIM_OK;
}
