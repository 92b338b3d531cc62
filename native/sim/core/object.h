/* Handles. A handle is a number, not an address: kind, slot and generation packed into the bits of a pointer. Looking one
 * up never follows it, so NULL, garbage, stale handles and handles of another kind are all told apart from live ones.
 *
 * An object lives as long as somebody holds a reference: the open handle (given back by sim_object_close), other objects,
 * pending work. Closing a handle does not end an object that a context or a queue still needs. */
#ifndef SIM_CORE_OBJECT_H
#define SIM_CORE_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/strict.h"

typedef enum sim_kind {
    SIM_KIND_MODEL = 1,
    SIM_KIND_FUNCTION,
    SIM_KIND_CONTEXT,
    SIM_KIND_QUEUE,
    SIM_KIND_NOTIFIER,
    SIM_KIND_QUANTIZED_PARAM,
    SIM_KIND_PARAM_DESC,
    SIM_KIND_PARAM_CONTEXT,
    SIM_KIND_KERNEL_INIT,
    SIM_KINDS,
} sim_kind;

typedef struct sim_object {
    atomic_uint references;
    bool closed; /* guarded by the table's lock */
    bool leak_told;
    sim_kind kind;
    uintptr_t handle;
    sim_site site;                             /* that opened it, while CNRT_SIMULATOR_STRICT looks */
    void (*finish)(struct sim_object *object); /* frees the object, called with the last reference */
} sim_object;

/* Enters a new object with one reference, which belongs to its open handle. False when there is no memory. */
bool sim_object_open(sim_object *object, sim_kind kind, void (*finish)(sim_object *));
/* The same for one that this call opened; an empty site: one that nobody has to give back. */
bool sim_object_open_at(sim_object *object, sim_kind kind, void (*finish)(sim_object *), sim_site site);
/* The object behind an open handle with a reference for the caller, or NULL. */
void *sim_object_get(sim_kind kind, const void *handle);
/* The same, but also after the handle was closed, for as long as anything keeps the object alive. */
void *sim_object_get_alive(sim_kind kind, const void *handle);
/* Closes the handle and passes its reference to the caller; NULL if it is not an open handle of this kind. */
void *sim_object_close(sim_kind kind, const void *handle);
void *sim_object_retain(void *object);
/* The same for one that is found in a list, where its last reference may be gone already: false then. */
bool sim_object_retain_alive(void *object);
void sim_object_release(void *object); /* NULL is allowed */

/* Calls `visit` with each object, closed ones too. */
void sim_objects_each(void (*visit)(sim_object *object, void *argument), void *argument);

#define SIM_HANDLE(type, object) ((type)((object)->base.handle))

#endif
