/* Whether this processor runs the table; compiled without its flags. */
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "dot.h"

bool sim_i8mm_supported(void)
{
    return (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}
