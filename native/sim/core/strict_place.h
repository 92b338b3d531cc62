/* Where code is: the file that it was loaded from, and how far into it. Safe in a signal handler. */
#ifndef SIM_CORE_STRICT_PLACE_H
#define SIM_CORE_STRICT_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sentence under construction, cut where the room ends; always ends with NUL. */
typedef struct sim_text {
    char *at;
    size_t left;
} sim_text;

void sim_text_begin(sim_text *text, char *room, size_t bytes);
void sim_text_add(sim_text *text, const char *words);
void sim_text_add_number(sim_text *text, uint64_t number, unsigned base); /* 10, or 16 with 0x before it */

typedef struct sim_place {
    char file[64]; /* its last part; "" where no file is known */
    uintptr_t first, last;
    uintptr_t offset; /* of a program that is linked for one address: the address itself */
    bool is_begin;    /* the file's beginning lies at `first` */
} sim_place;

/* What is mapped where `address` is, as Linux tells it. False: nothing is known. */
bool sim_place_of(const void *address, sim_place *place);
void sim_text_add_place(sim_text *text, const void *address); /* "program+0x1234" */

#endif
