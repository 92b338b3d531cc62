#include "core/cast.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sim_quantized_param {
    sim_object base;
    size_t channels, inner;
    double *factors; /* scale / 2^position, then the offsets */
};

static void finish(sim_object *object)
{
    sim_quantized_param *param = (sim_quantized_param *)object;
    free(param->factors);
    free(param);
}

sim_quantized_param *sim_quantized_param_create(size_t channels, size_t inner, const int *positions,
                                                const float *scales, const float *offsets)
{
    sim_quantized_param *param = calloc(1, sizeof *param);
    double *factors = calloc(channels * 2, sizeof *factors);
    if (param == NULL || factors == NULL || !sim_object_open(&param->base, SIM_KIND_QUANTIZED_PARAM, finish)) {
        free(factors);
        free(param);
        sim_error_set(CNRT_RET_ERR_INIT, "The host has no memory for a quantization parameter of %zu channels.",
                      channels);
        return NULL;
    }
    for (size_t channel = 0; channel < channels; channel++) {
        factors[channel] = ldexp((double)scales[channel], -positions[channel]);
        factors[channels + channel] = offsets == NULL ? 0.0 : (double)offsets[channel];
    }
    param->channels = channels;
    param->inner = inner;
    param->factors = factors;
    return param;
}

void *sim_quantized_param_handle(const sim_quantized_param *param)
{
    return (void *)param->base.handle;
}

/* ---- Types ---- */

size_t sim_dtype_size(cnrtDataType_t dtype)
{
    switch (dtype) {
    case CNRT_FLOAT64:
    case CNRT_INT64: return 8;
    case CNRT_FLOAT32:
    case CNRT_INT32:
    case CNRT_UINT32: return 4;
    case CNRT_FLOAT16:
    case CNRT_INT16:
    case CNRT_UINT16: return 2;
    case CNRT_INT8:
    case CNRT_UINT8:
    case CNRT_FIX8:
    case CNRT_QUANT8:
    case CNRT_BOOL: return 1;
    default: return 0;
    }
}

const char *sim_dtype_name(cnrtDataType_t dtype)
{
    switch (dtype) {
    case CNRT_INVALID: return "CNRT_INVALID";
    case CNRT_FLOAT16: return "CNRT_FLOAT16";
    case CNRT_FLOAT32: return "CNRT_FLOAT32";
    case CNRT_FLOAT64: return "CNRT_FLOAT64";
    case CNRT_INT4: return "CNRT_INT4";
    case CNRT_INT8: return "CNRT_INT8";
    case CNRT_INT16: return "CNRT_INT16";
    case CNRT_INT32: return "CNRT_INT32";
    case CNRT_INT64: return "CNRT_INT64";
    case CNRT_AUTO: return "CNRT_AUTO";
    case CNRT_UINT8: return "CNRT_UINT8";
    case CNRT_UINT16: return "CNRT_UINT16";
    case CNRT_UINT32: return "CNRT_UINT32";
    case CNRT_FIX8: return "CNRT_FIX8";
    case CNRT_QUANT8: return "CNRT_QUANT8";
    case CNRT_BOOL: return "CNRT_BOOL";
    default: return "a number that is no cnrtDataType_t";
    }
}

/* ---- Half precision ---- */

/* Rounds once from the double, so that a double does not pass through float on its way. */
uint16_t sim_cast_half_from_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
    double magnitude = fabs(value);
    if (isnan(value)) {
        return 0x7e00;
    }
    if (magnitude >= 65520.0) { /* halfway between the largest half and the next power of two */
        return (uint16_t)(sign | 0x7c00);
    }
    if (magnitude < 0x1p-14) { /* subnormal: a multiple of 2^-24; rint rounds to nearest even */
        return (uint16_t)(sign | (uint16_t)rint(magnitude * 0x1p24));
    }
    int exponent;
    double fraction = frexp(magnitude, &exponent); /* in [0.5, 1) */
    unsigned mantissa =
        (unsigned)rint(fraction * 2048.0); /* in [1024, 2048]: 2048 carries into the exponent by itself */
    return (uint16_t)(sign | (((unsigned)(exponent + 14) << 10) + (mantissa - 1024)));
}

float sim_cast_half_to_float(uint16_t half)
{
    unsigned exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
    float magnitude;
    if (exponent == 0x1f) {
        uint32_t bits = 0x7f800000u | mantissa << 13;
        memcpy(&magnitude, &bits, sizeof magnitude);
    } else if (exponent == 0) {
        magnitude = (float)mantissa * 0x1p-24f;
    } else {
        uint32_t bits = (exponent + 112) << 23 | mantissa << 13;
        memcpy(&magnitude, &bits, sizeof magnitude);
    }
    return half & 0x8000 ? -magnitude : magnitude;
}

/* ---- Conversion ---- */

bool sim_cast_is_known(cnrtDataType_t from, cnrtDataType_t to, bool with_param)
{
    static const struct {
        cnrtDataType_t from, to;
    } plain[] =
        {
            {CNRT_FLOAT32, CNRT_FLOAT16}, {CNRT_FLOAT32, CNRT_UINT8},   {CNRT_INT64, CNRT_FLOAT16},
            {CNRT_FLOAT16, CNRT_FLOAT32}, {CNRT_FLOAT16, CNRT_UINT8},   {CNRT_UINT8, CNRT_FLOAT32},
            {CNRT_UINT8, CNRT_FLOAT16},   {CNRT_FLOAT32, CNRT_FLOAT32},
        },
      quantizing[] = {
          {CNRT_FLOAT32, CNRT_FLOAT16}, {CNRT_FLOAT32, CNRT_INT16}, {CNRT_FLOAT32, CNRT_INT8},
          {CNRT_FLOAT32, CNRT_INT32},   {CNRT_INT32, CNRT_FLOAT32}, {CNRT_FLOAT16, CNRT_INT16},
          {CNRT_INT16, CNRT_FLOAT32},   {CNRT_INT8, CNRT_FLOAT32},  {CNRT_FLOAT32, CNRT_FLOAT32},
      };
    size_t count = with_param ? sizeof quantizing / sizeof *quantizing : sizeof plain / sizeof *plain;
    for (size_t index = 0; index < count; index++) {
        cnrtDataType_t known_from = with_param ? quantizing[index].from : plain[index].from;
        cnrtDataType_t known_to = with_param ? quantizing[index].to : plain[index].to;
        if (known_from == from && known_to == to) {
            return true;
        }
    }
    return false;
}

/* Every source type is exact in a double, but INT64 beyond 2^53, which is infinity as a half anyway. */
static double load(const uint8_t *source, cnrtDataType_t dtype)
{
    union {
        float f32;
        uint16_t u16;
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
    } value;
    switch (dtype) {
    case CNRT_FLOAT32: memcpy(&value, source, 4); return (double)value.f32;
    case CNRT_FLOAT16: memcpy(&value, source, 2); return (double)sim_cast_half_to_float(value.u16);
    case CNRT_INT64: memcpy(&value, source, 8); return (double)value.i64;
    case CNRT_INT32: memcpy(&value, source, 4); return (double)value.i32;
    case CNRT_INT16: memcpy(&value, source, 2); return (double)value.i16;
    case CNRT_INT8: memcpy(&value, source, 1); return (double)value.i8;
    default: return (double)*source; /* CNRT_UINT8 */
    }
}

/* To nearest even, then into [low, high]; a NaN becomes 0. */
static double to_integer(double value, double low, double high)
{
    if (isnan(value)) {
        return 0.0;
    }
    double rounded = rint(value);
    return rounded < low ? low : rounded > high ? high : rounded;
}

static void store(uint8_t *destination, cnrtDataType_t dtype, double value)
{
    switch (dtype) {
    case CNRT_FLOAT32: {
        float f32 = (float)value;
        memcpy(destination, &f32, 4);
        break;
    }
    case CNRT_FLOAT16: {
        uint16_t f16 = sim_cast_half_from_double(value);
        memcpy(destination, &f16, 2);
        break;
    }
    case CNRT_INT32: {
        int32_t i32 = (int32_t)to_integer(value, -2147483647.0, 2147483647.0);
        memcpy(destination, &i32, 4);
        break;
    }
    case CNRT_INT16: {
        int16_t i16 = (int16_t)to_integer(value, -32767.0, 32767.0);
        memcpy(destination, &i16, 2);
        break;
    }
    case CNRT_INT8: {
        int8_t i8 = (int8_t)to_integer(value, -127.0, 127.0);
        memcpy(destination, &i8, 1);
        break;
    }
    default: /* CNRT_UINT8 */ *destination = (uint8_t)to_integer(value, 0.0, 255.0);
    }
}

static bool is_integer(cnrtDataType_t dtype)
{
    return dtype != CNRT_FLOAT32 && dtype != CNRT_FLOAT16;
}

static double quantized(double value, const sim_quantized_param *param, size_t index, cnrtDataType_t from)
{
    size_t channel = index / param->inner % param->channels;
    double factor = param->factors[channel], offset = param->factors[param->channels + channel];
    return is_integer(from) ? (value - offset) / factor : value * factor + offset;
}

bool sim_cast(const void *source, cnrtDataType_t source_type, void *destination, cnrtDataType_t destination_type,
              size_t count, const sim_quantized_param *param)
{
    if (!sim_cast_is_known(source_type, destination_type, param != NULL)) {
        return false;
    }
    size_t source_item = sim_dtype_size(source_type), destination_item = sim_dtype_size(destination_type);
    const uint8_t *from = source;
    uint8_t *to = destination;
    if (param == NULL && source_type == destination_type) {
        memmove(to, from, count * source_item);
        return true;
    }
    for (size_t index = 0; index < count; index++) {
        double value = load(from + index * source_item, source_type);
        if (param != NULL) {
            value = quantized(value, param, index, source_type);
        }
        store(to + index * destination_item, destination_type, value);
    }
    return true;
}

/* ---- Layout ---- */

/* Advances a row-major index by one. False when it wraps around to zero. */
static bool advance(size_t *position, int rank, const size_t *dims)
{
    for (int axis = rank - 1; axis >= 0; axis--) {
        if (++position[axis] < dims[axis]) {
            return true;
        }
        position[axis] = 0;
    }
    return false;
}

void sim_transpose(const void *source, size_t item, void *destination, int rank, const int *dims, const int *order)
{
    size_t strides[SIM_MAX_TRANSPOSE], out_dims[SIM_MAX_TRANSPOSE], out_strides[SIM_MAX_TRANSPOSE];
    size_t position[SIM_MAX_TRANSPOSE] = {0};
    size_t stride = item;
    for (int axis = rank - 1; axis >= 0; axis--) {
        strides[axis] = stride;
        stride *= (size_t)dims[axis];
    }
    for (int axis = 0; axis < rank; axis++) {
        out_dims[axis] = (size_t)dims[order[axis]];
        out_strides[axis] = strides[order[axis]];
    }
    uint8_t *to = destination;
    do {
        size_t offset = 0;
        for (int axis = 0; axis < rank; axis++) {
            offset += position[axis] * out_strides[axis];
        }
        memcpy(to, (const uint8_t *)source + offset, item);
        to += item;
    } while (advance(position, rank, out_dims));
}

void sim_pad_ends(const void *source, size_t item, void *destination, int rank, const int *dims, const int *extra)
{
    size_t out_dims[SIM_MAX_TRANSPOSE], position[SIM_MAX_TRANSPOSE] = {0};
    for (int axis = 0; axis < rank; axis++) {
        out_dims[axis] = (size_t)dims[axis] + (size_t)extra[axis];
    }
    const uint8_t *from = source;
    uint8_t *to = destination;
    do {
        bool inside = true;
        for (int axis = 0; axis < rank; axis++) {
            inside = inside && position[axis] < (size_t)dims[axis];
        }
        if (inside) {
            memcpy(to, from, item);
            from += item;
        } else {
            memset(to, 0, item);
        }
        to += item;
    } while (advance(position, rank, out_dims));
}
