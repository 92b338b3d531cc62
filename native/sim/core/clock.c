#define _POSIX_C_SOURCE 200809L
#include "core/clock.h"

#include <errno.h>
#include <math.h>
#include <time.h>

int64_t sim_clock_host(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sim_clock_reach(sim_clock *clock, int64_t nanoseconds)
{
    clock->nanoseconds = nanoseconds > clock->nanoseconds ? nanoseconds : clock->nanoseconds;
}

void sim_clock_follow_host(sim_clock *clock)
{
    sim_clock_reach(clock, sim_clock_host());
}

void sim_clock_spend(sim_clock *clock, double seconds)
{
    clock->nanoseconds += (int64_t)llround(seconds * 1e9);
}

void sim_clock_sleep(int64_t since, double seconds)
{
    if (!(seconds > 0)) {
        return;
    }
    const int64_t end = since + (int64_t)(seconds * 1e9);
    const struct timespec until = {.tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}
