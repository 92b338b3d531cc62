/* The step that moves elements, which several operators and the plan itself need. */
#ifndef SIM_EXEC_OPERATORS_COPY_H
#define SIM_EXEC_OPERATORS_COPY_H

#include "build.h"

/* y[y_first + sum i[k] * y_stride[k]] = x[x_first + sum i[k] * x_stride[k]] over i < dims; its step's parameters */
typedef struct sim_copy {
    int64_t dims[4], x_stride[4], y_stride[4], x_first, y_first;
    int64_t together; /* rows of dims[2] times dims[3] in a unit; 1 where its elements lie beside each other */
} sim_copy;

/* A step from op's first input to its output, element by element in the same order; NULL after saying that there is no
 * memory. The caller may change copy and step. */
sim_copy *sim_copy_add(sim_builder *b, const sim_operator *op, sim_step **step);
/* Notes what the step moves, for estimates; again where the caller changed the extents. */
void sim_copy_note_traffic(sim_step *s, const sim_copy *copy);
void sim_copy_strides(const sim_place *place, int64_t *strides);
/* Several rows in a unit, for a step whose rows begin at neighbouring elements of x but run across it. */
void sim_copy_turn(sim_step *s, sim_copy *copy);
/* Unit: some rows of dims[2] times dims[3]. */
void sim_copy_run(const sim_invocation *v, size_t unit, unsigned member);

#endif
