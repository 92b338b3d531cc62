/* What the simulator was asked to do wrong: rules, each with the calls that it is for, and what happens to them.
 *
 * A rule counts the calls that it looks at, whichever thread makes them; which of them it hits depends on that number and
 * its seed alone. The file's format is in ABI.md section 10.1. */
#ifndef SIM_CORE_RULES_H
#define SIM_CORE_RULES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cnrt.h"
#include "core/functions.h"

enum { SIM_MOST_RULES = 256, SIM_ANY = -1 };

/* What ends a fault: nothing but the call that it hit, a new runtime context, a new cnrtInit, or nothing at all. */
typedef enum sim_fault_end {
    SIM_FAULT_ONCE,
    SIM_FAULT_UNTIL_CONTEXT,
    SIM_FAULT_UNTIL_INIT,
    SIM_FAULT_FOREVER,
} sim_fault_end;

typedef enum sim_output {
    SIM_OUTPUT_RIGHT,
    SIM_OUTPUT_ZERO,
    SIM_OUTPUT_STALE, /* what the invocation before wrote */
    SIM_OUTPUT_SKIPPED,
    SIM_OUTPUT_CORRUPTED, /* some bits flipped */
} sim_output;

typedef struct sim_rule {
    char said_by[64]; /* for sentences: "line 3 of faults.toml" */
    /* which calls */
    sim_function_number function;
    int direction; /* of a copy: cnrtMemTransDir_t, or SIM_ANY */
    int device;    /* or SIM_ANY */
    double after_s;
    /* which of them: one of the three, or all */
    int64_t nth, every;
    double probability;
    uint64_t seed;
    int64_t most;      /* so many at most; 0: any number */
    sim_fault_end end; /* after the first, all until then */
    /* what happens */
    bool in_queue;      /* when the queue comes to the work, not to the call itself */
    cnrtRet_t code;     /* CNRT_RET_SUCCESS: it does not fail */
    double hang_s;      /* INFINITY: for ever */
    double slow_s;      /* more than it takes */
    double slow_factor; /* times what it takes, at least 1 */
    bool lost;          /* and the device with it, until `end`, which is a new cnrtInit or nothing */
    sim_output output;
    int tensor; /* of the outputs, or SIM_ANY */
    int64_t bits;
    double duration; /* times the true one */
    /* how far it came; guarded by the rules' lock */
    int64_t calls, hits;
    bool broken;           /* hits all until `end` */
    unsigned lost_devices; /* bit set */
} sim_rule;

typedef struct sim_rules {
    pthread_mutex_t lock;
    unsigned count;
    sim_rule items[SIM_MOST_RULES];
} sim_rules;

/* A call as the rules see it. */
typedef struct sim_call {
    sim_function_number function;
    int direction; /* SIM_ANY: it is no copy */
    unsigned device;
    double seconds; /* since the rules are there */
} sim_call;

/* What one call was told to do. No rule: nothing. */
typedef struct sim_fault {
    const sim_rule *rule;
    int64_t number; /* of the call among those that the rule looks at, from 1 */
    bool first;     /* that the rule hits */
} sim_fault;

/* A rule that does nothing to no call, to be filled and added. False: there are SIM_MOST_RULES already. */
sim_rule sim_rule_blank(void);
bool sim_rules_add(sim_rules *rules, const sim_rule *rule);
/* Counts a call for every rule that looks at it; of those that hit it, the first. */
sim_fault sim_rules_match(sim_rules *rules, const sim_call *call);
/* The rule by which a device is lost for this function, or NULL. */
const sim_rule *sim_rules_lost(sim_rules *rules, sim_function_number function, unsigned device);
void sim_rules_mend(sim_rules *rules, sim_fault_end what);

/* Random bits of a rule's call: the same for the same seed and numbers, whatever the machine. */
uint64_t sim_rule_random(uint64_t seed, int64_t number, uint64_t which);

/* Adds the rules of a file's text, named `name` in sentences. False after writing one to `problem`. */
bool sim_rules_read(sim_rules *rules, const char *text, size_t bytes, const char *name, char *problem, size_t room);

#endif
