#define _GNU_SOURCE
#include "core/processors.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "core/crew.h"
#include "core/environment.h"
#include "core/seats.h"

enum { LONGEST_PATH = 4096 };

static unsigned count;
static sim_seats seats;
static sim_crew crew;
static pthread_once_t once = PTHREAD_ONCE_INIT;

unsigned sim_processors_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long quota = 0, period = 0;
    const int numbers = file == NULL ? 0 : fscanf(file, "%lu %lu", &quota, &period);
    if (file != NULL) {
        fclose(file);
    }
    if (numbers != 2 || period == 0) {
        return 0;
    }
    const unsigned long whole = quota / period + (quota % period > 0);
    return whole < SIM_MAX_SEATS ? (unsigned)whole : SIM_MAX_SEATS;
}

/* The path of this process's group below /sys/fs/cgroup, "" at its top; false if there is none (version 1, or no /proc). */
static bool read_group(char *path, int length)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    bool found = false;
    while (file != NULL && !found && fgets(path, length, file) != NULL) {
        found = strncmp(path, "0::/", 4) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    if (found) {
        path[strcspn(path, "\n")] = '\0';
        memmove(path, path + 3, strlen(path + 3) + 1);
    }
    return found;
}

/* The least share of time of the groups that this process is in; `most` without any. */
static unsigned limit_by_groups(unsigned most)
{
    char group[LONGEST_PATH], path[LONGEST_PATH + 64];
    if (!read_group(group, sizeof group)) {
        return most;
    }
    for (char *end = group + strlen(group); end != NULL; end = strrchr(group, '/')) {
        *end = '\0';
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
        const unsigned limit = sim_processors_limit(path);
        most = limit > 0 && limit < most ? limit : most;
    }
    return most;
}

static unsigned usable_processors(void)
{
    cpu_set_t set;
    const int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return limit_by_groups(allowed < 1 ? 1 : allowed > SIM_MAX_SEATS ? SIM_MAX_SEATS : (unsigned)allowed);
}

static void set_up(void)
{
    const unsigned wanted = sim_environment_get()->threads;
    count = wanted > 0 ? wanted : usable_processors();
    sim_seats_init(&seats, count);
    sim_crew_init(&crew);
}

unsigned sim_processors_count(void)
{
    pthread_once(&once, set_up);
    return count;
}

unsigned sim_processors_team_size(unsigned cores)
{
    const unsigned most = sim_processors_count();
    return cores < most ? cores : most;
}

void sim_processors_acquire(unsigned team_size, sim_hold *hold)
{
    hold->seats = sim_seats_take(&seats, team_size);
    hold->team = sim_crew_gather(&crew, hold->seats, team_size);
}

void sim_processors_release(sim_hold *hold)
{
    sim_crew_dismiss(&crew, &hold->team);
    sim_seats_give_back(&seats, hold->seats);
}
