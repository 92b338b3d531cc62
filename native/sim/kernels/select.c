/* Which table this processor runs. */
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels.h"

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static const struct {
    const sim_kernels *kernels;
    bool (*supported)(void);
} TABLES[] = {
/* fastest first */
#if defined(__x86_64__)
    {&SIM_KERNELS_AVX2, has_avx2},
#endif
#if defined(__aarch64__)
    {&SIM_KERNELS_NEON, always}, /* Advanced SIMD is part of every aarch64 Linux */
#endif
    {&SIM_KERNELS_REFERENCE, always},
};

const sim_kernels *sim_kernels_select(const char *name)
{
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        if (TABLES[i].supported() && (!name || strcmp(name, TABLES[i].kernels->name) == 0)) {
            return TABLES[i].kernels;
        }
    }
    return NULL;
}

const char *sim_kernels_name(unsigned i)
{
    for (size_t k = 0; k < sizeof TABLES / sizeof *TABLES; k++) {
        if (TABLES[k].supported() && i-- == 0) {
            return TABLES[k].kernels->name;
        }
    }
    return NULL;
}
