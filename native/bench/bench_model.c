/* Times a model in the executor, without the ABI above it.
 *
 *     bench_model MODEL [runs] [streams] [team]
 *
 * streams: invocations in flight at once, each in a thread of its own; team: threads of one invocation. Prints frames per
 * second, the median and least time of one run, the least CPU time of its first thread, and a hash of the outputs. Where the time goes is told by the simulator's
 * own profile: CNRT_SIMULATOR_KERNELS and CNRT_SIMULATOR_PROFILE mean what ABI.md section 10 says. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/crew.h"
#include "exec.h"

typedef struct stream {
    const sim_plan *plan;
    sim_profile *profile;
    const sim_model_info *info;
    unsigned runs, team;
    sim_crew crew;
    double *ms, least_cpu; /* of this thread: all of a run where the team is of one */
    uint64_t hash;
    pthread_t thread;
} stream;

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double now(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static void *allocate(uint64_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    memset(memory, 0, bytes);
    return memory;
}

static uint64_t hash_outputs(const sim_model_info *info, void *const *buffers)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; i < info->output_count; i++) {
        const unsigned char *bytes = buffers[info->input_count + i];
        for (int64_t k = 0; k < info->outputs[i].bytes; k++) {
            hash = (hash ^ bytes[k]) * 0x100000001b3u;
        }
    }
    return hash;
}

static void fill_input(const sim_io *io, unsigned char *bytes)
{
    uint32_t state = 1;
    for (int64_t k = 0; k < io->bytes; k++) {
        state = state * 1664525u + 1013904223u;
        bytes[k] = io->dtype == 0x31 ? (unsigned char)(state >> 24) : 0;
    }
}

static void *stream_main(void *argument)
{
    stream *s = argument;
    void *buffers[SIM_MAX_TENSORS];
    for (int32_t i = 0; i < s->info->input_count + s->info->output_count; i++) {
        const sim_io *io = i < s->info->input_count ? &s->info->inputs[i] : &s->info->outputs[i - s->info->input_count];
        buffers[i] = allocate((uint64_t)io->bytes);
        if (i < s->info->input_count) {
            fill_input(io, buffers[i]);
        }
    }
    void *workspace = allocate(sim_plan_workspace_bytes(s->plan, s->team));
    sim_crew_init(&s->crew);
    for (unsigned r = 0; r < s->runs; r++) {
        const double start = now(), cpu = clock_ms(CLOCK_THREAD_CPUTIME_ID);
        const sim_team team =
            s->team > 1 ? sim_crew_gather(&s->crew, (UINT64_C(1) << s->team) - 1, s->team) : SIM_TEAM_OF_ONE;
        sim_plan_run(s->plan, workspace, buffers, &team, s->profile);
        sim_crew_dismiss(&s->crew, &team);
        const double spent = clock_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
        s->ms[r] = now() - start;
        s->least_cpu = r == 0 || spent < s->least_cpu ? spent : s->least_cpu;
    }
    s->hash = hash_outputs(s->info, buffers);
    for (int32_t i = 0; i < s->info->input_count + s->info->output_count; i++) {
        free(buffers[i]);
    }
    free(workspace);
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static sim_model *load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    uint8_t *bytes = allocate((uint64_t)size);
    const size_t got = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    sim_model *model;
    sim_error error = {""};
    if (sim_model_parse(bytes, got, &model, &error) != SIM_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(2);
    }
    free(bytes);
    return model;
}

static int tell(sim_profile *profile, const char *where)
{
    char path[4096];
    sim_error error = {""};
    sim_result result = SIM_OK;
    if (profile && strcmp(where, "1") == 0) {
        sim_profile_print(profile, stderr);
    } else if (profile) {
        snprintf(path, sizeof path, "%s/profile-%ld-0.json", where, (long)getpid());
        result = sim_profile_save(profile, path, &error);
    }
    sim_profile_free(profile);
    if (result != SIM_OK) {
        fprintf(stderr, "%s\n", error.text);
    }
    return result == SIM_OK ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_model MODEL [runs] [streams] [team]\n");
        return 2;
    }
    const unsigned runs = argc > 2 ? (unsigned)atoi(argv[2]) : 20, streams = argc > 3 ? (unsigned)atoi(argv[3]) : 1;
    const unsigned team = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
    if (runs < 1 || streams < 1 || streams > 16 || team < 1 || team > 16) {
        fprintf(stderr, "runs at least 1, streams and team 1..16\n");
        return 2;
    }
    sim_model *model = load(argv[1]);
    sim_plan *plan;
    sim_error error = {""};
    const char *kernels = getenv("CNRT_SIMULATOR_KERNELS"), *profiled = getenv("CNRT_SIMULATOR_PROFILE");
    const sim_settings settings = {.kernels = kernels && *kernels ? kernels : NULL, .team = team};
    if (sim_plan_create(model, &settings, &plan, &error) != SIM_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 2;
    }
    sim_profile *profile =
        profiled && *profiled && strcmp(profiled, "0") != 0 ? sim_profile_create(plan, NULL, 1) : NULL;
    static stream all[16];
    double *ms = allocate((uint64_t)runs * streams * sizeof(double));
    const double start = now();
    for (unsigned i = 0; i < streams; i++) {
        all[i] = (stream){.plan = plan,
                          .profile = profile,
                          .info = sim_model_get_info(model),
                          .runs = runs,
                          .team = team,
                          .ms = ms + (size_t)i * runs};
        pthread_create(&all[i].thread, NULL, stream_main, &all[i]);
    }
    for (unsigned i = 0; i < streams; i++) {
        pthread_join(all[i].thread, NULL);
    }
    const double wall = now() - start;
    const size_t count = (size_t)runs * streams;
    qsort(ms, count, sizeof *ms, ascending);
    printf("%u streams, team of %u: %.1f runs/s, median %.2f ms, least %.2f ms, CPU %.2f ms, workspace %.1f MB, packed "
           "%.1f MB, "
           "outputs %016llx\n",
           streams, team, 1e3 * (double)count / wall, ms[count / 2], ms[0], all[0].least_cpu,
           (double)sim_plan_workspace_bytes(plan, team) / 1e6, (double)sim_plan_packed_bytes(plan) / 1e6,
           (unsigned long long)all[0].hash);
    const int status = tell(profile, profiled);
    sim_plan_free(plan);
    sim_model_free(model);
    free(ms);
    return status;
}
