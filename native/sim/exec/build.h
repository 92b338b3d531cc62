/* The builder that the operators' plans, facts.c, places.c and steps.c share while plan.c makes a plan. */
#ifndef SIM_EXEC_BUILD_H
#define SIM_EXEC_BUILD_H

#include "row.h"

enum { NONE = -1, ALIGNMENT = 64 };

/* What is known of a tensor while planning. There are two of these for each: of its values, and (sim_plan_bytes_of) of the
 * quantized bytes that may be kept beside or in place of them. Both are called tensors below. */
typedef struct sim_fact {
    uint32_t uses;         /* operators that read it */
    uint32_t byte_uses;    /* of these: steps that can read bytes through a table */
    int32_t producer;      /* operator */
    int32_t conv;          /* the convolution whose steps write it */
    bool folded;           /* a normalization that its readers took over */
    bool kept;             /* in memory */
    float scale;           /* of quantized bytes */
    int32_t input, output; /* number among the inputs, among the outputs */
    int32_t parent;        /* the tensor whose memory it shares */
    int32_t first_channel; /* in the parent */
    bool reshaped;         /* shares all of the parent under other dims */
    bool pinned;           /* must stay dense: a reshaped view looks at it */
    int32_t first, last;   /* steps, of roots only */
    int64_t offset;        /* in the arena, of roots only */
} sim_fact;

struct sim_builder {
    const sim_model *model;
    sim_plan *plan;
    sim_error *error;
    sim_fact *facts;
    int32_t *fused;       /* per operator: the activation it takes over, or NONE */
    int32_t *added;       /* per operator: the sum it takes over behind that, or NONE */
    bool *skipped;        /* per operator: nothing to do at run time */
    const sim_row **rows; /* per operator */
    const sim_row *row;   /* of the operator whose steps are being added */
    int32_t current;      /* that operator, or NONE */
    uint32_t *step_of;    /* per operator, then per output: its first step, or the next one's */
    bool for_costs;       /* fuse only what the device of the estimates does */
};

static inline const sim_tensor *sim_tensor_of(const sim_builder *b, uint32_t number)
{
    return &b->model->tensors[number % b->model->tensor_count];
}

static inline uint32_t sim_plan_bytes_of(const sim_builder *b, uint32_t tensor)
{
    return tensor + b->model->tensor_count;
}

static inline bool sim_plan_is_bytes(const sim_builder *b, uint32_t tensor)
{
    return tensor >= b->model->tensor_count;
}

static inline const sim_operator *sim_operator_of(const sim_builder *b, int32_t number)
{
    return &b->model->operators[number];
}

static inline int64_t sim_aligned(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* facts.c */
uint32_t sim_plan_final_output(const sim_builder *b, int32_t o); /* what an operator writes, the fused ones included */
/* What an operator adds by a fused sum, or SIM_ABSENT. */
uint32_t sim_plan_addend(const sim_builder *b, int32_t o);
/* The values, or the bytes that are kept in their place. */
uint32_t sim_plan_kept(const sim_builder *b, uint32_t tensor);
/* What operator `o` reads of an input: its values or its bytes. */
uint32_t sim_plan_source(const sim_builder *b, int32_t o, uint32_t tensor);
uint32_t sim_plan_root(const sim_builder *b, uint32_t tensor); /* the tensor whose memory it shares in the end */
int32_t sim_plan_pitch(const sim_builder *b, uint32_t tensor);
bool sim_plan_is_dense(const sim_builder *b, uint32_t tensor);

/* formats.c: which tensors are kept as values, as quantized bytes, or both. */
sim_result sim_plan_choose_formats(sim_builder *b);

/* costs.c: the plan's costs, from facts of a device that keeps all tensors as values; then whose steps they are here. */
void sim_plan_note_costs(sim_builder *b);
void sim_plan_settle_costs(sim_builder *b);
/* That `op` reads all of its inputs and constants and writes its output; the caller may change it. */
sim_cost *sim_plan_add_cost(sim_builder *b, uint32_t number, const sim_operator *op);

/* places.c: where tensors lie. */
sim_result sim_plan_place_tensors(sim_builder *b);
sim_place sim_plan_place_of(const sim_builder *b, uint32_t tensor);

/* tables.c: functions of a half by table, each made once for all steps of the plan; NULL after saying that there is no
 * memory. Not for SIM_PRELU. */
const uint16_t *sim_plan_halves(sim_builder *b, const sim_activation *activation);
const sim_codes *sim_plan_codes(sim_builder *b, const sim_activation *activation, float scale, uint8_t zero);
void sim_plan_free_tables(sim_plan *plan);
/* Looking a half up is quicker than computing this. */
bool sim_plan_is_tabled(const sim_activation *activation);

/* steps.c: a step of b->row for b->current, whose units are the rows of its output. */
sim_step *sim_plan_new_step(sim_builder *b, const sim_operator *op); /* op: of the model */
void sim_plan_set_units(sim_step *s, int64_t units);
void sim_plan_need_scratch(sim_builder *b, size_t bytes);
/* Zeroed s->parameters of `bytes`, or NULL after saying so. */
void *sim_plan_parameters(sim_builder *b, sim_step *s, size_t bytes);
/* s->memory of `bytes`. */
sim_result sim_plan_allocate(sim_builder *b, sim_step *s, int64_t bytes);
/* s->memory with the operator's float constants behind each other, `channels` each; one element fills all. */
sim_result sim_plan_take_floats(sim_builder *b, sim_step *s, const sim_operator *op, int64_t channels);

#endif
