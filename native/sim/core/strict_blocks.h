/* What CNRT_SIMULATOR_STRICT keeps of each buffer. The program holds addresses where nothing lies (the bytes are elsewhere), so
 * that the host cannot use device memory; they are not given to another buffer for a while after they were freed. */
#ifndef SIM_CORE_STRICT_BLOCKS_H
#define SIM_CORE_STRICT_BLOCKS_H

#include "core/strict.h"
#include "core/strict_order.h"
#include "core/strict_place.h"

enum { SIM_MOST_COPIES = 4, SIM_MOST_ACCESSES = 32, SIM_BLOCK_TEXT = 2 * SIM_SITE_TEXT + 128 };

/* The program wrote here from the host. */
typedef struct sim_strict_copy_in {
    size_t begin, end;
    sim_site site;
} sim_strict_copy_in;

/* A model wrote its output here. */
typedef struct sim_strict_output {
    const void *model;
    char name[64];
    size_t begin, end;
    sim_site site;
} sim_strict_output;

typedef struct sim_strict_block {
    uintptr_t base;
    size_t bytes;
    void *space;     /* the address space around it that is kept empty, a page more at each end; NULL for host memory */
    size_t reserved; /* of which */
    unsigned number; /* of all buffers */
    sim_site allocated, freed;
    bool live, is_device, leak_told;
    bool mapped; /* the host reads and writes it itself: its content is not followed any more */
    /* Below: guarded by sim_strict_lock. */
    uint8_t *written;
    sim_strict_copy_in copies[SIM_MOST_COPIES]; /* the latest first; end 0: none */
    sim_strict_output unread, bound;            /* bound: the last model that used all of it */
    sim_strict_output doubted;                  /* computed from what was never written: not written either */
    char *doubt;                                /* why, or NULL */
    sim_access accesses[SIM_MOST_ACCESSES];     /* by queues, not known to be over */
    unsigned access_count;
} sim_strict_block;

/* For new memory at `store`; `base` becomes the address that the program is to hold. NULL: no memory. */
sim_strict_block *sim_strict_block_create(bool is_device, size_t bytes, void *store, void **base);
void sim_strict_block_cancel(sim_strict_block *block); /* of a creation: the program has not seen it */
void sim_strict_block_free(sim_strict_block *block);   /* NULL: nothing. Tells pending work; kept for a while */

/* "buffer 3 (4096 bytes, cnrtMalloc (call 2, at program+0x1234))" */
void sim_block_text(const sim_strict_block *block, char text[SIM_BLOCK_TEXT]);

/* Calls `visit` with each live buffer. */
void sim_strict_blocks_each(void (*visit)(sim_strict_block *block, void *argument), void *argument);

/* The buffer that holds this address, or did; host memory or device memory. False: none. */
bool sim_strict_find(const void *address, bool is_device, sim_strict_block *copy);

/* In a signal handler: adds what lies at an address, and what to do instead. False: nothing that is known. */
bool sim_strict_describe(const void *address, sim_text *text);

#endif
