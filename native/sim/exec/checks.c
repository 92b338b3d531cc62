/* What container.c and network.c share: sentences. */
#include <stdarg.h>
#include <stdio.h>

#include "network.h"

sim_result sim_fail(sim_error *error, sim_result result, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return result;
}
