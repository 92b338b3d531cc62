/* A parsed model: what container.c and network.c leave for plan.c. Internal to this floor. */
#ifndef SIM_EXEC_NETWORK_H
#define SIM_EXEC_NETWORK_H

#include "exec.h"

enum sim_opcode {
    SIM_OP_CONV = 1,
    SIM_OP_MAX_POOL,
    SIM_OP_UPSAMPLE_NEAREST,
    SIM_OP_CONCAT,
    SIM_OP_ADD,
    SIM_OP_MUL,
    SIM_OP_SLICE,
    SIM_OP_ACTIVATION,
    SIM_OP_SOFTMAX,
    SIM_OP_RESHAPE,
    SIM_OP_PERMUTE,
    SIM_OP_NORMALIZE,
    SIM_OP_CAST,
    SIM_OP_SUB,
    SIM_OP_DIV,
    SIM_OP_MAX,
    SIM_OP_MIN,
    SIM_OP_AVERAGE_POOL,
    SIM_OP_REDUCE,
    SIM_OP_DECONV,
    SIM_OP_RESIZE_BILINEAR,
    SIM_OP_PAD,
    SIM_OP_AFFINE,
    SIM_OP_L2_NORMALIZE,
    SIM_OP_DETECTION_OUTPUT,
};

enum { /* constants and attributes of CONV and DECONV, in the file's order */
       SIM_CONV_WEIGHT,
       SIM_CONV_SCALE,
       SIM_CONV_BIAS,
       SIM_CONV_ALPHA,
       SIM_CONV_BETA,
       SIM_CONV_CONSTANTS,
       SIM_CONV_KERNEL_H = 0,
       SIM_CONV_KERNEL_W,
       SIM_CONV_STRIDE_H,
       SIM_CONV_STRIDE_W,
       SIM_CONV_PAD_TOP,
       SIM_CONV_PAD_LEFT,
       SIM_CONV_DILATION_H,
       SIM_CONV_DILATION_W,
       SIM_CONV_GROUPS,
       SIM_CONV_QUANT_SCALE,
       SIM_CONV_ATTRIBUTES,
};

enum { /* attributes of DETECTION_OUTPUT; scale_x_y of each head follows, then beta where centres' distances count */
       SIM_DETECT_KIND,
       SIM_DETECT_CLASSES,
       SIM_DETECT_ANCHORS,
       SIM_DETECT_HEIGHT,
       SIM_DETECT_WIDTH,
       SIM_DETECT_CONFIDENCE,
       SIM_DETECT_IOU,
       SIM_DETECT_MAX_BOXES,
       SIM_DETECT_ATTRIBUTES,
};

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
