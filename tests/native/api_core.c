/* What the public functions cannot show for certain: linked with the library's own objects, so that work can be held at a
 * gate and the order of things is known. */
#include <pthread.h>
#include <unistd.h>

#include "api_job.h"
#include "core/crew.h"
#include "core/queue.h"

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
} gate;

static gate the_gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void set_gate(bool open)
{
    pthread_mutex_lock(&the_gate.lock);
    the_gate.open = open;
    pthread_cond_broadcast(&the_gate.changed);
    pthread_mutex_unlock(&the_gate.lock);
}

static void run_gate(sim_work *work, sim_status *status)
{
    (void)work;
    (void)status;
    pthread_mutex_lock(&the_gate.lock);
    while (!the_gate.open) {
        pthread_cond_wait(&the_gate.changed, &the_gate.lock);
    }
    pthread_mutex_unlock(&the_gate.lock);
}

/* Everything submitted to `handle` from now on waits for the gate. */
static void block_queue(cnrtQueue_t handle)
{
    sim_queue *queue = sim_queue_get(handle);
    CHECK(queue != NULL);
    set_gate(false);
    sim_work *work = sim_queue_take_work(queue);
    CHECK(work != NULL);
    work->run = run_gate;
    sim_queue_submit(queue, work);
    sim_object_release(queue);
}

/* Work on memory that is freed before it runs is not done; the queue's next sync says so, once. */
static void failures_surface_at_the_next_sync(void)
{
    void *device, *kept;
    cnrtQueue_t queue, other;
    uint32_t word = 0;
    OK(cnrtCreateQueue(&queue));
    OK(cnrtCreateQueue(&other));
    OK(cnrtMalloc(&device, 64));
    OK(cnrtMalloc(&kept, 64));
    block_queue(queue);
    CHECK_CODE(CNRT_RET_ERR_NOT_READY, cnrtQueryQueue(queue));
    OK(cnrtMemsetD8Async(device, 1, 64, queue));
    OK(cnrtMemcpyAsync(&word, device, 4, queue, CNRT_MEM_TRANS_DIR_DEV2HOST));
    OK(cnrtMemsetD32Async(kept, 5, 16, queue));
    OK(cnrtFree(device));
    CHECK_CODE(CNRT_RET_ERR_FIND_DEV_ADDR, cnrtFree(device));
    set_gate(true);
    OK(cnrtSyncQueue(other));
    CHECK_FAILS(CNRT_RET_ERR_FIND_DEV_ADDR, "was freed while", cnrtSyncDevice());
    CHECK_FAILS(CNRT_RET_ERR_FIND_DEV_ADDR, "Memory to be set was freed", cnrtSyncQueue(queue));
    OK(cnrtSyncQueue(queue));
    CHECK(word == 0);
    OK(cnrtMemcpy(&word, kept, 4, CNRT_MEM_TRANS_DIR_DEV2HOST));
    CHECK(word == 5); /* later work was done all the same */
    OK(cnrtFree(kept));
    OK(cnrtDestroyQueue(queue));
    OK(cnrtDestroyQueue(other));
}

/* An invocation whose memory is freed before it runs is not done either. */
static void an_invocation_on_freed_memory_fails(void)
{
    job j;
    load(&j, small_path);
    prepare(&j);
    block_queue(j.queue);
    OK(cnrtInvokeRuntimeContext(j.context, j.params, j.queue, NULL));
    release_buffers(&j);
    set_gate(true);
    CHECK_FAILS(CNRT_RET_ERR_FIND_DEV_ADDR, "The memory of input 0 was freed", cnrtSyncQueue(j.queue));
    OK(cnrtDestroyQueue(j.queue));
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

static void notifiers_are_busy_until_passed(void)
{
    cnrtQueue_t queue, waiting;
    cnrtNotifier_t notifier;
    float us;
    OK(cnrtCreateQueue(&queue));
    OK(cnrtCreateQueue(&waiting));
    OK(cnrtCreateNotifier(&notifier));
    block_queue(queue);
    OK(cnrtPlaceNotifier(notifier, queue));
    OK(cnrtQueueWaitNotifier(notifier, waiting, 0));
    CHECK_CODE(CNRT_RET_ERR_BUSY, cnrtQueryNotifier(notifier));
    CHECK_CODE(CNRT_RET_ERR_NOT_READY, cnrtQueryQueue(waiting));
    CHECK_CODE(CNRT_RET_ERR_FUNC_CALL, cnrtNotifierDuration(notifier, notifier, &us));
    set_gate(true);
    OK(cnrtWaitNotifier(notifier));
    OK(cnrtQueryNotifier(notifier));
    OK(cnrtSyncQueue(waiting));
    OK(cnrtNotifierDuration(notifier, notifier, &us));
    CHECK(us == 0);
    OK(cnrtDestroyNotifier(&notifier));
    OK(cnrtDestroyQueue(queue));
    OK(cnrtDestroyQueue(waiting));
}

/* A destroyed queue finishes its work. */
static void destroyed_queues_drain(void)
{
    cnrtQueue_t queue;
    cnrtNotifier_t notifier;
    OK(cnrtCreateQueue(&queue));
    OK(cnrtCreateNotifier(&notifier));
    block_queue(queue);
    OK(cnrtPlaceNotifier(notifier, queue));
    OK(cnrtDestroyQueue(queue));
    CHECK_CODE(CNRT_RET_ERR_BUSY, cnrtQueryNotifier(notifier));
    set_gate(true);
    OK(cnrtWaitNotifier(notifier));
    OK(cnrtDestroyNotifier(&notifier));
}

/* ---- Cores ---- */

static sim_seats cores;
static sim_crew crew;
static int order[8], arrivals;
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;

typedef struct request {
    unsigned wanted;
    int number;
} request;

static void *take_cores(void *argument)
{
    const request *r = argument;
    const uint64_t taken = sim_seats_take(&cores, r->wanted);
    CHECK((unsigned)__builtin_popcountll(taken) == r->wanted);
    pthread_mutex_lock(&order_lock);
    order[arrivals++] = r->number;
    pthread_mutex_unlock(&order_lock);
    sim_seats_give_back(&cores, taken);
    return NULL;
}

static bool has_waiter(unsigned least)
{
    unsigned count = 0;
    pthread_mutex_lock(&cores.lock);
    count = cores.waiters;
    pthread_mutex_unlock(&cores.lock);
    return count >= least;
}

/* With one core taken, a request for four waits; one-core requests that come later do not overtake it, although three
 * cores are free. */
static void cores_are_given_in_turn(void)
{
    sim_seats_init(&cores, 4);
    pthread_t threads[4];
    request requests[4] = {{4, 0}, {1, 1}, {4, 2}, {1, 3}};
    const uint64_t one = sim_seats_take(&cores, 1);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, take_cores, &requests[i]) == 0);
        while (!has_waiter(i + 1)) {
            usleep(1000);
        }
    }
    CHECK(arrivals == 0);
    sim_seats_give_back(&cores, one);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(order[i] == i);
    }
    CHECK(cores.free == 0xf);
}

static unsigned inside, together;

static void *meet_on_a_core(void *argument)
{
    (void)argument;
    const uint64_t taken = sim_seats_take(&cores, 1);
    pthread_mutex_lock(&the_gate.lock);
    inside++;
    pthread_cond_broadcast(&the_gate.changed);
    while (inside < 4) { /* ends only if all four hold a core at the same time */
        pthread_cond_wait(&the_gate.changed, &the_gate.lock);
    }
    together++;
    pthread_mutex_unlock(&the_gate.lock);
    sim_seats_give_back(&cores, taken);
    return NULL;
}

static void four_single_cores_run_at_once(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, meet_on_a_core, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(together == 4);
}

enum { TASKS = 1000 };
static unsigned char done[TASKS];
static unsigned top_member;

static void mark(void *argument, size_t index, unsigned member)
{
    CHECK(argument == done && member < top_member);
    done[index]++;
}

/* Every task exactly once, in every layer, whatever the size of the team. */
static void teams_do_every_task_once(void)
{
    sim_crew_init(&crew);
    for (unsigned wanted = 1; wanted <= 4; wanted++) {
        const uint64_t taken = sim_seats_take(&cores, wanted);
        const sim_team team = sim_crew_gather(&crew, taken, wanted);
        CHECK(team.size == wanted);
        top_member = wanted;
        for (size_t count = 0; count < TASKS; count += 37) {
            memset(done, 0, sizeof done);
            team.run(team.state, count, mark, done);
            for (size_t i = 0; i < TASKS; i++) {
                CHECK(done[i] == (i < count));
            }
        }
        sim_crew_dismiss(&crew, &team);
        sim_seats_give_back(&cores, taken);
    }
}

enum { TEAMS = 300, SMALL_LAYER = 9 };

typedef struct layer {
    unsigned members;
    atomic_uint times[SMALL_LAYER], inside[4];
} layer;

static void enter_alone(void *argument, size_t index, unsigned member)
{
    layer *l = argument;
    CHECK(member < l->members);
    CHECK(atomic_fetch_add(&l->inside[member], 1) == 0); /* a member's scratch memory is its own */
    for (unsigned i = 0; i < 20; i++) {
        atomic_fetch_add(&l->times[index], 1);
    }
    atomic_fetch_sub(&l->inside[member], 1);
}

static void *run_short_teams(void *argument)
{
    for (unsigned round = 0; round < TEAMS; round++) {
        const unsigned wanted = 1 + (round + *(const unsigned *)argument) % 4;
        const uint64_t taken = sim_seats_take(&cores, wanted);
        const sim_team team = sim_crew_gather(&crew, taken, wanted);
        for (size_t count = round % 3; count <= SMALL_LAYER; count += 4) {
            layer l = {.members = wanted};
            team.run(team.state, count, enter_alone, &l);
            for (size_t i = 0; i < SMALL_LAYER; i++) {
                CHECK(atomic_load(&l.times[i]) == (i < count ? 20 : 0));
            }
        }
        sim_crew_dismiss(&crew, &team);
        sim_seats_give_back(&cores, taken);
    }
    return NULL;
}

/* Nobody waits for a helper that has not come, so one may come when its team has ended and others have its cores: it takes
 * nothing of theirs. */
static void late_helpers_disturb_nobody(void)
{
    pthread_t threads[3];
    unsigned sizes[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, run_short_teams, &sizes[i]) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(cores.free == 0xf);
}

int main(int argc, char **argv)
{
    begin(argc, argv);
    RUN(failures_surface_at_the_next_sync);
    RUN(an_invocation_on_freed_memory_fails);
    RUN(notifiers_are_busy_until_passed);
    RUN(destroyed_queues_drain);
    RUN(cores_are_given_in_turn);
    RUN(four_single_cores_run_at_once);
    RUN(teams_do_every_task_once);
    RUN(late_helpers_disturb_nobody);
    cnrtDestroy();
    return 0;
}
