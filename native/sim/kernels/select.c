/* Which table this processor runs. */
#include <string.h>

#include "kernels.h"

extern const sim_kernels SIM_KERNELS_AMX, SIM_KERNELS_AVX2, SIM_KERNELS_AVX512, SIM_KERNELS_AVX512VNNI,
    SIM_KERNELS_AVXVNNI, SIM_KERNELS_I8MM, SIM_KERNELS_NEONDOT, SIM_KERNELS_NEON;

static const sim_kernels *const TABLES[] = {
/* fastest first */
#if defined(SIM_AMX) /* where the compiler has it */
    &SIM_KERNELS_AMX,
#endif
#if defined(__x86_64__)
    &SIM_KERNELS_AVX512VNNI,
#if defined(SIM_AVXVNNI)
    &SIM_KERNELS_AVXVNNI,
#endif
    &SIM_KERNELS_AVX512,     &SIM_KERNELS_AVX2,
#endif
#if defined(__aarch64__)
    &SIM_KERNELS_I8MM, /* twice the products of the next */
    &SIM_KERNELS_NEONDOT,    &SIM_KERNELS_NEON,
#endif
    &SIM_KERNELS_REFERENCE,
};

/* The question may change what the process is allowed (AMX): not asked of a table that is not wanted. */
static bool supported(const sim_kernels *kernels)
{
    return !kernels->supported || kernels->supported();
}

const sim_kernels *sim_kernels_select(const char *name)
{
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        if ((!name || strcmp(name, TABLES[i]->name) == 0) && supported(TABLES[i])) {
            return TABLES[i];
        }
    }
    return NULL;
}

const char *sim_kernels_name(unsigned i)
{
    for (size_t k = 0; k < sizeof TABLES / sizeof *TABLES; k++) {
        if (supported(TABLES[k]) && i-- == 0) {
            return TABLES[k]->name;
        }
    }
    return NULL;
}

const char *sim_kernels_known(unsigned i)
{
    return i < sizeof TABLES / sizeof *TABLES ? TABLES[i]->name : NULL;
}
