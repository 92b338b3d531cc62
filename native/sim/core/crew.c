#define _POSIX_C_SOURCE 200809L
#include "core/crew.h"

#include <assert.h>
#include <time.h>

#include "core/thread.h"

/* Time for which a member looks again and again before it sleeps: longer than the wake-up of a thread takes, so that it pays
 * between two layers, and short enough that a processor which somebody else wants is given up soon. */
enum { SPIN_NANOSECONDS = 40000, LOOKS_PER_CLOCK = 8 };

/* ---- Spinning ---- */

typedef struct spin {
    unsigned looks;
    int64_t end;
} spin;

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Whether to look once more. */
static bool keep_spinning(spin *s)
{
    relax();
    if (++s->looks % LOOKS_PER_CLOCK != 0) {
        return true;
    }
    const int64_t now = nanoseconds();
    if (s->end == 0) {
        s->end = now + SPIN_NANOSECONDS;
    }
    return now < s->end;
}

/* ---- Tasks ---- */

/* The first task of a member's part: equal parts, in order. */
static uint32_t start_of(uint32_t count, unsigned member, unsigned members)
{
    return (uint32_t)((uint64_t)count * member / members);
}

/* Does what is left of one member's part of that layer; how many tasks it did. Of its own a member takes several at once,
 * while many are left. */
static uint32_t do_part(sim_job *job, uint32_t layer, unsigned part, unsigned members, unsigned member)
{
    _Atomic uint64_t *place = &job->shares[part].ticket;
    uint32_t done = 0;
    uint64_t ticket = atomic_load(place);
    while ((uint32_t)(ticket >> 32) == layer && (uint32_t)ticket != 0) {
        const uint32_t left = (uint32_t)ticket, taken = part == member && left >= 8 ? left / 4 : 1;
        if (atomic_compare_exchange_weak(place, &ticket, ticket - taken)) {
            const size_t first =
                start_of(job->count, part + 1, members) - left; /* the job is this layer's until done */
            for (size_t index = first; index < first + taken; index++) {
                job->task(job->argument, index, member);
            }
            done += taken;
            ticket = atomic_load(place);
        }
    }
    return done;
}

/* Its own part, then the others'. */
static uint32_t do_tasks(sim_job *job, uint32_t layer, unsigned members, unsigned member)
{
    uint32_t done = 0;
    for (unsigned n = 0; n < members; n++) {
        done += do_part(job, layer, (member + n) % members, members, member);
    }
    return done;
}

/* Waits until helpers have finished so many tasks. */
static void await_helpers(sim_job *job, uint32_t tasks)
{
    spin s = {0};
    while (atomic_load(&job->done) != tasks) {
        if (!keep_spinning(&s)) {
            pthread_mutex_lock(&job->lock);
            atomic_store(&job->caller_sleeps, true);
            while (atomic_load(&job->done) != tasks) {
                pthread_cond_wait(&job->finished, &job->lock);
            }
            atomic_store(&job->caller_sleeps, false);
            pthread_mutex_unlock(&job->lock);
        }
    }
}

static void wake(sim_helper *helper)
{
    if (atomic_load(&helper->sleeps)) {
        pthread_mutex_lock(&helper->lock);
        pthread_cond_signal(&helper->called);
        pthread_mutex_unlock(&helper->lock);
    }
}

static void run_alone(size_t count, sim_task_fn task, void *argument)
{
    for (size_t index = 0; index < count; index++) {
        task(argument, index, 0);
    }
}

static void team_run(void *state, size_t count, sim_task_fn task, void *argument)
{
    sim_job *job = state;
    if (count <= 1 || job->helpers == 0) {
        run_alone(count, task, argument);
        return;
    }
    assert(count <= UINT32_MAX);
    job->task = task;
    job->argument = argument;
    job->count = (uint32_t)count;
    atomic_store_explicit(&job->done, 0, memory_order_relaxed);
    const unsigned members = 1 + (unsigned)__builtin_popcountll(job->helpers);
    const uint32_t layer = atomic_load_explicit(&job->layer, memory_order_relaxed) + 1;
    for (unsigned m = 0; m < members; m++) {
        const uint32_t part = start_of(job->count, m + 1, members) - start_of(job->count, m, members);
        atomic_store_explicit(&job->shares[m].ticket, (uint64_t)layer << 32 | part, memory_order_release);
    }
    atomic_store(&job->layer, layer);
    for (uint64_t left = job->helpers; left != 0; left &= left - 1) {
        wake(&job->crew->helpers[__builtin_ctzll(left)]);
    }
    const uint32_t own = do_tasks(job, layer, members, 0);
    await_helpers(job, job->count - own);
}

/* ---- Helpers ---- */

/* A call: number of the call << 32 | first seat of the team << 16 | members << 8 | member. No two are alike for long. */
static uint64_t call_of(uint32_t number, unsigned first, unsigned members, unsigned member)
{
    return (uint64_t)number << 32 | first << 16 | members << 8 | member;
}

static sim_job *job_of(const sim_helper *helper, uint64_t call)
{
    return &helper->crew->jobs[call >> 16 & 0xff];
}

/* Whether there is a layer for it that it has not seen. The call is asked for once more after the layer: a layer that was
 * handed out when the team of that call was over is seen together with the call's end. */
static bool has_work(const sim_helper *helper, uint64_t call, uint32_t *layer)
{
    if (call == 0) {
        return false;
    }
    *layer = atomic_load(&job_of(helper, call)->layer);
    return (call != helper->seen_call || *layer != helper->seen_layer) && atomic_load(&helper->call) == call;
}

static void help(sim_helper *helper, uint64_t call, uint32_t layer)
{
    sim_job *job = job_of(helper, call);
    helper->seen_call = call;
    helper->seen_layer = layer;
    const uint32_t done = do_tasks(job, layer, call >> 8 & 0xff, call & 0xff);
    if (done == 0) {
        return;
    }
    atomic_fetch_add(&job->done, done);
    if (atomic_load(&job->caller_sleeps)) {
        pthread_mutex_lock(&job->lock);
        pthread_cond_signal(&job->finished);
        pthread_mutex_unlock(&job->lock);
    }
}

static void sleep_until_called(sim_helper *helper)
{
    uint32_t layer;
    pthread_mutex_lock(&helper->lock);
    atomic_store(&helper->sleeps, true);
    while (!has_work(helper, atomic_load(&helper->call), &layer)) {
        pthread_cond_wait(&helper->called, &helper->lock);
    }
    atomic_store(&helper->sleeps, false);
    pthread_mutex_unlock(&helper->lock);
}

static void *helper_body(void *argument)
{
    sim_helper *helper = argument;
    spin s = {0};
    for (;;) {
        uint32_t layer;
        const uint64_t call = atomic_load(&helper->call);
        if (has_work(helper, call, &layer)) {
            help(helper, call, layer);
            s = (spin){0};
        } else if (call == 0 || !keep_spinning(&s)) {
            sleep_until_called(helper);
        }
    }
    return NULL;
}

/* ---- Teams ---- */

static bool start_helper(sim_helper *helper)
{
    if (!helper->started) {
        helper->started = sim_thread_start("cnrt-compute", helper_body, helper);
    }
    return helper->started;
}

static void call_helper(sim_helper *helper, uint32_t first, unsigned members, unsigned member)
{
    atomic_store(&helper->call, call_of(++helper->calls, first, members, member));
}

sim_team sim_crew_gather(sim_crew *crew, uint64_t seats, unsigned size)
{
    if (size == 1) {
        return SIM_TEAM_OF_ONE;
    }
    const unsigned first = (unsigned)__builtin_ctzll(seats);
    sim_job *job = &crew->jobs[first];
    job->helpers = 0;
    const unsigned most = size < SIM_MAX_MEMBERS ? size : SIM_MAX_MEMBERS;
    unsigned members = 1, member = 1;
    for (uint64_t left = seats & (seats - 1); left != 0 && members < most; left &= left - 1) {
        const unsigned seat = (unsigned)__builtin_ctzll(left);
        if (start_helper(&crew->helpers[seat])) { /* no thread to be had: a smaller team */
            job->helpers |= UINT64_C(1) << seat;
            members++;
        }
    }
    for (uint64_t left = job->helpers; left != 0; left &= left - 1) {
        call_helper(&crew->helpers[__builtin_ctzll(left)], first, members, member++);
    }
    return (sim_team){.size = size, .state = job, .run = team_run};
}

void sim_crew_dismiss(sim_crew *crew, const sim_team *team)
{
    sim_job *job = team->state;
    if (job == NULL) {
        return; /* a team of one */
    }
    for (uint64_t left = job->helpers; left != 0; left &= left - 1) {
        atomic_store(&crew->helpers[__builtin_ctzll(left)].call, 0);
    }
    job->helpers = 0;
}

void sim_crew_init(sim_crew *crew)
{
    for (unsigned seat = 0; seat < SIM_MAX_SEATS; seat++) {
        sim_job *job = &crew->jobs[seat];
        sim_helper *helper = &crew->helpers[seat];
        for (unsigned member = 0; member < SIM_MAX_MEMBERS; member++) {
            atomic_init(&job->shares[member].ticket, 0);
        }
        atomic_init(&job->layer, 0);
        atomic_init(&job->done, 0);
        atomic_init(&job->caller_sleeps, false);
        job->crew = helper->crew = crew;
        job->helpers = 0;
        pthread_mutex_init(&job->lock, NULL);
        pthread_cond_init(&job->finished, NULL);
        atomic_init(&helper->call, 0);
        atomic_init(&helper->sleeps, false);
        helper->started = false;
        helper->calls = helper->seen_layer = 0;
        helper->seen_call = 0;
        pthread_mutex_init(&helper->lock, NULL);
        pthread_cond_init(&helper->called, NULL);
    }
}
