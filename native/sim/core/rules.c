#include "core/rules.h"

sim_rule sim_rule_blank(void)
{
    return (sim_rule){.function = SIM_CALLS,
                      .direction = SIM_ANY,
                      .device = SIM_ANY,
                      .slow_factor = 1,
                      .tensor = SIM_ANY,
                      .bits = 1,
                      .duration = 1};
}

bool sim_rules_add(sim_rules *rules, const sim_rule *rule)
{
    if (rules->count == SIM_MOST_RULES) {
        return false;
    }
    rules->items[rules->count++] = *rule;
    return true;
}

/* SplitMix64: every bit of the result depends on every bit of what goes in. */
static uint64_t mixed(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

uint64_t sim_rule_random(uint64_t seed, int64_t number, uint64_t which)
{
    return mixed(mixed(mixed(seed) + (uint64_t)number) + which);
}

static bool looks_at(const sim_rule *rule, const sim_call *call)
{
    return rule->function == call->function && (rule->direction == SIM_ANY || rule->direction == call->direction) &&
           (rule->device == SIM_ANY || rule->device == (int)call->device) && call->seconds >= rule->after_s;
}

static bool is_due(const sim_rule *rule)
{
    if (rule->broken) {
        return true;
    }
    if (rule->most > 0 && rule->hits >= rule->most) {
        return false;
    }
    if (rule->nth > 0) { /* with a number of hits: that many from there on */
        return rule->most > 1 ? rule->calls >= rule->nth : rule->calls == rule->nth;
    }
    if (rule->every > 0) {
        return rule->calls % rule->every == 0;
    }
    return rule->probability >= 1 ||
           (double)(sim_rule_random(rule->seed, rule->calls, 0) >> 11) * 0x1p-53 < rule->probability;
}

sim_fault sim_rules_match(sim_rules *rules, const sim_call *call)
{
    sim_fault fault = {.rule = NULL};
    pthread_mutex_lock(&rules->lock);
    for (unsigned index = 0; index < rules->count; index++) {
        sim_rule *rule = &rules->items[index];
        if (!looks_at(rule, call)) {
            continue;
        }
        rule->calls++;
        if (!is_due(rule)) {
            continue;
        }
        rule->hits++;
        rule->broken = rule->end != SIM_FAULT_ONCE && !rule->lost;
        rule->lost_devices |= rule->lost ? 1u << call->device : 0;
        if (fault.rule == NULL) {
            fault = (sim_fault){.rule = rule, .number = rule->calls, .first = rule->hits == 1};
        }
    }
    pthread_mutex_unlock(&rules->lock);
    return fault;
}

static bool reaches(const sim_rule *rule, sim_function_number function)
{
    return function == SIM_CALL_cnrtInit ? rule->end == SIM_FAULT_FOREVER
                                         : (sim_function_traits(function) & SIM_SURVIVES) == 0;
}

const sim_rule *sim_rules_lost(sim_rules *rules, sim_function_number function, unsigned device)
{
    const sim_rule *found = NULL;
    pthread_mutex_lock(&rules->lock);
    for (unsigned index = 0; index < rules->count && found == NULL; index++) {
        const sim_rule *rule = &rules->items[index];
        if ((rule->lost_devices >> device & 1) != 0 && reaches(rule, function)) {
            found = rule;
        }
    }
    pthread_mutex_unlock(&rules->lock);
    return found;
}

void sim_rules_mend(sim_rules *rules, sim_fault_end what)
{
    pthread_mutex_lock(&rules->lock);
    for (unsigned index = 0; index < rules->count; index++) {
        sim_rule *rule = &rules->items[index];
        if (rule->end == what) {
            rule->broken = false;
            rule->lost_devices = 0;
        }
    }
    pthread_mutex_unlock(&rules->lock);
}
