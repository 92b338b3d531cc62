/* The plan: steps in order, each with its places in memory. Made once by plan.c, followed by run.c, never changed. */
#ifndef SIM_EXEC_PLAN_H
#define SIM_EXEC_PLAN_H

#include "exec.h"
#include "kernels.h"

/* Where a tensor lies: in the arena of the workspace, or in one of the caller's buffers. */
typedef struct sim_place {
    int32_t buffer; /* -1: the arena */
    int64_t offset; /* bytes */
    int32_t dims[4];
    int32_t pitch; /* elements from pixel to pixel */
    uint32_t dtype;
    float scale; /* of SIM_QUANTIZED */
} sim_place;

typedef struct sim_step sim_step;

/* One running step. */
typedef struct sim_invocation {
    const sim_plan *plan;
    const sim_step *step;
    char *workspace;
    void *const *buffers;
    sim_view x, y;
} sim_invocation;

/* One unit of a step. `member` of the team, whose scratch memory it may use. */
typedef void (*sim_unit_fn)(const sim_invocation *v, size_t unit, unsigned member);

struct sim_step {
    const char *kind;
    char name[48];
    sim_unit_fn run;
    sim_place x, y;
    uint32_t tasks, units, units_per_task; /* units: output rows, or the operator's own */
    void *parameters;                      /* the operator's own struct, private to its file, or NULL */
    void *memory;                          /* weights and tables of this step, 64-byte aligned, or NULL */
    const char *algorithm;                 /* of a convolution, or NULL */
    bool twins;                            /* it writes quantized bytes beside y */
    double host_bytes;                     /* that it reads and writes here beside x and y */
    double multiplications;
    uint32_t weight_dtype;  /* of these */
    int64_t moved_elements; /* of a step that moves some from x to y; 0: it reads all of x and writes all of y */
};

/* What a device of the estimates does at once. It keeps all tensors as values and fuses what costs.c says, so this is a
 * function of the model alone. */
typedef struct sim_cost {
    uint32_t
        step; /* of the plan, that does it here; while planning: an operator, or one behind the last for each output */
    uint32_t weight_dtype;
    double multiplications, bytes; /* bytes: moved from and to memory */
} sim_cost;

typedef struct sim_plan_table sim_plan_table; /* tables.c */

struct sim_plan {
    const sim_kernels *kernels;
    unsigned team;          /* members that will share a layer */
    sim_plan_table *tables; /* shared among steps */
    sim_step *steps;
    uint32_t step_count, cost_count;
    sim_cost *costs;
    int32_t input_count, output_count;
    uint64_t packed_bytes, arena_bytes, scratch_bytes; /* scratch: per team member, its first 64 bytes are a header */
};

/* Head of a member's scratch memory: which input rows the rest holds. */
typedef struct sim_scratch_head {
    uint64_t holds; /* 0: nothing */
} sim_scratch_head;

enum { SIM_SCRATCH_HEAD = 64 };

#endif
