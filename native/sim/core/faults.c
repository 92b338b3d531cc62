#define _POSIX_C_SOURCE 200809L
#include "core/faults.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/environment.h"
#include "core/file.h"
#include "core/runtime.h"
#include "core/strict_order.h"
#include "core/toml.h"

static sim_rules rules = {.lock = PTHREAD_MUTEX_INITIALIZER};
static char problem[sizeof(((sim_status *)0)->text)];
static bool want_stale;
static double began;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local sim_fault current;

static double now(void)
{
    return (double)sim_clock_host() / 1e9;
}

/* Holds no lock, and ends with the process whatever is to come. */
static void wait_for(double seconds)
{
    while (isinf(seconds)) {
        pause();
    }
    sim_clock_sleep(sim_clock_host(), seconds);
}

/* ---- What was asked for ---- */

static void add_invocation(const sim_environment *environment)
{
    sim_rule rule = sim_rule_blank();
    rule.function = SIM_CALL_cnrtInvokeRuntimeContext;
    rule.nth = environment->failing_invocation;
    rule.end = environment->fault_end;
    rule.in_queue = true;
    rule.code = CNRT_RET_ERR_QUEUE;
    snprintf(rule.said_by, sizeof rule.said_by, "CNRT_SIMULATOR_FAIL_INVOCATION");
    sim_rules_add(&rules, &rule);
}

static void read_file(const char *path)
{
    uint64_t bytes, size;
    char sentence[200];
    const char *slash = strrchr(path, '/');
    uint8_t *text = sim_file_read_start(path, SIM_TOML_MOST_BYTES + 1, &bytes, &size);
    if (text == NULL) {
        snprintf(problem, sizeof problem, "CNRT_SIMULATOR_FAULTS: %.200s", sim_error_message());
    } else if (!sim_rules_read(&rules, (const char *)text, bytes, slash == NULL ? path : slash + 1, sentence,
                               sizeof sentence)) {
        snprintf(problem, sizeof problem, "CNRT_SIMULATOR_FAULTS=%.40s, %.180s", path, sentence);
    } else {
        fprintf(stderr, "cnrt simulator: %u faults as CNRT_SIMULATOR_FAULTS=%s says\n", rules.count, path);
    }
    free(text);
}

static void load(void)
{
    const sim_environment *environment = sim_environment_get();
    if (environment->faults != NULL) {
        read_file(environment->faults);
    }
    if (problem[0] != '\0') {
        rules.count = 0;
        fprintf(stderr, "cnrt simulator: %s\n", problem);
    }
    if (environment->failing_invocation != 0) {
        add_invocation(environment);
    }
    for (unsigned index = 0; index < rules.count; index++) {
        want_stale = want_stale || rules.items[index].output == SIM_OUTPUT_STALE;
    }
    began = now();
}

const char *sim_faults_problem(void)
{
    pthread_once(&once, load);
    return problem[0] == '\0' ? NULL : problem;
}

bool sim_faults_wanted(void)
{
    pthread_once(&once, load);
    return rules.count > 0;
}

bool sim_faults_want_stale(void)
{
    return !sim_calls_unwatched() && want_stale;
}

/* ---- Calls ---- */

static void wait_as_told(const sim_rule *rule)
{
    wait_for(rule->hang_s);
    wait_for(rule->slow_s);
}

/* The failure of a lost device as a status; untouched where it is not lost for this function. */
static void fail_if_lost(sim_function_number function, unsigned device, sim_status *status)
{
    const sim_rule *lost = sim_rules_lost(&rules, function, device);
    if (lost != NULL) {
        sim_status_set(status, lost->code != CNRT_RET_SUCCESS ? lost->code : CNRT_RET_ERR_NODEV,
                       "Device %u is lost because %s says so%s.", device, lost->said_by,
                       lost->end == SIM_FAULT_FOREVER ? "" : ": a new cnrtInit brings it back");
    }
}

static void fail_as_told(const sim_fault *fault, sim_status *status)
{
    if (fault->rule->code != CNRT_RET_SUCCESS) {
        sim_status_set(status, fault->rule->code, "Call %lld of %s failed because %s says so.",
                       (long long)fault->number, sim_function_name(fault->rule->function), fault->rule->said_by);
    }
}

cnrtRet_t sim_faults_meet(sim_function_number function, int direction)
{
    sim_status status = {.code = CNRT_RET_SUCCESS, .text = ""};
    current = (sim_fault){.rule = NULL};
    if (rules.count == 0) {
        return CNRT_RET_SUCCESS;
    }
    const unsigned device = sim_runtime_ordinal();
    const sim_call call = {function, direction, device, now() - began};
    const sim_fault fault = sim_rules_match(&rules, &call);
    if (fault.rule != NULL) {
        if (fault.first) { /* once: a rule may hit every call */
            fprintf(stderr, "cnrt simulator: call %lld of %s does what %s says\n", (long long)fault.number,
                    sim_function_name(function), fault.rule->said_by);
        }
        if (!fault.rule->in_queue) {
            wait_as_told(fault.rule);
            fail_as_told(&fault, &status);
        }
        current = fault;
    }
    fail_if_lost(function, device, &status);
    if (status.code != CNRT_RET_SUCCESS) {
        sim_order_pardon();
    }
    return sim_error_set_status(&status);
}

sim_fault sim_faults_take(void)
{
    const sim_fault fault = current;
    current = (sim_fault){.rule = NULL};
    return fault;
}

/* ---- Work in queues ---- */

void sim_faults_begin(const sim_fault *fault, unsigned device, sim_clock *clock, sim_status *status)
{
    if (sim_calls_unwatched()) {
        return;
    }
    if (fault->rule != NULL && fault->rule->in_queue) {
        wait_as_told(fault->rule);
        sim_clock_spend(clock, fault->rule->hang_s + fault->rule->slow_s);
        fail_as_told(fault, status);
    }
    fail_if_lost(SIM_CALL_cnrtSyncDevice, device, status);
}

void sim_faults_end(const sim_fault *fault, int64_t begun, int64_t clock_before, sim_clock *clock)
{
    if (fault->rule != NULL && fault->rule->slow_factor > 1) {
        const double further = fault->rule->slow_factor - 1;
        wait_for(further * (double)(sim_clock_host() - begun) / 1e9);
        sim_clock_spend(clock, further * (double)(clock->nanoseconds - clock_before) / 1e9);
    }
}

void sim_faults_mend(sim_fault_end what)
{
    if (!sim_calls_unwatched()) {
        sim_rules_mend(&rules, what);
    }
}

/* ---- Outputs ---- */

bool sim_fault_touches(const sim_fault *fault, int tensor)
{
    return fault->rule != NULL && fault->rule->output != SIM_OUTPUT_RIGHT &&
           (fault->rule->tensor == SIM_ANY || fault->rule->tensor == tensor);
}

void sim_fault_spoil(const sim_fault *fault, int tensor, void *bytes, size_t count)
{
    uint8_t *data = bytes;
    if (!sim_fault_touches(fault, tensor) || count == 0) {
        return;
    }
    if (fault->rule->output == SIM_OUTPUT_ZERO) {
        memset(data, 0, count);
    }
    for (int64_t bit = 0; fault->rule->output == SIM_OUTPUT_CORRUPTED && bit < fault->rule->bits; bit++) {
        const uint64_t random = sim_rule_random(fault->rule->seed, fault->number, (uint64_t)bit + 1);
        data[(random >> 3) % count] ^= (uint8_t)(1u << (random & 7));
    }
}
