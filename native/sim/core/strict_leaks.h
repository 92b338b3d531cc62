/* What a program did not give back. */
#ifndef SIM_CORE_STRICT_LEAKS_H
#define SIM_CORE_STRICT_LEAKS_H

/* Tells what is still held, each kind once: with how many, how much, and where the first came from. `when` ends a sentence. */
void sim_leaks_tell(const char *when);

#endif
