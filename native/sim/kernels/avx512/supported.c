/* Whether this processor and its system run the table; compiled without its flags. */
#include "dot.h"

/* The compiler's own test asks the system too (xgetbv): without its leave for zmm registers there is no AVX-512. */
bool sim_avx512_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* AVX512-VBMI: processors with AVX-512 have it since Ice Lake and Zen 4. */
bool sim_avx512_has_ranges(void)
{
    return __builtin_cpu_supports("avx512vbmi");
}
