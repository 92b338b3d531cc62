/* Files that appear whole: written beside their place under a name that no other writer has, then renamed. */
#ifndef SIM_EXEC_NEW_FILE_H
#define SIM_EXEC_NEW_FILE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct sim_new_file {
    FILE *file; /* to write to */
    const char *path;
    char temporary[4096];
} sim_new_file;

/* False, with errno, where it cannot be made. */
bool sim_new_file_begin(sim_new_file *new_file, const char *path);
/* Puts it in its place where `good` and all was written; else nothing is left of it, and errno says why. */
bool sim_new_file_end(sim_new_file *new_file, bool good);

#endif
