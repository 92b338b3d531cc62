/* How much strict mode keeps, and what it does beyond that: nothing that is wrong is told of what it forgot. */
#include <string.h>
#include <unistd.h>

#include "api_check.h"
#include "core/strict_blocks.h"
#include "core/strict_watch.h"

static sim_point give_work(uint64_t queue)
{
    sim_strict_lock();
    const sim_point point = sim_order_add(queue);
    sim_strict_unlock();
    return point;
}

static void wait_for(uint64_t queue)
{
    const sim_mark mark = sim_order_now(queue);
    sim_order_passed(&mark);
}

static bool is_before(sim_point point, uint64_t queue)
{
    sim_strict_lock();
    const bool before = sim_order_is_before(point, queue);
    sim_strict_unlock();
    return before;
}

static void of_queues_256_are_followed_at_once(void)
{
    uint64_t queues[256];
    for (int index = 0; index < 256; index++) {
        queues[index] = sim_order_open();
        CHECK(queues[index] != 0);
    }
    CHECK(sim_order_open() == 0);
    sim_order_close(queues[0]);
    queues[0] = sim_order_open();
    CHECK(queues[0] != 0);
    for (int index = 0; index < 256; index++) {
        sim_order_close(queues[index]);
    }
}

static void a_queue_knows_of_8_others_what_it_waited_for(void)
{
    const uint64_t waiting = sim_order_open(), last = sim_order_open();
    const sim_point never = give_work(last);
    uint64_t others[8];
    for (int index = 0; index < 8; index++) {
        CHECK(!is_before(never, waiting));
        others[index] = sim_order_open();
        give_work(others[index]);
        const sim_mark mark = sim_order_now(others[index]);
        sim_order_hold(waiting, &mark);
    }
    CHECK(is_before(never, waiting)); /* it might be one that found no room */
    for (int index = 0; index < 8; index++) {
        wait_for(others[index]);
        sim_order_close(others[index]);
    }
    wait_for(last);
    sim_order_close(last);
    sim_order_close(waiting);
}

/* Findings after the first of so many pieces of host memory was changed while copies read them. */
static unsigned findings_of(uint8_t *memory, int pieces, size_t bytes, size_t changed)
{
    const uint64_t queue = sim_order_open();
    const unsigned before = sim_strict_count();
    for (int piece = 0; piece < pieces; piece++) {
        const sim_point point = give_work(queue);
        sim_strict_lock();
        sim_watch_add(SIM_WATCH_SOURCE, memory + (size_t)piece * bytes, bytes, point);
        sim_strict_unlock();
    }
    memory[changed]++;
    wait_for(queue);
    sim_order_close(queue);
    return sim_strict_count() - before;
}

static void the_latest_512_pieces_of_host_memory_are_watched(void)
{
    static uint8_t memory[513 * 16];
    CHECK(findings_of(memory, 512, 16, 0) == 1);
    CHECK(findings_of(memory, 513, 16, 0) == 0);
    CHECK(findings_of(memory, 513, 16, 16) == 1);
}

static void all_of_a_large_piece_is_watched(void)
{
    static uint8_t memory[50000];
    CHECK(findings_of(memory, 1, sizeof memory, 0) == 1);
    CHECK(findings_of(memory, 1, sizeof memory, 20000) == 1);
    CHECK(findings_of(memory, 1, sizeof memory, sizeof memory - 1) == 1);
}

static void a_buffer_costs_little_whatever_its_size(void)
{
    CHECK(sizeof(sim_strict_block) <= 3072); /* the last 4 copies in, and 32 uses by queues */
}

static void of_places_1024_are_told_and_all_findings_counted(void)
{
    FILE *lines = tmpfile();
    const int own = dup(STDERR_FILENO);
    CHECK(lines != NULL && own >= 0 && dup2(fileno(lines), STDERR_FILENO) >= 0);
    const unsigned before = sim_strict_count();
    for (uint32_t number = 1; number <= 1100; number++) {
        const sim_site site = {(const void *)(uintptr_t)number, "cnrtMalloc", number};
        sim_strict_tell_at(SIM_FOUND_SIZE, &site, "a sentence");
    }
    CHECK(dup2(own, STDERR_FILENO) >= 0);
    int told = 0;
    rewind(lines);
    for (int c = getc(lines); c != EOF; c = getc(lines)) {
        told += c == '\n';
    }
    CHECK(sim_strict_count() - before == 1100);
    CHECK(told == 1024 - 1); /* and the one place of the cases above */
    fclose(lines);
    close(own);
}

int main(void)
{
    atomic_store(&sim_strict_on, true);
    RUN(of_queues_256_are_followed_at_once);
    RUN(a_queue_knows_of_8_others_what_it_waited_for);
    RUN(the_latest_512_pieces_of_host_memory_are_watched);
    RUN(all_of_a_large_piece_is_watched);
    RUN(a_buffer_costs_little_whatever_its_size);
    RUN(of_places_1024_are_told_and_all_findings_counted);
    atomic_store(&sim_strict_on, false); /* no sum at the end */
    return 0;
}
