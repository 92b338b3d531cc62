/* Whether this processor runs the table; compiled without its flags. */
#include "dot.h"

#include <cpuid.h>

#include "../avx2/dot.h"

enum { AVX_VNNI = 1 << 4 }; /* of leaf 7, part 1, in eax */

bool sim_avxvnni_supported(void)
{
    unsigned a, b, c, d;
    return sim_avx2_supported() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
}
