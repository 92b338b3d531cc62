/* The rules as people write them: [[fault]] tables, ABI.md section 10.1. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/codes.h"
#include "core/rules.h"
#include "core/toml.h"

enum { MOST_DEVICE = 7, MOST_TENSOR = 63, MOST_BITS = 1000000 };
#define MOST_NUMBER 1e15
#define MOST_SECONDS 1e6

/* One table as it stands. */
typedef struct draft {
    char function[SIM_TOML_MOST_STRING], direction[SIM_TOML_MOST_STRING], until[SIM_TOML_MOST_STRING];
    char at[SIM_TOML_MOST_STRING], code[SIM_TOML_MOST_STRING], output[SIM_TOML_MOST_STRING];
    int64_t device, nth, every, seed, count, tensor, bits;
    double probability, after_s, hang_s, slow_ms, slow_factor, duration;
    bool hang, lost;
    uint64_t seen;
    unsigned line;
} draft;

enum {
    FUNCTION,
    DIRECTION,
    DEVICE,
    AFTER_S,
    NTH,
    EVERY,
    PROBABILITY,
    SEED,
    COUNT,
    UNTIL,
    AT,
    CODE,
    HANG,
    HANG_S,
    SLOW_MS,
    SLOW_FACTOR,
    LOST,
    OUTPUT,
    TENSOR,
    BITS,
    DURATION,
    FIELDS_COUNT
};

#define FIELD(name, goal, low, high) {#name, goal, offsetof(draft, name), low, high}

static const sim_toml_field FIELDS[FIELDS_COUNT] = {
    [FUNCTION] = FIELD(function, SIM_TO_TEXT, 0, 0),
    [DIRECTION] = FIELD(direction, SIM_TO_TEXT, 0, 0),
    [DEVICE] = FIELD(device, SIM_TO_WHOLE, 0, MOST_DEVICE),
    [AFTER_S] = FIELD(after_s, SIM_TO_NUMBER, 0, MOST_SECONDS),
    [NTH] = FIELD(nth, SIM_TO_WHOLE, 1, MOST_NUMBER),
    [EVERY] = FIELD(every, SIM_TO_WHOLE, 1, MOST_NUMBER),
    [PROBABILITY] = FIELD(probability, SIM_TO_NUMBER, 0, 1),
    [SEED] = FIELD(seed, SIM_TO_WHOLE, 0, MOST_NUMBER),
    [COUNT] = FIELD(count, SIM_TO_WHOLE, 1, MOST_NUMBER),
    [UNTIL] = FIELD(until, SIM_TO_TEXT, 0, 0),
    [AT] = FIELD(at, SIM_TO_TEXT, 0, 0),
    [CODE] = FIELD(code, SIM_TO_TEXT, 0, 0),
    [HANG] = FIELD(hang, SIM_TO_TRUTH, 0, 0),
    [HANG_S] = FIELD(hang_s, SIM_TO_NUMBER, 0, MOST_SECONDS),
    [SLOW_MS] = FIELD(slow_ms, SIM_TO_NUMBER, 0, 1000 * MOST_SECONDS),
    [SLOW_FACTOR] = FIELD(slow_factor, SIM_TO_NUMBER, 1, 1e6),
    [LOST] = FIELD(lost, SIM_TO_TRUTH, 0, 0),
    [OUTPUT] = FIELD(output, SIM_TO_TEXT, 0, 0),
    [TENSOR] = FIELD(tensor, SIM_TO_WHOLE, 0, MOST_TENSOR),
    [BITS] = FIELD(bits, SIM_TO_WHOLE, 1, MOST_BITS),
    [DURATION] = FIELD(duration, SIM_TO_NUMBER, -INFINITY, INFINITY),
};

static bool gives(const draft *d, int field)
{
    return (d->seen >> field & 1) != 0;
}

/* The number of `word` in a list that ends with NULL; -1 after naming the field and what it may be. */
static int choice(sim_toml *toml, const draft *d, int field, const char *word, const char *const *words)
{
    char list[80] = "";
    for (int number = 0; words[number] != NULL; number++) {
        const size_t used = strlen(list);
        if (strcmp(words[number], word) == 0) {
            return number;
        }
        snprintf(list + used, sizeof list - used, "%s%s", used > 0 ? ", " : "", words[number]);
    }
    sim_toml_wrong(toml, d->line, "%s = \"%.40s\" must be one of: %s.", FIELDS[field].key, word, list);
    return -1;
}

/* ---- Which calls ---- */

static bool take_function(sim_toml *toml, const draft *d, sim_rule *rule)
{
    static const char *const DIRECTIONS[] = {"in", "within", "out", "host", "peer", NULL}; /* as cnrtMemTransDir_t */
    if (!gives(d, FUNCTION)) {
        return sim_toml_wrong(toml, d->line, "a [[fault]] needs function = \"cnrt...\".");
    }
    rule->function = sim_function_named(d->function);
    if (rule->function == SIM_CALLS) {
        return sim_toml_wrong(toml, d->line,
                              "function = \"%.60s\" is none that faults can be asked of; ABI.md section 10.1 has the "
                              "list.",
                              d->function);
    }
    rule->direction = gives(d, DIRECTION) ? choice(toml, d, DIRECTION, d->direction, DIRECTIONS) : SIM_ANY;
    if (gives(d, DIRECTION) && (sim_function_traits(rule->function) & SIM_COPIES) == 0) {
        return sim_toml_wrong(toml, d->line, "direction is for copies; %s has none, remove it.", d->function);
    }
    rule->device = gives(d, DEVICE) ? (int)d->device : SIM_ANY;
    rule->after_s = d->after_s;
    return toml->problem[0] == '\0';
}

static bool take_which(sim_toml *toml, const draft *d, sim_rule *rule)
{
    static const char *const ENDS[] = {"once", "context", "init", "forever", NULL}; /* as sim_fault_end */
    if (gives(d, NTH) + gives(d, EVERY) + gives(d, PROBABILITY) > 1) {
        return sim_toml_wrong(toml, d->line, "of nth, every and probability only one can be given.");
    }
    if (gives(d, SEED) && !gives(d, PROBABILITY) && !gives(d, BITS)) {
        return sim_toml_wrong(toml, d->line, "seed is for probability or bits; give one of them, or remove it.");
    }
    const int end = gives(d, UNTIL) ? choice(toml, d, UNTIL, d->until, ENDS) : SIM_FAULT_ONCE;
    if (end < 0) {
        return false;
    }
    if (end != SIM_FAULT_ONCE && gives(d, COUNT)) {
        return sim_toml_wrong(toml, d->line, "count and until = \"%s\" contradict each other; remove one.", d->until);
    }
    rule->nth = d->nth;
    rule->every = d->every;
    rule->probability = gives(d, PROBABILITY) ? d->probability : gives(d, NTH) || gives(d, EVERY) ? 0 : 1;
    rule->seed = (uint64_t)d->seed;
    rule->most = gives(d, COUNT) ? d->count : 0;
    rule->end = (sim_fault_end)end;
    return true;
}

/* ---- What happens ---- */

static bool take_code(sim_toml *toml, const draft *d, sim_rule *rule)
{
    if (!gives(d, CODE)) {
        return true;
    }
    int64_t number = 0;
    for (const char *at = d->code; *at >= '0' && *at <= '9' && number < CNRT_RET_ERR_MAX; at++) {
        number = 10 * number + (*at - '0');
    }
    if (number == 0) {
        number = sim_code_named(d->code);
    }
    rule->code = (cnrtRet_t)number;
    return sim_code_is_failure(number) ||
           sim_toml_wrong(toml, d->line,
                          "code = %.40s is no failure of cnrt_codes.h; write it as \"CNRT_RET_ERR_QUEUE\" "
                          "or as its number.",
                          d->code);
}

static bool take_output(sim_toml *toml, const draft *d, sim_rule *rule)
{
    static const char *const OUTPUTS[] = {"right", "zero", "stale", "skipped", "corrupted", NULL}; /* as sim_output */
    const unsigned traits = sim_function_traits(rule->function);
    const int output = gives(d, OUTPUT) ? choice(toml, d, OUTPUT, d->output, OUTPUTS) : SIM_OUTPUT_RIGHT;
    if (output < 0) {
        return false;
    }
    if (gives(d, OUTPUT) && (traits & (SIM_INVOKES | SIM_COPIES)) == 0) {
        return sim_toml_wrong(toml, d->line, "output is for invocations and copies; %s writes none.", d->function);
    }
    if (output == SIM_OUTPUT_STALE && (traits & SIM_INVOKES) == 0) {
        return sim_toml_wrong(toml, d->line, "output = \"stale\" is for invocations; a copy can be \"skipped\".");
    }
    if (gives(d, TENSOR) && (!gives(d, OUTPUT) || (traits & SIM_INVOKES) == 0)) {
        return sim_toml_wrong(toml, d->line, "tensor says which output of an invocation; remove it.");
    }
    if (gives(d, BITS) && output != SIM_OUTPUT_CORRUPTED) {
        return sim_toml_wrong(toml, d->line, "bits is for output = \"corrupted\"; remove it.");
    }
    rule->output = (sim_output)output;
    rule->tensor = gives(d, TENSOR) ? (int)d->tensor : SIM_ANY;
    rule->bits = gives(d, BITS) ? d->bits : 1;
    return true;
}

static bool take_delay(sim_toml *toml, const draft *d, sim_rule *rule)
{
    if (gives(d, HANG) && gives(d, HANG_S)) {
        return sim_toml_wrong(toml, d->line, "hang = true is for ever, hang_s ends; remove one.");
    }
    if (gives(d, SLOW_FACTOR) && !rule->in_queue) {
        return sim_toml_wrong(toml, d->line,
                              "slow_factor is for work in a queue: give at = \"queue\", or slow_ms instead.");
    }
    rule->hang_s = d->hang ? (double)INFINITY : d->hang_s;
    rule->slow_s = d->slow_ms / 1000;
    rule->slow_factor = gives(d, SLOW_FACTOR) ? d->slow_factor : 1;
    return true;
}

static bool take_effect(sim_toml *toml, const draft *d, sim_rule *rule)
{
    static const char *const PLACES[] = {"call", "queue", NULL};
    const unsigned traits = sim_function_traits(rule->function);
    const int at = gives(d, AT) ? choice(toml, d, AT, d->at, PLACES) : 0;
    if (at < 0) {
        return false;
    }
    if (at == 1 && (traits & SIM_QUEUED) == 0) {
        return sim_toml_wrong(toml, d->line, "at = \"queue\" is for what is done later; %s is done at once.",
                              d->function);
    }
    rule->in_queue = at == 1;
    if (gives(d, DURATION) && (traits & SIM_TIMES) == 0) {
        return sim_toml_wrong(toml, d->line, "duration is a factor for cnrtNotifierDuration; %s tells no time.",
                              d->function);
    }
    rule->duration = gives(d, DURATION) ? d->duration : 1;
    rule->lost = d->lost;
    if (rule->lost && rule->end == SIM_FAULT_UNTIL_CONTEXT) {
        return sim_toml_wrong(toml, d->line,
                              "a lost device comes back with until = \"init\" (the default) or never, "
                              "\"forever\".");
    }
    if (rule->lost && rule->end == SIM_FAULT_ONCE) {
        rule->end = SIM_FAULT_UNTIL_INIT;
    }
    return take_code(toml, d, rule) && take_output(toml, d, rule) && take_delay(toml, d, rule);
}

static bool finish_draft(sim_toml *toml, const draft *d, sim_rules *rules, const char *name)
{
    sim_rule rule = sim_rule_blank();
    if (!take_function(toml, d, &rule) || !take_which(toml, d, &rule) || !take_effect(toml, d, &rule)) {
        return false;
    }
    if (!d->hang && !d->lost && !gives(d, CODE) && !gives(d, HANG_S) && !gives(d, SLOW_MS) && !gives(d, SLOW_FACTOR) &&
        !gives(d, OUTPUT) && !gives(d, DURATION)) {
        return sim_toml_wrong(toml, d->line,
                              "the fault does nothing: give code, hang, hang_s, slow_ms, slow_factor, "
                              "lost, output or duration.");
    }
    snprintf(rule.said_by, sizeof rule.said_by, "line %u of %.40s", d->line, name);
    return sim_rules_add(rules, &rule) ||
           sim_toml_wrong(toml, d->line, "there are more than %d faults; remove some.", SIM_MOST_RULES);
}

/* ---- The file ---- */

static bool read_tables(sim_toml *toml, sim_rules *rules, const char *name)
{
    sim_toml_item item;
    draft d = {.line = 0};
    sim_toml_kind kind;
    while ((kind = sim_toml_next(toml, &item)) == SIM_TOML_TABLE || kind == SIM_TOML_VALUE) {
        if (kind == SIM_TOML_TABLE) {
            if (!item.of_array || strcmp(item.key, "fault") != 0) {
                return sim_toml_wrong(toml, item.line, "[%s] is not known; each fault begins with [[fault]].",
                                      item.key);
            }
            if (d.line != 0 && !finish_draft(toml, &d, rules, name)) {
                return false;
            }
            d = (draft){.line = item.line};
        } else if (d.line == 0) {
            return sim_toml_wrong(toml, item.line, "%s stands before the first [[fault]]; write that line above it.",
                                  item.key);
        } else if (!sim_toml_store(toml, &item, FIELDS, FIELDS_COUNT, &d, &d.seen)) {
            return false;
        }
    }
    if (kind == SIM_TOML_WRONG) {
        return false;
    }
    return d.line != 0
               ? finish_draft(toml, &d, rules, name)
               : sim_toml_wrong(toml, 1, "there is no [[fault]] in the file; write one, or unset the variable.");
}

bool sim_rules_read(sim_rules *rules, const char *text, size_t bytes, const char *name, char *problem, size_t room)
{
    sim_toml toml = sim_toml_open(text, bytes);
    if (bytes > SIM_TOML_MOST_BYTES) {
        sim_toml_wrong(&toml, 1, "the file has %zu bytes, %d are read at most; shorten it.", bytes,
                       SIM_TOML_MOST_BYTES);
    } else if (read_tables(&toml, rules, name)) {
        return true;
    }
    snprintf(problem, room, "%s", toml.problem);
    return false;
}
