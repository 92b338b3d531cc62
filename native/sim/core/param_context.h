/* Contexts of named parameters: bytes by name, as cnrtMallocBufferEx is told what to allocate. Any thread may use one. */
#ifndef SIM_CORE_PARAM_CONTEXT_H
#define SIM_CORE_PARAM_CONTEXT_H

#include "core/error.h"
#include "core/object.h"

typedef struct sim_param_context sim_param_context;

enum { SIM_LONGEST_NAMED_PARAM = 64, SIM_MOST_NAMED_BYTES = 1 << 20, SIM_MOST_NAMED_PARAMS = 256 };

sim_param_context *sim_param_context_create(void); /* NULL after reporting */
void *sim_param_context_handle(const sim_param_context *context);

/* Keeps a copy; a second value of one name takes the place of the first. Bounds of name and bytes are the caller's. */
cnrtRet_t sim_param_context_add(sim_param_context *context, const char *name, const void *data, size_t bytes);
/* Copies the value of `name`: NO_EXIST when there is none, MEMCPY when it has more than `room` bytes. */
cnrtRet_t sim_param_context_read(sim_param_context *context, const char *name, void *out, size_t room, size_t *bytes);

#endif
