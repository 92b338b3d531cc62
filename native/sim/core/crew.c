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

/* How many tasks to take when so many are left: large shares first, single ones at the end, where members that took more
 * than their part would keep the others waiting. */
static uint32_t share_of(uint32_t left, unsigned members)
{
    const uint32_t share = left / (2 * members);
    return share > 1 ? share : 1;
}

/* With tasks of the ticket taken: does them. */
static void do_tasks(const sim_job *job, uint32_t left, uint32_t taken, unsigned member)
{
    const size_t first = job->count - left;
    for (size_t index = first; index < first + taken; index++) {
        job->task(job->argument, index, member);
    }
}

/* The caller's part: takes tasks until there are none; how many it did. */
static uint32_t work_as_caller(sim_job *job, unsigned members)
{
    uint32_t done = 0;
    uint64_t ticket = atomic_load_explicit(&job->ticket, memory_order_relaxed);
    while ((uint32_t)ticket != 0) {
        const uint32_t left = (uint32_t)ticket, taken = share_of(left, members);
        if (atomic_compare_exchange_weak(&job->ticket, &ticket, ticket - taken)) {
            do_tasks(job, left, taken, 0);
            done += taken;
            ticket = atomic_load_explicit(&job->ticket, memory_order_relaxed);
        }
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
    atomic_store(&job->ticket, (uint64_t)++job->layer << 32 | count);
    unsigned members = 1;
    for (uint64_t left = job->helpers; left != 0; left &= left - 1, members++) {
        wake(&job->crew->helpers[__builtin_ctzll(left)]);
    }
    const uint32_t own = work_as_caller(job, members);
    await_helpers(job, job->count - own);
}

/* ---- Helpers ---- */

/* A call: number of the call << 32 | first seat of the team << 16 | members << 8 | member. No two are alike for long. */
static uint64_t call_of(uint32_t number, unsigned first, unsigned members, unsigned member)
{
    return (uint64_t)number << 32 | first << 16 | members << 8 | member;
}

/* Takes tasks of a team's layer while the helper belongs to the team. */
static void help(sim_helper *helper, sim_job *job, uint64_t call)
{
    const unsigned members = call >> 8 & 0xff, member = call & 0xff;
    uint32_t done = 0;
    uint64_t ticket = atomic_load(&job->ticket);
    /* The call after the ticket: a layer that was begun when this team was over is seen with the call's end. */
    while ((uint32_t)ticket != 0 && atomic_load(&helper->call) == call) {
        const uint32_t left = (uint32_t)ticket, taken = share_of(left, members);
        if (atomic_compare_exchange_weak(&job->ticket, &ticket, ticket - taken)) {
            do_tasks(job, left, taken, member);
            done += taken;
            ticket = atomic_load(&job->ticket);
        }
    }
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

static sim_job *job_of(const sim_helper *helper, uint64_t call)
{
    return &helper->crew->jobs[call >> 16 & 0xff];
}

static bool has_work(const sim_helper *helper, uint64_t call)
{
    return call != 0 && (uint32_t)atomic_load(&job_of(helper, call)->ticket) != 0;
}

static void sleep_until_called(sim_helper *helper)
{
    pthread_mutex_lock(&helper->lock);
    atomic_store(&helper->sleeps, true);
    while (!has_work(helper, atomic_load(&helper->call))) {
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
        const uint64_t call = atomic_load(&helper->call);
        if (has_work(helper, call)) {
            help(helper, job_of(helper, call), call);
            s = (spin){0};
        } else if (call == 0 || !keep_spinning(&s)) {
            sleep_until_called(helper);
        }
    }
    return NULL;
}

/* ---- Teams ---- */

static bool call_helper(sim_helper *helper, uint32_t first, unsigned members, unsigned member)
{
    if (!helper->started) {
        helper->started = sim_thread_start("cnrt-compute", helper_body, helper);
    }
    if (helper->started) {
        atomic_store(&helper->call, call_of(++helper->calls, first, members, member));
    }
    return helper->started;
}

sim_team sim_crew_gather(sim_crew *crew, uint64_t seats, unsigned size)
{
    if (size == 1) {
        return SIM_TEAM_OF_ONE;
    }
    const unsigned first = (unsigned)__builtin_ctzll(seats);
    sim_job *job = &crew->jobs[first];
    job->helpers = 0;
    unsigned member = 1;
    for (uint64_t left = seats & (seats - 1); left != 0 && member < size; left &= left - 1) {
        const unsigned seat = (unsigned)__builtin_ctzll(left);
        if (call_helper(&crew->helpers[seat], first, size, member)) { /* no thread to be had: the others do its part */
            job->helpers |= UINT64_C(1) << seat;
            member++;
        }
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
        atomic_init(&job->ticket, 0);
        atomic_init(&job->done, 0);
        atomic_init(&job->caller_sleeps, false);
        job->crew = helper->crew = crew;
        job->helpers = 0;
        pthread_mutex_init(&job->lock, NULL);
        pthread_cond_init(&job->finished, NULL);
        atomic_init(&helper->call, 0);
        atomic_init(&helper->sleeps, false);
        helper->started = false;
        pthread_mutex_init(&helper->lock, NULL);
        pthread_cond_init(&helper->called, NULL);
    }
}
