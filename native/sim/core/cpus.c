#define _GNU_SOURCE
#include "core/cpus.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* A set of the kernel's is an array of unsigned long, of any length: on little-endian hosts the same bits as our words. */
enum { SETS = 32 * SIM_CPU_WORDS / CPU_SETSIZE };
_Static_assert(SETS * sizeof(cpu_set_t) == SIM_CPU_WORDS * sizeof(uint32_t), "a set is a row of words");
static uint32_t usable[SIM_CPU_WORDS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_up(void)
{
    cpu_set_t set[SETS];
    memset(set, 0, sizeof set);
    /* of the process's first thread: the calling one may have been bound since */
    if (sched_getaffinity(getpid(), sizeof set, set) == 0) {
        memcpy(usable, set, sizeof usable);
    } else {
        usable[0] = 1;
    }
}

const uint32_t *sim_cpus_of_process(void)
{
    pthread_once(&once, set_up);
    return usable;
}

unsigned sim_cpus_count(void)
{
    const long count = sysconf(_SC_NPROCESSORS_CONF);
    return count < 1 ? 1 : (unsigned)count;
}

bool sim_cpus_bind(const uint32_t words[SIM_CPU_WORDS])
{
    cpu_set_t set[SETS];
    memcpy(set, words, sizeof set);
    return sched_setaffinity(0, sizeof set, set) == 0;
}
