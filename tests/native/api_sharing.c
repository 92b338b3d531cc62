/* Several devices (ctest sets CNRT_SIMULATOR_DEVICES=3): copies between peers, handles to pass on, where devices stand. */
#include <pthread.h>
#include <sched.h>

#include "api_check.h"

enum { BYTES = 100000, GIVEN = 5 };

static void select_device(int ordinal)
{
    cnrtDev_t device;
    OK(cnrtGetDeviceHandle(&device, ordinal));
    OK(cnrtSetCurrentDevice(device));
}

static char *allocate_on(int ordinal)
{
    void *memory;
    select_device(ordinal);
    OK(cnrtMallocPeerAble(&memory, BYTES));
    return (char *)memory;
}

static void peers_reach_each_other(void)
{
    unsigned can = 9;
    OK(cnrtGetPeerAccessibility(&can, 0, 2));
    CHECK(can == 1);
    OK(cnrtGetPeerAccessibility(&can, 1, 1)); /* known: not its own */
    CHECK(can == 0);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetPeerAccessibility(NULL, 0, 1));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "ordinal 3", cnrtGetPeerAccessibility(&can, 0, 3));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "ordinal -1", cnrtGetPeerAccessibility(&can, -1, 0));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMallocPeerAble(NULL, 1));
}

static void peers_copy(void)
{
    char *one = allocate_on(1), *two = allocate_on(2), found[BYTES];
    cnrtQueue_t queue;
    OK(cnrtMemset(one, 0x5a, BYTES));
    OK(cnrtMemset(two, 0, BYTES));
    OK(cnrtMemcpyPeer(two + 10, 2, one, 1, BYTES - 10));
    OK(cnrtMemcpy(found, two, BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(found[9] == 0 && found[10] == 0x5a && found[BYTES - 1] == 0x5a);
    OK(cnrtCreateQueue(&queue));
    OK(cnrtMemsetD8Async(one, 7, BYTES, queue));
    OK(cnrtMemcpyPeerAsync(two, 2, one, 1, BYTES, queue));
    OK(cnrtSyncQueue(queue));
    OK(cnrtMemcpy(found, two, BYTES, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(found[0] == 7 && found[BYTES - 1] == 7);
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "destination", cnrtMemcpyPeer(two, 0, one, 1, BYTES));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "does not lie on device 0", cnrtMemcpyPeer(two, 2, one, 0, BYTES));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "no peer", cnrtMemcpyPeer(two, 1, one, 1, BYTES));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "passes the end", cnrtMemcpyPeer(two + 1, 2, one, 1, BYTES));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "source", cnrtMemcpyPeer(two, 2, one + 1, 1, BYTES));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "not device memory", cnrtMemcpyPeer(two, 2, found, 1, BYTES));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtMemcpyPeer(two, 3, one, 1, BYTES));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpyPeer(NULL, 2, one, 1, BYTES));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpyPeer(two, 2, NULL, 1, BYTES));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMemcpyPeerAsync(two, 2, one, 1, BYTES, (cnrtQueue_t)(void *)one));
    OK(cnrtFree(one));
    OK(cnrtFree(two)); /* nothing holds it: a refused copy let it go */
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtMemcpyPeerAsync(two, 2, one, 1, BYTES, queue));
    OK(cnrtDestroyQueue(queue));
    size_t left, total;
    OK(cnrtGetMemInfo(&left, &total, CNRT_CHANNEL_TYPE_NONE));
    CHECK(left == total);
}

static void handles_lead_to_the_same_memory(void)
{
    char *one = allocate_on(1);
    void *mapped = NULL, *host;
    cnrtIpcMemHandle handle, again, of_host;
    OK(cnrtAcquireMemHandle(&handle, one));
    OK(cnrtAcquireMemHandle(&again, one));
    CHECK(handle == again && handle != NULL);
    OK(cnrtMapMemHandle(&mapped, handle, 0));
    OK(cnrtMemset(mapped, 0x21, BYTES));
    char found;
    OK(cnrtMemcpy(&found, one + BYTES - 1, 1, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(found == 0x21);
    OK(cnrtMapMemHandle(&mapped, handle, 0));
    OK(cnrtUnMapMemHandle(mapped));
    OK(cnrtUnMapMemHandle(mapped));
    CHECK_FAILS(CNRT_RET_ERR_NODEV, "not mapped", cnrtUnMapMemHandle(mapped));
    OK(cnrtMallocHost(&host, 64, CNRT_MEMTYPE_DEFAULT));
    OK(cnrtAcquireMemHandle(&of_host, host));
    select_device(0);
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "another device", cnrtMapMemHandle(&mapped, handle, 0));
    OK(cnrtMapMemHandle(&mapped, of_host, 0)); /* the host's belongs to no device */
    CHECK(mapped == host);
    OK(cnrtUnMapMemHandle(mapped));
    OK(cnrtFreeHost(host));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "was freed", cnrtMapMemHandle(&mapped, of_host, 0));
    OK(cnrtFree(one));
    one = allocate_on(1); /* perhaps at the same place: it is other memory */
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "was freed", cnrtMapMemHandle(&mapped, handle, 0));
    OK(cnrtFree(one));
}

static void handles_are_checked(void)
{
    char *one = allocate_on(1);
    void *mapped;
    cnrtIpcMemHandle handle;
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAcquireMemHandle(NULL, one));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtAcquireMemHandle(&handle, NULL));
    CHECK_FAILS(CNRT_RET_ERR_NO_EXIST, "not the start", cnrtAcquireMemHandle(&handle, one + 1));
    CHECK_CODE(CNRT_RET_ERR_NO_EXIST, cnrtAcquireMemHandle(&handle, &mapped));
    OK(cnrtAcquireMemHandle(&handle, one));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtMapMemHandle(NULL, handle, 0));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "not 1", cnrtMapMemHandle(&mapped, handle, 1));
    void *const bad[] = {NULL, one, &mapped, (char *)handle + 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(CNRT_RET_ERR_INVALID, "not a handle", cnrtMapMemHandle(&mapped, (cnrtIpcMemHandle)bad[i], 0));
    }
    cnrtIpcMemHandle other_process = (cnrtIpcMemHandle)((uintptr_t)handle ^ (uintptr_t)1 << 36);
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "is of process", cnrtMapMemHandle(&mapped, other_process, 0));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtUnMapMemHandle(NULL));
    OK(cnrtFree(one));
}

static unsigned count_bits(const cnrtDeviceAffinity_t *affinity)
{
    unsigned count = 0;
    for (int i = 0; i < 32 * 1024; i++) {
        count += affinity->cpu_affinity_bitmap[i / 32] >> (i % 32) & 1;
    }
    return count;
}

/* On a thread of its own, since it binds the one it is called by. */
static void *bind_and_free(void *argument)
{
    const cpu_set_t *usable = (const cpu_set_t *)argument;
    cpu_set_t one, now;
    int cpu = 0;
    while (!CPU_ISSET(cpu, usable)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0);
    OK(cnrtSetCurrentThreadAffinity(2));
    CHECK(pthread_getaffinity_np(pthread_self(), sizeof now, &now) == 0 && CPU_EQUAL(&now, usable));
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0);
    OK(cnrtClearCurrentThreadAffinity(0));
    CHECK(pthread_getaffinity_np(pthread_self(), sizeof now, &now) == 0 && CPU_COUNT(&now) >= CPU_COUNT(usable));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtSetCurrentThreadAffinity(3));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtClearCurrentThreadAffinity(-1));
    return NULL;
}

static void devices_are_near_the_processors_of_the_process(void)
{
    static cnrtDeviceAffinity_t affinity;
    cpu_set_t usable;
    pthread_t thread;
    CHECK(sched_getaffinity(0, sizeof usable, &usable) == 0);
    OK(cnrtGetDeviceAffinity(&affinity, 1));
    CHECK(affinity.cpu_count == (unsigned)CPU_COUNT(&usable) && count_bits(&affinity) == affinity.cpu_count);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        CHECK((affinity.cpu_affinity_bitmap[cpu / 32] >> (cpu % 32) & 1) == (unsigned)(CPU_ISSET(cpu, &usable) != 0));
    }
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetDeviceAffinity(NULL, 0));
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "ordinal 3", cnrtGetDeviceAffinity(&affinity, 3));
    CHECK(pthread_create(&thread, NULL, bind_and_free, &usable) == 0);
    pthread_join(thread, NULL);
}

static void devices_stand_beside_each_other(void)
{
    cnrtTopologyRelationshipEnum_t relationship;
    uint64_t count = GIVEN, found[GIVEN] = {9, 9, 9, 9, 9};
    OK(cnrtTopologyGetRelationship(&relationship, 1, 1));
    CHECK(relationship == CNRT_TOPO_SELF);
    OK(cnrtTopologyGetRelationship(&relationship, 2, 0));
    CHECK(relationship == CNRT_TOPO_CPU);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTopologyGetRelationship(NULL, 0, 1));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtTopologyGetRelationship(&relationship, 0, 3));
    OK(cnrtTopologyGetNearestDevices(CNRT_TOPO_CPU, &count, found, 1));
    CHECK(count == 2 && found[0] == 0 && found[1] == 2 && found[2] == 9);
    count = 1; /* known: less room than there are devices */
    found[1] = 9;
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "room for 1", cnrtTopologyGetNearestDevices(CNRT_TOPO_CPU, &count, found, 1));
    CHECK(count == 2 && found[0] == 0 && found[1] == 9);
    OK(cnrtTopologyGetNearestDevices(CNRT_TOPO_SELF, &count, found, 1));
    CHECK(count == 1 && found[0] == 1);
    OK(cnrtTopologyGetNearestDevices(CNRT_TOPO_INTERNAL, &count, found, 1));
    CHECK(count == 0);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTopologyGetNearestDevices(CNRT_TOPO_CPU, NULL, found, 1));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTopologyGetNearestDevices(CNRT_TOPO_CPU, &count, NULL, 1));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL,
               cnrtTopologyGetNearestDevices((cnrtTopologyRelationshipEnum_t)7, &count, found, 1));
    cpu_set_t usable;
    CHECK(sched_getaffinity(0, sizeof usable, &usable) == 0);
    int near = 0;
    while (!CPU_ISSET(near, &usable)) {
        near++;
    }
    count = GIVEN;
    OK(cnrtTopologyGetCpuRelatedDevices(near, &count, found));
    CHECK(count == 3 && found[0] == 0 && found[1] == 1 && found[2] == 2 && found[3] == 9);
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtTopologyGetCpuRelatedDevices(-1, &count, found));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtTopologyGetCpuRelatedDevices(1 << 20, &count, found));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTopologyGetCpuRelatedDevices(near, NULL, found));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtTopologyGetCpuRelatedDevices(near, &count, NULL));
}

static void devices_have_a_handle_of_the_driver(void)
{
    MLUdev_t driver = 0, other = 0;
    cnrtDev_t device;
    OK(cnrtGetDeviceHandle(&device, 1));
    OK(cnrtGetMLUdev(&driver, device));
    OK(cnrtGetDeviceHandle(&device, 2));
    OK(cnrtGetMLUdev(&other, device));
    CHECK(driver != 0 && driver != other);
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetMLUdev(NULL, device));
    CHECK_CODE(CNRT_RET_ERR_INVALID, cnrtGetMLUdev(&driver, 0));
}

/* One context of parameters and one descriptor for all; the rest is each thread's own, in the same tables. */
typedef struct shared_objects {
    void *param;
    cnrtParamDesc_t desc;
} shared_objects;

static void use_mapped(char *memory)
{
    void *seen, *found, *mapped;
    cnrtIpcMemHandle handle;
    OK(cnrtMap(&seen, memory));
    OK(cnrtFindDevAddrWithOffsetByMappedAddr((char *)seen + 7, &found));
    CHECK(found == memory + 7);
    OK(cnrtAcquireMemHandle(&handle, memory));
    OK(cnrtMapMemHandle(&mapped, handle, 0));
    OK(cnrtUnMapMemHandle(mapped));
    OK(cnrtUnmap(seen));
}

static void *share(void *argument)
{
    const shared_objects *all = (const shared_objects *)argument;
    char *one = allocate_on(1), *two = allocate_on(2), name[] = "shared";
    int dims[] = {2, 3}, value = 0;
    for (int i = 0; i < 100; i++) {
        cnrtParamDescArray_t array;
        cnrtKernelParamsBuffer_t buffer;
        size_t count;
        use_mapped(two);
        OK(cnrtMemcpyPeer(two, 2, one, 1, 100));
        OK(cnrtCreateParamDescArray(&array, 3));
        OK(cnrtGetKernelParamsBuffer(&buffer));
        OK(cnrtSetShapeToParamDesc(all->desc, dims, 2));
        OK(cnrtSetNameToParamDesc(all->desc, name, 6));
        OK(cnrtGetParamElementNum(all->desc, &count));
        OK(cnrtAddParam(all->param, name, sizeof i, &i));
        OK(cnrtGetParam(all->param, name, &value, sizeof value));
        CHECK(count == 6 && value >= 0 && value < 100);
        OK(cnrtDestroyKernelParamsBuffer(buffer));
        OK(cnrtDestroyParamDescArray(array, 3));
    }
    OK(cnrtFree(one));
    OK(cnrtFree(two));
    return NULL;
}

static void threads_share_at_once(void)
{
    shared_objects all;
    pthread_t threads[4];
    OK(cnrtAllocParam(&all.param));
    OK(cnrtCreateParamDesc(&all.desc));
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, share, &all) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    OK(cnrtDestroyParam(all.param));
    OK(cnrtDestroyParamDesc(all.desc));
}

int main(void)
{
    OK(cnrtInit(0));
    RUN(peers_reach_each_other);
    RUN(peers_copy);
    RUN(handles_lead_to_the_same_memory);
    RUN(handles_are_checked);
    RUN(devices_are_near_the_processors_of_the_process);
    RUN(devices_stand_beside_each_other);
    RUN(devices_have_a_handle_of_the_driver);
    RUN(threads_share_at_once);
    cnrtDestroy();
    return 0;
}
