/* libFuzzer: any bytes are parsed, planned and run without a crash. See run.sh.
 *
 * Built with SIM_FUZZ_WITHOUT_CRC the checksum is not compared, so that mutations reach the network behind it; with
 * SIM_FUZZ_READER_ALONE nothing is planned or run, so that many more files are read. */
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "network.h"

#ifdef SIM_FUZZ_READER_ALONE
enum { READER_ALONE = 1 };
#else
enum { READER_ALONE = 0 };
#endif
enum { MOST_BYTES = 1 << 22, MAX_BOXES = 7 /* attribute of DETECTION_OUTPUT */ };

/* Products of the network: a hostile file may ask for years of computing, which is not what is sought here. */
static double work_of(const sim_model *model)
{
    double work = 0;
    for (uint32_t o = 0; o < model->operator_count; o++) {
        const sim_operator *op = &model->operators[o];
        double per_element = 1;
        if (op->opcode == SIM_OP_CONV || op->opcode == SIM_OP_DECONV) {
            per_element = (double)op->attributes[0] * op->attributes[1] * model->tensors[op->inputs[0]].dims[3];
        } else if (op->opcode == SIM_OP_MAX_POOL || op->opcode == SIM_OP_AVERAGE_POOL) {
            per_element = (double)op->attributes[0] * op->attributes[1];
        } else if (op->opcode == SIM_OP_MATMUL) {
            per_element = model->tensors[op->inputs[0]].dims[op->attributes[0] ? 2 : 3];
        }
        work += per_element * (double)model->tensors[op->output].bytes;
        if (op->opcode == SIM_OP_DETECTION_OUTPUT) {
            work += (double)op->attributes[MAX_BOXES] * model->tensors[op->inputs[0]].dims[0] * 32768;
        }
    }
    return work;
}

static void *room(uint64_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!memory) {
        abort();
    }
    memset(memory, 0x3c, bytes);
    return memory;
}

static void run(const sim_plan *plan, const sim_model_info *info)
{
    const int32_t count = info->input_count + info->output_count;
    void *buffers[SIM_MAX_TENSORS];
    for (int32_t i = 0; i < count; i++) {
        buffers[i] = malloc((size_t)info->inputs[i].bytes); /* exactly: a sanitizer sees one byte too many */
        memset(buffers[i], 0x3c, (size_t)info->inputs[i].bytes);
    }
    void *workspace = room(sim_plan_workspace_bytes(plan, 1));
    sim_plan_run(plan, workspace, buffers, &SIM_TEAM_OF_ONE, NULL);
    free(workspace);
    for (int32_t i = 0; i < count; i++) {
        free(buffers[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sim_model *model;
    sim_plan *plan;
    sim_error error = {""};
    sim_model_claimed_size(data, size, &error);
    if (sim_model_parse(data, size, &model, &error) != SIM_OK) {
        if (!error.text[0]) {
            abort(); /* every refusal says why */
        }
        return 0;
    }
    const sim_model_info *info = sim_model_get_info(model);
    if (info->has_network && !READER_ALONE) {
        int64_t bytes = 0;
        for (uint32_t t = 0; t < model->tensor_count; t++) {
            bytes += model->tensors[t].bytes;
        }
        if (bytes <= MOST_BYTES && work_of(model) < 1e8 &&
            sim_plan_create(model, &(sim_settings){0}, &plan, &error) == SIM_OK) {
            if (sim_plan_workspace_bytes(plan, 1) < 64u * MOST_BYTES) {
                run(plan, info);
            }
            sim_plan_free(plan);
        }
    }
    sim_model_free(model);
    return 0;
}
