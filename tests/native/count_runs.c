/* Runs models once each with one table of kernels, in one thread, for callgrind to count (tests/counts/run.py).
 *
 *     count_runs TABLE MODEL...
 *
 * Each is run twice, so that what is made at the first use is made; only sim_plan_run is looked at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"

static void *room(uint64_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "no memory\n");
        exit(3);
    }
    memset(memory, 0, bytes);
    return memory;
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
    uint8_t *bytes = room((uint64_t)size);
    const size_t got = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    sim_model *model;
    sim_error error = {""};
    if (sim_model_parse(bytes, got, &model, &error) != SIM_OK) {
        fprintf(stderr, "%s: %s\n", path, error.text);
        exit(2);
    }
    free(bytes);
    return model;
}

/* Values that no kernel can take for zeros: bytes, or halves between 1 and 2. */
static void fill(const sim_io *io, uint8_t *bytes)
{
    uint32_t state = 1;
    for (int64_t k = 0; k < io->bytes; k++) {
        state = state * 1664525u + 1013904223u;
        bytes[k] = io->dtype == 0x31 ? (uint8_t)(state >> 24)
                   : k % 2           ? (uint8_t)(0x3c | state >> 31)
                                     : (uint8_t)(state >> 24);
    }
}

static void run(const char *table, const char *path)
{
    sim_model *model = load(path);
    sim_plan *plan;
    sim_error error = {""};
    const sim_settings settings = {.kernels = table};
    if (sim_plan_create(model, &settings, &plan, &error) != SIM_OK) {
        fprintf(stderr, "%s: %s\n", path, error.text);
        exit(2);
    }
    const sim_model_info *info = sim_model_get_info(model);
    void *buffers[SIM_MAX_TENSORS];
    const int32_t count = info->input_count + info->output_count;
    for (int32_t i = 0; i < count; i++) {
        const sim_io *io = i < info->input_count ? &info->inputs[i] : &info->outputs[i - info->input_count];
        buffers[i] = room((uint64_t)io->bytes);
        if (i < info->input_count) {
            fill(io, buffers[i]);
        }
    }
    const sim_team alone = SIM_TEAM_OF_ONE;
    void *workspace = room(sim_plan_workspace_bytes(plan, 1));
    sim_plan_run(plan, workspace, buffers, &alone, NULL);
    sim_plan_run(plan, workspace, buffers, &alone, NULL);
    for (int32_t i = 0; i < count; i++) {
        free(buffers[i]);
    }
    free(workspace);
    sim_plan_free(plan);
    sim_model_free(model);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: count_runs TABLE MODEL...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        run(argv[1], argv[i]);
    }
    return 0;
}
