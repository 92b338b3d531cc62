/* Lifetimes of tensors and their places in the arena. */
#include <stdlib.h>
#include <string.h>

#include "build.h"

static void touch(sim_builder *b, uint32_t tensor, int32_t time)
{
    sim_fact *root = &b->facts[sim_plan_root(b, tensor)];
    if (root->first == NONE) {
        root->first = time;
    }
    root->last = time;
}

/* What an operator writes: values, quantized bytes or both. */
static int kept_outputs(const sim_builder *b, int32_t o, uint32_t *written)
{
    const uint32_t values = sim_plan_final_output(b, o), bytes = sim_plan_bytes_of(b, values);
    int count = 0;
    if (b->facts[values].kept) {
        written[count++] = values;
    }
    if (b->facts[bytes].kept) {
        written[count++] = bytes;
    }
    return count;
}

static void find_lifetimes(sim_builder *b)
{
    for (int32_t o = 0; o < (int32_t)b->model->operator_count; o++) {
        const sim_operator *op = sim_operator_of(b, o);
        if (b->skipped[o]) {
            continue;
        }
        for (uint32_t i = 0; i < op->input_count; i++) {
            if (!b->facts[op->inputs[i]].folded) {
                touch(b, sim_plan_source(b, o, op->inputs[i]), o);
            }
        }
        if (sim_plan_addend(b, o) != SIM_ABSENT) {
            touch(b, sim_plan_addend(b, o), o);
        }
        uint32_t written[2];
        const int count = kept_outputs(b, o, written);
        for (int i = 0; i < count; i++) {
            touch(b, written[i], o);
        }
    }
}

static bool in_arena(const sim_builder *b, uint32_t tensor)
{
    const sim_fact *f = &b->facts[tensor];
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

/* Products of bytes read a little past the end. */
static int64_t room_of(const sim_builder *b, uint32_t tensor)
{
    const sim_tensor *t = sim_tensor_of(b, tensor);
    const int64_t elements = t->bytes / (int64_t)sim_dtype_size(t->dtype);
    return sim_aligned(sim_plan_is_bytes(b, tensor) ? elements + SIM_PAST_BYTES : t->bytes);
}

/* Roots become alive when their first step runs; a root of views may do so before its own operator. */
sim_result sim_plan_place_tensors(sim_builder *b)
{
    const sim_model *m = b->model;
    find_lifetimes(b);
    occupied *alive = malloc((2u * m->tensor_count + 1u) * sizeof *alive);
    if (!alive) {
        return sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
    }
    uint32_t count = 0;
    for (int32_t o = 0; o < (int32_t)m->operator_count; o++) {
        uint32_t written[2];
        for (int i = b->skipped[o] ? 0 : kept_outputs(b, o, written); i > 0; i--) {
            const uint32_t root = sim_plan_root(b, written[i - 1]);
            sim_fact *f = &b->facts[root];
            if (in_arena(b, root) && f->first == o && f->offset == NONE) {
                const int64_t bytes = room_of(b, root);
                f->offset = place(alive, &count, o, bytes, f->last);
                const uint64_t end = (uint64_t)(f->offset + bytes);
                b->plan->arena_bytes = end > b->plan->arena_bytes ? end : b->plan->arena_bytes;
            }
        }
    }
    free(alive);
    return SIM_OK;
}

sim_place sim_plan_place_of(const sim_builder *b, uint32_t tensor)
{
    const sim_tensor *t = sim_tensor_of(b, tensor);
    sim_place p = {.buffer = NONE, .pitch = sim_plan_pitch(b, tensor), .dtype = t->dtype};
    if (sim_plan_is_bytes(b, tensor)) {
        p.dtype = SIM_QUANTIZED;
        p.scale = b->facts[tensor].scale;
    }
    memcpy(p.dims, t->dims, sizeof p.dims);
    uint32_t at = tensor;
    for (; b->facts[at].parent != NONE; at = (uint32_t)b->facts[at].parent) {
        p.offset += b->facts[at].first_channel * (int64_t)sim_dtype_size(p.dtype);
    }
    const sim_fact *root = &b->facts[at];
    if (root->input != NONE) {
        p.buffer = root->input;
    } else if (root->output != NONE) {
        p.buffer = b->model->info.input_count + root->output;
    } else {
        p.offset += root->offset;
    }
    return p;
}
