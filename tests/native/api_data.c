#include <math.h>

#include "api_check.h"

static float half(uint16_t bits)
{
    float value;
    OK(cnrtConvertHalfToFloat(&value, bits));
    return value;
}

static uint16_t to_half(float value)
{
    uint16_t bits;
    OK(cnrtConvertFloatToHalf(&bits, value));
    return bits;
}

/* Every half survives the way through float and back, NaNs as the one quiet NaN. */
static void halves_round_trip(void)
{
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        float value = half((uint16_t)bits);
        uint16_t back = to_half(value);
        CHECK(isnan(value) ? back == 0x7e00 : back == bits);
        CHECK(isnan(value) == ((bits & 0x7fff) > 0x7c00));
        double wide;
        OK(cnrtConvertHalfToDouble(&wide, (uint16_t)bits));
        CHECK(isnan(value) ? isnan(wide) : wide == (double)value);
    }
}

/* Between two neighbouring halves the middle goes to the even one, and anything off the middle to the nearer one. */
static void halves_round_to_nearest_even(void)
{
    for (unsigned bits = 0; bits < 0x7bff; bits++) {
        double low = (double)half((uint16_t)bits), high = (double)half((uint16_t)(bits + 1)), middle = (low + high) / 2;
        uint16_t found;
        OK(cnrtConvertDoubleToHalf(&found, middle));
        CHECK(found == (bits & 1 ? bits + 1 : bits));
        OK(cnrtConvertDoubleToHalf(&found, nextafter(middle, high)));
        CHECK(found == bits + 1);
        OK(cnrtConvertDoubleToHalf(&found, nextafter(middle, low)));
        CHECK(found == bits);
    }
    CHECK(to_half(65519.996f) == 0x7bff && to_half(65520.0f) == 0x7c00 && to_half(-INFINITY) == 0xfc00);
    CHECK(to_half(-0.0f) == 0x8000 && to_half(-1e-30f) == 0x8000);
}

static void casts_saturate_and_round(void)
{
    float source[6] = {-3.0f, 0.5f, 1.5f, 254.6f, 300.0f, NAN};
    const uint8_t expected[6] = {0, 0, 2, 255, 255, 0};
    uint8_t bytes[6];
    OK(cnrtCastDataType(source, CNRT_FLOAT32, bytes, CNRT_UINT8, 6, NULL));
    CHECK(memcmp(bytes, expected, 6) == 0);
    int64_t wide[3] = {-2, 2049, 100000};
    uint16_t halves[3];
    OK(cnrtCastDataType(wide, CNRT_INT64, halves, CNRT_FLOAT16, 3, NULL));
    CHECK(half(halves[0]) == -2.0f && half(halves[1]) == 2048.0f && isinf(half(halves[2])));
    float same[2] = {1.25f, -7.5f}, copy[2];
    OK(cnrtCastDataType(same, CNRT_FLOAT32, copy, CNRT_FLOAT32, 2, NULL));
    CHECK(memcmp(same, copy, sizeof same) == 0);
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "CNRT_FLOAT32 is not converted to CNRT_INT8 without",
                cnrtCastDataType(same, CNRT_FLOAT32, copy, CNRT_INT8, 2, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCastDataType(same, CNRT_FLOAT32, copy, CNRT_FLOAT16, -1, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID,
               cnrtCastDataType(same, CNRT_FLOAT32, copy, CNRT_INT8, 2, (cnrtQuantizedParam_t)(uintptr_t)0x1234));
}

/* position -5 and scale 1.5: q = rint(x * 48), and back. */
static void quantized_casts_follow_the_formula(void)
{
    cnrtQuantizedParam_t param;
    float source[4] = {1.0f, -1.0f, 0.26041f, 100.0f}, back[4];
    int8_t bytes[4];
    OK(cnrtCreateQuantizedParam(&param, -5, 1.5f, 0));
    OK(cnrtCastDataType(source, CNRT_FLOAT32, bytes, CNRT_INT8, 4, param));
    CHECK(bytes[0] == 48 && bytes[1] == -48 && bytes[2] == 12 && bytes[3] == 127);
    OK(cnrtCastDataType(bytes, CNRT_INT8, back, CNRT_FLOAT32, 4, param));
    CHECK(back[0] == 1.0f && back[2] == 0.25f);
    OK(cnrtDestroyQuantizedParam(param));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyQuantizedParam(param));

    int positions[2] = {0, 1}, dims[3] = {2, 2, 3};
    float scales[2] = {1.0f, 1.0f}, offsets[2] = {0.0f, 0.0f}, ones[12];
    int16_t words[12];
    for (int i = 0; i < 12; i++) {
        ones[i] = 8.0f;
    }
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtCreateQuantizedParamByChannel(&param, positions, scales, NULL, 3, dims, 1));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtCreateQuantizedParamByChannel(&param, positions, scales, offsets, 3, NULL, 1));
    OK(cnrtCreateQuantizedParamByChannel(&param, positions, scales, offsets, 3, dims, 1));
    OK(cnrtCastDataType(ones, CNRT_FLOAT32, words, CNRT_INT16, 12, param));
    for (int i = 0; i < 12; i++) {
        CHECK(words[i] == (i / 3 % 2 == 0 ? 8 : 4));
    }
    OK(cnrtDestroyQuantizedParam(param));
}

static void orders_are_transposed(void)
{
    uint8_t source[24], nhwc[24], back[24];
    int nchw_dims[4] = {1, 3, 2, 4}, to_nhwc[4] = {0, 2, 3, 1}, nhwc_dims[4] = {1, 2, 4, 3}, to_nchw[4] = {0, 3, 1, 2};
    for (int i = 0; i < 24; i++) {
        source[i] = (uint8_t)i;
    }
    OK(cnrtTransDataOrder(source, CNRT_UINT8, nhwc, 4, nchw_dims, to_nhwc));
    for (int y = 0; y < 2; y++) {
        for (int x = 0; x < 4; x++) {
            for (int c = 0; c < 3; c++) {
                CHECK(nhwc[(y * 4 + x) * 3 + c] == source[(c * 2 + y) * 4 + x]);
            }
        }
    }
    OK(cnrtTransDataOrder(nhwc, CNRT_UINT8, back, 4, nhwc_dims, to_nchw));
    CHECK(memcmp(source, back, 24) == 0);
    OK(cnrtReshapeNCHWToNHWC(back, source, 1, 2, 4, 3, CNRT_UINT8));
    CHECK(memcmp(nhwc, back, 24) == 0);
    OK(cnrtReshapeNHWCToNCHW(back, nhwc, 1, 2, 4, 3, CNRT_UINT8));
    CHECK(memcmp(source, back, 24) == 0);

    float floats[24];
    OK(cnrtTransOrderAndCast(source, CNRT_UINT8, floats, CNRT_FLOAT32, NULL, 4, nchw_dims, to_nhwc));
    for (int i = 0; i < 24; i++) {
        CHECK(floats[i] == (float)nhwc[i]);
    }
    float again[24];
    OK(cnrtTransOrderAndCast(floats, CNRT_FLOAT32, again, CNRT_FLOAT32, NULL, 4, nhwc_dims, to_nchw));
    CHECK(again[5] == 5.0f && again[23] == 23.0f);

    int twice[4] = {0, 2, 2, 1};
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "each of 0 to 3 once",
                cnrtTransDataOrder(source, CNRT_UINT8, nhwc, 4, nchw_dims, twice));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataOrder(source, CNRT_UINT8, nhwc, 9, nchw_dims, to_nhwc));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtTransDataOrder(source, CNRT_BOOL, nhwc, 4, nchw_dims, to_nhwc));
    int huge[4] = {0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff};
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataOrder(source, CNRT_UINT8, nhwc, 4, huge, to_nhwc));
}

/* From three channels to the four of a first-convolution input. */
static void strides_append_zeros(void)
{
    uint8_t source[6] = {1, 2, 3, 4, 5, 6}, found[8];
    const uint8_t expected[8] = {1, 2, 3, 0, 4, 5, 6, 0};
    int dims[4] = {1, 1, 2, 3}, strides[4] = {0, 0, 0, 1}, negative[4] = {0, 0, 0, -1};
    OK(cnrtAddDataStride(source, CNRT_UINT8, found, 4, dims, strides));
    CHECK(memcmp(found, expected, 8) == 0);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddDataStride(source, CNRT_UINT8, found, 4, dims, negative));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtAddDataStride(NULL, CNRT_UINT8, found, 4, dims, negative));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtAddDataStride(source, CNRT_UINT8, NULL, 4, dims, negative));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtAddDataStride(source, CNRT_UINT8, found, 4, NULL, negative));
    CHECK_CODE(CNRT_RET_ERR_INVALID_POINTER, cnrtAddDataStride(source, CNRT_UINT8, found, 4, dims, NULL));
}

static void sizes_of_types(void)
{
    CHECK(cnrtDataTypeSize(CNRT_FLOAT16) == 2 && cnrtDataTypeSize(CNRT_UINT8) == 1 &&
          cnrtDataTypeSize(CNRT_INT64) == 8);
    CHECK(cnrtDataTypeSize(CNRT_INVALID) == 4);
}

static void filters_are_laid_out_anew(void)
{
    int16_t in[24], out[24];
    for (int i = 0; i < 24; i++) {
        in[i] = (int16_t)i;
    }
    OK(cnrtFilterReshape(out, in, 4, 1, 2, 3, CNRT_INT16)); /* N 4, H 1, W 2, C 3 to H, W, C, N */
    for (int n = 0; n < 4; n++) {
        for (int i = 0; i < 6; i++) {
            CHECK(out[i * 4 + n] == in[n * 6 + i]);
        }
    }
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtFilterReshape(out, in, 0, 1, 2, 3, CNRT_INT16));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtFilterReshape(NULL, in, 4, 1, 2, 3, CNRT_INT16));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtFilterReshape(out, in, 4, 1, 2, 3, CNRT_FLOAT64));
}

static void colours_change_places(void)
{
    uint8_t in[24], out[24];
    float planes[24], moved[24];
    int argb[] = {1, 2, 3, 0}, bgr[] = {2, 1, 0}, nhwc[] = {1, 2, 3, 4}, nchw[] = {1, 3, 2, 4};
    for (int i = 0; i < 24; i++) {
        in[i] = (uint8_t)i;
        planes[i] = (float)i;
    }
    OK(cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, nhwc, argb));
    OK(cnrtTransDataColorOrder(planes, moved, CNRT_FLOAT32, CNRT_NCHW, nchw, bgr));
    for (int i = 0; i < 24; i++) {
        CHECK(out[i] == i / 4 * 4 + argb[i % 4]);
        CHECK(moved[i] == (float)((2 - i / 8) * 8 + i % 8));
    }
    OK(cnrtTransDataColorOrder(in, in, CNRT_UINT8, CNRT_NHWC, nhwc, argb)); /* in its own place */
    CHECK(memcmp(in, out, sizeof in) == 0);
    int hwcn[] = {2, 1, 3, 4}, ncdhw[] = {1, 3, 2, 2, 2}, ndhwc[] = {1, 2, 2, 2, 3}, dhwcn[] = {2, 1, 1, 3, 4};
    OK(cnrtTransDataColorOrder(planes, moved, CNRT_FLOAT32, CNRT_HWCN, hwcn, bgr));
    CHECK(moved[0] == 8 && moved[4] == 4 && moved[12] == 20);
    OK(cnrtTransDataColorOrder(planes, moved, CNRT_FLOAT32, CNRT_NCDHW, ncdhw, bgr));
    CHECK(moved[0] == 16);
    OK(cnrtTransDataColorOrder(planes, moved, CNRT_FLOAT32, CNRT_NDHWC, ndhwc, bgr));
    CHECK(moved[0] == 2 && moved[23] == 21);
    OK(cnrtTransDataColorOrder(planes, moved, CNRT_FLOAT32, CNRT_DHWCN, dhwcn, bgr));
    CHECK(moved[0] == 8 && moved[12] == 20);
}

static void colours_are_checked(void)
{
    uint8_t in[24] = {0}, out[24];
    int order[] = {2, 1, 0, 3}, twice[] = {2, 2, 0}, dims[] = {1, 2, 4, 3}, two[] = {1, 2, 6, 2}, five[] = {1, 1, 2, 5};
    int negative[] = {1, -2, 4, 3}, most[] = {1, 1, 715827882, 3}, more[] = {1, 1, 715827883, 3};
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataColorOrder(NULL, out, CNRT_UINT8, CNRT_NHWC, dims, order));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataColorOrder(in, NULL, CNRT_UINT8, CNRT_NHWC, dims, order));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, NULL, order));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, dims, NULL));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtTransDataColorOrder(in, out, CNRT_INT64, CNRT_NHWC, dims, order));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_TNC, dims, order));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NTC, dims, order));
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "not 2", cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, two, order));
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "not 5",
                cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, five, order));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, negative, order));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, dims, twice));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "more than",
                cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, more, order));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "each of 0 to 2", /* large enough for the next check to be made */
                cnrtTransDataColorOrder(in, out, CNRT_UINT8, CNRT_NHWC, most, twice));
}

int main(void)
{
    RUN(halves_round_trip);
    RUN(halves_round_to_nearest_even);
    RUN(casts_saturate_and_round);
    RUN(quantized_casts_follow_the_formula);
    RUN(orders_are_transposed);
    RUN(strides_append_zeros);
    RUN(sizes_of_types);
    RUN(filters_are_laid_out_anew);
    RUN(colours_change_places);
    RUN(colours_are_checked);
    return 0;
}
