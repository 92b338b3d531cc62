#include "core/strict_bytes.h"

#include <string.h>

#include "core/strict_bits.h"

size_t sim_side_offset(sim_strict_side side)
{
    return (size_t)((uintptr_t)side.address - side.block->base);
}

/* ---- Order ---- */

static const char *doing(const sim_access *access)
{
    return access->writes ? "writes" : "reads";
}

static void tell_disorder(const sim_strict_block *block, const sim_access *other, const char *use, uint64_t queue)
{
    char buffer[SIM_BLOCK_TEXT], site[SIM_SITE_TEXT];
    sim_block_text(block, buffer);
    sim_site_text(&other->site, site);
    if (queue == 0) {
        sim_strict_tell(SIM_FOUND_NOT_SYNCHRONISED,
                        "%s %s, but %s, which %s it, was not synchronised. Call cnrtSyncQueue before.", buffer, use,
                        site, doing(other));
    } else {
        sim_strict_tell(
            SIM_FOUND_NOT_SYNCHRONISED,
            "%s %s by this queue, but %s in another queue, which %s it, need not be over then. Let this queue "
            "wait for a notifier placed behind it (cnrtQueueWaitNotifier), or synchronise.",
            buffer, use, site, doing(other));
    }
}

/* Forgets what is over, and enters an access; one like it that the same queue does later stands for both. */
static void remember(sim_strict_block *block, const sim_access *access)
{
    unsigned kept = 0;
    for (unsigned index = 0; index < block->access_count; index++) {
        const sim_access *one = &block->accesses[index];
        const bool same = one->point.queue == access->point.queue && one->begin == access->begin &&
                          one->end == access->end && one->writes == access->writes;
        if (!same && sim_order_is_pending(one->point)) {
            block->accesses[kept++] = *one;
        }
    }
    if (kept == SIM_MOST_ACCESSES) { /* nothing wrong is told of what is forgotten */
        kept--;
        memmove(block->accesses, block->accesses + 1, kept * sizeof *block->accesses);
    }
    block->accesses[kept++] = *access;
    block->access_count = kept;
}

void sim_bytes_use(sim_strict_block *block, size_t begin, size_t end, bool writes, sim_point point, const char *how)
{
    const sim_access access = {point, begin, end, writes, sim_call_now()};
    for (unsigned index = 0; index < block->access_count; index++) {
        const sim_access *one = &block->accesses[index];
        if (one->begin < end && begin < one->end && (writes || one->writes) &&
            !sim_order_is_before(one->point, point.queue)) {
            tell_disorder(block, one, how, point.queue);
            break;
        }
    }
    if (point.queue != 0) {
        remember(block, &access);
    }
}

/* ---- What was written ---- */

void sim_output_overlapped(sim_strict_output *output, size_t begin, size_t end)
{
    if (output->begin < end && begin < output->end) {
        output->end = output->begin;
    }
}

static void forget_copies(sim_strict_block *block, size_t begin, size_t end)
{
    for (int index = 0; index < SIM_MOST_COPIES; index++) {
        sim_strict_copy_in *one = &block->copies[index];
        if (one->begin < end && begin < one->end) {
            one->end = one->begin;
        }
    }
}

void sim_bytes_written(sim_strict_block *block, size_t begin, size_t end)
{
    sim_bits_set(block->written, begin, end, true);
    sim_output_overlapped(&block->doubted, begin, end);
    forget_copies(block, begin, end);
    sim_output_overlapped(&block->unread, begin, end);
}
