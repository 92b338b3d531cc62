/* Run where the library reports 4.2.0, whose CNRT_CHECK ended the program: so does ours, compiled with any header. */
#include "cnrt.h"

int main(void)
{
    CNRT_CHECK(CNRT_RET_SUCCESS);
    CNRT_CHECK(CNRT_RET_ERR_INVALID);
    return 0;
}
