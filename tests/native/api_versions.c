/* What a program that was compiled with the header of a version sees of a library that reports the same version. Compiled
 * once for each, with CNRT_MINOR_VERSION; CNRT_SIMULATOR_VERSION says the same when it is run. */
#include "api_check.h"

#define NAMED(code) \
    CHECK(strcmp(cnrtGetErrorName(code), #code) == 0 && strcmp(cnrtGetErrorStr(code), "unknown error") != 0)

static void codes_have_the_names_of_the_version(void)
{
    NAMED(CNRT_RET_SUCCESS);
    NAMED(CNRT_RET_ERR_INVALID);
    NAMED(CNRT_RET_ERR_IO);
    NAMED(CNRT_RET_ERR_ACCES);
    NAMED(CNRT_RET_ERR_TIMEOUT);
    NAMED(CNRT_RET_ERR_EXIST);
    NAMED(CNRT_RET_ERR_NOSYS);
    NAMED(CNRT_RET_ERR_AGAIN);
    NAMED(CNRT_RET_ERR_QUEUE);
    NAMED(CNRT_RET_ERR_MATH_OVERFLOW);
    NAMED(CNRT_RET_ERR_MLU);
    NAMED(CNRT_RET_ERR_ONCHIP_CORE);
    NAMED(CNRT_RET_ERR_NOTIFIER);
    NAMED(CNRT_RET_ERR_KERNEL_VERSION_TOO_HIGH);
#if CNRT_VERSION >= 41000
    NAMED(CNRT_RET_ERR_EVENT);
    NAMED(CNRT_RET_ERR_CNDRV_FUNC_CALL);
    NAMED(CNRT_RET_ERR_CNDEV_FUNC_CALL);
    NAMED(CNRT_RET_ERR_GET_IMP_DEV);
    NAMED(CNRT_RET_ERR_LOAD_MODULE);
    CHECK(strcmp(cnrtGetErrorName((cnrtRet_t)632010), "CNRT_RET_ERR_UNKNOWN") == 0);
#else
    CHECK(strcmp(cnrtGetErrorName((cnrtRet_t)632046), "CNRT_RET_ERR_UNKNOWN") == 0);
#endif
#if CNRT_VERSION >= 40700
    NAMED(CNRT_RET_ERR_GET_MEM_RANGE);
    NAMED(CNRT_RET_ERR_GET_MEM_INFO);
#else
    CHECK(strcmp(cnrtGetErrorName((cnrtRet_t)632044), "CNRT_RET_ERR_UNKNOWN") == 0);
#endif
    CHECK(strcmp(cnrtGetErrorName((cnrtRet_t)-1), "CNRT_RET_ERR_UNKNOWN") == 0);
}

static void the_library_says_the_version_of_the_header(void)
{
    unsigned version = 0;
    OK(cnrtGetVersion(&version));
    CHECK(version == CNRT_VERSION);
}

/* CNRT_SIMULATOR_FAULTS makes the first cnrtGetDeviceCount fail with this name, whatever its number. */
static void a_fault_has_the_number_of_the_version(void)
{
    unsigned count;
    CHECK_CODE(CNRT_RET_ERR_TIMEOUT, cnrtGetDeviceCount(&count));
    CHECK(cnrtPeekLastErr() == CNRT_RET_ERR_TIMEOUT && cnrtGetLastErr() == CNRT_RET_ERR_TIMEOUT);
}

static void calls_and_flags_follow_the_version(void)
{
    cnrtNotifier_t notifier;
    float us;
    OK(cnrtCreateNotifier(&notifier));
#if CNRT_VERSION >= 41000
    CHECK_CODE(CNRT_RET_ERR_CNDRV_FUNC_CALL, cnrtNotifierDuration(notifier, notifier, &us));
    CHECK_CODE(CNRT_RET_ERR_CNDEV_FUNC_CALL, cnrtSetCurrentThreadAffinity(7));
    OK(cnrtSetDeviceFlag(CNRT_QUEUE_SYNC_YIELD));
#else
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtNotifierDuration(notifier, notifier, &us));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtSetCurrentThreadAffinity(7));
    CHECK_FAILS(CNRT_RET_ERR_INVALID, "4.10", cnrtSetDeviceFlag(CNRT_QUEUE_SYNC_YIELD));
#endif
    OK(cnrtSetDeviceFlag(CNRT_QUEUE_SYNC_BLOCK));
    OK(cnrtDestroyNotifier(&notifier));
}

/* With the header of 4.2.0 the macro ends the program, with any other one the function does where 4.2.0 is reported. */
static void ended(void)
{
    printf("ended\n");
}

static void a_failed_check_ends_the_program_where_that_of_4_2_0_did(void)
{
    CHECK(atexit(ended) == 0);
    CNRT_CHECK(CNRT_RET_SUCCESS);
    CNRT_CHECK(CNRT_RET_ERR_IO);
    printf("went on\n");
}

int main(void)
{
    RUN(codes_have_the_names_of_the_version);
    RUN(the_library_says_the_version_of_the_header);
    OK(cnrtInit(0));
    RUN(a_fault_has_the_number_of_the_version);
    RUN(calls_and_flags_follow_the_version);
    RUN(a_failed_check_ends_the_program_where_that_of_4_2_0_did);
    cnrtDestroy();
    return 0;
}
