/* A whole network gives the same bytes with every kernel table, with teams of any size, in any order of tasks and whatever
 * was in the workspace before; and every plan of it has the same estimate.
 *
 *     network_test MODEL...
 *     network_test --folder FOLDER COUNT      FOLDER/0.cambricon and so on
 *     network_test --golden DIGEST MODEL...   the outputs must also have this digest, the same on every processor
 *     network_test --golden-best DIGEST MODEL...   so, by the best table of kernels alone
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "kernels.h"
#include "timing.h"

static unsigned long failures, runs, models, constant;
static double estimates;                      /* of all models, seconds */
static uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a of all outputs of the reference, in order */

static void *room(uint64_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        printf("no memory\n");
        exit(3);
    }
    return memory;
}

/* A caller's buffer, which may begin at any address; without room for more than its bytes. */
static void *odd_room(uint64_t bytes)
{
    char *memory = malloc(bytes + 1);
    if (!memory) {
        printf("no memory\n");
        exit(3);
    }
    return memory + 1;
}

/* ---- teams ---- */

typedef struct share {
    size_t count;
    size_t *next;
    pthread_mutex_t *lock;
    sim_task_fn task;
    void *argument;
    unsigned member;
} share;

static void *share_main(void *argument)
{
    const share *s = argument;
    for (;;) {
        pthread_mutex_lock(s->lock);
        const size_t i = (*s->next)++;
        pthread_mutex_unlock(s->lock);
        if (i >= s->count) {
            return NULL;
        }
        s->task(s->argument, i, s->member);
    }
}

static void run_threads(void *state, size_t count, sim_task_fn task, void *argument)
{
    const unsigned size = *(const unsigned *)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    size_t next = 0;
    pthread_t threads[8];
    share shares[8];
    for (unsigned m = 0; m < size; m++) {
        shares[m] = (share){count, &next, &lock, task, argument, m};
        if (m && pthread_create(&threads[m], NULL, share_main, &shares[m]) != 0) {
            printf("no thread\n");
            exit(3);
        }
    }
    share_main(&shares[0]);
    for (unsigned m = 1; m < size; m++) {
        pthread_join(threads[m], NULL);
    }
}

/* One thread that plays three members and takes the tasks from the last to the first. */
static void run_backwards(void *state, size_t count, sim_task_fn task, void *argument)
{
    (void)state;
    for (size_t i = count; i-- > 0;) {
        task(argument, i, (unsigned)(i % 3));
    }
}

/* ---- one model ---- */

static uint8_t *read_file(const char *path, uint64_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("cannot read %s\n", path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *size = (uint64_t)ftell(file);
    rewind(file);
    uint8_t *bytes = room(*size);
    if (fread(bytes, 1, *size, file) != *size) {
        printf("cannot read %s\n", path);
        exit(2);
    }
    fclose(file);
    return bytes;
}

static void fill_input(const sim_io *io, uint8_t *bytes)
{
    uint32_t state = 12345;
    for (int64_t i = 0; i < io->bytes; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
        if (io->dtype == SIM_FLOAT16 && i % 2 == 1) { /* the high byte: keep magnitudes ordinary, one in 256 is not */
            bytes[i] = state >> 24 == 7 ? 0x7c : (uint8_t)((bytes[i] & 0x83) | 0x38);
        } else if (io->dtype == SIM_FLOAT32 && i % 4 == 3) {
            bytes[i] = (uint8_t)((bytes[i] & 0x80) | 0x3f);
        }
    }
}

static const sim_io *io_at(const sim_model_info *info, int32_t i)
{
    return i < info->input_count ? &info->inputs[i] : &info->outputs[i - info->input_count];
}

static void run_once(const sim_plan *plan, const sim_model_info *info, const sim_team *team, uint8_t dirt,
                     void **buffers)
{
    const uint64_t bytes = sim_plan_workspace_bytes(plan, team->size);
    void *workspace = room(bytes);
    memset(workspace, dirt, bytes);
    for (int32_t i = info->input_count; i < info->input_count + info->output_count; i++) {
        memset(buffers[i], dirt, (size_t)io_at(info, i)->bytes);
    }
    sim_plan_run(plan, workspace, buffers, team, NULL);
    free(workspace);
    runs++;
}

static void compare(const char *path, const char *kernels, unsigned size, const sim_model_info *info,
                    void *const *wanted, void *const *got)
{
    for (int32_t i = info->input_count; i < info->input_count + info->output_count; i++) {
        if (memcmp(wanted[i], got[i], (size_t)io_at(info, i)->bytes) != 0) {
            printf("FAIL %s: output %d with kernels %s and a team of %u differs from the reference\n", path,
                   i - info->input_count, kernels, size);
            failures++;
        }
    }
}

static sim_plan *plan_with(const sim_model *model, const char *kernels, unsigned team)
{
    sim_plan *plan;
    sim_error error = {""};
    const sim_settings settings = {.kernels = kernels, .team = team};
    if (sim_plan_create(model, &settings, &plan, &error) != SIM_OK) {
        printf("FAIL %s\n", error.text);
        exit(1);
    }
    return plan;
}

/* A device where some steps wait for memory and some for multiplications. */
static double estimate_of(const sim_plan *plan)
{
    const sim_timing timing = {.clock_hz = 1e9,
                               .macs_int8 = 100,
                               .macs_int16 = 50,
                               .macs_float = 10,
                               .efficiency = 0.5,
                               .bandwidth = 2e10,
                               .memory_efficiency = 0.5,
                               .launch_s = 3e-6};
    return sim_timing_of_plan(&timing, plan, 1);
}

static void check_teams(const char *path, const sim_model *model, const char *kernels, double estimate, void **wanted,
                        void **got)
{
    static unsigned sizes[] = {1, 2, 4};
    const sim_model_info *info = sim_model_get_info(model);
    sim_plan *plan = plan_with(model, kernels, models % 2 == 0 ? 1 : 3); /* cut for one thread, cut for a team */
    if (estimate_of(plan) != estimate) {
        printf("FAIL %s: kernels %s make the estimate another one\n", path, kernels);
        failures++;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const sim_team team =
            sizes[i] == 1 ? SIM_TEAM_OF_ONE : (sim_team){.size = sizes[i], .state = &sizes[i], .run = run_threads};
        run_once(plan, info, &team, (uint8_t)(0x55 + 0x55 * i), got);
        compare(path, kernels, sizes[i], info, wanted, got);
    }
    const sim_team backwards = {.size = 3, .run = run_backwards};
    run_once(plan, info, &backwards, 0xff, got);
    compare(path, kernels, 3, info, wanted, got);
    sim_plan_free(plan);
}

static void add_to_digest(const uint8_t *bytes, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        digest = (digest ^ bytes[i]) * 0x100000001b3u;
    }
}

static bool all_equal(const uint8_t *bytes, int64_t count)
{
    for (int64_t i = 1; i < count; i++) {
        if (bytes[i] != bytes[0]) {
            return false;
        }
    }
    return count > 1;
}

static unsigned tables = UINT_MAX; /* the best so many are checked */

static void check_model(const char *path)
{
    uint64_t size;
    uint8_t *bytes = read_file(path, &size);
    sim_model *model;
    sim_error error = {""};
    if (sim_model_parse(bytes, size, &model, &error) != SIM_OK) {
        printf("FAIL %s: %s\n", path, error.text);
        exit(1);
    }
    free(bytes);
    const sim_model_info *info = sim_model_get_info(model);
    void *wanted[SIM_MAX_TENSORS], *got[SIM_MAX_TENSORS];
    const int32_t count = info->input_count + info->output_count;
    for (int32_t i = 0; i < count; i++) {
        wanted[i] = odd_room((uint64_t)io_at(info, i)->bytes);
        got[i] = i < info->input_count ? wanted[i] : odd_room((uint64_t)io_at(info, i)->bytes);
        if (i < info->input_count) {
            fill_input(io_at(info, i), wanted[i]);
        }
    }
    models++;
    sim_plan *plan = plan_with(model, "reference", 1);
    run_once(plan, info, &SIM_TEAM_OF_ONE, 0, wanted);
    const double estimate = estimate_of(plan);
    estimates += estimate;
    sim_plan_free(plan);
    for (int32_t i = info->input_count; i < count; i++) {
        add_to_digest(wanted[i], io_at(info, i)->bytes);
    }
    if (all_equal(wanted[info->input_count], io_at(info, info->input_count)->bytes) &&
        io_at(info, info->input_count)->bytes > 64) {
        constant++;
    }
    for (unsigned i = 0; i < tables && sim_kernels_name(i); i++) {
        check_teams(path, model, sim_kernels_name(i), estimate, wanted, got);
    }
    for (int32_t i = 0; i < count; i++) {
        free((char *)wanted[i] - 1);
        if (i >= info->input_count) {
            free((char *)got[i] - 1);
        }
    }
    sim_model_free(model);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--folder") == 0) {
        for (int i = 0; i < atoi(argv[3]); i++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%d.cambricon", argv[2], i);
            check_model(path);
        }
    } else {
        const bool best = argc > 3 && strcmp(argv[1], "--golden-best") == 0;
        const bool golden = best || (argc > 3 && strcmp(argv[1], "--golden") == 0);
        tables = best ? 1 : UINT_MAX;
        for (int i = golden ? 3 : 1; i < argc; i++) {
            check_model(argv[i]);
        }
        if (golden && digest != strtoull(argv[2], NULL, 16)) {
            printf("FAIL the outputs' digest is %016llx and should be %s\n", (unsigned long long)digest, argv[2]);
            failures++;
        }
    }
    printf("%lu models, %lu runs, %lu failures; %lu models have a constant first output; estimates of %.0f ns\n",
           models, runs, failures, constant, 1e9 * estimates);
    return failures || !runs || constant * 10 > models ? 1 : 0; /* equal constants would say nothing */
}
