/* Kernels of one's own: their parameters are gathered as on a device, and a launch is refused with the reason. */
#include "api_check.h"

static void parameters_are_gathered(void)
{
    cnrtKernelParamsBuffer_t buffer, copy;
    int32_t number = -7;
    uint64_t word = 0x1122334455667788u;
    OK(cnrtGetKernelParamsBuffer(&buffer));
    CHECK(buffer->cur_param == 0 && buffer->num_input == 0 && buffer->host_ptr != NULL && buffer->num_dim_info == 0);
    OK(cnrtKernelParamsBufferMarkInput(buffer));
    OK(cnrtKernelParamsBufferAddParam(buffer, &word, sizeof word));
    OK(cnrtKernelParamsBufferMarkOutput(buffer));
    OK(cnrtKernelParamsBufferAddParam(buffer, &number, sizeof number)); /* takes 8 bytes too */
    OK(cnrtKernelParamsBufferMarkStatic(buffer));
    OK(cnrtKernelParamsBufferMarkInput(buffer));
    const uint64_t *values = (const uint64_t *)buffer->host_ptr;
    CHECK(buffer->cur_param == 6 && values[0] == 0 && values[1] == word && values[3] == 0xfffffff9u);
    CHECK(buffer->num_input == 2 && buffer->input_index[0] == 0 && buffer->input_index[1] == 5);
    CHECK(buffer->num_output == 1 && buffer->output_index[0] == 2);
    CHECK(buffer->num_static == 1 && buffer->static_index[0] == 4);
    OK(cnrtGetKernelParamsBuffer(&copy));
    OK(cnrtKernelParamsBufferAddParam(copy, &number, 4));
    OK(cnrtCopyKernelParamsBuffer(copy, buffer));
    OK(cnrtDestroyKernelParamsBuffer(buffer));
    values = (const uint64_t *)copy->host_ptr;
    CHECK(copy->cur_param == 6 && values[1] == word && copy->num_input == 2 && copy->input_index[1] == 5);
    OK(cnrtCopyKernelParamsBuffer(copy, copy));
    CHECK(copy->cur_param == 6);
    OK(cnrtDestroyKernelParamsBuffer(copy));
}

static void parameters_have_bounds(void)
{
    cnrtKernelParamsBuffer_t buffer;
    char bytes[16] = {0};
    struct cnrtKernelParamsBuffer own = {0};
    OK(cnrtGetKernelParamsBuffer(&buffer));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetKernelParamsBuffer(NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferAddParam(buffer, NULL, 4));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 8 bytes, not 9", cnrtKernelParamsBufferAddParam(buffer, bytes, 9));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferAddParam(buffer, bytes, 0));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferAddParam(NULL, bytes, 4));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "not a buffer", cnrtKernelParamsBufferAddParam(&own, bytes, 4));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferMarkInput(&own));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCopyKernelParamsBuffer(buffer, &own));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCopyKernelParamsBuffer(&own, buffer));
    for (unsigned i = 0; i < 512; i++) {
        OK(i % 2 == 0 ? cnrtKernelParamsBufferAddParam(buffer, bytes, 8) : cnrtKernelParamsBufferMarkStatic(buffer));
    }
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "512", cnrtKernelParamsBufferAddParam(buffer, bytes, 8));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferMarkInput(buffer));
    CHECK(buffer->num_input == 0 && buffer->num_static == 256);
    buffer->cur_param = 1000000; /* what a program breaks in its own view stays within the buffer */
    buffer->num_output = 1000000;
    buffer->host_ptr = bytes;
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferAddParam(buffer, bytes, 8));
    buffer->cur_param = 3;
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferMarkOutput(buffer));
    buffer->num_output = -1;
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtKernelParamsBufferMarkOutput(buffer));
    OK(cnrtKernelParamsBufferAddParam(buffer, "abcdefgh", 8));
    CHECK(bytes[3 * 8 % 16] == 0 && bytes[0] == 0);
    OK(cnrtDestroyKernelParamsBuffer(buffer));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "was destroyed", cnrtDestroyKernelParamsBuffer(buffer));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyKernelParamsBuffer(NULL));
}

static void kernels_are_never_run(void)
{
    const void *function = (const void *)"kernel";
    const cnrtDim3_t dim = {4, 1, 1}, flat = {4, 0, 1};
    cnrtKernelParamsBuffer_t buffer;
    cnrtKernelInitParam_t init;
    cnrtQueue_t queue;
    OK(cnrtGetKernelParamsBuffer(&buffer));
    OK(cnrtCreateQueue(&queue));
    const cnrtFunctionType_t type = CNRT_FUNC_TYPE_UNION1;
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, "never runs kernels",
                cnrtInvokeKernel_V2(function, dim, buffer, type, queue));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtInvokeKernel_V2(function, dim, buffer, CNRT_FUNC_TYPE_MUTABLE, NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeKernel_V2(NULL, dim, buffer, type, queue));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "4, 0, 1", cnrtInvokeKernel_V2(function, flat, buffer, type, queue));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeKernel_V2(function, dim, NULL, type, queue));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "not 3",
                cnrtInvokeKernel_V2(function, dim, buffer, (cnrtFunctionType_t)3, queue));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeKernel_V2(function, dim, buffer, (cnrtFunctionType_t)128, queue));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeKernel_V2(function, dim, buffer, type, (cnrtQueue_t)(void *)buffer));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCreateKernelInitParam(NULL));
    OK(cnrtCreateKernelInitParam(&init));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtInitKernelMemory(function, init));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInitKernelMemory(NULL, init));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInitKernelMemory(function, NULL));
    CHECK_CODE(CNRT_RET_ERR_UNSUPPORTED, cnrtInvokeKernel_V3(function, init, dim, buffer, type, queue, (void *)1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtInvokeKernel_V3(function, NULL, dim, buffer, type, queue, NULL));
    OK(cnrtDestroyKernelInitParamAndMemory(init));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestroyKernelInitParamAndMemory(init));
    OK(cnrtDestroyQueue(queue));
    OK(cnrtDestroyKernelParamsBuffer(buffer));
}

int main(void)
{
    OK(cnrtInit(0));
    RUN(parameters_are_gathered);
    RUN(parameters_have_bounds);
    RUN(kernels_are_never_run);
    cnrtDestroy();
    return 0;
}
