/* What of the simulator's answers the environment changed. */
#ifndef SIM_CORE_NOTES_H
#define SIM_CORE_NOTES_H

/* In words, "; " between them; "" when nothing. Valid until the thread asks again. */
const char *sim_notes(void);

#endif
