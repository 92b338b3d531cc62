#include "core/codes.h"

#include <stddef.h>
#include <string.h>

#include "core/environment.h"

enum { NONE = -1, RENUMBERED = 41000, MEMORY_CODES = 40700 };

/* A code has its number of headers 4.2 to 4.9, and one from 4.10 on; of two names for a number the first is told. */
typedef struct code_text {
    const char *name;
    int number, number_4_10;
    const char *text;
} code_text;

static const code_text CODES[] = {
    {"CNRT_RET_SUCCESS", 0, 0, "success"},
    {"CNRT_RET_WARNING_FAKE_DEVICE", 1, 1, "the device is a fake device"},
    {"CNRT_RET_ERR_NOT_READY", 632006, 632006, "the operation is not finished"},
    {"CNRT_RET_ERR_INVALID", 632007, 632007, "invalid argument"},
    {"CNRT_RET_ERR_NOMEM", 632008, 632008, "out of memory"},
    {"CNRT_RET_ERR_NODEV", 632009, 632009, "no such device"},
    {"CNRT_RET_ERR_IO", 632010, 632048, "input or output error"},
    {"CNRT_RET_ERR_SYS", 632011, 632011, "system call failed"},
    {"CNRT_RET_ERR_ACCES", 632012, 632012, "permission denied"},
    {"CNRT_RET_ERR_ACCESS", NONE, 632012, "permission denied"},
    {"CNRT_RET_ERR_FAULT", 632013, 632013, "bad address"},
    {"CNRT_RET_ERR_BUSY", 632014, 632014, "device or resource busy"},
    {"CNRT_RET_ERR_TIMEOUT", 632015, 632049, "time expired"},
    {"CNRT_RET_ERR_EXIST", 632016, 632052, "resource already exists"},
    {"CNRT_RET_ERR_NOSYS", 632017, 632050, "function not implemented"},
    {"CNRT_RET_ERR_AGAIN", 632018, 632051, "try again"},
    {"CNRT_RET_ERR_NORES", 632019, 632019, "out of resources"},
    {"CNRT_RET_ERR_UNSUPPORTED", 632020, 632020, "operation not supported"},
    {"CNRT_RET_ERR_INVALID_POINTER", 632021, 632021, "invalid pointer"},
    {"CNRT_RET_ERR_NO_EXIST", 632022, 632022, "resource does not exist"},
    {"CNRT_RET_ERR_BROKEN", 632023, 632023, "data transmission is broken"},
    {"CNRT_RET_ERR_INIT", 632024, 632024, "initialization error"},
    {"CNRT_RET_ERR_QUEUE", 632025, 632025, "queue failure"},
    {"CNRT_RET_ERR_STREAM", 632025, NONE, "queue failure"},
    {"CNRT_RET_ERR_OUT_RANGE", 632026, 632026, "number out of range"},
    {"CNRT_RET_ERR_MATH_OVERFLOW", 632027, 632053, "math result not representable"},
    {"CNRT_RET_ERR_FUNC_CALL", 632028, 632028, "function call failed"},
    {"CNRT_RET_ERR_UNHANDLED", 632029, 632029, "unhandled error"},
    {"CNRT_RET_ERR_INVALID_TYPE", 632030, 632030, "invalid type"},
    {"CNRT_RET_ERR_INVALID_OP", 632031, 632031, "invalid operation"},
    {"CNRT_RET_ERR_MLU", 632032, 632054, "MLU failure"},
    {"CNRT_RET_ERR_ONCHIP_CORE", 632033, 632055, "failure of an on-chip core"},
    {"CNRT_RET_ERR_NOTIFIER", 632034, 632059, "notifier failure"},
    {"CNRT_RET_ERR_EVENT", 632034, 632058, "event failure"},
    {"CNRT_RET_ERR_RESHAPE", 632035, 632035, "reshape failed"},
    {"CNRT_RET_ERR_MEMCPY", 632036, 632036, "memory copy failed"},
    {"CNRT_RET_ERR_ENCRYPT", 632037, 632037, "encryption failed"},
    {"CNRT_RET_ERR_INVALID_DATADESC", 632038, 632038, "invalid data descriptor"},
    {"CNRT_RET_ERR_MAP", 632039, 632039, "mapping memory failed"},
    {"CNRT_RET_ERR_UNMAP", 632040, 632040, "unmapping memory failed"},
    {"CNRT_RET_ERR_CACHE", 632041, 632041, "cache operation failed"},
    {"CNRT_RET_ERR_FIND_DEV_ADDR", 632042, 632042, "device address not found"},
    {"CNRT_RET_ERR_KERNEL_VERSION_TOO_HIGH", 632043, 632043, "kernel version too high"},
    {"CNRT_RET_ERR_GET_MEM_RANGE", 632044, 632056, "getting a memory range failed"},
    {"CNRT_RET_ERR_GET_MEM_INFO", 632045, 632057, "getting memory information failed"},
    {"CNRT_RET_ERR_CNDRV_FUNC_CALL", NONE, 632046, "a call of the driver failed"},
    {"CNRT_RET_ERR_CNDEV_FUNC_CALL", NONE, 632047, "a call of the device interface failed"},
    {"CNRT_RET_ERR_GET_IMP_DEV", NONE, 632060, "getting the imported device failed"},
    {"CNRT_RET_ERR_LOAD_MODULE", NONE, 632061, "loading a module failed"},
    {"CNRT_RET_ERR_UNKNOWN", 999991, 999991, "unknown error"},
};

enum { COUNT = sizeof CODES / sizeof *CODES };

/* NONE where the reported version has no such code. */
static int number_of(const code_text *code)
{
    const unsigned version = sim_environment_version();
    if (version >= RENUMBERED) {
        return code->number_4_10;
    }
    const bool later = code->number == CNRT_RET_ERR_GET_MEM_RANGE || code->number == CNRT_RET_ERR_GET_MEM_INFO;
    return later && version < MEMORY_CODES ? NONE : code->number;
}

static const code_text *find(cnrtRet_t number)
{
    for (size_t index = 0; index < COUNT; index++) {
        if (number_of(&CODES[index]) == (int)number && (int)number != NONE) {
            return &CODES[index];
        }
    }
    return &CODES[COUNT - 1];
}

const char *sim_code_text(cnrtRet_t code)
{
    return find(code)->text;
}

const char *sim_code_name(cnrtRet_t code)
{
    return find(code)->name;
}

cnrtRet_t sim_code_named(const char *name)
{
    for (size_t index = 0; index < COUNT; index++) {
        if (strcmp(CODES[index].name, name) == 0) {
            const int number = number_of(&CODES[index]);
            return number == NONE ? CNRT_RET_SUCCESS : (cnrtRet_t)number;
        }
    }
    return CNRT_RET_SUCCESS;
}

cnrtRet_t sim_code_call(sim_interface interface)
{
    if (sim_environment_version() < RENUMBERED) {
        return CNRT_RET_ERR_FUNC_CALL;
    }
    return sim_code_named(interface == SIM_DRIVER ? "CNRT_RET_ERR_CNDRV_FUNC_CALL" : "CNRT_RET_ERR_CNDEV_FUNC_CALL");
}

bool sim_code_is_failure(int64_t number)
{
    return number > 1 && number < CNRT_RET_ERR_MAX && number_of(find((cnrtRet_t)number)) == (int)number;
}
