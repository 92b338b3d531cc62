#include "core/object.h"

#include <pthread.h>
#include <stdlib.h>

_Static_assert(sizeof(void *) == 8, "handles need 64-bit pointers");

/* Bits of a handle: 4 zero (it looks like an aligned pointer), 20 slot, 4 kind, 20 generation. */
enum { SLOT_SHIFT = 4, SLOT_BITS = 20, KIND_SHIFT = 24, GENERATION_SHIFT = 28, GENERATION_BITS = 20 };
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define GENERATION_MASK ((1u << GENERATION_BITS) - 1)

typedef struct slot {
    sim_object *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
} slot;

/* Free slots are taken oldest first, so that a stale handle meets its own generation again as late as possible. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static slot *table;
static uint32_t table_size, first_free = SLOT_MASK, last_free = SLOT_MASK;

static void append_free(uint32_t index)
{
    table[index].next_free = SLOT_MASK;
    if (last_free == SLOT_MASK) {
        first_free = index;
    } else {
        table[last_free].next_free = index;
    }
    last_free = index;
}

static bool grow(void)
{
    uint32_t size = table_size == 0 ? 256 : table_size * 2;
    if (size > SLOT_MASK) {
        return false;
    }
    slot *larger = realloc(table, size * sizeof *larger);
    if (larger == NULL) {
        return false;
    }
    table = larger;
    for (uint32_t index = table_size; index < size; index++) {
        table[index] = (slot){.object = NULL, .generation = 0};
        append_free(index);
    }
    table_size = size;
    return true;
}

bool sim_object_open(sim_object *object, sim_kind kind, void (*finish)(sim_object *))
{
    return sim_object_open_at(object, kind, finish, sim_strict() ? sim_call_now() : (sim_site){.address = NULL});
}

bool sim_object_open_at(sim_object *object, sim_kind kind, void (*finish)(sim_object *), sim_site site)
{
    atomic_init(&object->references, 1);
    object->closed = object->leak_told = false;
    object->site = site;
    object->kind = kind;
    object->finish = finish;
    pthread_mutex_lock(&table_lock);
    if (first_free == SLOT_MASK && !grow()) {
        pthread_mutex_unlock(&table_lock);
        return false;
    }
    uint32_t index = first_free;
    slot *entry = &table[index];
    first_free = entry->next_free;
    if (first_free == SLOT_MASK) {
        last_free = SLOT_MASK;
    }
    entry->generation = (entry->generation + 1) & GENERATION_MASK;
    if (entry->generation == 0) {
        entry->generation = 1;
    }
    entry->object = object;
    object->handle = (uintptr_t)entry->generation << GENERATION_SHIFT | (uintptr_t)kind << KIND_SHIFT |
                     (uintptr_t)index << SLOT_SHIFT;
    pthread_mutex_unlock(&table_lock);
    return true;
}

/* With the lock held: the object of this handle, or NULL. */
static sim_object *find(sim_kind kind, const void *handle)
{
    uintptr_t bits = (uintptr_t)handle;
    uint32_t index = (uint32_t)(bits >> SLOT_SHIFT) & SLOT_MASK;
    if (index >= table_size || table[index].object == NULL) {
        return NULL;
    }
    sim_object *object = table[index].object;
    return object->handle == bits && object->kind == kind ? object : NULL;
}

/* An object whose last reference is already gone may still stand in the table: it must not be revived. */
bool sim_object_retain_alive(void *object)
{
    atomic_uint *references = &((sim_object *)object)->references;
    unsigned count = atomic_load(references);
    while (count != 0) {
        if (atomic_compare_exchange_weak(references, &count, count + 1)) {
            return true;
        }
    }
    return false;
}

/* What a handle is that is not an open one of this kind. */
static void tell_bad(sim_kind kind, uintptr_t bits)
{
    static const char *const NAMES[] = {"nothing",
                                        "a model",
                                        "a function",
                                        "a runtime context",
                                        "a queue",
                                        "a notifier",
                                        "a quantization parameter",
                                        "a parameter descriptor",
                                        "a parameter context",
                                        "a kernel's parameter"};
    _Static_assert(sizeof NAMES / sizeof *NAMES == SIM_KINDS, "every kind of object has its name");
    const uint32_t index = (uint32_t)(bits >> SLOT_SHIFT) & SLOT_MASK, was = (uint32_t)(bits >> KIND_SHIFT) & 15;
    const uintptr_t generation = bits >> GENERATION_SHIFT;
    pthread_mutex_lock(&table_lock);
    const bool known = index < table_size && generation > 0 && generation <= table[index].generation && was >= 1 &&
                       was < sizeof NAMES / sizeof *NAMES;
    pthread_mutex_unlock(&table_lock);
    if (!known) {
        sim_strict_tell(SIM_FOUND_HANDLE,
                        "%p is not the handle of %s, and never was one. Let the call that makes one write it before.",
                        (void *)bits, NAMES[kind]);
    } else if (was != (uint32_t)kind) {
        sim_strict_tell(SIM_FOUND_HANDLE,
                        "%p is the handle of %s, where that of %s is needed. Pass that one: compare the order of the "
                        "arguments with the header.",
                        (void *)bits, NAMES[was], NAMES[kind]);
    } else {
        sim_strict_tell(SIM_FOUND_HANDLE,
                        "%p is the handle of %s that was destroyed. Destroy it after its last use, and once.",
                        (void *)bits, NAMES[kind]);
    }
}

static void *get(sim_kind kind, const void *handle, bool also_closed)
{
    pthread_mutex_lock(&table_lock);
    sim_object *object = find(kind, handle);
    if (object != NULL && ((object->closed && !also_closed) || !sim_object_retain_alive(object))) {
        object = NULL;
    }
    pthread_mutex_unlock(&table_lock);
    if (object == NULL && sim_strict() && handle != NULL) {
        tell_bad(kind, (uintptr_t)handle);
    }
    return object;
}

void *sim_object_get(sim_kind kind, const void *handle)
{
    return get(kind, handle, false);
}

void *sim_object_get_alive(sim_kind kind, const void *handle)
{
    return get(kind, handle, true);
}

void *sim_object_close(sim_kind kind, const void *handle)
{
    pthread_mutex_lock(&table_lock);
    sim_object *object = find(kind, handle);
    if (object != NULL && object->closed) {
        object = NULL;
    }
    if (object != NULL) {
        object->closed = true;
    }
    pthread_mutex_unlock(&table_lock);
    if (object == NULL && sim_strict() && handle != NULL) {
        tell_bad(kind, (uintptr_t)handle);
    }
    return object;
}

void *sim_object_retain(void *object)
{
    atomic_fetch_add(&((sim_object *)object)->references, 1);
    return object;
}

void sim_object_release(void *object)
{
    sim_object *base = object;
    if (base == NULL || atomic_fetch_sub(&base->references, 1) != 1) {
        return;
    }
    pthread_mutex_lock(&table_lock);
    uint32_t index = (uint32_t)(base->handle >> SLOT_SHIFT) & SLOT_MASK;
    table[index].object = NULL;
    append_free(index);
    pthread_mutex_unlock(&table_lock);
    base->finish(base);
}

void sim_objects_each(void (*visit)(sim_object *object, void *argument), void *argument)
{
    pthread_mutex_lock(&table_lock);
    for (uint32_t index = 0; index < table_size; index++) {
        if (table[index].object != NULL) {
            visit(table[index].object, argument);
        }
    }
    pthread_mutex_unlock(&table_lock);
}
