/* What a program may know to be over: the work that it synchronised with. A queue's work counts from 1; what a queue waits for
 * by a notifier it knows too. Everything is judged by what the program asked for, not by how far the queues are. */
#ifndef SIM_CORE_STRICT_ORDER_H
#define SIM_CORE_STRICT_ORDER_H

#include "core/strict.h"

enum { SIM_MOST_KNOWN = 8 };

/* A point in a queue; queue 0: none. */
typedef struct sim_point {
    uint64_t queue, work;
} sim_point;

/* One point that is passed, and what is passed with it. */
typedef struct sim_mark {
    sim_point point, known[SIM_MOST_KNOWN];
} sim_mark;

/* Work of a queue uses bytes of a buffer. */
typedef struct sim_access {
    sim_point point;
    size_t begin, end;
    bool writes;
    sim_site site;
} sim_access;

/* Guards all that strict mode knows of buffers and of order. Nothing else is locked inside it but what tells findings. */
void sim_strict_lock(void);
void sim_strict_unlock(void);

uint64_t sim_order_open(void); /* a new queue's number; 0 when there are too many, it is not followed then */
/* The queue was destroyed: tells it when its work was not synchronised, which it counts as from now on. */
void sim_order_close(uint64_t queue);
sim_mark sim_order_now(uint64_t queue);                    /* the end of what it was given */
void sim_order_passed(const sim_mark *mark);               /* the host has waited for it */
void sim_order_hold(uint64_t queue, const sim_mark *mark); /* the queue waits for it */
/* A fault that was asked for made a call fail, which may have been a wait: nothing before is held against the program. */
void sim_order_pardon(void);
void sim_order_tell_pending(void); /* at the program's end */

/* With the lock held. */
sim_point sim_order_add(uint64_t queue); /* work, of the current call; queue 0: the host's, at once */
bool sim_order_is_pending(sim_point point);
bool sim_order_is_before(sim_point point, uint64_t queue); /* over before what the queue (0: the host) is given now */

#endif
