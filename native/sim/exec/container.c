/* The container ("MEF"): vendor files and ours alike. deploy/FORMAT.md section 1.
 *
 * Bytes are hostile: every size is compared with what is left before it is used. */
#include <stdlib.h>
#include <string.h>

#include "descriptors.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file format is read in place on little-endian machines");

enum {
    HEADER_SIZE = 0x434,
    NAME_AT = 0x10,
    LEVEL_AT = 0x400,
    RUNTIME_AT = 0x404,
    COMPILER_AT = 0x414,
    HEADER_SIZE_AT = 0x424,
    PAYLOAD_SIZE_AT = 0x42c,
    HDXF_HEAD = 0x60,
    MAX_BYTES = 0x7fffffff,
    CRC_AT = 0x10,
    NETWORK_HEAD = 0x40,
};

/* ---- the header ---- */

static sim_result check_header(const uint8_t *bytes, uint64_t available, uint64_t *claimed, sim_error *error)
{
    if (available < 4 || memcmp(bytes, "\x7fMEF", 4) != 0) {
        return sim_fail(error, SIM_BAD_FILE,
                        available
                            ? "This is no offline model: it does not begin with 7F 'M' 'E' 'F'; give a .cambricon file."
                            : "The model file is empty; get the file again.");
    }
    if (available < HEADER_SIZE) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is truncated: %llu bytes, the header alone has %d; get the file again.",
                        (unsigned long long)available, HEADER_SIZE);
    }
    const uint64_t header = sim_read_u64(bytes + HEADER_SIZE_AT), payload = sim_read_u64(bytes + PAYLOAD_SIZE_AT);
    if (header != HEADER_SIZE || payload > MAX_BYTES - HEADER_SIZE || payload < HDXF_HEAD) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: its header claims %llu + %llu bytes, expected %d + at most 2 GiB; "
                        "get the file again.",
                        (unsigned long long)header, (unsigned long long)payload, HEADER_SIZE);
    }
    *claimed = header + payload;
    return SIM_OK;
}

uint64_t sim_model_claimed_size(const uint8_t *bytes, uint64_t available, sim_error *error)
{
    uint64_t claimed = 0;
    return check_header(bytes, available, &claimed, error) == SIM_OK ? claimed : 0;
}

static sim_result read_header(sim_model *model, const uint8_t *bytes, sim_error *error)
{
    sim_model_info *info = &model->info;
    const uint32_t functions = sim_read_u32(bytes + 8), length = sim_read_u32(bytes + 12);
    if (functions != 1) {
        return sim_fail(error, SIM_NOT_SUPPORTED, "The model file holds %u functions; only files with one are known.",
                        functions);
    }
    if (length >= SIM_MAX_NAME) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: its name has %u bytes, at most %d are allowed.", length,
                        SIM_MAX_NAME - 1);
    }
    memcpy(info->name, bytes + NAME_AT, length);
    info->format_date[0] = 100u * bytes[4] + bytes[5];
    info->format_date[1] = bytes[6];
    info->format_date[2] = bytes[7];
    info->level = sim_read_u32(bytes + LEVEL_AT);
    info->runtime_version = sim_read_u32(bytes + RUNTIME_AT);
    info->compiler_version = sim_read_u32(bytes + COMPILER_AT);
    return SIM_OK;
}

/* ---- payload ---- */

/* Finds "hdxf" (behind "wfcs" or, in files of 2019, first) and checks that it stays inside the file. */
static sim_result find_hdxf(sim_model *model, const uint8_t *bytes, uint64_t size, uint64_t *hdxf, uint64_t *hdxf_size,
                            sim_error *error)
{
    const bool wrapped = memcmp(bytes + HEADER_SIZE, "wfcs", 4) == 0;
    *hdxf = HEADER_SIZE + (wrapped ? 28 : 0);
    if (*hdxf + HDXF_HEAD > size || memcmp(bytes + *hdxf, "hdxf", 4) != 0) {
        return sim_fail(error, SIM_BAD_FILE, "The model file is corrupt: there is no \"hdxf\" section at byte %llu.",
                        (unsigned long long)*hdxf);
    }
    *hdxf_size = sim_read_u64(bytes + *hdxf + 8);
    if (wrapped && (sim_read_u64(bytes + HEADER_SIZE + 8) != size - HEADER_SIZE ||
                    sim_read_u64(bytes + HEADER_SIZE + 20) != *hdxf_size)) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: the sizes of its \"wfcs\" section disagree with the file.");
    }
    if (*hdxf_size < HDXF_HEAD + 4 || *hdxf_size > size - *hdxf ||
        memcmp(bytes + *hdxf + *hdxf_size - 4, "ZLYF", 4) != 0) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: its \"hdxf\" section of %llu bytes does not end with \"ZLYF\".",
                        (unsigned long long)*hdxf_size);
    }
    model->info.architecture = sim_read_u32(bytes + *hdxf + 0x20);
    model->info.parallelism = sim_read_u32(bytes + *hdxf + 0x24);
    if (model->info.parallelism < 1 || model->info.parallelism > 64) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: it claims %u cores per invocation, expected 1..64.",
                        model->info.parallelism);
    }
    return SIM_OK;
}

static sim_result copy_section(sim_model *model, const uint8_t *bytes, uint64_t size, uint64_t at, uint64_t end,
                               sim_error *error)
{
    const uint64_t section = sim_read_u64(bytes + at + 8);
    if (sim_read_u32(bytes + at + 4) != 1) {
        return sim_fail(error, SIM_NOT_SUPPORTED,
                        "The model's network section has version %u, this simulator reads version 1; update it.",
                        sim_read_u32(bytes + at + 4));
    }
    if (section < NETWORK_HEAD || section > end - at) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: its network section claims %llu bytes, %llu are left.",
                        (unsigned long long)section, (unsigned long long)(end - at));
    }
#ifndef SIM_FUZZ_WITHOUT_CRC
    const uint32_t stored = sim_read_u32(bytes + at + CRC_AT), actual = sim_crc32(bytes, size, at + CRC_AT);
    if (stored != actual) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: its checksum is %08x, the file says %08x; get the file again.",
                        actual, stored);
    }
#else
    (void)size;
#endif
    model->section = aligned_alloc(64, (section + 63) / 64 * 64);
    if (!model->section) {
        return sim_fail(error, SIM_NO_MEMORY, "There is no memory for the model (%llu bytes).",
                        (unsigned long long)section);
    }
    memcpy(model->section, bytes + at, section);
    model->section_size = section;
    return SIM_OK;
}

static sim_result read_payload(sim_model *model, const uint8_t *bytes, uint64_t size, sim_error *error)
{
    uint64_t hdxf = 0, hdxf_size = 0;
    sim_result result = find_hdxf(model, bytes, size, &hdxf, &hdxf_size, error);
    if (result != SIM_OK) {
        return result;
    }
    const uint64_t network = hdxf + HDXF_HEAD, footer = hdxf + hdxf_size - 4;
    const bool ours = footer - network >= NETWORK_HEAD && memcmp(bytes + network, "MLUS", 4) == 0;
    if (ours) {
        result = copy_section(model, bytes, size, network, footer, error);
        if (result != SIM_OK) {
            return result;
        }
    }
    if (!ours && memcmp(bytes + RUNTIME_AT + 4, "mlu-agent", 10) == 0) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: it was written by mlu-export, but its network section is not "
                        "there; get the file again.");
    }
    if (footer + 4 == size && !ours) { /* a file of 2019: nothing describes its tensors */
        memcpy(model->info.function, "subnet0", 8);
        return SIM_OK;
    }
    const uint64_t body = sim_descriptors_find(bytes, network, footer);
    if (body == 0) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: there are no tensor descriptors (\"atiR\") before \"ZLYF\".");
    }
    if (ours && body != network + model->section_size + 16) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file is corrupt: its descriptors do not follow the network section.");
    }
    result = sim_descriptors_read(model, bytes, body, footer, size, error);
    return result == SIM_OK && ours ? sim_network_parse(model, error) : result;
}

sim_result sim_model_parse(const uint8_t *bytes, uint64_t size, sim_model **out, sim_error *error)
{
    uint64_t claimed = 0;
    *out = NULL;
    sim_result result = check_header(bytes, size, &claimed, error);
    if (result != SIM_OK) {
        return result;
    }
    if (claimed != size) {
        return sim_fail(error, SIM_BAD_FILE,
                        "The model file has %llu bytes, its header claims %llu; get the file again.",
                        (unsigned long long)size, (unsigned long long)claimed);
    }
    sim_model *model = calloc(1, sizeof *model);
    if (!model) {
        return sim_fail(error, SIM_NO_MEMORY, "There is no memory for the model.");
    }
    result = read_header(model, bytes, error);
    if (result == SIM_OK) {
        result = read_payload(model, bytes, size, error);
    }
    if (result != SIM_OK) {
        sim_model_free(model);
        return result;
    }
    model->info.has_network = model->section != NULL;
    model->info.inputs = model->io;
    model->info.outputs = model->io + model->info.input_count;
    *out = model;
    return SIM_OK;
}

const sim_model_info *sim_model_get_info(const sim_model *model)
{
    return &model->info;
}

void sim_model_drop_network(sim_model *model)
{
    free(model->section);
    free(model->tensors);
    free(model->constants);
    free(model->operators);
    model->section = NULL;
    model->tensors = NULL;
    model->constants = NULL;
    model->operators = NULL;
    model->io_tensors = NULL;
}

void sim_model_free(sim_model *model)
{
    if (model) {
        sim_model_drop_network(model);
        free(model);
    }
}
