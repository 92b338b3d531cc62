/* Memory that programs hold by its address, not by a handle, because the vendor's header lets them look inside: arrays of
 * parameter descriptors, buffers of kernel parameters. An address is followed only after it was found here. */
#ifndef SIM_CORE_ISSUED_H
#define SIM_CORE_ISSUED_H

#include <stdbool.h>
#include <stddef.h>

typedef enum sim_issue { SIM_ISSUE_PARAM_DESC_ARRAY, SIM_ISSUE_KERNEL_PARAMS } sim_issue;

/* `count` is what the kind makes of it. False when there is no memory. */
bool sim_issued_enter(sim_issue kind, void *address, size_t count);
bool sim_issued_find(sim_issue kind, const void *address, size_t *count);
/* Forgets the address: of several threads one gets true. */
bool sim_issued_leave(sim_issue kind, const void *address);

#endif
