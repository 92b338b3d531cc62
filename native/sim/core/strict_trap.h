/* Tells when the host uses device memory, from the signal that this raises; then the program goes on as it would have. */
#ifndef SIM_CORE_STRICT_TRAP_H
#define SIM_CORE_STRICT_TRAP_H

/* Sets the handler before the one that is there now, and again where the program set one of its own since. */
void sim_strict_trap(void);

#endif
