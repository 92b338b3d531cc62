/* Whether this processor runs the table; compiled without its flags. */
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "dot.h"

bool sim_neondot_supported(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}
