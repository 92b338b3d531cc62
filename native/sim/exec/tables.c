/* The tables that a plan's steps share: activations of every half. */
#include <stdlib.h>
#include <string.h>

#include "build.h"

struct sim_plan_table {
    sim_plan_table *next;
    sim_activation activation;
    bool codes; /* bytes of that scale and zero; otherwise halves */
    float scale;
    uint8_t zero;
    void *entries;
};

static bool same(const sim_plan_table *a, const sim_plan_table *b)
{
    return memcmp(&a->activation, &b->activation, sizeof a->activation) == 0 && a->codes == b->codes &&
           memcmp(&a->scale, &b->scale, sizeof a->scale) == 0 && a->zero == b->zero;
}

static void *known(const sim_plan *plan, const sim_plan_table *wanted)
{
    for (const sim_plan_table *t = plan->tables; t; t = t->next) {
        if (same(t, wanted)) {
            return t->entries;
        }
    }
    return NULL;
}

/* The table of `wanted`, with entries to be filled where it is new: *made. */
static void *table_of(sim_builder *b, const sim_plan_table *wanted, bool *made)
{
    void *entries = known(b->plan, wanted);
    *made = !entries;
    if (entries) {
        return entries;
    }
    const size_t size = wanted->codes ? sizeof(sim_codes) : (SIM_HALVES + SIM_PAST_HALVES) * sizeof(uint16_t),
                 bytes = (size_t)sim_aligned((int64_t)size);
    sim_plan_table *table = malloc(sizeof *table);
    entries = aligned_alloc(ALIGNMENT, bytes);
    if (!table || !entries) {
        free(table);
        free(entries);
        sim_fail(b->error, SIM_NO_MEMORY, "There is no memory for the plan.");
        return NULL;
    }
    *table = *wanted;
    table->next = b->plan->tables;
    table->entries = entries;
    b->plan->tables = table;
    b->plan->packed_bytes += bytes;
    return entries;
}

const uint16_t *sim_plan_halves(sim_builder *b, const sim_activation *activation)
{
    bool made = false;
    uint16_t *halves = table_of(b, &(sim_plan_table){.activation = *activation}, &made);
    if (halves && made) {
        sim_table_of_halves(b->plan->kernels, activation, halves);
    }
    return halves;
}

const sim_codes *sim_plan_codes(sim_builder *b, const sim_activation *activation, float scale, uint8_t zero)
{
    bool made = false;
    const sim_plan_table wanted = {.activation = *activation, .codes = true, .scale = scale, .zero = zero};
    sim_codes *codes = table_of(b, &wanted, &made);
    if (codes && made) {
        sim_table_of_codes(b->plan->kernels, activation, scale, zero, codes);
    }
    return codes;
}

void sim_plan_free_tables(sim_plan *plan)
{
    while (plan->tables) {
        sim_plan_table *table = plan->tables;
        plan->tables = table->next;
        free(table->entries);
        free(table);
    }
}

bool sim_plan_is_tabled(const sim_activation *activation)
{
    switch (activation->function) {
    case SIM_LINEAR:
    case SIM_RELU:
    case SIM_LEAKY_RELU:
    case SIM_RELU6:
    case SIM_CLIP: return false;
    default: return true;
    }
}
