#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/calls.h"
#include "core/log.h"

static _Thread_local sim_status last_failure;

cnrtRet_t sim_error_set(cnrtRet_t code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_failure.text, sizeof last_failure.text, format, arguments);
    va_end(arguments);
    last_failure.code = code;
    sim_log_failure(sim_call_now().function, false, code, last_failure.text);
    return code;
}

cnrtRet_t sim_error_set_status(const sim_status *status)
{
    if (status->code == CNRT_RET_SUCCESS) {
        return CNRT_RET_SUCCESS;
    }
    return sim_error_set(status->code, "%s", status->text);
}

void sim_status_set(sim_status *status, cnrtRet_t code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(status->text, sizeof status->text, format, arguments);
    va_end(arguments);
    status->code = code;
}

cnrtRet_t sim_error_peek(void)
{
    return last_failure.code;
}

void sim_error_reset(void)
{
    last_failure.code = CNRT_RET_SUCCESS;
}

const char *sim_error_message(void)
{
    return last_failure.text;
}
