/* The host's processors as programs bind threads to them. Bit i of word i / 32 is processor i. */
#ifndef SIM_CORE_CPUS_H
#define SIM_CORE_CPUS_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_CPU_WORDS = 1024 };

/* Those that the process could use when it was first asked. */
const uint32_t *sim_cpus_of_process(void);
/* How many processors the host has, usable or not: their numbers are below. */
unsigned sim_cpus_count(void);
/* Binds the calling thread to these; false when the host refuses. */
bool sim_cpus_bind(const uint32_t words[SIM_CPU_WORDS]);

#endif
