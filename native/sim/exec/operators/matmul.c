/* MATMUL: the product of two tensors that the network computes. */
#include <math.h>

#include "build.h"
#include "check.h"
#include "invocation.h"

enum { TURNED_A, TURNED_B, SCALE }; /* attributes */
enum { MOST_DEPTH = 65536, PACKED_FLOATS = 1 << 16 /* of b, that a member keeps at once */, TASKS_OF_MEMBER = 4 };

typedef struct matmul_step {
    sim_matmul matmul;
    sim_place second;
    int32_t rows, blocks; /* of a task */
    uint32_t row_tasks, block_tasks;
    int32_t all_blocks;
} matmul_step;

static sim_matmul matmul_of(const sim_operator *op, const sim_tensor *a, const sim_tensor *y)
{
    const int32_t *words = op->attributes;
    return (sim_matmul){.rows = y->dims[2],
                        .columns = y->dims[3],
                        .depth = a->dims[words[TURNED_A] ? 2 : 3],
                        .turned_a = words[TURNED_A] != 0,
                        .turned_b = words[TURNED_B] != 0};
}

static bool has_dims(const sim_check *c, const sim_tensor *t, bool turned, int32_t rows, int32_t columns)
{
    return t->dims[0] == c->y->dims[0] && t->dims[1] == c->y->dims[1] && t->dims[turned ? 3 : 2] == rows &&
           t->dims[turned ? 2 : 3] == columns;
}

static sim_result check_matmul(const sim_check *c)
{
    const int32_t *words = c->op->attributes;
    const float scale = sim_float_of(c->op, SCALE);
    if (!sim_in_range(words[TURNED_A], 0, 1) || !sim_in_range(words[TURNED_B], 0, 1) || !isfinite(scale) ||
        !(scale > 0.0f)) {
        return WRONG(c, "has a turn that is neither 0 nor 1, or a scale that is not positive");
    }
    const sim_matmul m = matmul_of(c->op, c->x, c->y);
    if (!has_dims(c, c->x, m.turned_a, m.rows, m.depth) ||
        !has_dims(c, &c->model->tensors[c->op->inputs[1]], m.turned_b, m.depth, m.columns)) {
        return WRONG(c, "multiplies matrices whose sizes do not fit each other");
    }
    return m.depth <= MOST_DEPTH ? SIM_OK : WRONG(c, "adds up more than 65536 products");
}

/* Tasks: blocks of columns times rows of one matrix. A task packs its part of b, so there are no more than a team needs. */
static void cut(sim_step *s, matmul_step *p, const sim_kernels *kernels, unsigned team)
{
    const int64_t matrices = (int64_t)s->y.dims[0] * s->y.dims[1], wanted = team > 1 ? team * TASKS_OF_MEMBER : 1;
    const int64_t columns = sim_matmul_columns(kernels), all = (p->matmul.columns + columns - 1) / columns;
    const int64_t room = PACKED_FLOATS / (p->matmul.depth * columns), fair = all * matrices / wanted,
                  most = fair < room ? fair : room;
    p->all_blocks = (int32_t)all;
    p->blocks = (int32_t)(most < 1 ? 1 : most < all ? most : all);
    p->block_tasks = (uint32_t)((all + p->blocks - 1) / p->blocks);
    const int64_t outer = matrices * p->block_tasks, parts = outer >= wanted ? 1 : (wanted + outer - 1) / outer;
    p->rows = (int32_t)((p->matmul.rows + parts - 1) / parts);
    p->row_tasks = (uint32_t)((p->matmul.rows + p->rows - 1) / p->rows);
    sim_plan_set_units(s, outer * p->row_tasks);
}

/* The scale and what else the end of a convolution reads, for each column of a block. */
static sim_result take_affine(sim_builder *b, sim_step *s, sim_matmul *m, float scale)
{
    enum { PAST = 16 };
    const int32_t count = sim_matmul_columns(b->plan->kernels) + PAST;
    const sim_result result = sim_plan_allocate(b, s, 4 * (int64_t)count * (int64_t)sizeof(float));
    if (result != SIM_OK) {
        return result;
    }
    float *scales = s->memory, *zeros = scales + count, *ones = zeros + count, *more = ones + count;
    for (int32_t i = 0; i < count; i++) {
        scales[i] = scale;
        zeros[i] = more[i] = -0.0f;
        ones[i] = 1.0f;
    }
    m->affine = (sim_affine){.scale = scales, .bias = zeros, .alpha = ones, .beta = more};
    return SIM_OK;
}

static double multiplications_of(const sim_matmul *m, const sim_tensor *y)
{
    return (double)y->dims[0] * y->dims[1] * m->rows * m->columns * m->depth;
}

static sim_result plan_matmul(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_tensor *y = sim_tensor_of(b, op->output);
    sim_step *s = sim_plan_new_step(b, op);
    matmul_step *p = sim_plan_parameters(b, s, sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    p->matmul = matmul_of(op, sim_tensor_of(b, op->inputs[0]), y);
    p->second = sim_plan_place_of(b, op->inputs[1]);
    cut(s, p, b->plan->kernels, b->plan->team);
    sim_plan_need_scratch(b, sim_matmul_scratch(b->plan->kernels, &p->matmul, p->blocks));
    s->multiplications = multiplications_of(&p->matmul, y);
    s->weight_dtype = SIM_FLOAT32;
    return take_affine(b, s, &p->matmul, sim_float_of(op, SCALE));
}

/* Products of values, as those of a depthwise convolution. */
static void cost_matmul(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_tensor *y = sim_tensor_of(b, op->output);
    sim_cost *cost = sim_plan_add_cost(b, (uint32_t)o, op);
    const sim_matmul m = matmul_of(op, sim_tensor_of(b, op->inputs[0]), y);
    cost->weight_dtype = SIM_FLOAT32;
    cost->multiplications = multiplications_of(&m, y);
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Unit: rows and blocks of columns of one matrix. */
static void run_matmul(const sim_invocation *v, size_t unit, unsigned member)
{
    const matmul_step *p = v->step->parameters;
    const sim_view second = sim_run_view(v, &p->second);
    const size_t rows = unit % p->row_tasks, blocks = unit / p->row_tasks % p->block_tasks;
    sim_matmul_task task = {.matrix = (int32_t)(unit / p->row_tasks / p->block_tasks),
                            .row = (int32_t)rows * p->rows,
                            .block = (int32_t)blocks * p->blocks};
    task.rows = least(p->rows, p->matmul.rows - task.row);
    task.blocks = least(p->blocks, p->all_blocks - task.block);
    sim_scratch_head *scratch = sim_run_scratch(v, member);
    scratch->holds = 0;
    sim_matmul_run(v->plan->kernels, &p->matmul, &v->x, &second, &v->y, &task, (char *)scratch + SIM_SCRATCH_HEAD);
}

const sim_row sim_row_matmul = {
    .kind = "matmul", .check = check_matmul, .plan = plan_matmul, .run = run_matmul, .cost = cost_matmul};
