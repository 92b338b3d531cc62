/* What programs use of the header beyond functions: compiled in every standard, alone and after what may come before it. */
#if CNRT_VERSION != CNRT_MAJOR_VERSION * 10000 + CNRT_MINOR_VERSION * 100 + CNRT_PATCH_VERSION || !defined(__CNRT_H)
#error "the version is not told, or the vendor's guard is not defined"
#endif

CNRT_DLL_API unsigned long header_is_used(void);

unsigned long header_is_used(void)
{
    enum cnrtDataType type = CNRT_FLOAT16;
    enum cnrtDimOrder order = CNRT_NHWC;
    enum cnrtCoreVersion core = CNRT_MLU370;
    enum cnrtRuntimeContextInfo key = CNRT_RT_CTX_CHANNEL;
    cnrtInvokeFuncParam_t old = {NULL, NULL, CNRT_PARAM_END};
    struct cnrtKernelParamsBuffer buffer = {NULL, 0, 0, NULL, 0, NULL, 0, NULL, 0, NULL, 0};
    cnrtKernelParamsBuffer_t parameters = &buffer;
    cnrtDim3_t dim = {1, 1, 1};
    cnrtFunctionType_t function_type = CNRT_FUNC_TYPE_UNION1;
    cnrtJobType_t job_type = CNRT_JOB_TYPE_UNION1;
    cn_queue_sync_type spin = CNRT_QUEUE_SYNC_SPIN;
    cnrt_queue_sync_type block = CNRT_QUEUE_SYNC_BLOCK;
    u8_t bytes[sizeof(u64_t) + sizeof(i8_t)] = {0};
    cnrtIpcMemHandle handle = NULL;
    CNRT_CHECK(CNRT_RET_SUCCESS);
    return (unsigned long)type + (unsigned long)order + (unsigned long)core + (unsigned long)key + sizeof(old) +
           (unsigned long)parameters->num_input + dim.x +
           (unsigned long)(function_type == (cnrtFunctionType_t)job_type) + (unsigned long)spin + (unsigned long)block +
           bytes[0] + (unsigned long)(handle == NULL) + sizeof(cnrtDeviceAffinity_t) + sizeof(MLUdev_t) +
           sizeof(cnrtTopologyRelationshipEnum_t) + sizeof(cnrtCacheOps_t) + sizeof(cnrtMallocExType_t) +
           sizeof(cnrtKernelInitParam_t);
}
