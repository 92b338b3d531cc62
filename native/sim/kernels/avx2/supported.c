/* Whether this processor runs the table; compiled without its flags. */
#include <cpuid.h>

#include "dot.h"

bool sim_avx2_supported(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
