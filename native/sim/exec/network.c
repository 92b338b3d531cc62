/* The network section: deploy/FORMAT.md section 2. Everything that plan.c and run.c rely on is checked here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "network.h"

enum {
    HEAD = 0x40, RECORD = 32, OPERATOR_HEAD = 8, MAX_COUNT = 65536, MAX_INPUTS = 64, MAX_WORDS = 1024, MAX_NAME_BYTES = 1024,
    MAX_KERNEL = 1024, MAX_EXTENT = 4096, MAX_STEP = 65536, MAX_INT8_VOLUME = 133143, MAX_DIM = 1 << 24,
};
#define MAX_TENSOR_BYTES 0x7fffffffLL
#define MAX_NETWORK_BYTES (8LL << 30) /* all tensors of a network together */

typedef struct layout {
    uint64_t tensors, constants, io, table, table_size, data, data_size;
} layout;

#define BAD(...) sim_fail(error, SIM_BAD_FILE, "The model's network is corrupt: " __VA_ARGS__)

static sim_result read_layout(sim_model *model, layout *l, sim_error *error)
{
    const uint8_t *s = model->section;
    model->tensor_count = sim_read_u32(s + 0x14);
    model->constant_count = sim_read_u32(s + 0x18);
    model->operator_count = sim_read_u32(s + 0x1c);
    l->table_size = sim_read_u64(s + 0x20);
    l->data_size = sim_read_u64(s + 0x28);
    const uint64_t size = model->section_size;
    const uint32_t inputs = sim_read_u32(s + 0x30), outputs = sim_read_u32(s + 0x34);
    if (model->tensor_count < 1 || model->tensor_count > MAX_COUNT || model->constant_count > MAX_COUNT || model->operator_count < 1 ||
        model->operator_count > MAX_COUNT) {
        return BAD("%u tensors, %u constants, %u operators; at most 65536 of each are allowed.", model->tensor_count,
                   model->constant_count, model->operator_count);
    }
    if (inputs != (uint32_t)model->info.input_count || outputs != (uint32_t)model->info.output_count || inputs < 1 || outputs < 1) {
        return BAD("it has %u inputs and %u outputs, the container %d and %d.", inputs, outputs, model->info.input_count, model->info.output_count);
    }
    if (l->table_size > size || l->data_size > size || l->table_size % 4) {
        return BAD("its tables are larger than itself.");
    }
    l->tensors = HEAD;
    l->constants = l->tensors + (uint64_t)model->tensor_count * RECORD;
    l->io = l->constants + (uint64_t)model->constant_count * RECORD;
    l->table = l->io + (4 * (uint64_t)(inputs + outputs) + 7) / 8 * 8;
    l->data = (l->table + l->table_size + 63) / 64 * 64;
    if (l->data + l->data_size != size) {
        return BAD("its parts add up to %llu bytes, it has %llu.", (unsigned long long)(l->data + l->data_size), (unsigned long long)size);
    }
    return SIM_OK;
}

static sim_result read_tensors(sim_model *model, const layout *l, sim_error *error)
{
    int64_t total = 0;
    for (uint32_t t = 0; t < model->tensor_count; t++) {
        const uint8_t *record = model->section + l->tensors + (uint64_t)t * RECORD;
        sim_tensor *tensor = &model->tensors[t];
        tensor->dtype = sim_read_u32(record + 16);
        if (tensor->dtype != SIM_UINT8 && tensor->dtype != SIM_FLOAT16 && tensor->dtype != SIM_FLOAT32) {
            return BAD("tensor %u has type 0x%x, expected uint8, float16 or float32.", t, tensor->dtype);
        }
        tensor->bytes = (int64_t)sim_dtype_size(tensor->dtype);
        for (int i = 0; i < 4; i++) {
            const uint32_t dim = sim_read_u32(record + 4 * i);
            if (dim < 1 || dim > MAX_DIM || tensor->bytes > MAX_TENSOR_BYTES / (int64_t)dim) {
                return BAD("tensor %u has a dimension of %u, which is outside 1..2^24 or makes it larger than 2 GiB.", t, dim);
            }
            tensor->dims[i] = (int32_t)dim;
            tensor->bytes *= dim;
        }
        total += tensor->bytes;
    }
    if (total > MAX_NETWORK_BYTES) {
        return sim_fail(error, SIM_NOT_SUPPORTED, "The model's tensors need %lld bytes, at most 8 GiB are supported.", (long long)total);
    }
    return SIM_OK;
}

static sim_result check_floats(const sim_constant *constant, uint32_t number, sim_error *error)
{
    for (uint64_t i = 0; i < constant->elements; i++) {
        float value;
        memcpy(&value, constant->data + 4 * i, sizeof value);
        if (!isfinite(value)) {
            return BAD("constant %u holds a value that is not finite.", number);
        }
    }
    return SIM_OK;
}

/* The most negative code is never produced; without it int16 pairs and the int8 sum cannot overflow. */
static sim_result check_codes(const sim_constant *constant, uint32_t number, sim_error *error)
{
    bool lowest = false;
    for (uint64_t i = 0; i < constant->elements; i++) {
        lowest |= constant->dtype == SIM_INT8 ? constant->data[i] == 0x80 : constant->data[2 * i] == 0 && constant->data[2 * i + 1] == 0x80;
    }
    return lowest ? BAD("constant %u holds the code %s, quantized values are symmetric.", number, constant->dtype == SIM_INT8 ? "-128" : "-32768") : SIM_OK;
}

static sim_result read_constants(sim_model *model, const layout *l, sim_error *error)
{
    for (uint32_t k = 0; k < model->constant_count; k++) {
        const uint8_t *record = model->section + l->constants + (uint64_t)k * RECORD;
        const uint64_t offset = sim_read_u64(record), elements = sim_read_u64(record + 8);
        sim_constant *constant = &model->constants[k];
        constant->dtype = sim_read_u32(record + 16);
        if (constant->dtype != SIM_INT8 && constant->dtype != SIM_INT16 && constant->dtype != SIM_FLOAT32) {
            return BAD("constant %u has type 0x%x, expected int8, int16 or float32.", k, constant->dtype);
        }
        if (offset % 64 || offset > l->data_size || elements < 1 || elements > (l->data_size - offset) / sim_dtype_size(constant->dtype)) {
            return BAD("constant %u with %llu elements at %llu does not lie inside the constant data.", k, (unsigned long long)elements,
                       (unsigned long long)offset);
        }
        constant->data = model->section + l->data + offset;
        constant->elements = elements;
        const sim_result result = constant->dtype == SIM_FLOAT32 ? check_floats(constant, k, error) : check_codes(constant, k, error);
        if (result != SIM_OK) {
            return result;
        }
    }
    return SIM_OK;
}

/* ---- operators ---- */

typedef struct check { /* what one operator's rules look at */
    const sim_model *model;
    const sim_operator *op;
    const sim_tensor *x, *y;
    uint32_t number;
    sim_error *error;
} check;

#define WRONG(c, text) \
    sim_fail((c)->error, SIM_BAD_FILE, "The model's network is corrupt: operator %u (%.*s) %s.", (c)->number, (int)((c)->op->name_length < 64 ? (c)->op->name_length : 64), (c)->op->name, text)

static bool in_range(int32_t value, int32_t low, int32_t high)
{
    return value >= low && value <= high;
}

static bool same_dims(const sim_tensor *a, const sim_tensor *b)
{
    return memcmp(a->dims, b->dims, sizeof a->dims) == 0;
}

/* One axis of a window operator: begins within the padding, and the last window touches the picture. */
static bool window_fits(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad, int32_t dilation)
{
    if (!in_range(kernel, 1, MAX_KERNEL) || !in_range(stride, 1, MAX_STEP) || !in_range(dilation, 1, MAX_EXTENT)) {
        return false;
    }
    const int64_t extent = (int64_t)(kernel - 1) * dilation + 1, last = (int64_t)(out - 1) * stride - pad;
    return extent <= MAX_EXTENT && pad >= 0 && pad < extent && last < in;
}

static const sim_constant *constant_of(const check *c, int which)
{
    return c->op->constants[which] == SIM_ABSENT ? NULL : &c->model->constants[c->op->constants[which]];
}

static bool positive(const sim_constant *constant)
{
    for (uint64_t i = 0; i < constant->elements; i++) {
        float value;
        memcpy(&value, constant->data + 4 * i, sizeof value);
        if (!(value > 0.0f)) {
            return false;
        }
    }
    return true;
}

static sim_result check_conv_constants(const check *c)
{
    const int32_t *a = c->op->attributes;
    const sim_constant *weight = constant_of(c, SIM_CONV_WEIGHT), *scale = constant_of(c, SIM_CONV_SCALE);
    const int64_t volume = (int64_t)a[SIM_CONV_KERNEL_H] * a[SIM_CONV_KERNEL_W] * (c->x->dims[3] / a[SIM_CONV_GROUPS]);
    float quant_scale;
    memcpy(&quant_scale, &a[SIM_CONV_QUANT_SCALE], sizeof quant_scale);
    if (!weight || volume > (1LL << 31) || weight->elements != (uint64_t)volume * (uint64_t)c->y->dims[3]) {
        return WRONG(c, "has weights that do not fit its shape");
    }
    if (weight->dtype == SIM_INT8 && volume > MAX_INT8_VOLUME) {
        return WRONG(c, "has a kernel volume above 133143, which could overflow 32 bits");
    }
    for (int i = SIM_CONV_SCALE; i < SIM_CONV_CONSTANTS; i++) {
        const sim_constant *k = constant_of(c, i);
        if (k && (k->dtype != SIM_FLOAT32 || k->elements != (uint64_t)c->y->dims[3])) {
            return WRONG(c, "has a scale, bias, alpha or beta that is no float32 per output channel");
        }
    }
    if (!constant_of(c, SIM_CONV_ALPHA) != !constant_of(c, SIM_CONV_BETA)) {
        return WRONG(c, "has only one of alpha and beta");
    }
    const bool quantized = weight->dtype != SIM_FLOAT32;
    if (quantized != (scale != NULL) || (scale && !positive(scale))) {
        return WRONG(c, "needs positive scales exactly if its weights are quantized");
    }
    if (!isfinite(quant_scale) || (quantized ? !(quant_scale > 0.0f) : quant_scale != 0.0f)) {
        return WRONG(c, "needs a positive quant_scale exactly if its weights are quantized");
    }
    return SIM_OK;
}

static sim_result check_conv(const check *c)
{
    const int32_t *a = c->op->attributes;
    const int32_t *in = c->x->dims, *out = c->y->dims, groups = a[SIM_CONV_GROUPS];
    if (groups < 1 || in[3] % groups || out[3] % groups || in[0] != out[0]) {
        return WRONG(c, "has channels or groups that do not fit its tensors");
    }
    if (!window_fits(in[1], out[1], a[SIM_CONV_KERNEL_H], a[SIM_CONV_STRIDE_H], a[SIM_CONV_PAD_TOP], a[SIM_CONV_DILATION_H]) ||
        !window_fits(in[2], out[2], a[SIM_CONV_KERNEL_W], a[SIM_CONV_STRIDE_W], a[SIM_CONV_PAD_LEFT], a[SIM_CONV_DILATION_W])) {
        return WRONG(c, "has a kernel, stride, padding or dilation that does not fit its tensors");
    }
    return check_conv_constants(c);
}

static sim_result check_pool(const check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (in[0] != out[0] || in[3] != out[3] || !window_fits(in[1], out[1], a[0], a[2], a[4], 1) || !window_fits(in[2], out[2], a[1], a[3], a[5], 1)) {
        return WRONG(c, "has a window, stride or padding that does not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_upsample(const check *c)
{
    const int32_t *a = c->op->attributes, *in = c->x->dims, *out = c->y->dims;
    if (a[0] < 1 || a[1] < 1 || in[0] != out[0] || in[3] != out[3] || out[1] != (int64_t)in[1] * a[0] || out[2] != (int64_t)in[2] * a[1]) {
        return WRONG(c, "has factors that do not fit its tensors");
    }
    return SIM_OK;
}

static sim_result check_concat(const check *c)
{
    const int32_t axis = c->op->attributes[0];
    int64_t sum = 0;
    if (!in_range(axis, 1, 3)) {
        return WRONG(c, "has an axis outside 1..3");
    }
    for (uint32_t i = 0; i < c->op->input_count; i++) {
        const sim_tensor *x = &c->model->tensors[c->op->inputs[i]];
        for (int k = 0; k < 4; k++) {
            if (k != axis && x->dims[k] != c->y->dims[k]) {
                return WRONG(c, "joins tensors of different sizes");
            }
        }
        sum += x->dims[axis];
    }
    return sum == c->y->dims[axis] ? SIM_OK : WRONG(c, "joins tensors that do not add up to its output");
}

static bool per_channel(const sim_tensor *a, const sim_tensor *y)
{
    return a->dims[0] == y->dims[0] && a->dims[1] == 1 && a->dims[2] == 1 && a->dims[3] == y->dims[3];
}

static sim_result check_binary(const check *c)
{
    const sim_tensor *a = c->x, *b = &c->model->tensors[c->op->inputs[1]];
    const bool fits = (same_dims(a, c->y) && (same_dims(b, c->y) || per_channel(b, c->y))) || (same_dims(b, c->y) && per_channel(a, c->y));
    return fits ? SIM_OK : WRONG(c, "has operands that do not fit its output");
}

static sim_result check_slice(const check *c)
{
    const int32_t *begin = c->op->attributes, *step = begin + 4;
    for (int k = 0; k < 4; k++) {
        if (begin[k] < 0 || !in_range(step[k], 1, MAX_DIM) || begin[k] + (int64_t)(c->y->dims[k] - 1) * step[k] >= c->x->dims[k]) {
            return WRONG(c, "takes a slice outside its input");
        }
    }
    return SIM_OK;
}

static sim_result check_activation(const check *c)
{
    float a, b;
    memcpy(&a, &c->op->attributes[1], sizeof a);
    memcpy(&b, &c->op->attributes[2], sizeof b);
    if (!in_range(c->op->attributes[0], SIM_RELU, SIM_SILU)) {
        return WRONG(c, "has an activation function that is not known");
    }
    return same_dims(c->x, c->y) && isfinite(a) && isfinite(b) ? SIM_OK : WRONG(c, "has sizes or parameters that are not valid");
}

static sim_result check_softmax(const check *c)
{
    return same_dims(c->x, c->y) && in_range(c->op->attributes[0], 1, 3) ? SIM_OK : WRONG(c, "has an axis or sizes that are not valid");
}

static int64_t elements(const sim_tensor *t)
{
    return t->bytes / (int64_t)sim_dtype_size(t->dtype);
}

static sim_result check_reshape(const check *c)
{
    return elements(c->x) == elements(c->y) ? SIM_OK : WRONG(c, "changes the number of elements");
}

static sim_result check_permute(const check *c)
{
    uint32_t seen = 0;
    for (int k = 0; k < 4; k++) {
        const int32_t axis = c->op->attributes[k];
        if (!in_range(axis, 0, 3) || c->y->dims[k] != c->x->dims[axis]) {
            return WRONG(c, "has axes that do not fit its tensors");
        }
        seen |= 1u << axis;
    }
    return seen == 15 ? SIM_OK : WRONG(c, "uses an axis twice");
}

static sim_result check_normalize(const check *c)
{
    const sim_constant *mean = constant_of(c, 0), *std = constant_of(c, 1);
    const uint32_t channels = (uint32_t)c->y->dims[3];
    if (memcmp(c->x->dims, c->y->dims, 3 * sizeof(int32_t)) != 0 || c->op->attribute_count != channels) {
        return WRONG(c, "has sizes that do not fit its tensors");
    }
    if (!mean || !std || mean->dtype != SIM_FLOAT32 || std->dtype != SIM_FLOAT32 || mean->elements != channels || std->elements != channels || !positive(std)) {
        return WRONG(c, "needs a mean and a positive std per channel");
    }
    for (uint32_t i = 0; i < channels; i++) {
        if (!in_range(c->op->attributes[i], 0, c->x->dims[3] - 1)) {
            return WRONG(c, "reads a channel that its input does not have");
        }
    }
    return SIM_OK;
}

static sim_result check_cast(const check *c)
{
    return same_dims(c->x, c->y) ? SIM_OK : WRONG(c, "changes the size");
}

static const struct {
    uint32_t min_inputs, max_inputs, constants, attributes; /* attributes: SIM_ABSENT if the rule counts them itself */
    sim_result (*rule)(const check *);
} RULES[] = {
    [SIM_OP_CONV] = {1, 1, SIM_CONV_CONSTANTS, SIM_CONV_ATTRIBUTES, check_conv},
    [SIM_OP_MAX_POOL] = {1, 1, 0, 6, check_pool},
    [SIM_OP_UPSAMPLE_NEAREST] = {1, 1, 0, 2, check_upsample},
    [SIM_OP_CONCAT] = {1, MAX_INPUTS, 0, 1, check_concat},
    [SIM_OP_ADD] = {2, 2, 0, 0, check_binary},
    [SIM_OP_MUL] = {2, 2, 0, 0, check_binary},
    [SIM_OP_SLICE] = {1, 1, 0, 8, check_slice},
    [SIM_OP_ACTIVATION] = {1, 1, 0, 3, check_activation},
    [SIM_OP_SOFTMAX] = {1, 1, 0, 1, check_softmax},
    [SIM_OP_RESHAPE] = {1, 1, 0, 0, check_reshape},
    [SIM_OP_PERMUTE] = {1, 1, 0, 4, check_permute},
    [SIM_OP_NORMALIZE] = {1, 1, 2, SIM_ABSENT, check_normalize},
    [SIM_OP_CAST] = {1, 1, 0, 0, check_cast},
};

/* Reads one record; *at moves past it. */
static sim_result read_operator(sim_model *model, uint32_t number, const uint32_t *words, uint64_t left, uint64_t *used, sim_error *error)
{
    sim_operator *op = &model->operators[number];
    if (left < OPERATOR_HEAD) {
        return BAD("the operator table ends before operator %u.", number);
    }
    const uint64_t name_words = ((uint64_t)words[6] + 3) / 4;
    const uint64_t expected = OPERATOR_HEAD + (uint64_t)words[2] + words[3] + words[4] + name_words;
    if (words[1] != expected || expected > left || words[6] > MAX_NAME_BYTES) {
        return BAD("operator %u claims %u words, its parts need %llu and %llu are left.", number, words[1], (unsigned long long)expected, (unsigned long long)left);
    }
    *op = (sim_operator){.opcode = words[0], .input_count = words[2], .constant_count = words[3], .attribute_count = words[4],
                         .output = words[5], .name_length = words[6]};
    op->inputs = words + OPERATOR_HEAD;
    op->constants = op->inputs + op->input_count;
    op->attributes = (const int32_t *)(op->constants + op->constant_count);
    op->name = (const char *)(op->attributes + op->attribute_count);
    *used = expected;
    for (uint32_t i = 0; i < op->name_length; i++) {
        if ((unsigned char)op->name[i] < 0x20 || op->name[i] == 0x7f) {
            return BAD("the name of operator %u holds a control character.", number);
        }
    }
    if (op->opcode < 1 || op->opcode >= sizeof RULES / sizeof *RULES) {
        return op->opcode >= 1 && op->opcode < 64 ? sim_fail(error, SIM_NOT_SUPPORTED, "The model uses operator code %u, which this simulator does not know; update it.", op->opcode)
                                                  : BAD("operator %u has code %u, expected 1..63.", number, op->opcode);
    }
    return SIM_OK;
}

static sim_result check_operator(sim_model *model, uint32_t number, uint8_t *written, sim_error *error)
{
    const sim_operator *op = &model->operators[number];
    if (op->input_count < RULES[op->opcode].min_inputs || op->input_count > RULES[op->opcode].max_inputs ||
        op->constant_count != RULES[op->opcode].constants ||
        (RULES[op->opcode].attributes != SIM_ABSENT && op->attribute_count != RULES[op->opcode].attributes)) {
        return BAD("operator %u (code %u) has %u inputs, %u constants and %u attributes.", number, op->opcode, op->input_count, op->constant_count, op->attribute_count);
    }
    for (uint32_t i = 0; i < op->input_count; i++) {
        if (op->inputs[i] >= model->tensor_count || !written[op->inputs[i]]) {
            return BAD("operator %u reads tensor %u before it is written.", number, op->inputs[i]);
        }
    }
    for (uint32_t i = 0; i < op->constant_count; i++) {
        if (op->constants[i] != SIM_ABSENT && op->constants[i] >= model->constant_count) {
            return BAD("operator %u uses constant %u, there are %u.", number, op->constants[i], model->constant_count);
        }
    }
    if (op->output >= model->tensor_count || written[op->output]) {
        return BAD("operator %u writes tensor %u, which does not exist or is already written.", number, op->output);
    }
    if (model->tensors[op->output].dtype == SIM_UINT8) {
        return BAD("operator %u writes a uint8 tensor, only inputs may be uint8.", number);
    }
    written[op->output] = 1;
    const check c = {model, op, &model->tensors[op->inputs[0]], &model->tensors[op->output], number, error};
    return RULES[op->opcode].rule(&c);
}

/* Container and network must describe the same inputs and outputs. */
static sim_result check_io(const sim_model *model, uint8_t *written, bool outputs, sim_error *error)
{
    const int32_t first = outputs ? model->info.input_count : 0;
    const int32_t count = outputs ? model->info.output_count : model->info.input_count;
    for (int32_t i = first; i < first + count; i++) {
        const uint32_t number = model->io_tensors[i];
        if (number >= model->tensor_count) {
            return BAD("input or output %d is tensor %u, there are %u.", i, number, model->tensor_count);
        }
        const sim_tensor *tensor = &model->tensors[number];
        const sim_io *io = &model->io[i];
        if (io->rank != 4 || memcmp(io->dims, tensor->dims, sizeof tensor->dims) != 0 || io->dtype != tensor->dtype) {
            return BAD("input or output %d differs from the container's description.", i);
        }
        if (outputs ? !written[number] : written[number]) {
            return BAD("tensor %u is an %s.", number, outputs ? "output that no operator writes" : "input twice");
        }
        written[number] = 1;
    }
    return SIM_OK;
}

static sim_result read_operators(sim_model *model, const layout *l, uint8_t *written, sim_error *error)
{
    const uint32_t *words = (const uint32_t *)(const void *)(model->section + l->table);
    uint64_t left = l->table_size / 4, used = 0;
    for (uint32_t i = 0; i < model->operator_count; i++, words += used, left -= used) {
        sim_result result = read_operator(model, i, words, left, &used, error);
        if (result == SIM_OK) {
            result = check_operator(model, i, written, error);
        }
        if (result != SIM_OK) {
            return result;
        }
    }
    if (left != 0) {
        return BAD("%llu words follow the last operator.", (unsigned long long)left);
    }
    for (uint32_t t = 0; t < model->tensor_count; t++) {
        if (!written[t]) {
            return BAD("nothing writes tensor %u.", t);
        }
    }
    return SIM_OK;
}

sim_result sim_network_parse(sim_model *model, sim_error *error)
{
    layout l = {0};
    sim_result result = read_layout(model, &l, error);
    if (result != SIM_OK) {
        return result;
    }
    model->tensors = calloc(model->tensor_count, sizeof *model->tensors);
    model->constants = calloc(model->constant_count + 1u, sizeof *model->constants);
    model->operators = calloc(model->operator_count, sizeof *model->operators);
    model->io_tensors = (const uint32_t *)(const void *)(model->section + l.io);
    uint8_t *written = calloc(model->tensor_count, 1);
    if (!model->tensors || !model->constants || !model->operators || !written) {
        free(written);
        return sim_fail(error, SIM_NO_MEMORY, "There is no memory for the model's tables.");
    }
    result = read_tensors(model, &l, error);
    if (result == SIM_OK) {
        result = read_constants(model, &l, error);
    }
    if (result == SIM_OK) {
        result = check_io(model, written, false, error);
    }
    if (result == SIM_OK) {
        result = read_operators(model, &l, written, error);
    }
    if (result == SIM_OK) {
        result = check_io(model, written, true, error);
    }
    free(written);
    return result;
}
