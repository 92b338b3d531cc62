#define _POSIX_C_SOURCE 200809L
#include "core/standin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/device.h"
#include "core/environment.h"
#include "core/file.h"
#include "core/recording.h"

enum { MAX_PATH = 4096, SHAPE_TEXT = 160 };

/* ---- Do the two agree? ---- */

static const char *type_name(uint32_t dtype, char number[16])
{
    static const struct {
        uint32_t code;
        const char *name;
    } TYPES[] = {{0x12, "float16"}, {0x13, "float32"}, {0x21, "int8"},  {0x22, "int16"},
                 {0x23, "int32"},   {0x31, "uint8"},   {0x32, "uint16"}};
    for (size_t index = 0; index < sizeof TYPES / sizeof *TYPES; index++) {
        if (TYPES[index].code == dtype) {
            return TYPES[index].name;
        }
    }
    snprintf(number, 16, "type 0x%x", dtype);
    return number;
}

/* As "4x160x40x4 uint8"; of the order only where both differ in nothing else. */
static const char *tell(const sim_io *io, bool with_order, char text[SHAPE_TEXT])
{
    char number[16];
    int used = 0;
    for (int axis = 0; axis < io->rank; axis++) {
        used += snprintf(text + used, (size_t)(SHAPE_TEXT - used), "%s%d", axis == 0 ? "" : "x", io->dims[axis]);
    }
    used += snprintf(text + used, (size_t)(SHAPE_TEXT - used), " %s", type_name(io->dtype, number));
    if (with_order) {
        snprintf(text + used, (size_t)(SHAPE_TEXT - used), " in order 0x%x", io->order);
    }
    return text;
}

static bool same_tensor(const sim_io *one, const sim_io *other)
{
    return one->rank == other->rank && one->dtype == other->dtype &&
           memcmp(one->dims, other->dims, (size_t)one->rank * sizeof *one->dims) == 0;
}

static const char *side_differs(const char *side, const sim_io *ours, int32_t our_count, const sim_io *theirs,
                                int32_t their_count, char *sentence, size_t size)
{
    char one[SHAPE_TEXT], other[SHAPE_TEXT];
    if (our_count != their_count) {
        snprintf(sentence, size, "it has %d %ss, the device file %d", our_count, side, their_count);
        return sentence;
    }
    for (int32_t index = 0; index < our_count; index++) {
        const sim_io *a = &ours[index], *b = &theirs[index];
        const bool same = same_tensor(a, b);
        if (!same || a->order != b->order) {
            snprintf(sentence, size, "its %s %d is %.80s, the device file's %.80s", side, index, tell(a, same, one),
                     tell(b, same, other));
            return sentence;
        }
        if (a->name[0] != '\0' && b->name[0] != '\0' && strcmp(a->name, b->name) != 0) {
            snprintf(sentence, size, "its %s %d is called \"%.60s\", the device file's \"%.60s\"", side, index, a->name,
                     b->name);
            return sentence;
        }
    }
    return NULL;
}

const char *sim_standin_differs(const sim_model_info *standin, const sim_model_info *device, char *sentence,
                                size_t size)
{
    if (standin->architecture != device->architecture) {
        snprintf(sentence, size, "it is for architecture %u (8 MLU220, 6 MLU270), the device file for %u",
                 standin->architecture, device->architecture);
        return sentence;
    }
    if (standin->parallelism != device->parallelism) {
        snprintf(sentence, size, "it takes %u cores, the device file %u", standin->parallelism, device->parallelism);
        return sentence;
    }
    if (!device->has_descriptors) { /* of 2019: nothing to be held to */
        return NULL;
    }
    const char *inputs = side_differs("input", standin->inputs, standin->input_count, device->inputs,
                                      device->input_count, sentence, size);
    return inputs != NULL ? inputs
                          : side_differs("output", standin->outputs, standin->output_count, device->outputs,
                                         device->output_count, sentence, size);
}

/* ---- Finding it ---- */

/* `why`: a sentence that names the file; its full stop gives way to the remedy. */
static void refuse(sim_standin *standin, const sim_model_info *device, const char *why)
{
    size_t length = strlen(why);
    length -= length > 0 && why[length - 1] == '.';
    snprintf(standin->refusal, sizeof standin->refusal,
             "Model \"%.40s\" holds device code and needs a stand-in here: %.*s; mlu-export standin makes one.",
             device->name, (int)(length < 340 ? length : 340), why);
}

/* The model in the stand-in's bytes, or NULL and why. */
static sim_model *read_model(const uint8_t *bytes, uint64_t size, const sim_model_info *device, char *why,
                             size_t why_size)
{
    sim_model *model = NULL;
    sim_error error = {""};
    if (sim_model_parse(bytes, size, &model, &error) != SIM_OK) {
        snprintf(why, why_size, "%s", error.text);
        return NULL;
    }
    const sim_model_info *info = sim_model_get_info(model);
    if (!info->has_network) {
        snprintf(why, why_size, "It is a device file itself, and the simulator computes networks of mlu-export alone.");
    } else if (sim_standin_differs(info, device, why, why_size) == NULL) {
        return model;
    }
    sim_model_free(model);
    return NULL;
}

static bool folder_is_wrong(const char *folder, char *why, size_t size)
{
    struct stat facts;
    const bool there = stat(folder, &facts) == 0;
    if (there && S_ISDIR(facts.st_mode)) {
        return false;
    }
    snprintf(why, size, "CNRT_SIMULATOR_STANDINS names %.180s, which is no folder%s.", folder,
             there ? "" : " (it cannot be reached)");
    return true;
}

static void take(sim_standin *standin, const char *folder, const char *path, const sim_model_info *device)
{
    sim_status status = {CNRT_RET_SUCCESS, ""};
    char why[256];
    uint8_t *bytes = sim_file_try(path, &standin->bytes, &status);
    if (bytes == NULL) {
        refuse(standin, device, folder_is_wrong(folder, why, sizeof why) ? why : status.text);
        return;
    }
    standin->model = read_model(bytes, standin->bytes, device, why, sizeof why);
    standin->path = standin->model == NULL ? NULL : strdup(path);
    if (standin->model == NULL) {
        sim_status_set(&status, CNRT_RET_ERR_INVALID, "%.240s: %.240s", path, why);
        refuse(standin, device, status.text);
    } else if (standin->path == NULL) {
        refuse(standin, device, "The host has no memory for its name.");
        sim_model_free(standin->model);
        standin->model = NULL;
    } else if (sim_environment_get()->compute != SIM_COMPUTE_ALL) {
        standin->digest = sim_digest(bytes, standin->bytes, 0);
    }
    free(bytes);
}

static void find(sim_standin *standin, const uint8_t *bytes, uint64_t size, const sim_model_info *device)
{
    const char *folder = sim_environment_standins();
    char digest[SIM_SHA256_HEX], path[MAX_PATH];
    sim_sha256_hex(bytes, size, digest);
    if (folder == NULL) {
        snprintf(
            standin->refusal, sizeof standin->refusal,
            "Model \"%.40s\" holds device code, which the simulator cannot run: let CNRT_SIMULATOR_STANDINS name a "
            "folder with its stand-in, %s.cambricon, which mlu-export standin makes from its weights, or run on a "
            "device.",
            device->name, digest);
        return;
    }
    const int length = snprintf(path, sizeof path, "%s/%s.cambricon", folder, digest);
    if (length >= (int)sizeof path) {
        refuse(standin, device, "The path that CNRT_SIMULATOR_STANDINS names is too long.");
        return;
    }
    take(standin, folder, path, device);
}

/* What the file needs here besides its stand-in: one refusal tells both. */
static void add_other_device(sim_standin *standin, const sim_model_info *device)
{
    const size_t length = strlen(standin->refusal);
    if (device->architecture != sim_device_get_kind()->architecture &&
        (device->architecture == 6 || device->architecture == 8)) {
        snprintf(standin->refusal + length, sizeof standin->refusal - length,
                 " It wants CNRT_SIMULATOR_DEVICE=%s, too.", device->architecture == 6 ? "MLU270" : "MLU220");
    }
}

void sim_standin_find(sim_standin *standin, const uint8_t *bytes, uint64_t size, const sim_model_info *device)
{
    find(standin, bytes, size, device);
    if (standin->model == NULL) {
        add_other_device(standin, device);
    }
}

void sim_standin_free(sim_standin *standin)
{
    sim_model_free(standin->model);
    free(standin->path);
}
