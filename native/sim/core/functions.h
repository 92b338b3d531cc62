/* The exported functions as numbers, with their names and what of them matters to faults: functions.def as a table. */
#ifndef SIM_CORE_FUNCTIONS_H
#define SIM_CORE_FUNCTIONS_H

enum { SIM_QUEUED = 1, SIM_SURVIVES = 2, SIM_COPIES = 4, SIM_INVOKES = 8, SIM_TIMES = 16 };

#define SIM_FUNCTION(name, traits) SIM_CALL_##name,
typedef enum sim_function_number {
#include "core/functions.def"
    SIM_CALLS
} sim_function_number;
#undef SIM_FUNCTION

const char *sim_function_name(sim_function_number number);
unsigned sim_function_traits(sim_function_number number);
/* SIM_CALLS where there is none of that name. */
sim_function_number sim_function_named(const char *name);

#endif
