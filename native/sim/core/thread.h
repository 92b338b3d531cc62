/* Starting the simulator's own threads. */
#ifndef SIM_CORE_THREAD_H
#define SIM_CORE_THREAD_H

#include <stdbool.h>

/* Starts a detached thread that never handles the program's signals. False when the system gives none. */
bool sim_thread_start(const char *name, void *(*body)(void *), void *argument);

#endif
