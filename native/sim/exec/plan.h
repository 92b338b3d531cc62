/* The plan: steps in order, each with its places in memory. Made once by plan.c, followed by run.c. */
#ifndef SIM_EXEC_PLAN_H
#define SIM_EXEC_PLAN_H

#include <stdatomic.h>

#include "exec.h"
#include "kernels.h"

typedef enum sim_step_kind {
    SIM_STEP_CONV,
    SIM_STEP_MAX_POOL,
    SIM_STEP_UPSAMPLE,
    SIM_STEP_COPY, /* concat, slice, reshape, permute, cast that could not be had in place */
    SIM_STEP_BINARY,
    SIM_STEP_ACTIVATE,
    SIM_STEP_TABLE, /* an activation of halves, looked up */
    SIM_STEP_SOFTMAX,
    SIM_STEP_NORMALIZE,
    SIM_STEP_PRELU,
    SIM_STEP_AFFINE,
    SIM_STEP_AVERAGE_POOL,
    SIM_STEP_REDUCE,
    SIM_STEP_RESIZE,
    SIM_STEP_PAD,
    SIM_STEP_L2_NORMALIZE,
    SIM_STEP_DETECTION,
    SIM_STEP_KINDS,
} sim_step_kind;

/* Where a tensor lies: in the arena of the workspace, or in one of the caller's buffers. */
typedef struct sim_place {
    int32_t buffer; /* -1: the arena */
    int64_t offset; /* bytes */
    int32_t dims[4];
    int32_t pitch; /* elements from pixel to pixel */
    uint32_t dtype;
} sim_place;

typedef struct sim_copy { /* y[sum i[k] * y_stride[k]] = x[x_first + sum i[k] * x_stride[k]] over i < dims */
    int64_t dims[4], x_stride[4], y_stride[4], x_first, y_first;
} sim_copy;

typedef struct sim_step {
    sim_step_kind kind;
    char name[48];
    sim_place x, x2, y;
    uint32_t tasks, units, units_per_task;            /* units: output rows, or the kind's own */
    uint32_t row_tasks, block_tasks, blocks_per_task; /* convolution */
    sim_conv conv;
    sim_pool pool;
    sim_copy copy;
    sim_activation activation;
    sim_detection detection;
    sim_binary binary;
    sim_reduction reduction;
    int32_t factor_h, factor_w, axis; /* pad: top and left in the factors */
    bool align_corners;
    float value;             /* pad: what to put there; l2_normalize: eps */
    const float *mean, *std; /* prelu: slopes in mean; affine: alpha, beta; l2_normalize: scale or NULL in mean */
    const int32_t *channels;
    const uint16_t *table; /* [65536] */
    const sim_place *heads;
    void *memory; /* weights and tables of this step */
    double multiplications;
    _Atomic uint64_t nanoseconds, least, calls; /* profile */
} sim_step;

struct sim_plan {
    const sim_kernels *kernels;
    sim_step *steps;
    uint32_t step_count;
    int32_t input_count, output_count;
    uint64_t packed_bytes, arena_bytes, scratch_bytes; /* scratch: per team member, its first 64 bytes are a header */
    bool profile;
};

/* Head of a member's scratch memory: which input rows the rest holds. */
typedef struct sim_scratch_head {
    uint64_t holds; /* 0: nothing */
} sim_scratch_head;

enum { SIM_SCRATCH_HEAD = 64 };

sim_result sim_plan_read_environment(sim_plan *plan, sim_error *error); /* kernels and profile */
void sim_plan_report(const sim_plan *plan);                             /* the profile, on stderr */

/* What run.c and run_units.c share. */
typedef struct sim_invocation {
    const sim_plan *plan;
    const sim_step *step;
    char *workspace;
    void *const *buffers;
    sim_view x, x2, y;
} sim_invocation;

sim_view sim_run_view(const sim_invocation *v, const sim_place *place);
sim_scratch_head *sim_run_scratch(const sim_invocation *v, unsigned member);
/* run_units.c: one unit of the steps that run.c leaves to it. */
void sim_run_more(const sim_invocation *v, size_t unit, unsigned member);

#endif
