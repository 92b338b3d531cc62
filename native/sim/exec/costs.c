/* What a device of the estimates does for a network: one cost for each operator that it does not do on the way.
 *
 * It keeps all tensors as values, applies the functions of sim_activation_is_fast with the convolution before them, and makes
 * no copy where a view will do. What this plan fuses beyond that, or keeps quantized, must not change an estimate. */
#include "build.h"

sim_cost *sim_plan_add_cost(sim_builder *b, uint32_t number, const sim_operator *op)
{
    sim_cost *cost = &b->plan->costs[b->plan->cost_count++];
    cost->step = number;
    cost->bytes = (double)sim_tensor_of(b, op->output)->bytes;
    for (uint32_t i = 0; i < op->input_count; i++) {
        cost->bytes += (double)sim_tensor_of(b, op->inputs[i])->bytes;
    }
    for (uint32_t k = 0; k < op->constant_count; k++) {
        if (op->constants[k] != SIM_ABSENT) {
            const sim_constant *constant = &b->model->constants[op->constants[k]];
            cost->bytes += (double)constant->elements * (double)sim_dtype_size(constant->dtype);
        }
    }
    return cost;
}

void sim_plan_note_costs(sim_builder *b)
{
    const sim_model *m = b->model;
    for (uint32_t o = 0; o < m->operator_count; o++) {
        if (b->skipped[o]) {
            continue;
        }
        if (b->rows[o]->cost) {
            b->rows[o]->cost(b, (int32_t)o);
        } else {
            sim_plan_add_cost(b, o, &m->operators[o]);
        }
    }
    for (int32_t i = 0; i < m->info.output_count; i++) {
        const uint32_t tensor = m->io_tensors[m->info.input_count + i];
        if (b->facts[tensor].input != NONE || b->facts[tensor].output != i) { /* copied, as add_output_copies does */
            const sim_operator op = {.inputs = &tensor, .input_count = 1, .output = tensor};
            sim_plan_add_cost(b, m->operator_count + (uint32_t)i, &op);
        }
    }
}

/* The step in which an operator is done here; what is a view here: the step before it. */
static uint32_t step_of(const sim_builder *b, uint32_t number)
{
    const sim_model *m = b->model;
    if (number >= m->operator_count || !b->skipped[number]) {
        return b->step_of[number];
    }
    const int32_t conv = b->facts[m->operators[number].output].conv;
    if (conv != NONE) {
        return b->step_of[conv];
    }
    return b->step_of[number] > 0 ? b->step_of[number] - 1 : 0;
}

void sim_plan_settle_costs(sim_builder *b)
{
    for (uint32_t i = 0; i < b->plan->cost_count; i++) {
        b->plan->costs[i].step = step_of(b, b->plan->costs[i].step);
    }
}
