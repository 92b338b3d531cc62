/* The row that every operator has: its check, its plan, its run. Each file of operators/ defines the rows of its operators. */
#ifndef SIM_EXEC_ROW_H
#define SIM_EXEC_ROW_H

#include "network.h"
#include "plan.h"

typedef struct sim_builder sim_builder; /* build.h */

typedef struct sim_check { /* what one operator's check looks at */
    const sim_model *model;
    const sim_operator *op;
    const sim_tensor *x, *y; /* first input, output */
    uint32_t number;
    sim_error *error;
} sim_check;

typedef struct sim_row {
    const char *kind; /* of its steps, for the profile */
    /* Which operands fit together, so that plan and run need not look. */
    sim_result (*check)(const sim_check *c);
    /* Adds the steps of operator `o`. */
    sim_result (*plan)(sim_builder *b, int32_t o);
    /* One unit of a step, unless `plan` gave the step another. */
    sim_unit_fn run;

    /* What an operator may have besides; NULL or false for most. */
    void (*fuse)(sim_builder *b, int32_t o);  /* lets another operator's step do it, if that can be */
    void (*share)(sim_builder *b, int32_t o); /* makes its output, or parts of it, views of memory, if that can be */
    bool ends;   /* a convolution: its steps can end in an activation, a sum and quantized bytes */
    bool passes; /* its output's values are some of its inputs', so that they may as well be quantized before it */
    /* Adds its costs, where they are not those of all it reads and writes. */
    void (*cost)(sim_builder *b, int32_t o);
    /* The scale of the quantized bytes that its steps read as well as values; 0 for none. */
    float (*quantized_by)(const sim_model *model, const sim_operator *op);
    /* Its steps can read a uint8 picture through a table in place of the NORMALIZE before it. */
    bool (*takes_bytes)(const sim_model *model, const sim_operator *op);
} sim_row;

#endif
