/* The builder that plan.c, plan_views.c and plan_places.c share while a plan is made. */
#ifndef SIM_EXEC_PLAN_BUILD_H
#define SIM_EXEC_PLAN_BUILD_H

#include "network.h"
#include "plan.h"

enum { NONE = -1, ALIGNMENT = 64 };

/* What is known of a tensor while planning. */
typedef struct fact {
    uint32_t uses;         /* operators that read it */
    int32_t producer;      /* operator */
    int32_t input, output; /* number among the inputs, among the outputs */
    int32_t parent;        /* the tensor whose memory it shares */
    int32_t first_channel; /* in the parent */
    bool reshaped;         /* shares all of the parent under other dims */
    bool pinned;           /* must stay dense: a reshaped view looks at it */
    int32_t first, last;   /* steps, of roots only */
    int64_t offset;        /* in the arena, of roots only */
} fact;

typedef struct builder {
    const sim_model *model;
    sim_plan *plan;
    sim_error *error;
    fact *facts;
    int32_t *fused; /* per operator: the activation it takes over, or NONE */
    bool *skipped;  /* per operator: nothing to do at run time */
    uint32_t capacity;
} builder;

static inline const sim_tensor *tensor_of(const builder *b, uint32_t number)
{
    return &b->model->tensors[number];
}

static inline const sim_operator *operator_of(const builder *b, int32_t number)
{
    return &b->model->operators[number];
}

static inline bool is_convolution(const sim_operator *op)
{
    return op->opcode == SIM_OP_CONV || op->opcode == SIM_OP_DECONV;
}

static inline int64_t aligned(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* plan_views.c: what is fused, what shares memory with what. */
void sim_plan_find_views(builder *b);
uint32_t sim_plan_final_output(const builder *b,
                               int32_t o);                 /* the tensor that an operator writes, fused ones included */
bool sim_plan_folded(const builder *b, uint32_t tensor);   /* a normalization that its readers took over */
uint32_t sim_plan_root(const builder *b, uint32_t tensor); /* the tensor whose memory it shares in the end */
int32_t sim_plan_pitch(const builder *b, uint32_t tensor);

/* plan_places.c: where tensors lie. */
sim_result sim_plan_place_tensors(builder *b);
sim_place sim_plan_place_of(const builder *b, uint32_t tensor);

/* plan.c */
void sim_plan_set_units(sim_step *s, int64_t units);
sim_step *sim_plan_new_step(builder *b, sim_step_kind kind, const sim_operator *op); /* a unit is an output row */
void sim_plan_need_scratch(builder *b, size_t bytes);
sim_result sim_plan_allocate(builder *b, sim_step *s, int64_t bytes);

/* plan_steps.c: the operators whose plan is short. */
sim_result sim_plan_add_simple(builder *b, const sim_operator *op);

#endif
