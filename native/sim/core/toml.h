/* A reader for a small part of TOML: tables, tables in arrays, and `key = value` with one string, number or boolean, each
 * on a line of its own. For files that people write for the simulator (faults.toml, timing profiles); bounds on everything,
 * and for whatever cannot be read one sentence with line, field, value and remedy. */
#ifndef SIM_CORE_TOML_H
#define SIM_CORE_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIM_TOML_MOST_BYTES = 65536, SIM_TOML_MOST_KEY = 48, SIM_TOML_MOST_STRING = 128 };

typedef enum sim_toml_kind { SIM_TOML_END, SIM_TOML_TABLE, SIM_TOML_VALUE, SIM_TOML_WRONG } sim_toml_kind;
typedef enum sim_toml_type { SIM_TOML_STRING, SIM_TOML_INTEGER, SIM_TOML_FLOAT, SIM_TOML_BOOLEAN } sim_toml_type;

typedef struct sim_toml_item {
    unsigned line;
    char key[SIM_TOML_MOST_KEY];     /* of a value; of a table its name */
    bool of_array;                   /* of a table: [[name]] */
    sim_toml_type type;              /* of a value */
    char text[SIM_TOML_MOST_STRING]; /* a string; of all others what the file says */
    int64_t integer;
    double number; /* of an integer too */
    bool truth;
} sim_toml_item;

typedef struct sim_toml {
    const char *at, *end;
    unsigned line;     /* from 1 */
    char problem[200]; /* after SIM_TOML_WRONG: the sentence, which begins with the line */
} sim_toml;

/* `text` stays the caller's and must outlive the reader. It need not end with a NUL. */
sim_toml sim_toml_open(const char *text, size_t bytes);
/* The next table or value; after SIM_TOML_WRONG there is nothing more. */
sim_toml_kind sim_toml_next(sim_toml *toml, sim_toml_item *item);
/* Fills the problem, with the line before it. Returns false, so that a failure is one statement. */
bool sim_toml_wrong(sim_toml *toml, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What a table may hold: where a value goes, and its bounds. */
typedef enum sim_toml_goal {
    SIM_TO_TEXT,   /* char[SIM_TOML_MOST_STRING]; an integer is taken as its digits */
    SIM_TO_WHOLE,  /* int64_t */
    SIM_TO_NUMBER, /* double; also nan and inf, which no bounds refuse but finite ones */
    SIM_TO_TRUTH,  /* bool */
} sim_toml_goal;

typedef struct sim_toml_field {
    const char *key;
    sim_toml_goal goal;
    size_t offset;
    double low, high;
} sim_toml_field;

/* Stores a value in `target` by the field of its key, of at most 64 fields; `seen` holds a bit of each that was given
 * before, by its place. False after naming what is wrong. */
bool sim_toml_store(sim_toml *toml, const sim_toml_item *item, const sim_toml_field *fields, size_t count, void *target,
                    uint64_t *seen);

#endif
