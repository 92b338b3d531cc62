/* Turns a checked network into steps: fuses operators, places buffers, lets each operator add its steps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "operators.h"
#include "operators/copy.h"

static void gather_facts(sim_builder *b)
{
    const sim_model *m = b->model;
    for (uint32_t t = 0; t < 2 * m->tensor_count; t++) {
        b->facts[t] = (sim_fact){.kept = t < m->tensor_count, /* as values, until formats.c knows better */
                                 .producer = NONE,
                                 .conv = NONE,
                                 .input = NONE,
                                 .output = NONE,
                                 .parent = NONE,
                                 .first = NONE,
                                 .last = NONE,
                                 .offset = NONE};
    }
    for (int32_t i = 0; i < m->info.input_count; i++) {
        b->facts[m->io_tensors[i]].input = i;
    }
    for (int32_t i = m->info.output_count - 1; i >= 0; i--) { /* a tensor that is several outputs lives in the first */
        b->facts[m->io_tensors[m->info.input_count + i]].output = i;
    }
    for (uint32_t o = 0; o < m->operator_count; o++) {
        const sim_operator *op = &m->operators[o];
        const sim_row *row = sim_operator_known(op->opcode)->row;
        const bool bytes = row->takes_bytes && row->takes_bytes(m, op);
        b->rows[o] = row;
        b->fused[o] = b->added[o] = NONE;
        b->skipped[o] = false;
        b->facts[op->output].producer = b->facts[sim_plan_bytes_of(b, op->output)].producer = (int32_t)o;
        b->facts[op->output].conv = row->ends ? (int32_t)o : NONE;
        for (uint32_t i = 0; i < op->input_count; i++) {
            b->facts[op->inputs[i]].uses++;
            b->facts[op->inputs[i]].byte_uses += bytes;
        }
    }
}

static void fuse_operators(sim_builder *b)
{
    for (int32_t o = 0; o < (int32_t)b->model->operator_count; o++) {
        const sim_row *row = b->rows[o];
        if (row->fuse) {
            row->fuse(b, o);
        }
    }
}

static void share_memory(sim_builder *b)
{
    for (int32_t o = 0; o < (int32_t)b->model->operator_count; o++) {
        const sim_row *row = b->rows[o];
        if (row->share) {
            row->share(b, o);
        }
    }
}

static sim_result add_steps(sim_builder *b)
{
    sim_result result = SIM_OK;
    for (int32_t o = 0; o < (int32_t)b->model->operator_count && result == SIM_OK; o++) {
        b->step_of[o] = b->plan->step_count;
        if (!b->skipped[o]) {
            b->current = o;
            b->row = b->rows[o];
            result = b->row->plan(b, o);
        }
    }
    b->current = NONE;
    return result;
}

/* Outputs that do not live in their own buffer: inputs passed through, and tensors that are outputs twice. */
static sim_result add_output_copies(sim_builder *b)
{
    static const sim_row OUTPUT = {.kind = "copy", .run = sim_copy_run};
    const sim_model *m = b->model;
    b->row = &OUTPUT;
    for (int32_t i = 0; i < m->info.output_count; i++) {
        const uint32_t tensor = m->io_tensors[m->info.input_count + i];
        b->step_of[m->operator_count + (uint32_t)i] = b->plan->step_count;
        if (b->facts[tensor].input == NONE && b->facts[tensor].output == i) {
            continue;
        }
        const sim_operator op = {.inputs = &tensor, .output = tensor, .name = "output", .name_length = 6};
        sim_step *s;
        sim_copy *copy = sim_copy_add(b, &op, &s);
        if (!copy) {
            return SIM_NO_MEMORY;
        }
        s->y.buffer = m->info.input_count + i;
        s->y.offset = 0;
        s->y.pitch = s->y.dims[3];
        sim_copy_strides(&s->y, copy->y_stride);
    }
    return SIM_OK;
}

/* As a device would, that has no quantized bytes between its layers. */
static void note_costs(sim_builder *b)
{
    b->for_costs = true;
    gather_facts(b);
    fuse_operators(b);
    share_memory(b);
    sim_plan_note_costs(b);
    b->for_costs = false;
}

static sim_result build(sim_builder *b)
{
    uint64_t steps = (uint64_t)b->model->info.output_count; /* no operator has more steps than inputs */
    for (uint32_t o = 0; o < b->model->operator_count; o++) {
        steps += b->model->operators[o].input_count;
    }
    b->plan->steps = calloc(steps, sizeof *b->plan->steps);
    b->plan->costs = calloc(steps, sizeof *b->plan->costs);
    if (!b->plan->steps || !b->plan->costs) {
        return sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
    }
    note_costs(b);
    gather_facts(b);
    fuse_operators(b);
    sim_result result = sim_plan_choose_formats(b);
    if (result == SIM_OK) {
        share_memory(b);
        result = sim_plan_place_tensors(b);
    }
    if (result == SIM_OK) {
        result = add_steps(b);
    }
    result = result == SIM_OK ? add_output_copies(b) : result;
    if (result == SIM_OK) {
        sim_plan_settle_costs(b);
    }
    return result;
}

sim_result sim_plan_kernels(const char *wanted, char names[SIM_MAX_NAME], sim_error *error)
{
    const sim_kernels *first = sim_kernels_select(wanted);
    snprintf(names, SIM_MAX_NAME, "%s", first ? first->name : "");
    const char *name;
    for (unsigned i = 0; (name = sim_kernels_name(i)) != NULL; i++) {
        const size_t used = strlen(names);
        if (!first || strcmp(name, first->name) != 0) {
            snprintf(names + used, SIM_MAX_NAME - used, "%s%s", used > 0 ? ", " : "", name);
        }
    }
    return first ? SIM_OK
                 : sim_fail(error, SIM_NOT_SUPPORTED, "CNRT_SIMULATOR_KERNELS is \"%.32s\", this machine has %s.",
                            wanted, names);
}

static sim_result choose_kernels(sim_plan *plan, const char *wanted, sim_error *error)
{
    char names[SIM_MAX_NAME];
    plan->kernels = sim_kernels_select(wanted);
    return plan->kernels ? SIM_OK : sim_plan_kernels(wanted, names, error);
}

sim_result sim_plan_create(const sim_model *model, const sim_settings *settings, sim_plan **out, sim_error *error)
{
    *out = NULL;
    if (!model->info.has_network) {
        return sim_fail(
            error, SIM_DEVICE_CODE,
            "This model holds device code only and cannot run in the simulator; build it again with mlu-export.");
    }
    sim_plan *plan = calloc(1, sizeof *plan);
    sim_builder b = {
        .model = model,
        .plan = plan,
        .error = error,
        .facts = calloc(2 * (size_t)model->tensor_count, sizeof *b.facts),
        .rows = calloc(model->operator_count, sizeof *b.rows),
        .fused = calloc(model->operator_count, sizeof *b.fused),
        .added = calloc(model->operator_count, sizeof *b.added),
        .skipped = calloc(model->operator_count, sizeof *b.skipped),
        .step_of = calloc((size_t)model->operator_count + (size_t)model->info.output_count, sizeof *b.step_of),
    };
    sim_result result = plan && b.facts && b.rows && b.fused && b.added && b.skipped && b.step_of
                            ? SIM_OK
                            : sim_fail(error, SIM_NO_MEMORY, "There is no memory for the plan.");
    if (result == SIM_OK) {
        plan->input_count = model->info.input_count;
        plan->output_count = model->info.output_count;
        plan->scratch_bytes = SIM_SCRATCH_HEAD;
        plan->team = settings->team > 1 ? settings->team : 1;
        result = choose_kernels(plan, settings->kernels, error);
    }
    if (result == SIM_OK) {
        result = build(&b);
    }
    free(b.facts);
    free(b.rows);
    free(b.fused);
    free(b.added);
    free(b.skipped);
    free(b.step_of);
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
    for (uint32_t i = 0; i < plan->step_count; i++) {
        free(plan->steps[i].parameters);
        free(plan->steps[i].memory);
    }
    sim_plan_free_tables(plan);
    free(plan->steps);
    free(plan->costs);
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
