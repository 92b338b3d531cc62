/* Memory in other ways than cnrtMalloc's: frame buffers, buffers by named parameters, arrays for a context, and device memory
 * that the host sees. */
#include "api_job.h"

static void named_parameters_are_kept(void)
{
    void *param;
    int number = 41, found = 0;
    char longest[66], word[8], text[] = "text", empty[] = "", name[] = "number";
    static char large[(1 << 20) + 1];
    memset(longest, 'n', sizeof longest);
    longest[64] = '\0';
    OK(cnrtAllocParam(&param));
    OK(cnrtAddParam(param, name, sizeof number, &number));
    number = 42; /* a copy was kept */
    OK(cnrtGetParam(param, name, &found, sizeof found));
    CHECK(found == 41);
    OK(cnrtAddParam(param, name, sizeof number, &number)); /* takes the place of the first */
    OK(cnrtAddParam(param, text, 5, text));
    OK(cnrtGetParam(param, name, &found, sizeof found));
    OK(cnrtGetParam(param, text, word, sizeof word)); /* more room than it needs */
    CHECK(found == 42 && strcmp(word, "text") == 0);
    CHECK_FAILS(CNRT_RET_ERR_MEMCPY, "has 5 bytes", cnrtGetParam(param, text, word, 4));
    CHECK_FAILS(CNRT_RET_ERR_NO_EXIST, longest, cnrtGetParam(param, longest, word, 8));
    OK(cnrtAddParam(param, longest, 1, text));
    longest[64] = 'n';
    longest[65] = '\0';
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 64", cnrtAddParam(param, longest, 1, text));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddParam(param, empty, 1, text));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddParam(param, NULL, 1, text));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddParam(param, name, 0, text));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddParam(param, name, -1, text));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddParam(param, name, 1, NULL));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 1048576", cnrtAddParam(param, name, (1 << 20) + 1, large));
    OK(cnrtAddParam(param, name, 1 << 20, large));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetParam(param, NULL, word, 8));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetParam(param, name, NULL, 8));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetParam(param, name, word, -1));
    for (int i = 3; i < 256; i++) {
        snprintf(word, sizeof word, "p%d", i);
        OK(cnrtAddParam(param, word, 1, word));
    }
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "256", cnrtAddParam(param, word + 1, 1, word));
    OK(cnrtAddParam(param, text, 1, word));
    OK(cnrtDestroyParam(param));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "was destroyed", cnrtDestroyParam(param));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAddParam(param, name, 1, text));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetParam(text, name, word, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAllocParam(NULL));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtDestoryParam(NULL));
}

static void set(void *param, const char *name, int value)
{
    OK(cnrtAddParam(param, (char *)name, sizeof value, &value));
}

static void frame_buffers_have_the_size_that_was_described(void)
{
    void *param, *buffer = picture, *base, *frames;
    size_t bytes;
    short half = 1;
    OK(cnrtAllocParam(&param));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "\"type\"", cnrtMallocBufferEx(&buffer, param));
    CHECK(buffer == NULL); /* known */
    set(param, "type", 2);
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "not 2", cnrtMallocBufferEx(&buffer, param));
    set(param, "type", CNRT_MALLOC_EX_PARALLEL_FRAMEBUFFER);
    set(param, "data_parallelism", 2);
    set(param, "frame_num", 3);
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "\"frame_size\"", cnrtMallocBufferEx(&buffer, param));
    set(param, "frame_size", 1000);
    OK(cnrtMallocBufferEx(&buffer, param));
    OK(cnrtGetMemorySize(&base, (char *)buffer + 5999, &bytes));
    CHECK(base == buffer && bytes == 6000);
    OK(cnrtFree(buffer));
    set(param, "frame_num", 0); /* as in the vendor's example */
    OK(cnrtMallocBufferEx(&buffer, param));
    CHECK(buffer == NULL);
    set(param, "frame_num", 2147483647);
    set(param, "frame_size", 2147483647);
    CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtMallocBufferEx(&buffer, param));
    set(param, "data_parallelism", 2147483647);
    CHECK_FAILS(CNRT_RET_ERR_NOMEM, "more than any device", cnrtMallocBufferEx(&buffer, param));
    set(param, "frame_num", -1);
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "\"frame_num\"", cnrtMallocBufferEx(&buffer, param));
    OK(cnrtAddParam(param, (char *)"frame_num", sizeof half, &half));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "\"frame_num\"", cnrtMallocBufferEx(&buffer, param));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMallocBufferEx(NULL, param));
    OK(cnrtDestoryParam(param)); /* the name until 4.7 */
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMallocBufferEx(&buffer, param));
    OK(cnrtMallocFrameBuffer(&frames, 4096));
    OK(cnrtMemset(frames, 1, 4096));
    OK(cnrtFree(frames));
    OK(cnrtMallocFrameBuffer(&frames, 0));
    CHECK(frames == NULL);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMallocFrameBuffer(NULL, 1));
}

static void contexts_allocate_their_buffers(void)
{
    job j;
    size_t sizes[2] = {IN_BYTES, OUT_BYTES}, endless[2] = {IN_BYTES, SIZE_MAX}, before, after, total;
    void **buffers;
    load(&j, small_path);
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, sizes, 2));
    CHECK_CODE(CNRT_RET_ERR_INIT, cnrtRuntimeContextFree(j.context, NULL));
    OK(cnrtInitRuntimeContext(j.context, NULL));
    OK(cnrtGetMemInfo(&before, &total, CNRT_CHANNEL_TYPE_NONE));
    CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, endless, 2));
    OK(cnrtGetMemInfo(&after, &total, CNRT_CHANNEL_TYPE_NONE));
    CHECK(before == after); /* what it had allocated was given back */
    OK(cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, sizes, 2));
    OK(cnrtMemcpy(buffers[0], picture, IN_BYTES, CNRT_MEM_TRANS_DIR_HOST2DEV));
    OK(cnrtInvokeRuntimeContext(j.context, buffers, NULL, NULL));
    OK(cnrtSyncQueue(NULL));
    uint8_t found[OUT_BYTES];
    OK(cnrtMemcpy(found, buffers[1], OUT_BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(memcmp(found, expected, OUT_BYTES) == 0);
    OK(cnrtRuntimeContextFreeArray(j.context, buffers, 2));
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtRuntimeContextFreeArray(j.context, buffers, 2));
    free(buffers); /* the array is the program's */
    OK(cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, sizes, 1));
    OK(cnrtRuntimeContextFree(j.context, buffers[0]));
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtRuntimeContextFree(j.context, buffers[0]));
    free(buffers);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtRuntimeContextMallocBySizeArray(j.context, NULL, sizes, 2));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, NULL, 2));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, sizes, 0));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "1 to 1048576",
                cnrtRuntimeContextMallocBySizeArray(j.context, &buffers, sizes, (1 << 20) + 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtRuntimeContextFreeArray(j.context, NULL, 2));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtRuntimeContextFreeArray(NULL, buffers, 2));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* The vendor's example, and what a program does with a host address. */
static void the_host_sees_mapped_memory(void)
{
    const unsigned findings = cnrtSimulatorFindings(); /* of strict mode: all this is right */
    void *source, *destination, *third, *seen, *other, *device, *again;
    char found[4096];
    OK(cnrtMalloc(&source, 4096));
    OK(cnrtMalloc(&destination, 4096));
    OK(cnrtMap(&seen, source));
    OK(cnrtMap(&other, destination));
    memset(seen, 'a', 4096);
    OK(cnrtCacheOperation(seen, CNRT_FLUSH_CACHE));
    memset(other, 'b', 4096);
    OK(cnrtFindDevAddrByMappedAddr(seen, &device));
    CHECK(device == source);
    OK(cnrtFindDevAddrByMappedAddr((char *)seen + 5, &device));
    CHECK(device == source);
    OK(cnrtFindDevAddrWithOffsetByMappedAddr((char *)seen + 4, &device));
    CHECK(device == (char *)source + 4);
    OK(cnrtMemcpy(source, destination, 4096, CNRT_MEM_TRANS_DIR_DEV2DEV));
    CHECK(memcmp(seen, other, 4096) == 0);
    OK(cnrtMalloc(&third, 4096)); /* what the host wrote goes on by itself */
    OK(cnrtMemcpy(third, destination, 4096, CNRT_MEM_TRANS_DIR_DEV2DEV));
    OK(cnrtMemcpy(found, third, 4096, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(memcmp(found, other, 4096) == 0);
    OK(cnrtFree(third));
    memset(seen, 'c', 4096); /* the host's address is the host's side of a copy */
    OK(cnrtMemcpy(destination, seen, 4096, CNRT_MEM_TRANS_DIR_HOST2DEV));
    OK(cnrtMemcpy(found, seen, 4096, CNRT_MEM_TRANS_DIR_HOST2HOST));
    CHECK(found[4095] == 'c' && memcmp(found, other, 4096) == 0);
    OK(cnrtMapRange(&again, (char *)source + 1024, 1024));
    CHECK(again == (char *)seen + 1024);
    OK(cnrtFindDevAddrByMappedAddr(again, &device));
    CHECK(device == (char *)source + 1024);
    OK(cnrtCacheOperationRange(again, 1024, CNRT_FLUSH_CACHE));
    OK(cnrtUnmap(seen)); /* the other mapping stays */
    OK(cnrtCacheOperationRange(again, 1024, CNRT_FLUSH_CACHE));
    CHECK_CODE(CNRT_RET_ERR_CACHE, cnrtCacheOperationRange(again, 1025, CNRT_FLUSH_CACHE));
    CHECK_CODE(CNRT_RET_ERR_CACHE, cnrtCacheOperationRange((char *)again + 1, 1024, CNRT_FLUSH_CACHE));
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtFindDevAddrByMappedAddr((char *)again + 1024, &device));
    OK(cnrtFree(source));
    memset(again, 'd', 1024); /* its bytes stay until it is unmapped */
    OK(cnrtUnmap(again));
    OK(cnrtUnmap(other));
    OK(cnrtFree(destination));
    CHECK(cnrtSimulatorFindings() == findings);
}

static void mappings_are_checked(void)
{
    char *memory;
    void *seen, *device;
    OK(cnrtMalloc((void **)&memory, 1000));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMap(NULL, memory));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMap(&seen, NULL));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "not device memory", cnrtMap(&seen, picture));
    CHECK_FAILS(CNRT_RET_ERR_MAP, "not device memory", cnrtMapRange(&seen, picture, 10));
    CHECK_FAILS(CNRT_RET_ERR_MAP, "1000 bytes from", cnrtMapRange(&seen, memory, 1001));
    CHECK_CODE(CNRT_RET_ERR_MAP, cnrtMapRange(&seen, memory + 1, 1000));
    CHECK_CODE(CNRT_RET_ERR_MAP, cnrtMapRange(&seen, memory, 0));
    CHECK_FAILS(CNRT_RET_ERR_UNMAP, "No mapping", cnrtUnmap(memory));
    CHECK_CODE(CNRT_RET_ERR_UNMAP, cnrtUnmap(NULL));
    CHECK_CODE(CNRT_RET_ERR_CACHE, cnrtCacheOperation(picture, CNRT_FLUSH_CACHE));
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtFindDevAddrWithOffsetByMappedAddr(picture, &device));
    OK(cnrtMapRange(&seen, memory, 1000));
    CHECK_FAILS(CNRT_RET_ERR_CACHE, "reserved", cnrtCacheOperation(seen, CNRT_INVALID_CACHE));
    CHECK_CODE(CNRT_RET_ERR_CACHE, cnrtCacheOperationRange(seen, SIZE_MAX, CNRT_FLUSH_CACHE));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtFindDevAddrByMappedAddr(seen, NULL));
    CHECK_CODE(CNRT_RET_ERR_UNMAP, cnrtUnmap((char *)seen + 1));
    OK(cnrtUnmap(seen));
    CHECK_CODE(CNRT_RET_ERR_UNMAP, cnrtUnmap(seen));
    CHECK_FAILS(CNRT_RET_ERR_MEMCPY, "is device memory", /* no longer mapped: not the host's */
                cnrtMemcpy(picture, memory, 10, CNRT_MEM_TRANS_DIR_HOST2HOST));
    OK(cnrtFree(memory));
}

static void directions_are_told_from_the_addresses(void)
{
    char in[100], out[100], *one, *two;
    cnrtQueue_t queue;
    memset(in, 'x', sizeof in);
    OK(cnrtMalloc((void **)&one, 100));
    OK(cnrtMalloc((void **)&two, 100));
    OK(cnrtCreateQueueWithPriority(&queue, 0, 3));
    OK(cnrtMemcpy(one, in, 100, CNRT_MEM_TRANS_DIR_NODIR));
    OK(cnrtMemcpyAsync(two, one, 100, queue, CNRT_MEM_TRANS_DIR_NODIR));
    OK(cnrtSyncQueue(queue));
    OK(cnrtMemcpy(out, two, 100, CNRT_MEM_TRANS_DIR_NODIR));
    CHECK(memcmp(in, out, 100) == 0);
    memset(in, 'y', sizeof in);
    OK(cnrtMemcpy(out, in, 100, CNRT_MEM_TRANS_DIR_NODIR));
    CHECK(memcmp(in, out, 100) == 0);
    CHECK_CODE(CNRT_RET_ERR_MEMCPY, cnrtMemcpy(one, in, 101, CNRT_MEM_TRANS_DIR_NODIR));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpy(one, in, 100, CNRT_MEM_TRANS_DIR_PEER2PEER));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpy(one, in, 100, (cnrtMemTransDir_t)6));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "not 1", cnrtCreateQueueWithPriority(&queue, 1, 0));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtCreateQueueWithPriority(NULL, 0, 0));
    OK(cnrtDestroyQueue(queue));
    OK(cnrtFree(one));
    OK(cnrtFree(two));
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    RUN(named_parameters_are_kept);
    RUN(frame_buffers_have_the_size_that_was_described);
    RUN(contexts_allocate_their_buffers);
    RUN(the_host_sees_mapped_memory);
    RUN(mappings_are_checked);
    RUN(directions_are_told_from_the_addresses);
    cnrtDestroy();
    return 0;
}
