/* Questions about tensors while a plan is made. */
#include "build.h"

uint32_t sim_plan_final_output(const sim_builder *b, int32_t o)
{
    return b->fused[o] == NONE ? sim_operator_of(b, o)->output : sim_operator_of(b, b->fused[o])->output;
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
