/* CONV and DECONV. */
#include <math.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "conv/algorithm.h"
#include "invocation.h"
#include "normalize.h"

enum { MAX_INT8_VOLUME = 133143, CONV_TASKS = 16 };

/* How a layer is cut for a team. */
enum { TASKS_OF_MEMBER = 4, CUT_ROWS = 4, CUT_PIXELS = 64, CUT_WEIGHTS = 512 << 10 };

enum { /* constants and attributes of both, in the file's order */
       WEIGHT,
       SCALE,
       BIAS,
       ALPHA,
       BETA,
       CONSTANTS,
       KERNEL_H = 0,
       KERNEL_W,
       STRIDE_H,
       STRIDE_W,
       PAD_TOP,
       PAD_LEFT,
       DILATION_H,
       DILATION_W,
       GROUPS,
       QUANT_SCALE,
};

typedef struct conv_step {
    sim_conv conv;
    const sim_conv_algorithm *algorithm;
    sim_conv_sizes sizes;
    uint32_t dtype; /* of the values, which may not be kept */
    bool plain;     /* without a batch-norm */
    bool has_values, has_bytes, adds;
    sim_place values, bytes, addend;
    const uint16_t *halves; /* the activation by table, or NULL */
    const sim_codes *codes; /* the bytes of that by table, or NULL */
    int32_t rows;           /* of a task */
    uint32_t row_tasks, block_tasks, blocks_per_task;
} conv_step;

static sim_result check_conv_constants(const sim_check *c)
{
    const int32_t *a = c->op->attributes;
    const sim_constant *weight = sim_constant_of(c, WEIGHT), *scale = sim_constant_of(c, SCALE);
    const int64_t volume = (int64_t)a[KERNEL_H] * a[KERNEL_W] * (c->x->dims[3] / a[GROUPS]);
    const float quant_scale = sim_float_of(c->op, QUANT_SCALE);
    if (!weight || volume > (1LL << 31) || weight->elements != (uint64_t)volume * (uint64_t)c->y->dims[3]) {
        return WRONG(c, "has weights that do not fit its shape");
    }
    if (weight->dtype == SIM_INT8 && volume > MAX_INT8_VOLUME) {
        return WRONG(c, "has a kernel volume above 133143, which could overflow 32 bits");
    }
    for (int i = SCALE; i < CONSTANTS; i++) {
        const sim_constant *k = sim_constant_of(c, i);
        if (k && (k->dtype != SIM_FLOAT32 || k->elements != (uint64_t)c->y->dims[3])) {
            return WRONG(c, "has a scale, bias, alpha or beta that is no float32 per output channel");
        }
    }
    if (!sim_constant_of(c, ALPHA) != !sim_constant_of(c, BETA)) {
        return WRONG(c, "has only one of alpha and beta");
    }
    const bool quantized = weight->dtype != SIM_FLOAT32;
    if (quantized != (scale != NULL) || (scale && !sim_positive(scale))) {
        return WRONG(c, "needs positive scales exactly if its weights are quantized");
    }
    if (!isfinite(quant_scale) || (quantized ? !(quant_scale > 0.0f) : quant_scale != 0.0f)) {
        return WRONG(c, "needs a positive quant_scale exactly if its weights are quantized");
    }
    return SIM_OK;
}

static bool reaches(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int32_t dilation)
{
    int64_t extent;
    if (!sim_window_is_valid(kernel, stride, pad, dilation, &extent)) {
        return false;
    }
    const int64_t most = (int64_t)(in - 1) * stride + extent - pad + (stride > dilation ? stride : dilation) - 1;
    return out <= most;
}

typedef bool (*axis_fn)(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int32_t dilation);

static sim_result check_shape(const sim_check *c, axis_fn fits)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims, groups = a[GROUPS];
    if (groups < 1 || in[3] % groups || out[3] % groups || in[0] != out[0]) {
        return WRONG(c, "has channels or groups that do not fit its tensors");
    }
    if (!fits(in[1], out[1], a[KERNEL_H], a[STRIDE_H], a[PAD_TOP], a[DILATION_H]) ||
        !fits(in[2], out[2], a[KERNEL_W], a[STRIDE_W], a[PAD_LEFT], a[DILATION_W])) {
        return WRONG(c, "has a kernel, stride, padding or dilation that does not fit its tensors");
    }
    return check_conv_constants(c);
}

static sim_result check_conv(const sim_check *c)
{
    return check_shape(c, sim_window_fits);
}

static sim_result check_deconv(const sim_check *c)
{
    return check_shape(c, reaches);
}

static bool is_quantized(const sim_model *model, const sim_operator *op)
{
    return model->constants[op->constants[WEIGHT]].dtype != SIM_FLOAT32;
}

/* int8 layers read bytes; all of their algorithms do. */
static float byte_scale(const sim_model *model, const sim_operator *op)
{
    return model->constants[op->constants[WEIGHT]].dtype == SIM_INT8 ? sim_float_of(op, QUANT_SCALE) : 0.0f;
}

/* The constant, or the identity where the layer has none and past the last channel. */
static const float *affine_array(const sim_builder *b, const sim_operator *op, int which, float identity,
                                 const conv_step *p, float *out)
{
    const uint32_t number = op->constants[which];
    const size_t bytes = (size_t)p->conv.out_c * sizeof(float);
    for (int32_t i = 0; i < p->sizes.affine; i++) {
        out[i] = identity;
    }
    if (number != SIM_ABSENT) {
        memcpy(out, b->model->constants[number].data, bytes);
    }
    return out;
}

/* Quantized value of every byte in every channel of a picture that goes through NORMALIZE first. */
static void fill_lookup(const sim_builder *b, const sim_operator *normalize, const sim_conv *conv, int16_t *lookup,
                        int32_t *channels)
{
    const float qmax = sim_conv_qmax(conv);
    for (int32_t c = 0; c < conv->in_c; c++) {
        channels[c] = sim_normalize_source(normalize, c);
        for (int32_t byte = 0; byte < 256; byte++) {
            const float value = sim_normalize_byte(b, normalize, c, byte);
            lookup[c * 256 + byte] = (int16_t)sim_quantize_value(value, conv->quant_scale, qmax);
        }
    }
}

static void describe_conv(const sim_builder *b, const sim_operator *op, sim_conv *conv)
{
    const int32_t *a = op->attributes, *in = sim_tensor_of(b, op->inputs[0])->dims,
                  *out = sim_tensor_of(b, op->output)->dims;
    *conv = (sim_conv){
        .in_h = in[1],
        .in_w = in[2],
        .in_c = in[3],
        .out_h = out[1],
        .out_w = out[2],
        .out_c = out[3],
        .kernel_h = a[KERNEL_H],
        .kernel_w = a[KERNEL_W],
        .stride_h = a[STRIDE_H],
        .stride_w = a[STRIDE_W],
        .pad_top = a[PAD_TOP],
        .pad_left = a[PAD_LEFT],
        .dilation_h = a[DILATION_H],
        .dilation_w = a[DILATION_W],
        .groups = a[GROUPS],
        .transposed = op->opcode == SIM_OP_DECONV,
        .weight_dtype = b->model->constants[op->constants[WEIGHT]].dtype,
        .quant_scale = sim_float_of(op, QUANT_SCALE),
        .weights = b->model->constants[op->constants[WEIGHT]].data,
    };
}

static double multiplications_of(const sim_conv *conv, int32_t images)
{
    return (double)images * conv->out_h * conv->out_w * conv->out_c * conv->kernel_h * conv->kernel_w *
           (conv->in_c / conv->groups);
}

/* Rows of a task. A thread alone takes as many as its scratch memory holds. Members of a team need several tasks each, or
 * the last one keeps them waiting; rows are cut before channels, since members that write other channels of one pixel
 * fight for its cache lines. But every task goes through all weights: large ones want many pixels. */
static int32_t rows_of_task(const sim_step *s, const conv_step *p, unsigned team)
{
    const int64_t all = (int64_t)s->y.dims[0] * p->conv.out_h, wanted = (int64_t)team * TASKS_OF_MEMBER;
    if (team <= 1 || p->sizes.packed_bytes > CUT_WEIGHTS) {
        return p->sizes.rows;
    }
    const int64_t fair = (all + wanted - 1) / wanted, least = (CUT_PIXELS + p->conv.out_w - 1) / p->conv.out_w;
    const int64_t rows = ((fair > least ? fair : least) + CUT_ROWS - 1) / CUT_ROWS * CUT_ROWS;
    return rows < p->sizes.rows ? (int32_t)rows : p->sizes.rows;
}

/* Tasks: stretches of rows times stretches of channel blocks. Neighbours share rows, so that a member fills them once. */
static void cut_conv(sim_step *s, conv_step *p, unsigned team)
{
    p->rows = rows_of_task(s, p, team);
    const uint32_t blocks = (uint32_t)p->sizes.blocks, rows = (uint32_t)p->rows;
    p->row_tasks = ((uint32_t)p->conv.out_h + rows - 1) / rows;
    const uint32_t outer = p->row_tasks * (uint32_t)s->y.dims[0],
                   enough = team > 1 ? team * TASKS_OF_MEMBER : CONV_TASKS;
    const uint32_t wanted = outer >= enough ? 1 : (enough + outer - 1) / outer;
    p->blocks_per_task = (blocks + wanted - 1) / wanted;
    p->block_tasks = (blocks + p->blocks_per_task - 1) / p->blocks_per_task;
    s->units = s->tasks = outer * p->block_tasks;
    s->units_per_task = 1;
}

static sim_result pack_conv(sim_builder *b, const sim_operator *op, sim_step *s, conv_step *p)
{
    sim_conv *conv = &p->conv;
    const sim_operator *normalize =
        b->facts[op->inputs[0]].folded ? sim_operator_of(b, b->facts[op->inputs[0]].producer) : NULL;
    const int64_t floats = p->sizes.affine;
    const int64_t affine_bytes = sim_aligned(4 * floats * (int64_t)sizeof(float));
    const int64_t lookup_bytes = normalize ? sim_aligned((int64_t)conv->in_c * (512 + (int64_t)sizeof(int32_t))) : 0;
    const sim_result result = sim_plan_allocate(b, s, affine_bytes + lookup_bytes + (int64_t)p->sizes.packed_bytes);
    if (result != SIM_OK) {
        return result;
    }
    float *affine = s->memory;
    conv->affine.scale = affine_array(b, op, SCALE, 1.0f, p, affine);
    conv->affine.bias = affine_array(b, op, BIAS, -0.0f, p, affine + floats);
    conv->affine.alpha = affine_array(b, op, ALPHA, 1.0f, p, affine + 2 * floats);
    conv->affine.beta = affine_array(b, op, BETA, -0.0f, p, affine + 3 * floats);
    char *rest = (char *)s->memory + affine_bytes;
    if (normalize) {
        int32_t *channels = (int32_t *)(void *)(rest + (size_t)conv->in_c * 512);
        fill_lookup(b, normalize, conv, (int16_t *)(void *)rest, channels);
        conv->lookup = (const int16_t *)(void *)rest;
        conv->lookup_channel = channels;
        s->x = sim_plan_place_of(b, normalize->inputs[0]);
    }
    void *packed = rest + lookup_bytes;
    p->algorithm->pack(b->plan->kernels, conv, conv->weights, packed);
    conv->packed = packed;
    conv->weights = NULL; /* the model's, which a plan outlives */
    return SIM_OK;
}

/* Where the step's values go; false: no memory for a table. */
static bool plan_target(sim_builder *b, int32_t o, sim_step *s, conv_step *p)
{
    const uint32_t values = sim_plan_final_output(b, o), bytes = sim_plan_bytes_of(b, values),
                   addend = sim_plan_addend(b, o);
    const sim_activation *activation = &p->conv.activation;
    s->y = sim_plan_place_of(b, sim_plan_kept(b, values));
    p->dtype = sim_tensor_of(b, values)->dtype;
    p->plain = sim_operator_of(b, o)->constants[ALPHA] == SIM_ABSENT;
    p->has_values = b->facts[values].kept;
    p->has_bytes = b->facts[bytes].kept;
    p->values = sim_plan_place_of(b, values);
    p->bytes = sim_plan_place_of(b, bytes);
    if (addend != SIM_ABSENT) {
        p->adds = true;
        p->addend = sim_plan_place_of(b, addend);
    }
    if (p->dtype != SIM_FLOAT16 || !sim_plan_is_tabled(activation)) {
        return true;
    }
    if (p->has_bytes && !p->has_values && !p->adds) {
        p->codes = sim_plan_codes(b, activation, p->bytes.scale, b->plan->kernels->bytes.zero);
        return p->codes != NULL;
    }
    p->halves = sim_plan_halves(b, activation);
    return p->halves != NULL;
}

static double elements_of(const sim_place *place)
{
    return (double)place->dims[0] * place->dims[1] * place->dims[2] * place->dims[3];
}

static void note_profile(sim_step *s, const conv_step *p)
{
    s->algorithm = p->algorithm->name;
    s->twins = p->has_values && p->has_bytes;
    s->host_bytes = (double)p->sizes.packed_bytes;
    s->host_bytes += p->adds ? elements_of(&p->addend) * (double)sim_dtype_size(p->addend.dtype) : 0;
    s->host_bytes += s->twins ? elements_of(&p->bytes) : 0;
}

static sim_result plan_conv(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    sim_step *s = sim_plan_new_step(b, op);
    conv_step *p = sim_plan_parameters(b, s, sizeof *p);
    if (!p) {
        return SIM_NO_MEMORY;
    }
    sim_conv *conv = &p->conv;
    describe_conv(b, op, conv);
    if (b->fused[o] != NONE) {
        const sim_operator *activation = sim_operator_of(b, b->fused[o]);
        conv->activation = (sim_activation){(uint32_t)activation->attributes[0], sim_float_of(activation, 1),
                                            sim_float_of(activation, 2)};
    }
    if (!plan_target(b, o, s, p)) {
        return SIM_NO_MEMORY;
    }
    p->algorithm = sim_conv_choose(b->plan->kernels, conv);
    p->sizes = p->algorithm->sizes(b->plan->kernels, conv);
    cut_conv(s, p, b->plan->team);
    note_profile(s, p);
    sim_plan_need_scratch(b, p->sizes.scratch_bytes);
    s->multiplications = multiplications_of(conv, s->y.dims[0]);
    return pack_conv(b, op, s, p);
}

/* A device reads a picture that is normalized here as it is, too. */
static void cost_conv(sim_builder *b, int32_t o)
{
    const sim_operator *op = sim_operator_of(b, o);
    const sim_tensor *x = sim_tensor_of(b, op->inputs[0]);
    const sim_fact *fact = &b->facts[op->inputs[0]];
    sim_cost *cost = sim_plan_add_cost(b, (uint32_t)o, op);
    sim_conv conv;
    describe_conv(b, op, &conv);
    cost->weight_dtype = conv.weight_dtype;
    cost->multiplications = multiplications_of(&conv, x->dims[0]);
    if (fact->folded) {
        const sim_operator *normalize = sim_operator_of(b, fact->producer);
        cost->bytes += (double)sim_tensor_of(b, normalize->inputs[0])->bytes - (double)x->bytes;
    }
}

static sim_target target_of(const sim_invocation *v, const conv_step *p)
{
    sim_target t = {.dtype = p->dtype,
                    .plain = p->plain,
                    .scale = p->bytes.scale,
                    .zero = v->plan->kernels->bytes.zero,
                    .halves = p->halves,
                    .codes = p->codes};
    t.y = p->has_values ? sim_run_view(v, &p->values) : t.y;
    t.bytes = p->has_bytes ? sim_run_view(v, &p->bytes) : t.bytes;
    t.add = p->adds ? sim_run_view(v, &p->addend) : t.add;
    return t;
}

/* Unit: a stretch of rows times a stretch of channel blocks. */
static void run_conv(const sim_invocation *v, size_t unit, unsigned member)
{
    const conv_step *p = v->step->parameters;
    const sim_conv *conv = &p->conv;
    const size_t rows_index = unit / p->block_tasks, n = rows_index / p->row_tasks;
    const int32_t row = (int32_t)(rows_index % p->row_tasks) * p->rows, rows = conv->out_h - row;
    const int32_t block = (int32_t)(unit % p->block_tasks * p->blocks_per_task), blocks = p->sizes.blocks - block;
    sim_scratch_head *scratch = sim_run_scratch(v, member);
    const uint64_t key = ((uint64_t)(v->step - v->plan->steps) + 1) << 40 | rows_index;
    const sim_conv_task task = {
        .n = (int32_t)n,
        .row = row,
        .rows = rows < p->rows ? rows : p->rows,
        .block = block,
        .blocks = blocks < (int32_t)p->blocks_per_task ? blocks : (int32_t)p->blocks_per_task,
        .fresh = scratch->holds == key,
    };
    scratch->holds = key;
    const sim_target target = target_of(v, p);
    p->algorithm->run(v->plan->kernels, conv, &v->x, &target, &task, (char *)scratch + SIM_SCRATCH_HEAD);
}

const sim_row sim_row_conv = {
    .kind = "conv",
    .check = check_conv,
    .plan = plan_conv,
    .run = run_conv,
    .ends = true,
    .cost = cost_conv,
    .takes_bytes = is_quantized,
    .quantized_by = byte_scale,
};

const sim_row sim_row_deconv = {
    .kind = "conv",
    .check = check_deconv,
    .plan = plan_conv,
    .run = run_conv,
    .ends = true,
    .cost = cost_conv,
    .takes_bytes = is_quantized,
    .quantized_by = byte_scale,
};
