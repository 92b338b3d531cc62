/* How profiles and traces tell a step, as JSON. */
#ifndef SIM_EXEC_TOLD_H
#define SIM_EXEC_TOLD_H

#include <stdio.h>

struct sim_step;

/* A name as a string. It came from a file: its bytes beyond ASCII need not be UTF-8, so each is told as the character of its
 * number, from which a reader gets the bytes back. */
void sim_tell_name(const char *name, FILE *file);
/* `"input": [...], "output": [...], "input_type": ..., "output_types": [...]`. */
void sim_tell_tensors(const struct sim_step *s, FILE *file);
/* What the step reads and writes in memory here. */
double sim_step_bytes(const struct sim_step *s);
const char *sim_type_name(unsigned dtype);

#endif
