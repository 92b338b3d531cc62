#include "core/functions.h"

#include <string.h>

#define SIM_FUNCTION(name, traits) {#name, traits},
static const struct {
    const char *name;
    unsigned traits;
} FUNCTIONS[SIM_CALLS] = {
#include "core/functions.def"
};
#undef SIM_FUNCTION

const char *sim_function_name(sim_function_number number)
{
    return FUNCTIONS[number].name;
}

unsigned sim_function_traits(sim_function_number number)
{
    return FUNCTIONS[number].traits;
}

sim_function_number sim_function_named(const char *name)
{
    unsigned number = 0;
    while (number < SIM_CALLS && strcmp(FUNCTIONS[number].name, name) != 0) {
        number++;
    }
    return (sim_function_number)number;
}
