#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "core/codes.h"
#include "core/environment.h"

const char *cnrtGetErrorStr(cnrtRet_t err_code)
{
    return sim_code_text(err_code);
}

const char *cnrtGetErrorName(cnrtRet_t err_code)
{
    return sim_code_name(err_code);
}

cnrtRet_t cnrtGetLastErr(void)
{
    cnrtRet_t code = sim_error_peek();
    sim_error_reset();
    return code;
}

cnrtRet_t cnrtPeekLastErr(void)
{
    return sim_error_peek();
}

void cnrtCheck(cnrtRet_t result, const char *const func, const char *const file, int const line)
{
    if (result == CNRT_RET_SUCCESS) {
        return;
    }
    fprintf(stderr, "[%s:%d] %s: %s (%d), %s. %s\n", file == NULL ? "?" : file, line, func == NULL ? "?" : func,
            sim_code_name(result), (int)result, sim_code_text(result),
            sim_error_peek() == result ? sim_error_message() : "");
    if (sim_environment_version() == 40200) { /* whose macro CNRT_CHECK did */
        exit(1);
    }
}

int cnrtSimulatorAbiVersion(void)
{
    return 4;
}

const char *cnrtSimulatorLastMessage(void)
{
    return sim_error_message();
}
