#define _POSIX_C_SOURCE 200809L
#include "core/clock.h"

#include <time.h>

void sim_clock_advance(sim_clock *clock)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t host = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    clock->nanoseconds = host > clock->nanoseconds ? host : clock->nanoseconds;
}
