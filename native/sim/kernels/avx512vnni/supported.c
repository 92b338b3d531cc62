/* Whether this processor and its system run the table; compiled without its flags. */
#include "dot.h"

/* gcc and clang ask xgetbv too: without the system's leave for zmm registers no AVX-512 feature is supported. */
bool sim_avx512vnni_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}
