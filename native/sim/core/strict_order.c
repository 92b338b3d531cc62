#include "core/strict_order.h"

#include <pthread.h>
#include <string.h>

#include "core/strict_watch.h"

enum { MOST_QUEUES = 256 };

typedef struct queue_record {
    uint64_t number; /* 0: free */
    uint64_t submitted, settled;
    sim_site first; /* of what is not synchronised */
    sim_point known[SIM_MOST_KNOWN];
} queue_record;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static queue_record queues[MOST_QUEUES];
static uint64_t last_number;

void sim_strict_lock(void)
{
    pthread_mutex_lock(&lock);
}

void sim_strict_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static queue_record *record_of(uint64_t number)
{
    for (unsigned index = 0; number != 0 && index < MOST_QUEUES; index++) {
        if (queues[index].number == number) {
            return &queues[index];
        }
    }
    return NULL;
}

uint64_t sim_order_open(void)
{
    uint64_t number = 0;
    if (!sim_strict()) {
        return 0;
    }
    sim_strict_lock();
    for (unsigned index = 0; index < MOST_QUEUES && number == 0; index++) {
        if (queues[index].number == 0) {
            number = ++last_number;
            queues[index] = (queue_record){.number = number};
        }
    }
    sim_strict_unlock();
    return number;
}

/* ---- What is over ---- */

bool sim_order_is_pending(sim_point point)
{
    const queue_record *record = record_of(point.queue);
    return record != NULL && point.work > record->settled;
}

static void settle(sim_point point)
{
    queue_record *record = record_of(point.queue);
    if (record != NULL && point.work > record->settled) {
        record->settled = point.work;
        record->first = sim_call_now(); /* if there is more, somewhere after this call */
        sim_watch_settle(point);
    }
}

static void settle_mark(const sim_mark *mark)
{
    settle(mark->point);
    for (int index = 0; index < SIM_MOST_KNOWN; index++) {
        settle(mark->known[index]);
    }
}

void sim_order_passed(const sim_mark *mark)
{
    if (mark->point.queue != 0) {
        sim_strict_lock();
        settle_mark(mark);
        sim_strict_unlock();
    }
}

bool sim_order_is_before(sim_point point, uint64_t queue)
{
    const queue_record *record = record_of(queue);
    if (!sim_order_is_pending(point) || point.queue == queue) {
        return true;
    }
    bool full = record != NULL;
    for (int index = 0; record != NULL && index < SIM_MOST_KNOWN; index++) {
        if (record->known[index].queue == point.queue) {
            return point.work <= record->known[index].work;
        }
        full = full && record->known[index].queue != 0;
    }
    return full; /* it may have been forgotten: nothing wrong is told */
}

/* ---- What queues are given ---- */

sim_point sim_order_add(uint64_t queue)
{
    queue_record *record = record_of(queue);
    if (record == NULL) {
        return (sim_point){0, 0};
    }
    if (record->submitted++ == record->settled) {
        record->first = sim_call_now();
    }
    return (sim_point){queue, record->submitted};
}

sim_mark sim_order_now(uint64_t queue)
{
    sim_mark mark = {.point = {0, 0}};
    if (queue != 0) {
        sim_strict_lock();
        const queue_record *record = record_of(queue);
        if (record != NULL) {
            mark.point = (sim_point){queue, record->submitted};
            memcpy(mark.known, record->known, sizeof mark.known);
        }
        sim_strict_unlock();
    }
    return mark;
}

static void learn(queue_record *record, sim_point point)
{
    sim_point *place = NULL;
    if (point.queue == 0 || point.queue == record->number || !sim_order_is_pending(point)) {
        return;
    }
    for (int index = SIM_MOST_KNOWN - 1; index >= 0; index--) {
        sim_point *known = &record->known[index];
        if (known->queue == point.queue) {
            known->work = point.work > known->work ? point.work : known->work;
            return;
        }
        place = known->queue == 0 || !sim_order_is_pending(*known) ? known : place;
    }
    if (place != NULL) {
        *place = point;
    }
}

void sim_order_hold(uint64_t queue, const sim_mark *mark)
{
    if (queue == 0 || mark->point.queue == 0) {
        return;
    }
    sim_strict_lock();
    queue_record *record = record_of(queue);
    if (record != NULL) {
        learn(record, mark->point);
        for (int index = 0; index < SIM_MOST_KNOWN; index++) {
            learn(record, mark->known[index]);
        }
    }
    sim_strict_unlock();
}

/* ---- Ends ---- */

static void tell_pending(const queue_record *record, const char *what, const sim_site *site)
{
    if (record->submitted > record->settled) {
        char first[SIM_SITE_TEXT];
        sim_site_text(&record->first, first);
        sim_strict_tell_at(SIM_FOUND_NOT_SYNCHRONISED, site,
                           "%s work since %s was not synchronised (%llu in all): whether it was done, "
                           "and well, nobody knows. Call cnrtSyncQueue before.",
                           what, first, (unsigned long long)(record->submitted - record->settled));
    }
}

void sim_order_close(uint64_t queue)
{
    if (queue == 0) {
        return;
    }
    sim_strict_lock();
    queue_record *record = record_of(queue);
    if (record != NULL) {
        const sim_site site = sim_call_now();
        tell_pending(record, "The queue was destroyed while its", &site);
        settle((sim_point){queue, record->submitted});
        record->number = 0;
    }
    sim_strict_unlock();
}

void sim_order_pardon(void)
{
    if (!sim_strict()) {
        return;
    }
    sim_strict_lock();
    sim_watch_forget();
    for (unsigned index = 0; index < MOST_QUEUES; index++) {
        queues[index].settled = queues[index].submitted;
    }
    sim_strict_unlock();
}

void sim_order_tell_pending(void)
{
    sim_strict_lock();
    for (unsigned index = 0; index < MOST_QUEUES; index++) {
        if (queues[index].number != 0) {
            tell_pending(&queues[index], "The runtime was destroyed, or the program ended, while a queue's",
                         &queues[index].first);
        }
    }
    sim_strict_unlock();
}
