/* The network section: deploy/FORMAT.md section 2. Everything that plan.c and run.c rely on is checked here. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "operators.h"

enum {
    HEAD = 0x40,
    RECORD = 32,
    OPERATOR_HEAD = 8,
    MAX_COUNT = 65536,
    MAX_NAME_BYTES = 1024,
    MAX_DIM = 1 << 24,
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
    if (model->tensor_count < 1 || model->tensor_count > MAX_COUNT || model->constant_count > MAX_COUNT ||
        model->operator_count < 1 || model->operator_count > MAX_COUNT) {
        return BAD("%u tensors, %u constants, %u operators; at most 65536 of each are allowed.", model->tensor_count,
                   model->constant_count, model->operator_count);
    }
    if (inputs != (uint32_t)model->info.input_count || outputs != (uint32_t)model->info.output_count || inputs < 1 ||
        outputs < 1) {
        return BAD("it has %u inputs and %u outputs, the container %d and %d.", inputs, outputs,
                   model->info.input_count, model->info.output_count);
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
        return BAD("its parts add up to %llu bytes, it has %llu.", (unsigned long long)(l->data + l->data_size),
                   (unsigned long long)size);
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
                return BAD("tensor %u has a dimension of %u, which is outside 1..2^24 or makes it larger than 2 GiB.",
                           t, dim);
            }
            tensor->dims[i] = (int32_t)dim;
            tensor->bytes *= dim;
        }
        total += tensor->bytes;
    }
    if (total > MAX_NETWORK_BYTES) {
        return sim_fail(error, SIM_NOT_SUPPORTED, "The model's tensors need %lld bytes, at most 8 GiB are supported.",
                        (long long)total);
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
        lowest |= constant->dtype == SIM_INT8 ? constant->data[i] == 0x80
                                              : constant->data[2 * i] == 0 && constant->data[2 * i + 1] == 0x80;
    }
    return lowest ? BAD("constant %u holds the code %s, quantized values are symmetric.", number,
                        constant->dtype == SIM_INT8 ? "-128" : "-32768")
                  : SIM_OK;
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
        if (offset % 64 || offset > l->data_size || elements < 1 ||
            elements > (l->data_size - offset) / sim_dtype_size(constant->dtype)) {
            return BAD("constant %u with %llu elements at %llu does not lie inside the constant data.", k,
                       (unsigned long long)elements, (unsigned long long)offset);
        }
        constant->data = model->section + l->data + offset;
        constant->elements = elements;
        const sim_result result =
            constant->dtype == SIM_FLOAT32 ? check_floats(constant, k, error) : check_codes(constant, k, error);
        if (result != SIM_OK) {
            return result;
        }
    }
    return SIM_OK;
}

/* Reads one record; *at moves past it. */
static sim_result read_operator(sim_model *model, uint32_t number, const uint32_t *words, uint64_t left, uint64_t *used,
                                sim_error *error)
{
    sim_operator *op = &model->operators[number];
    if (left < OPERATOR_HEAD) {
        return BAD("the operator table ends before operator %u.", number);
    }
    const uint64_t name_words = ((uint64_t)words[6] + 3) / 4;
    const uint64_t expected = OPERATOR_HEAD + (uint64_t)words[2] + words[3] + words[4] + name_words;
    if (words[1] != expected || expected > left || words[6] > MAX_NAME_BYTES) {
        return BAD("operator %u claims %u words, its parts need %llu and %llu are left.", number, words[1],
                   (unsigned long long)expected, (unsigned long long)left);
    }
    *op = (sim_operator){.opcode = words[0],
                         .input_count = words[2],
                         .constant_count = words[3],
                         .attribute_count = words[4],
                         .output = words[5],
                         .name_length = words[6]};
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
    if (!sim_operator_known(op->opcode)) {
        return op->opcode >= 1 && op->opcode < 64
                   ? sim_fail(error, SIM_NOT_SUPPORTED,
                              "The model uses operator code %u, which this simulator does not know; update it.",
                              op->opcode)
                   : BAD("operator %u has code %u, expected 1..63.", number, op->opcode);
    }
    return SIM_OK;
}

static sim_result check_operator(sim_model *model, uint32_t number, uint8_t *written, sim_error *error)
{
    const sim_operator *op = &model->operators[number];
    const sim_known_operator *known = sim_operator_known(op->opcode);
    if (op->input_count < known->least_inputs || op->input_count > known->most_inputs ||
        (known->constants != SIM_ABSENT && op->constant_count != known->constants) ||
        (known->attributes != SIM_ABSENT && op->attribute_count != known->attributes)) {
        return BAD("operator %u (code %u) has %u inputs, %u constants and %u attributes.", number, op->opcode,
                   op->input_count, op->constant_count, op->attribute_count);
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
    const sim_check c = {model, op, &model->tensors[op->inputs[0]], &model->tensors[op->output], number, error};
    return known->row->check(&c);
}

/* A container may leave out the height, or height and width, of a tensor where they are 1: N, W, C or N, C. */
static bool describes(const sim_io *io, const sim_tensor *tensor)
{
    const int32_t left_out = 4 - io->rank;
    if (left_out < 0 || left_out > 2 || io->dtype != tensor->dtype || io->dims[0] != tensor->dims[0]) {
        return false;
    }
    for (int32_t axis = 1; axis < 4; axis++) {
        if (tensor->dims[axis] != (axis <= left_out ? 1 : io->dims[axis - left_out])) {
            return false;
        }
    }
    return true;
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
        if (!describes(&model->io[i], &model->tensors[number])) {
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
