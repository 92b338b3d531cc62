#define _POSIX_C_SOURCE 200809L
#include "core/recording.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/environment.h"
#include "core/error.h"
#include "core/file.h"
#include "exec/new_file.h"

/* The file: a head, records of an input's digest and the outputs behind each other, and a digest of all before it. Numbers
 * are little-endian. */
typedef struct head {
    char magic[8];
    uint64_t model_bytes, model_digest, input_bytes, output_bytes, count;
} head;

static const char MAGIC[8] = "MLUOUTP1";
enum { MOST_TOLD = 145 }; /* of a path and what is wrong with it: the end */
#define MOST_BYTES ((uint64_t)SIM_MOST_RECORDED_MB << 20)

struct sim_recording {
    pthread_mutex_t lock;
    char path[4096];
    bool replays, changed, missed, full;
    head head;
    uint8_t *records; /* head.count of them; while recording with room for one more */
};

uint64_t sim_digest(const void *bytes, size_t count, uint64_t before)
{
    const uint8_t *at = bytes;
    uint64_t digest = before ^ (count * UINT64_C(0x9e3779b97f4a7c15));
    for (size_t left = count; left > 0;) {
        const size_t take = left < 8 ? left : 8;
        uint64_t word = 0;
        memcpy(&word, at, take);
        digest = (digest ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
        digest ^= digest >> 29;
        at += take;
        left -= take;
    }
    return digest;
}

static uint64_t sum_bytes(const sim_io *io, int32_t count)
{
    uint64_t bytes = 0;
    for (int32_t index = 0; index < count; index++) {
        bytes += (uint64_t)io[index].bytes;
    }
    return bytes;
}

static uint64_t digest_inputs(const sim_model_info *info, void *const *buffers)
{
    uint64_t digest = 0;
    for (int32_t index = 0; index < info->input_count; index++) {
        digest = sim_digest(buffers[index], (size_t)info->inputs[index].bytes, digest);
    }
    return digest;
}

static uint64_t record_bytes(const head *h)
{
    return sizeof(uint64_t) + h->output_bytes;
}

static uint64_t refuse(sim_error *error, const char *why)
{
    snprintf(error->text, sizeof error->text, "%s; record it again with CNRT_SIMULATOR_COMPUTE=record.", why);
    return 0;
}

uint64_t sim_recording_check(const uint8_t *bytes, uint64_t size, uint64_t model_bytes, uint64_t model_digest,
                             uint64_t input_bytes, uint64_t output_bytes, sim_error *error)
{
    head h;
    uint64_t stored;
    if (size < sizeof h + sizeof stored || memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        return refuse(error, "It is no file of recorded outputs");
    }
    memcpy(&h, bytes, sizeof h);
    if (h.model_bytes != model_bytes || h.model_digest != model_digest) {
        return refuse(error, "It was recorded from another model");
    }
    if (h.input_bytes != input_bytes || h.output_bytes != output_bytes || h.count < 1 || h.count > SIM_MOST_RECORDS ||
        size > MOST_BYTES || output_bytes > MOST_BYTES ||
        size != sizeof h + h.count * record_bytes(&h) + sizeof stored) {
        return refuse(error, "Its sizes are not those of the model's outputs");
    }
    memcpy(&stored, bytes + size - sizeof stored, sizeof stored);
    return stored == sim_digest(bytes, size - sizeof stored, 0) ? h.count : refuse(error, "Its digest is wrong");
}

/* ---- Opening ---- */

static sim_result read_records(sim_recording *r, sim_error *error)
{
    uint64_t bytes, size;
    sim_error why = {""};
    sim_status status = {CNRT_RET_SUCCESS, ""};
    uint8_t *data = sim_file_try_start(r->path, MOST_BYTES + 1, &bytes, &size, &status);
    if (data == NULL) {
        const size_t length = strlen(status.text), skipped = length > MOST_TOLD ? length - MOST_TOLD : 0;
        snprintf(
            error->text, sizeof error->text,
            "CNRT_SIMULATOR_COMPUTE=0 and no recorded outputs: %s%.145s Run once with CNRT_SIMULATOR_COMPUTE=record.",
            skipped > 0 ? "..." : "", status.text + skipped);
        return SIM_NOT_SUPPORTED;
    }
    r->head.count = sim_recording_check(data, bytes, r->head.model_bytes, r->head.model_digest, r->head.input_bytes,
                                        r->head.output_bytes, &why);
    if (r->head.count == 0) {
        snprintf(error->text, sizeof error->text, "%.90s cannot be used: %.140s", r->path, why.text);
        free(data);
        return SIM_BAD_FILE;
    }
    r->records = data;
    memmove(data, data + sizeof(head), r->head.count * record_bytes(&r->head));
    return SIM_OK;
}

static sim_result prepare(sim_recording *r, const char *path, sim_error *error)
{
    const int length = snprintf(r->path, sizeof r->path, "%s.outputs", path == NULL ? "" : path);
    if (path == NULL || length >= (int)sizeof r->path - 64) {
        snprintf(error->text, sizeof error->text,
                 "CNRT_SIMULATOR_COMPUTE is for models loaded from a file, beside which their outputs lie; unset it.");
        return SIM_NOT_SUPPORTED;
    }
    return r->replays ? read_records(r, error) : SIM_OK;
}

sim_result sim_recording_open(sim_recording **recording, const char *path, uint64_t model_bytes, uint64_t model_digest,
                              const sim_model_info *info, sim_error *error)
{
    const sim_compute compute = sim_environment_get()->compute;
    *recording = NULL;
    if (compute == SIM_COMPUTE_ALL) {
        return SIM_OK;
    }
    sim_recording *r = calloc(1, sizeof *r);
    if (r == NULL) {
        snprintf(error->text, sizeof error->text, "There is no memory for recorded outputs.");
        return SIM_NO_MEMORY;
    }
    pthread_mutex_init(&r->lock, NULL);
    r->replays = compute == SIM_COMPUTE_NOTHING;
    memcpy(r->head.magic, MAGIC, sizeof MAGIC);
    r->head.model_bytes = model_bytes;
    r->head.model_digest = model_digest;
    r->head.input_bytes = sum_bytes(info->inputs, info->input_count);
    r->head.output_bytes = sum_bytes(info->outputs, info->output_count);
    const sim_result result = prepare(r, path, error);
    if (result != SIM_OK) {
        sim_recording_close(r);
        return result;
    }
    *recording = r;
    return SIM_OK;
}

/* ---- Invocations ---- */

/* With the lock held, or nothing being added: the record of these inputs, or NULL. */
static uint8_t *find(const sim_recording *r, uint64_t digest)
{
    for (uint64_t index = 0; index < r->head.count; index++) {
        uint8_t *record = r->records + index * record_bytes(&r->head);
        uint64_t recorded;
        memcpy(&recorded, record, sizeof recorded);
        if (recorded == digest) {
            return record;
        }
    }
    return NULL;
}

static void say_missed(sim_recording *r)
{
    pthread_mutex_lock(&r->lock);
    if (!r->missed) {
        fprintf(stderr,
                "cnrt simulator: inputs that were not recorded get some of the %llu outputs in %s "
                "(CNRT_SIMULATOR_COMPUTE=0)\n",
                (unsigned long long)r->head.count, r->path);
    }
    r->missed = true;
    pthread_mutex_unlock(&r->lock);
}

bool sim_recording_replay(sim_recording *r, const sim_model_info *info, void *const *buffers)
{
    if (r == NULL || !r->replays) {
        return false;
    }
    const uint64_t digest = digest_inputs(info, buffers);
    const uint8_t *record = find(r, digest);
    if (record == NULL) { /* other inputs get other outputs, as a program may expect; always the same for the same */
        say_missed(r);
        record = r->records + digest % r->head.count * record_bytes(&r->head);
    }
    record += sizeof(uint64_t);
    for (int32_t index = 0; index < info->output_count; index++) {
        memcpy(buffers[info->input_count + index], record, (size_t)info->outputs[index].bytes);
        record += info->outputs[index].bytes;
    }
    return true;
}

/* With the lock held: room for one more, or NULL and it is said once. */
static uint8_t *new_record(sim_recording *r)
{
    const uint64_t bytes = record_bytes(&r->head), used = r->head.count * bytes;
    uint8_t *larger = NULL;
    if (r->head.count < SIM_MOST_RECORDS && used + bytes + sizeof(head) + sizeof(uint64_t) <= MOST_BYTES) {
        larger = realloc(r->records, used + bytes);
    }
    if (larger == NULL) {
        if (!r->full) {
            fprintf(stderr, "cnrt simulator: %llu outputs are recorded for %s, more are not kept\n",
                    (unsigned long long)r->head.count, r->path);
        }
        r->full = true;
        return NULL;
    }
    r->records = larger;
    r->head.count++;
    r->changed = true;
    return larger + used;
}

void sim_recording_add(sim_recording *r, const sim_model_info *info, void *const *buffers)
{
    if (r == NULL) {
        return;
    }
    const uint64_t digest = digest_inputs(info, buffers);
    pthread_mutex_lock(&r->lock);
    uint8_t *record = r->full || find(r, digest) != NULL ? NULL : new_record(r);
    if (record != NULL) {
        memcpy(record, &digest, sizeof digest);
        record += sizeof digest;
        for (int32_t index = 0; index < info->output_count; index++) {
            memcpy(record, buffers[info->input_count + index], (size_t)info->outputs[index].bytes);
            record += info->outputs[index].bytes;
        }
    }
    pthread_mutex_unlock(&r->lock);
}

/* ---- Closing ---- */

static bool write_all(const sim_recording *r, FILE *file)
{
    const uint64_t bytes = r->head.count * record_bytes(&r->head);
    uint8_t *whole = malloc(sizeof r->head + bytes);
    if (whole == NULL) {
        return false;
    }
    memcpy(whole, &r->head, sizeof r->head);
    memcpy(whole + sizeof r->head, r->records, bytes);
    const uint64_t digest = sim_digest(whole, sizeof r->head + bytes, 0);
    const bool written = fwrite(whole, 1, sizeof r->head + bytes, file) == sizeof r->head + bytes &&
                         fwrite(&digest, sizeof digest, 1, file) == 1;
    free(whole);
    return written;
}

/* The file appears whole. */
static void save(const sim_recording *r)
{
    sim_new_file new_file;
    if (sim_new_file_begin(&new_file, r->path) && sim_new_file_end(&new_file, write_all(r, new_file.file))) {
        fprintf(stderr, "cnrt simulator: %llu outputs are in %s\n", (unsigned long long)r->head.count, r->path);
    } else {
        fprintf(stderr, "cnrt simulator: the outputs cannot be written to %s: %s\n", r->path, strerror(errno));
    }
}

void sim_recording_close(sim_recording *r)
{
    if (r == NULL) {
        return;
    }
    if (r->changed) {
        save(r);
    }
    pthread_mutex_destroy(&r->lock);
    free(r->records);
    free(r);
}
