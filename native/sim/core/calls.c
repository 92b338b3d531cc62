#define _POSIX_C_SOURCE 200809L
#include "core/calls.h"

#include <pthread.h>
#include <unistd.h>

#include "core/faults.h"
#include "core/log.h"
#include "core/strict.h"
#include "core/trace.h"

atomic_int sim_calls_state;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pid_t process;
static _Thread_local sim_site current;
/* Where it is, for threads that have one. A signal handler asks, too, and the first use of thread-local memory in a thread may
 * allocate it. No initial-exec for its sake: all of the library's thread-local memory would have to fit into the little that
 * glibc keeps for libraries that are opened late, and a second copy, or one after torch, could not be opened. */
static pthread_key_t key;
static bool has_key;

static void begin(void)
{
    process = getpid();
    has_key = pthread_key_create(&key, NULL) == 0;
    const bool faults = sim_faults_wanted(), strict = sim_strict_begin(), log = sim_log_wanted();
    const bool watched = faults || strict || log || sim_trace_wanted();
    atomic_store(&sim_calls_state, watched ? SIM_CALLS_WATCHED : SIM_CALLS_UNWATCHED);
}

void sim_call_begin(const char *function, atomic_uint *calls, const void *caller)
{
    pthread_once(&once, begin);
    if (!sim_calls_unwatched()) {
        current = (sim_site){caller, function, atomic_fetch_add(calls, 1) + 1};
        if (has_key) {
            pthread_setspecific(key, &current);
        }
    }
}

sim_site sim_call_now(void)
{
    const sim_site *site = has_key ? pthread_getspecific(key) : &current;
    return site != NULL ? *site : (sim_site){NULL, NULL, 0};
}

bool sim_calls_in_this_process(void)
{
    return getpid() == process;
}
