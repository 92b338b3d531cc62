/* Questions about tensors while a plan is made. */
#include "build.h"

uint32_t sim_plan_final_output(const sim_builder *b, int32_t o)
{
    const int32_t last = b->added[o] != NONE ? b->added[o] : b->fused[o] != NONE ? b->fused[o] : o;
    return sim_operator_of(b, last)->output;
}

uint32_t sim_plan_addend(const sim_builder *b, int32_t o)
{
    if (b->added[o] == NONE) {
        return SIM_ABSENT;
    }
    const sim_operator *op = sim_operator_of(b, o), *sum = sim_operator_of(b, b->added[o]);
    const uint32_t own = b->fused[o] == NONE ? op->output : sim_operator_of(b, b->fused[o])->output;
    return sum->inputs[sum->inputs[0] == own];
}

uint32_t sim_plan_kept(const sim_builder *b, uint32_t tensor)
{
    return b->facts[tensor].kept ? tensor : sim_plan_bytes_of(b, tensor);
}

uint32_t sim_plan_source(const sim_builder *b, int32_t o, uint32_t tensor)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_row *row = b->rows[o];
    const uint32_t bytes = sim_plan_bytes_of(b, tensor), out = sim_plan_kept(b, op->output);
    float scale = 0.0f;
    if (row->passes && sim_plan_is_bytes(b, out)) {
        scale = b->facts[out].scale;
    } else if (row->quantized_by) {
        scale = row->quantized_by(b->model, op);
    }
    return b->facts[bytes].kept && b->facts[bytes].scale == scale ? bytes : tensor;
}

uint32_t sim_plan_root(const sim_builder *b, uint32_t tensor)
{
    while (b->facts[tensor].parent != NONE) {
        tensor = (uint32_t)b->facts[tensor].parent;
    }
    return tensor;
}

int32_t sim_plan_pitch(const sim_builder *b, uint32_t tensor)
{
    while (b->facts[tensor].parent != NONE && !b->facts[tensor].reshaped) {
        tensor = (uint32_t)b->facts[tensor].parent;
    }
    return sim_tensor_of(b, tensor)->dims[3];
}

bool sim_plan_is_dense(const sim_builder *b, uint32_t tensor)
{
    return sim_plan_pitch(b, tensor) == sim_tensor_of(b, tensor)->dims[3];
}
