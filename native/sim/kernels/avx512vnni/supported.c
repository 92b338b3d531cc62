/* Whether this processor and its system run the table; compiled without its flags. */
#include "dot.h"

#include "../avx512/dot.h"

bool sim_avx512vnni_supported(void)
{
    return sim_avx512_supported() && __builtin_cpu_supports("avx512vnni");
}
