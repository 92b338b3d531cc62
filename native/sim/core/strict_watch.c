#define _GNU_SOURCE
#include "core/strict_watch.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/recording.h"

enum { MOST_WATCHES = 512, AT_ONCE = 1 << 14 };

typedef struct watch {
    sim_watched what;
    uintptr_t begin;
    size_t bytes;
    uint64_t digest;
    sim_point point;
    sim_site site;
} watch;

static watch watches[MOST_WATCHES]; /* oldest first */
static unsigned watch_count;
static bool writes_lost; /* one that is to come had no room: nobody knows what memory will hold until all are settled */

static const char *const WHAT[] = {
    [SIM_WATCH_SOURCE] = "host memory that the copy reads",
    [SIM_WATCH_DESTINATION] = "host memory that the copy writes",
    [SIM_WATCH_ARRAY] = "array of buffers of the invocation",
};

typedef enum seen { SEEN, GONE, UNKNOWN } seen;

/* A digest of host memory, by a call that fails where a load would end the process. */
static seen look(uintptr_t begin, size_t bytes, uint64_t *digest)
{
    static uint64_t room[AT_ONCE / sizeof(uint64_t)]; /* guarded by the lock */
    *digest = 0;
    for (size_t done = 0; done < bytes;) {
        const size_t take = bytes - done < AT_ONCE ? bytes - done : AT_ONCE;
        const struct iovec to = {room, take}, from = {(void *)(begin + done), take};
        const ssize_t got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
        if (got <= 0) {
            return got < 0 && errno != EFAULT ? UNKNOWN : GONE;
        }
        *digest = sim_digest(room, (size_t)got, *digest);
        done += (size_t)got;
    }
    return SEEN;
}

/* What is to be kept of it: of memory that is written only whether it is there, by its ends. */
static seen inspect(const watch *one, uint64_t *digest)
{
    if (one->what != SIM_WATCH_DESTINATION) {
        return look(one->begin, one->bytes, digest);
    }
    const seen first = look(one->begin, 1, digest);
    return first == SEEN ? look(one->begin + one->bytes - 1, 1, digest) : first;
}

static void forget(unsigned index)
{
    watch_count--;
    for (; index < watch_count; index++) {
        watches[index] = watches[index + 1];
    }
}

/* Who comes after it: memory that will be written stays so until that is over, or another write takes its place. */
static bool takes_its_place(const watch *added, const watch *one)
{
    const bool covers = added->begin <= one->begin && one->begin + one->bytes <= added->begin + added->bytes;
    return one->what != SIM_WATCH_DESTINATION || (added->what == SIM_WATCH_DESTINATION && covers);
}

static bool overlaps(const watch *one, uintptr_t begin, size_t bytes)
{
    return one->begin < begin + bytes && begin < one->begin + one->bytes;
}

static void tell(const watch *one, const char *happened)
{
    sim_strict_tell_at(
        SIM_FOUND_REUSED, &one->site,
        "The %s (%zu bytes at %p) %s before the program had synchronised with it: a device may come to it "
        "at any time until then. Leave it alone until cnrtSyncQueue.",
        WHAT[one->what], one->bytes, (void *)one->begin, happened);
}

static void compare(const watch *one)
{
    uint64_t digest;
    const seen found = inspect(one, &digest);
    if (found == GONE) {
        tell(one, "was freed");
    } else if (found == SEEN && one->what != SIM_WATCH_DESTINATION && digest != one->digest) {
        tell(one, "was changed or freed");
    }
}

void sim_watch_add(sim_watched what, const void *host, size_t bytes, sim_point point)
{
    watch added = {.what = what, .begin = (uintptr_t)host, .bytes = bytes, .point = point, .site = sim_call_now()};
    writes_lost = writes_lost && watch_count > 0;
    bool follows_a_write = false; /* of the same queue: nobody can say now what it will hold */
    for (unsigned index = watch_count; index-- > 0;) {
        const watch one = watches[index];
        if (overlaps(&one, added.begin, bytes)) {
            follows_a_write = follows_a_write || one.what == SIM_WATCH_DESTINATION;
            if (takes_its_place(&added, &one)) {
                compare(&one);
                forget(index);
            }
        }
    }
    if (watch_count == MOST_WATCHES) {
        writes_lost = writes_lost || watches[0].what == SIM_WATCH_DESTINATION;
        forget(0);
    }
    const bool known = inspect(&added, &added.digest) == SEEN;
    if (known && point.queue != 0 && (what == SIM_WATCH_DESTINATION || !(follows_a_write || writes_lost))) {
        watches[watch_count++] = added;
    }
}

void sim_watch_settle(sim_point point)
{
    for (unsigned index = watch_count; index-- > 0;) {
        const watch one = watches[index];
        if (one.point.queue == point.queue && one.point.work <= point.work) {
            forget(index);
            compare(&one);
        }
    }
}

void sim_watch_forget(void)
{
    watch_count = 0;
}

void sim_watch_freed(const void *host, size_t bytes)
{
    for (unsigned index = watch_count; index-- > 0;) {
        const watch one = watches[index];
        if (overlaps(&one, (uintptr_t)host, bytes)) {
            forget(index);
            tell(&one, "was freed (cnrtFreeHost)");
        }
    }
}

void sim_watch_read(const void *host, size_t bytes)
{
    for (unsigned index = 0; index < watch_count; index++) {
        if (watches[index].what == SIM_WATCH_DESTINATION && overlaps(&watches[index], (uintptr_t)host, bytes)) {
            tell(&watches[index], "was read");
        }
    }
}
