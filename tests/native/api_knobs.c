/* What the environment chooses. The argument says which of ABI.md's variables ctest has set. */
#include "api_check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    unsigned count = 99, version = 0, ordinal = 99;
    cnrtDeviceInfo_t info;
    cnrtDev_t device;
    void *memory;
    if (strcmp(argv[1], "no_device") == 0) {
        OK(cnrtGetDeviceCount(&count));
        CHECK(count == 0);
        CHECK_FAILS(CNRT_RET_ERR_NODEV, "CNRT_SIMULATOR_DEVICES", cnrtInit(0));
    } else if (strcmp(argv[1], "mlu270") == 0) {
        OK(cnrtInit(0));
        OK(cnrtGetDeviceInfo(&info, 0));
        CHECK(strstr(info.device_name, "MLU270") != NULL && info.core_version == CNRT_MLU270 && info.core_num == 16);
    } else if (strcmp(argv[1], "version") == 0) {
        OK(cnrtGetVersion(&version));
        CHECK(version == 41004);
    } else if (strcmp(argv[1], "forced") == 0) { /* 3 devices, CNRT_DEFAULT_DEVICE=2 */
        OK(cnrtInit(0));
        OK(cnrtGetDeviceHandle(&device, 0));
        OK(cnrtSetCurrentDevice(device));
        OK(cnrtGetCurrentOrdinal(&ordinal));
        CHECK(ordinal == 2);
    } else if (strcmp(argv[1], "forced_wrong") == 0) {
        CHECK_FAILS(CNRT_RET_ERR_INIT, "CNRT_DEFAULT_DEVICE=7", cnrtInit(0));
    } else if (strcmp(argv[1], "memory") == 0) { /* 2 MB */
        OK(cnrtInit(0));
        OK(cnrtMalloc(&memory, 2 << 20));
        CHECK_CODE(CNRT_RET_ERR_NOMEM, cnrtMalloc(&memory, 1));
    } else {
        CHECK(!"a known argument");
    }
    return 0;
}
