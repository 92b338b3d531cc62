/* Host memory that pending work reads or writes, or that holds the pointers of an invocation: it must stay as it is until the
 * program has synchronised. Looked at by the system, so that memory which is gone is found rather than touched. */
#ifndef SIM_CORE_STRICT_WATCH_H
#define SIM_CORE_STRICT_WATCH_H

#include "core/strict_order.h"

typedef enum sim_watched { SIM_WATCH_SOURCE, SIM_WATCH_DESTINATION, SIM_WATCH_ARRAY } sim_watched;

/* All with sim_strict_lock held. */
void sim_watch_add(sim_watched what, const void *host, size_t bytes, sim_point point);
void sim_watch_settle(sim_point point); /* compares what was to stay until then, and forgets it */
void sim_watch_forget(void);            /* all of it, untold */
/* Host memory is being freed: tells what still used it. */
void sim_watch_freed(const void *host, size_t bytes);

/* The host reads memory now; tells what still writes it. */
void sim_watch_read(const void *host, size_t bytes);

#endif
