/* A parsed model: what container.c and network.c leave for plan.c. Internal to this floor. */
#ifndef SIM_EXEC_NETWORK_H
#define SIM_EXEC_NETWORK_H

#include "exec.h"

#define SIM_OPERATOR(code, NAME, name, least, most, constants, attributes) SIM_OP_##NAME = code,
enum sim_opcode {
#include "operators.def"
};
#undef SIM_OPERATOR

#define SIM_ABSENT 0xffffffffu

typedef struct sim_tensor {
    int32_t dims[4]; /* N, H, W, C */
    uint32_t dtype;
    int64_t bytes;
} sim_tensor;

typedef struct sim_constant {
    const uint8_t *data; /* into sim_model.section, 64-byte aligned */
    uint64_t elements;
    uint32_t dtype;
} sim_constant;

typedef struct sim_operator {
    uint32_t opcode, input_count, constant_count, attribute_count, output, name_length;
    const uint32_t *inputs, *constants; /* into sim_model.section */
    const int32_t *attributes;
    const char *name; /* not NUL-terminated */
} sim_operator;

struct sim_model {
    sim_model_info info;
    sim_io io[SIM_MAX_TENSORS];
    uint8_t *section; /* copy of the network section, 64-byte aligned; NULL without a network */
    uint64_t section_size;
    uint32_t tensor_count, constant_count, operator_count;
    sim_tensor *tensors;
    sim_constant *constants;
    sim_operator *operators;
    const uint32_t *io_tensors; /* tensor of each input, then of each output */
};

/* Fills the error and returns the result, so that a failure is one statement. */
sim_result sim_fail(sim_error *error, sim_result result, const char *format, ...) __attribute__((format(printf, 3, 4)));

static inline uint32_t sim_read_u32(const uint8_t *at)
{
    uint32_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

/* An attribute that is a float32. */
static inline float sim_float_of(const sim_operator *op, uint32_t which)
{
    float value;
    __builtin_memcpy(&value, &op->attributes[which], sizeof value);
    return value;
}

static inline uint64_t sim_read_u64(const uint8_t *at)
{
    uint64_t value;
    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

/* CRC-32 (IEEE 802.3) of `bytes`, those of [hole, hole + 4) taken as zero. */
uint32_t sim_crc32(const uint8_t *bytes, uint64_t size, uint64_t hole);

/* Parses model->section (already copied and checksummed) and checks it against model->info. */
sim_result sim_network_parse(sim_model *model, sim_error *error);

#endif
