/* Steps of a plan: their units, their memory. */
#include <stdlib.h>
#include <string.h>

#include "build.h"

enum { ROW_TASKS = 64, ALONE_BYTES = 8192 }; /* what is done sooner than a team shares it: one task */

static int64_t bytes_at(const sim_place *p)
{
    return (int64_t)p->dims[0] * p->dims[1] * p->dims[2] * p->dims[3] * (int64_t)sim_dtype_size(p->dtype);
}

void sim_plan_set_units(sim_step *s, int64_t units)
{
    s->units = (uint32_t)units;
    const int64_t tasks = bytes_at(&s->x) + bytes_at(&s->y) <= ALONE_BYTES ? 1 : ROW_TASKS;
    s->units_per_task = (uint32_t)((units + tasks - 1) / tasks);
    s->tasks = (s->units + s->units_per_task - 1) / s->units_per_task;
}

/* What the profile tells of a step besides its places. */
static void note_traffic(const sim_builder *b, const sim_operator *op, sim_step *s)
{
    for (uint32_t i = 1; i < op->input_count; i++) {
        s->host_bytes += (double)sim_tensor_of(b, op->inputs[i])->bytes;
    }
    for (uint32_t k = 0; k < op->constant_count; k++) {
        if (op->constants[k] != SIM_ABSENT) {
            const sim_constant *constant = &b->model->constants[op->constants[k]];
            s->host_bytes += (double)constant->elements * (double)sim_dtype_size(constant->dtype);
            s->weight_dtype = k == 0 ? constant->dtype : s->weight_dtype;
        }
    }
}

sim_step *sim_plan_new_step(sim_builder *b, const sim_operator *op)
{
    sim_step *s = &b->plan->steps[b->plan->step_count++];
    s->kind = b->row->kind;
    s->run = b->row->run;
    const uint32_t length = op->name_length < sizeof s->name - 1 ? op->name_length : (uint32_t)sizeof s->name - 1;
    memcpy(s->name, op->name, length);
    const bool known = b->current != NONE;
    s->x = sim_plan_place_of(b, known ? sim_plan_source(b, b->current, op->inputs[0]) : op->inputs[0]);
    s->y = sim_plan_place_of(b, known ? sim_plan_kept(b, op->output) : op->output);
    note_traffic(b, op, s);
    sim_plan_set_units(s, (int64_t)s->y.dims[0] * s->y.dims[1]);
    return s;
}

void sim_plan_need_scratch(sim_builder *b, size_t bytes)
{
    const uint64_t whole = SIM_SCRATCH_HEAD + (uint64_t)sim_aligned((int64_t)bytes);
    b->plan->scratch_bytes = whole > b->plan->scratch_bytes ? whole : b->plan->scratch_bytes;
}

void *sim_plan_parameters(sim_builder *b, sim_step *s, size_t bytes)
{
    s->parameters = calloc(1, bytes);
    if (!s->parameters) {
        sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
    }
    return s->parameters;
}

sim_result sim_plan_allocate(sim_builder *b, sim_step *s, int64_t bytes)
{
    s->memory = aligned_alloc(ALIGNMENT, (size_t)sim_aligned(bytes));
    b->plan->packed_bytes += (uint64_t)sim_aligned(bytes);
    return s->memory ? SIM_OK
                     : sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the weights of %s (%lld bytes).",
                                s->name, (long long)bytes);
}

sim_result sim_plan_take_floats(sim_builder *b, sim_step *s, const sim_operator *op, int64_t channels)
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
    return SIM_OK;
}
