/* Queues: asynchronous, first in first out, one worker thread each.
 *
 * Work is a small record that the queue owns: take one, fill it, submit it. Records are reused, so a program in its steady
 * state allocates nothing per frame. */
#ifndef SIM_CORE_QUEUE_H
#define SIM_CORE_QUEUE_H

#include "core/clock.h"
#include "core/error.h"
#include "core/faults.h"
#include "core/memory.h"
#include "core/object.h"
#include "core/strict_order.h"
#include "exec/exec.h"

typedef struct sim_queue sim_queue;
typedef struct sim_work sim_work;
struct sim_context;
struct sim_notifier;

struct sim_work {
    sim_work *next;
    sim_queue *queue;
    sim_fault fault;      /* of the call that submitted it */
    const char *function; /* that this was; for log and trace alone */
    uint64_t bytes;       /* that it moves, for the trace; 0 where nobody says */
    bool joins;           /* a mark that has the time of the one before it */
    /* Does the work and releases everything that the record holds. On failure it fills `status`, which may hold one
     * already: the work is not to be done then. */
    void (*run)(sim_work *work, sim_status *status);
    union {
        struct {
            void *destination;
            const void *source;
            size_t bytes;
            sim_block *blocks[2];
        } copy;
        struct {
            void *destination;
            size_t count;
            uint32_t value;
            bool words;
            sim_block *block;
        } fill;
        struct {
            struct sim_notifier *notifier;
            uint64_t placement;
        } notify;
        struct {
            struct sim_context *context;
            int count;
            void *buffers[SIM_MAX_TENSORS];
            sim_block *blocks[SIM_MAX_TENSORS];
        } invoke;
    } as;
};

/* Reports its own failure and returns NULL. The reference belongs to the handle. */
sim_queue *sim_queue_create(unsigned ordinal);
void *sim_queue_handle(const sim_queue *queue);
/* The queue of a handle, or for NULL the default queue of the current device, with a reference for the caller.
 * NULL after reporting the failure. */
sim_queue *sim_queue_get(const void *handle);
/* Closes the handle; pending work still runs. False when it is no open queue. */
bool sim_queue_close(const void *handle);
uint64_t sim_queue_order(const sim_queue *queue); /* its number for core/strict_order.h; 0 for NULL */
unsigned sim_queue_ordinal(const sim_queue *queue);
/* Where the device is in the queue: for its own work, while that runs. */
sim_clock *sim_queue_clock(sim_queue *queue);

sim_work *sim_queue_take_work(sim_queue *queue);              /* NULL after reporting NOMEM */
void sim_queue_return_work(sim_queue *queue, sim_work *work); /* unused */
void sim_queue_submit(sim_queue *queue, sim_work *work);
/* A mark: it has the time of a mark directly before it, if the host did nothing between the two that takes time. */
void sim_queue_submit_mark(sim_queue *queue, sim_work *work);
/* The calling thread copied, or learned how far a queue is: a mark after that is no part of those before. */
void sim_queue_host_waited(void);

/* Waits for everything submitted before the call. Returns the first failure since the last sync, and forgets it. */
cnrtRet_t sim_queue_sync(sim_queue *queue);
/* Like sync for every queue of a device, but leaves failures for their own queue's next sync. */
cnrtRet_t sim_queue_sync_device(unsigned ordinal);
bool sim_queue_is_idle(sim_queue *queue);

#endif
