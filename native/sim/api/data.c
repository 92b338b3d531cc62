#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/cast.h"

#define MAX_ELEMENTS ((size_t)1 << 40) /* dims beyond it are a mistake, and their product might overflow */

/* ---- Scalars ---- */

cnrtRet_t cnrtConvertFloatToHalf(uint16_t *f16, float d)
{
    ENTER_HELPER();
    REQUIRE_POINTER(f16, CNRT_RET_ERR_INVALID);
    *f16 = sim_cast_half_from_double((double)d);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtConvertHalfToFloat(float *d, uint16_t f16)
{
    ENTER_HELPER();
    REQUIRE_POINTER(d, CNRT_RET_ERR_INVALID);
    *d = sim_cast_half_to_float(f16);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtConvertDoubleToHalf(uint16_t *f16, double d)
{
    ENTER_HELPER();
    REQUIRE_POINTER(f16, CNRT_RET_ERR_INVALID);
    *f16 = sim_cast_half_from_double(d);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtConvertHalfToDouble(double *d, uint16_t f16)
{
    ENTER_HELPER();
    REQUIRE_POINTER(d, CNRT_RET_ERR_INVALID);
    *d = (double)sim_cast_half_to_float(f16);
    return CNRT_RET_SUCCESS;
}

int cnrtDataTypeSize(cnrtDataType_t dt)
{
    size_t size = sim_dtype_size(dt);
    return size == 0 ? 4 : (int)size;
}

/* ---- Quantization parameters ---- */

static sim_quantized_param *get_param(cnrtQuantizedParam_t handle)
{
    sim_quantized_param *param = sim_object_get(SIM_KIND_QUANTIZED_PARAM, handle);
    if (param == NULL) {
        sim_error_set(CNRT_RET_ERR_INVALID, "%p is not a quantization parameter, or was destroyed.", (void *)handle);
    }
    return param;
}

cnrtRet_t cnrtCreateQuantizedParam(cnrtQuantizedParam_t *param, int pos, float scale, int offset)
{
    ENTER_HELPER();
    REQUIRE_POINTER(param, CNRT_RET_ERR_INIT);
    float offsets = (float)offset;
    sim_quantized_param *p = sim_quantized_param_create(1, 1, &pos, &scale, &offsets);
    if (p == NULL) {
        return CNRT_RET_ERR_INIT;
    }
    *param = sim_quantized_param_handle(p);
    return CNRT_RET_SUCCESS;
}

/* Checks rank and dims, and counts elements. Every dimension is at least 1. */
static cnrtRet_t count_elements(int rank, const int *dims, size_t *count)
{
    REQUIRE(dims != NULL, CNRT_RET_ERR_INVALID, "The array of dimensions is NULL.");
    REQUIRE(rank >= 1 && rank <= SIM_MAX_TRANSPOSE, CNRT_RET_ERR_INVALID, "There are 1 to %d dimensions, not %d.",
            SIM_MAX_TRANSPOSE, rank);
    *count = 1;
    for (int axis = 0; axis < rank; axis++) {
        REQUIRE(dims[axis] >= 1 && *count <= MAX_ELEMENTS / (size_t)dims[axis], CNRT_RET_ERR_INVALID,
                "Dimension %d is %d: it must be positive, and the whole not larger than 2^40 elements.", axis,
                dims[axis]);
        *count *= (size_t)dims[axis];
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCreateQuantizedParamByChannel(cnrtQuantizedParam_t *param, int *poses, float *scales, float *offsets,
                                            int dimNum, int *dimValues, int channelDim)
{
    ENTER_HELPER();
    REQUIRE_POINTER(param, CNRT_RET_ERR_INIT);
    REQUIRE_POINTER(poses, CNRT_RET_ERR_INIT);
    REQUIRE_POINTER(scales, CNRT_RET_ERR_INIT);
    REQUIRE_POINTER(offsets, CNRT_RET_ERR_INIT);
    REQUIRE_POINTER(dimValues, CNRT_RET_ERR_INIT);
    size_t count;
    TRY(count_elements(dimNum, dimValues, &count));
    REQUIRE(channelDim >= 0 && channelDim < dimNum, CNRT_RET_ERR_INVALID, "The channel dimension is 0 to %d, not %d.",
            dimNum - 1, channelDim);
    size_t inner = 1;
    for (int axis = channelDim + 1; axis < dimNum; axis++) {
        inner *= (size_t)dimValues[axis];
    }
    sim_quantized_param *p = sim_quantized_param_create((size_t)dimValues[channelDim], inner, poses, scales, offsets);
    if (p == NULL) {
        return CNRT_RET_ERR_INIT;
    }
    *param = sim_quantized_param_handle(p);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtDestroyQuantizedParam(cnrtQuantizedParam_t param)
{
    ENTER_HELPER();
    REQUIRE_POINTER(param, CNRT_RET_ERR_INVALID);
    sim_quantized_param *p = sim_object_close(SIM_KIND_QUANTIZED_PARAM, param);
    REQUIRE(p != NULL, CNRT_RET_ERR_INVALID, "%p is not a quantization parameter, or was destroyed.", (void *)param);
    sim_object_release(p);
    return CNRT_RET_SUCCESS;
}

/* ---- Arrays ---- */

static cnrtRet_t cast(const void *src, cnrtDataType_t from, void *dst, cnrtDataType_t to, size_t count,
                      cnrtQuantizedParam_t handle)
{
    sim_quantized_param *param = NULL;
    if (handle != NULL) {
        param = get_param(handle);
        if (param == NULL) {
            return CNRT_RET_ERR_INVALID;
        }
    }
    bool known = sim_cast(src, from, dst, to, count, param);
    sim_object_release(param);
    REQUIRE(known, CNRT_RET_ERR_UNSUPPORTED, "%s is not converted to %s %s a quantization parameter.",
            sim_dtype_name(from), sim_dtype_name(to), handle == NULL ? "without" : "with");
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtCastDataType(void *src_addr, cnrtDataType_t src_data_type, void *dst_addr, cnrtDataType_t dst_data_type,
                           int data_num, cnrtQuantizedParam_t param)
{
    ENTER_HELPER();
    REQUIRE_POINTER(src_addr, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(dst_addr, CNRT_RET_ERR_INVALID);
    REQUIRE(data_num >= 0, CNRT_RET_ERR_INVALID, "The number of elements is not negative: %d.", data_num);
    return cast(src_addr, src_data_type, dst_addr, dst_data_type, (size_t)data_num, param);
}

static cnrtRet_t check_order(int rank, const int *order)
{
    REQUIRE(order != NULL, CNRT_RET_ERR_INVALID, "The array of the new order is NULL.");
    unsigned seen = 0;
    for (int axis = 0; axis < rank; axis++) {
        REQUIRE(order[axis] >= 0 && order[axis] < rank && (seen >> order[axis] & 1) == 0, CNRT_RET_ERR_INVALID,
                "The new order must name each of 0 to %d once; element %d is %d.", rank - 1, axis, order[axis]);
        seen |= 1u << order[axis];
    }
    return CNRT_RET_SUCCESS;
}

static bool is_transposable(cnrtDataType_t dtype)
{
    switch (dtype) {
    case CNRT_FLOAT32:
    case CNRT_FLOAT16:
    case CNRT_INT32:
    case CNRT_INT16:
    case CNRT_INT8:
    case CNRT_UINT16:
    case CNRT_UINT8: return true;
    default: return false;
    }
}

static cnrtRet_t check_transposable(cnrtDataType_t dtype)
{
    REQUIRE(is_transposable(dtype), CNRT_RET_ERR_UNSUPPORTED, "Data of type %s (%#x) is not rearranged.",
            sim_dtype_name(dtype), (unsigned)dtype);
    return CNRT_RET_SUCCESS;
}

static cnrtRet_t transpose(const char *function, const void *source, cnrtDataType_t type, void *destination, int rank,
                           const int *dims, const int *order)
{
    size_t count;
    REQUIRE(source != NULL, CNRT_RET_ERR_INVALID, "%s: the source is NULL.", function);
    TRY(check_transposable(type));
    REQUIRE(destination != NULL, CNRT_RET_ERR_INVALID, "%s: the destination is NULL.", function);
    TRY(count_elements(rank, dims, &count));
    TRY(check_order(rank, order));
    sim_transpose(source, sim_dtype_size(type), destination, rank, dims, order);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtTransDataOrder(void *src_addr, cnrtDataType_t data_type, void *dst_addr, int dimNum, int dimValues[],
                             int dimOrder[])
{
    ENTER_HELPER();
    return transpose(__func__, src_addr, data_type, dst_addr, dimNum, dimValues, dimOrder);
}

cnrtRet_t cnrtTransOrderAndCast(void *src_addr, cnrtDataType_t src_type, void *dst_addr, cnrtDataType_t dst_type,
                                cnrtQuantizedParam_t param, int dimNum, int dimValues[], int dimOrder[])
{
    ENTER_HELPER();
    if (src_type == dst_type && param == NULL) {
        return transpose(__func__, src_addr, src_type, dst_addr, dimNum, dimValues, dimOrder);
    }
    size_t count;
    REQUIRE_POINTER(src_addr, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(dst_addr, CNRT_RET_ERR_INVALID);
    TRY(count_elements(dimNum, dimValues, &count));
    TRY(check_order(dimNum, dimOrder));
    /* Converted before it is rearranged: parameters by channel speak of the source's dimensions. */
    size_t item = sim_dtype_size(dst_type);
    void *converted = malloc(count * (item == 0 ? 1 : item));
    REQUIRE(converted != NULL, CNRT_RET_ERR_NOMEM, "The host has no memory for %zu converted elements.", count);
    cnrtRet_t code = cast(src_addr, src_type, converted, dst_type, count, param);
    if (code == CNRT_RET_SUCCESS) {
        sim_transpose(converted, item, dst_addr, dimNum, dimValues, dimOrder);
    }
    free(converted);
    return code;
}

cnrtRet_t cnrtAddDataStride(void *src_addr, cnrtDataType_t data_type, void *dst_addr, int dimNum, int *dimValues,
                            int *dimStride)
{
    ENTER_HELPER();
    size_t count;
    int larger[SIM_MAX_TRANSPOSE];
    REQUIRE_POINTER(src_addr, CNRT_RET_ERR_INVALID_POINTER);
    TRY(check_transposable(data_type));
    REQUIRE_POINTER(dst_addr, CNRT_RET_ERR_INVALID_POINTER);
    REQUIRE_POINTER(dimValues, CNRT_RET_ERR_INVALID_POINTER);
    TRY(count_elements(dimNum, dimValues, &count));
    REQUIRE_POINTER(dimStride, CNRT_RET_ERR_INVALID_POINTER);
    for (int axis = 0; axis < dimNum; axis++) {
        REQUIRE(dimStride[axis] >= 0 && dimStride[axis] <= INT_MAX - dimValues[axis], CNRT_RET_ERR_INVALID,
                "dimStride[%d] is %d: it is the number of zeros to append.", axis, dimStride[axis]);
        larger[axis] = dimValues[axis] + dimStride[axis];
    }
    TRY(count_elements(dimNum, larger, &count));
    sim_pad_ends(src_addr, sim_dtype_size(data_type), dst_addr, dimNum, dimValues, dimStride);
    return CNRT_RET_SUCCESS;
}

cnrtRet_t cnrtReshapeNCHWToNHWC(void *dst, void *src, int n, int h, int w, int c, cnrtDataType_t type)
{
    ENTER_HELPER();
    int dims[4] = {n, c, h, w}, order[4] = {0, 2, 3, 1};
    return transpose(__func__, src, type, dst, 4, dims, order);
}

cnrtRet_t cnrtReshapeNHWCToNCHW(void *dst, void *src, int n, int h, int w, int c, cnrtDataType_t type)
{
    ENTER_HELPER();
    int dims[4] = {n, h, w, c}, order[4] = {0, 3, 1, 2};
    return transpose(__func__, src, type, dst, 4, dims, order);
}

/* N, H, W, C as filters are laid out in device memory: H, W, C, N. */
cnrtRet_t cnrtFilterReshape(void *dst, void *src, int n, int h, int w, int c, cnrtDataType_t type)
{
    ENTER_HELPER();
    int dims[4] = {n, h, w, c}, order[4] = {1, 2, 3, 0};
    return transpose(__func__, src, type, dst, 4, dims, order);
}

/* ---- Colours ---- */

enum { MOST_COLOURS = 4 };

/* Where the channels stand among the dimensions, and how many of these there are. */
static cnrtRet_t find_channels(cnrtDimOrder_t order, int *rank, int *axis)
{
    *rank = order == CNRT_NCDHW || order == CNRT_NDHWC || order == CNRT_DHWCN ? 5 : 4;
    switch (order) {
    case CNRT_NCHW:
    case CNRT_NCDHW: *axis = 1; break;
    case CNRT_NHWC: *axis = 3; break;
    case CNRT_NDHWC: *axis = 4; break;
    case CNRT_HWCN: *axis = 2; break;
    case CNRT_DHWCN: *axis = 3; break;
    default:
        return sim_error_set(CNRT_RET_ERR_UNSUPPORTED, "Colours are not reordered in data of dimension order %#x.",
                             (unsigned)order);
    }
    return CNRT_RET_SUCCESS;
}

/* The channels of `count` groups, each of `inner` bytes: output channel k is input channel order[k]. */
static void reorder(const uint8_t *source, uint8_t *destination, size_t count, int channels, size_t inner,
                    const int *order)
{
    for (size_t group = 0; group < count; group++) {
        for (int channel = 0; channel < channels; channel++) {
            memcpy(destination + (size_t)channel * inner, source + (size_t)order[channel] * inner, inner);
        }
        source += (size_t)channels * inner;
        destination += (size_t)channels * inner;
    }
}

cnrtRet_t cnrtTransDataColorOrder(void *src_addr, void *dst_addr, cnrtDataType_t data_type, cnrtDimOrder_t dim_order,
                                  int dimValues[], int colorOrder[])
{
    ENTER_HELPER();
    int rank = 0, axis = 0;
    size_t count, outer = 1;
    REQUIRE_POINTER(src_addr, CNRT_RET_ERR_INVALID);
    REQUIRE_POINTER(dst_addr, CNRT_RET_ERR_INVALID);
    TRY(check_transposable(data_type));
    TRY(find_channels(dim_order, &rank, &axis));
    TRY(count_elements(rank, dimValues, &count));
    const size_t item = sim_dtype_size(data_type);
    const int channels = dimValues[axis];
    REQUIRE(count <= (INT_MAX - 1) / item, CNRT_RET_ERR_INVALID, "%zu elements of %zu bytes are more than %d bytes.",
            count, item, INT_MAX - 1);
    REQUIRE(channels == 3 || channels == MOST_COLOURS, CNRT_RET_ERR_UNSUPPORTED, "There are 3 or 4 colours, not %d.",
            channels);
    TRY(check_order(channels, colorOrder));
    for (int before = 0; before < axis; before++) {
        outer *= (size_t)dimValues[before];
    }
    const size_t bytes = count * item;
    uint8_t *copy = malloc(bytes); /* source and destination may be one */
    REQUIRE(copy != NULL, CNRT_RET_ERR_NOMEM, "The host has no memory for %zu bytes of colours.", bytes);
    memcpy(copy, src_addr, bytes);
    reorder(copy, dst_addr, outer, channels, bytes / outer / (size_t)channels, colorOrder);
    free(copy);
    return CNRT_RET_SUCCESS;
}
