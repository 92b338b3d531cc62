/* Whether this processor and its system run the table; compiled without its flags. */
#include <cpuid.h>

#include "dot.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

bool sim_avx512vnni_supported(void);

/* Linux lets a process use tiles after it asked (arch_prctl, no state of ours: asking again is free). From then on a signal's
 * frame may need 11 KiB, so the kernel refuses while a thread has a smaller alternate signal stack, and once it has agreed
 * refuses such stacks. */
static bool granted(void)
{
#if defined(__linux__)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

bool sim_amx_supported(void)
{
    enum { AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 };
    unsigned a, b, c, d;
    return sim_avx512vnni_supported() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_TILE) && (d & AMX_INT8) &&
           granted();
}
