#include "core/issued.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct issue {
    void *address;
    size_t count;
    sim_issue kind;
} issue;

/* Sorted by address. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static issue *issues;
static size_t count_of_issues, capacity;

/* Index of the first entry whose address is not below this one. */
static size_t lower_bound(const void *address)
{
    size_t low = 0, high = count_of_issues;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uintptr_t)issues[middle].address < (uintptr_t)address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(size_t index, sim_issue kind, const void *address)
{
    return index < count_of_issues && issues[index].address == address && issues[index].kind == kind;
}

bool sim_issued_enter(sim_issue kind, void *address, size_t count)
{
    pthread_mutex_lock(&lock);
    bool fits = count_of_issues < capacity;
    if (!fits) {
        const size_t larger = capacity == 0 ? 64 : capacity * 2;
        issue *grown = realloc(issues, larger * sizeof *grown);
        fits = grown != NULL;
        issues = fits ? grown : issues;
        capacity = fits ? larger : capacity;
    }
    if (fits) {
        const size_t index = lower_bound(address);
        memmove(&issues[index + 1], &issues[index], (count_of_issues - index) * sizeof *issues);
        issues[index] = (issue){address, count, kind};
        count_of_issues++;
    }
    pthread_mutex_unlock(&lock);
    return fits;
}

bool sim_issued_find(sim_issue kind, const void *address, size_t *count)
{
    pthread_mutex_lock(&lock);
    const size_t index = lower_bound(address);
    const bool found = is_at(index, kind, address);
    if (found) {
        *count = issues[index].count;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

bool sim_issued_leave(sim_issue kind, const void *address)
{
    pthread_mutex_lock(&lock);
    const size_t index = lower_bound(address);
    const bool found = is_at(index, kind, address);
    if (found) {
        count_of_issues--;
        memmove(&issues[index], &issues[index + 1], (count_of_issues - index) * sizeof *issues);
    }
    pthread_mutex_unlock(&lock);
    return found;
}
