/* The rules of the operators: how many operands, and which of them fit together. */
#ifndef SIM_EXEC_RULES_H
#define SIM_EXEC_RULES_H

#include <string.h>

#include "network.h"

typedef struct sim_check { /* what one operator's rule looks at */
    const sim_model *model;
    const sim_operator *op;
    const sim_tensor *x, *y; /* first input, output */
    uint32_t number;
    sim_error *error;
} sim_check;

typedef struct sim_rule {
    uint32_t min_inputs, max_inputs, constants,
        attributes; /* SIM_ABSENT: the rule counts these constants or attributes itself */
    sim_result (*rule)(const sim_check *);
} sim_rule;

#define WRONG(c, text)                                                                                        \
    sim_fail((c)->error, SIM_BAD_FILE, "The model's network is corrupt: operator %u (%.*s) %s.", (c)->number, \
             (int)((c)->op->name_length < 64 ? (c)->op->name_length : 64), (c)->op->name, text)

enum { SIM_MOST_INPUTS = 64, SIM_MOST_KERNEL = 1024, SIM_MOST_EXTENT = 4096, SIM_MOST_STEP = 65536 };

static inline bool sim_in_range(int32_t value, int32_t low, int32_t high)
{
    return value >= low && value <= high;
}

static inline bool sim_same_dims(const sim_tensor *a, const sim_tensor *b)
{
    return memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

static inline const sim_constant *sim_constant_of(const sim_check *c, int which)
{
    return c->op->constants[which] == SIM_ABSENT ? NULL : &c->model->constants[c->op->constants[which]];
}

static inline float sim_attribute_float(const sim_check *c, uint32_t which)
{
    float value;
    memcpy(&value, &c->op->attributes[which], sizeof value);
    return value;
}

/* rules.c; one axis of a window operator: begins within the padding, and the last window touches the picture. */
bool sim_window_fits(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int32_t dilation);
sim_result sim_check_conv_constants(const sim_check *c);

/* rules_more.c */
sim_result sim_check_activation(const sim_check *c);
sim_result sim_check_average_pool(const sim_check *c);
sim_result sim_check_reduce(const sim_check *c);
sim_result sim_check_deconv(const sim_check *c);
sim_result sim_check_resize(const sim_check *c);
sim_result sim_check_pad(const sim_check *c);
sim_result sim_check_affine(const sim_check *c);
sim_result sim_check_l2_normalize(const sim_check *c);
sim_result sim_check_detection(const sim_check *c);

const sim_rule *sim_rule_of(uint32_t opcode); /* NULL for a code that is not known */

#endif
