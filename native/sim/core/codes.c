#include "core/codes.h"

#include <stddef.h>
#include <string.h>

typedef struct code_text {
    cnrtRet_t code;
    const char *name, *text;
} code_text;

#define ENTRY(code, text) {code, #code, text}

static const code_text TEXTS[] = {
    ENTRY(CNRT_RET_SUCCESS, "success"),
    ENTRY(CNRT_RET_WARNING_FAKE_DEVICE, "the device is a fake device"),
    ENTRY(CNRT_RET_ERR_NOT_READY, "the operation is not finished"),
    ENTRY(CNRT_RET_ERR_INVALID, "invalid argument"),
    ENTRY(CNRT_RET_ERR_NOMEM, "out of memory"),
    ENTRY(CNRT_RET_ERR_NODEV, "no such device"),
    ENTRY(CNRT_RET_ERR_IO, "input or output error"),
    ENTRY(CNRT_RET_ERR_SYS, "system call failed"),
    ENTRY(CNRT_RET_ERR_ACCES, "permission denied"),
    ENTRY(CNRT_RET_ERR_FAULT, "bad address"),
    ENTRY(CNRT_RET_ERR_BUSY, "device or resource busy"),
    ENTRY(CNRT_RET_ERR_TIMEOUT, "time expired"),
    ENTRY(CNRT_RET_ERR_EXIST, "resource already exists"),
    ENTRY(CNRT_RET_ERR_NOSYS, "function not implemented"),
    ENTRY(CNRT_RET_ERR_AGAIN, "try again"),
    ENTRY(CNRT_RET_ERR_NORES, "out of resources"),
    ENTRY(CNRT_RET_ERR_UNSUPPORTED, "operation not supported"),
    ENTRY(CNRT_RET_ERR_INVALID_POINTER, "invalid pointer"),
    ENTRY(CNRT_RET_ERR_NO_EXIST, "resource does not exist"),
    ENTRY(CNRT_RET_ERR_BROKEN, "data transmission is broken"),
    ENTRY(CNRT_RET_ERR_INIT, "initialization error"),
    ENTRY(CNRT_RET_ERR_QUEUE, "queue failure"),
    ENTRY(CNRT_RET_ERR_OUT_RANGE, "number out of range"),
    ENTRY(CNRT_RET_ERR_MATH_OVERFLOW, "math result not representable"),
    ENTRY(CNRT_RET_ERR_FUNC_CALL, "function call failed"),
    ENTRY(CNRT_RET_ERR_UNHANDLED, "unhandled error"),
    ENTRY(CNRT_RET_ERR_INVALID_TYPE, "invalid type"),
    ENTRY(CNRT_RET_ERR_INVALID_OP, "invalid operation"),
    ENTRY(CNRT_RET_ERR_MLU, "MLU failure"),
    ENTRY(CNRT_RET_ERR_ONCHIP_CORE, "failure of an on-chip core"),
    ENTRY(CNRT_RET_ERR_NOTIFIER, "notifier failure"),
    ENTRY(CNRT_RET_ERR_RESHAPE, "reshape failed"),
    ENTRY(CNRT_RET_ERR_MEMCPY, "memory copy failed"),
    ENTRY(CNRT_RET_ERR_ENCRYPT, "encryption failed"),
    ENTRY(CNRT_RET_ERR_INVALID_DATADESC, "invalid data descriptor"),
    ENTRY(CNRT_RET_ERR_MAP, "mapping memory failed"),
    ENTRY(CNRT_RET_ERR_UNMAP, "unmapping memory failed"),
    ENTRY(CNRT_RET_ERR_CACHE, "cache operation failed"),
    ENTRY(CNRT_RET_ERR_FIND_DEV_ADDR, "device address not found"),
    ENTRY(CNRT_RET_ERR_KERNEL_VERSION_TOO_HIGH, "kernel version too high"),
    ENTRY(CNRT_RET_ERR_GET_MEM_RANGE, "getting a memory range failed"),
    ENTRY(CNRT_RET_ERR_GET_MEM_INFO, "getting memory information failed"),
    ENTRY(CNRT_RET_ERR_UNKNOWN, "unknown error"),
};

static const code_text *find(cnrtRet_t code)
{
    for (size_t index = 0; index < sizeof TEXTS / sizeof *TEXTS; index++) {
        if (TEXTS[index].code == code) {
            return &TEXTS[index];
        }
    }
    return &TEXTS[sizeof TEXTS / sizeof *TEXTS - 1];
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
    for (size_t index = 0; index < sizeof TEXTS / sizeof *TEXTS; index++) {
        if (strcmp(TEXTS[index].name, name) == 0) {
            return TEXTS[index].code;
        }
    }
    return CNRT_RET_SUCCESS;
}

bool sim_code_is_failure(int64_t number)
{
    return number > 1 && number < CNRT_RET_ERR_MAX && (find((cnrtRet_t)number)->code == (cnrtRet_t)number);
}
