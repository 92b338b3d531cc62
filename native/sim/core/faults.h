/* Faults on demand, to try what a program does when a device fails: CNRT_SIMULATOR_FAULTS, ABI.md section 10.1.
 *
 * Every exported function that does something passes sim_faults_enter. What a call is told to do later (in its queue, to its
 * outputs) waits in the calling thread until sim_faults_take. */
#ifndef SIM_CORE_FAULTS_H
#define SIM_CORE_FAULTS_H

#include "core/calls.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/rules.h"

cnrtRet_t sim_faults_meet(sim_function_number function, int direction);

/* Counts a call; hangs, slows down or fails it when that is asked for. `direction` of a copy, or SIM_ANY. */
static inline cnrtRet_t sim_faults_enter(sim_function_number function, int direction)
{
    return sim_calls_unwatched() ? CNRT_RET_SUCCESS : sim_faults_meet(function, direction);
}

/* Why the rules cannot be used, or NULL: cnrtInit refuses then. */
const char *sim_faults_problem(void);
bool sim_faults_wanted(void); /* whether there are any */
/* What the calling thread's current call is told to do later; once. */
sim_fault sim_faults_take(void);

/* Before a queue does a piece of work: hangs, slows down, or fills `status`. */
void sim_faults_begin(const sim_fault *fault, unsigned device, sim_clock *clock, sim_status *status);
/* After it; when it began by the host's clock, and by the queue's. */
void sim_faults_end(const sim_fault *fault, int64_t begun, int64_t clock_before, sim_clock *clock);

void sim_faults_mend(sim_fault_end what);

/* What a fault does to bytes that were to be written. */
bool sim_fault_touches(const sim_fault *fault, int tensor); /* SIM_ANY: a copy's */
void sim_fault_spoil(const sim_fault *fault, int tensor, void *bytes, size_t count);
bool sim_faults_want_stale(void); /* some rule needs what the invocation before wrote */

#endif
