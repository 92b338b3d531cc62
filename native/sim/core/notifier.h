/* Notifiers: marks in a queue with the time at which the queue passed them. */
#ifndef SIM_CORE_NOTIFIER_H
#define SIM_CORE_NOTIFIER_H

#include "core/queue.h"

typedef struct sim_notifier sim_notifier;

sim_notifier *sim_notifier_create(void); /* reports its own failure and returns NULL */
void *sim_notifier_handle(const sim_notifier *notifier);

cnrtRet_t sim_notifier_place(sim_notifier *notifier, sim_queue *queue);
/* Makes everything submitted to `queue` afterwards wait for the notifier's latest placement. */
cnrtRet_t sim_notifier_hold_queue(sim_notifier *notifier, sim_queue *queue);
void sim_notifier_wait(sim_notifier *notifier);
bool sim_notifier_is_passed(sim_notifier *notifier); /* also when it was never placed */

/* Time of the latest passed placement, in nanoseconds of its queue's clock. False: never placed, or not passed yet. */
bool sim_notifier_time(sim_notifier *notifier, int64_t *nanoseconds);

#endif
