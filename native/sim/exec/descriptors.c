/* Inputs and outputs as the container describes them, twice: deploy/FORMAT.md section 1.
 *
 * Bytes are hostile: every size is compared with what is left before it is used. */
#include "descriptors.h"

#include <string.h>

enum { DESCRIPTOR_MASK = 0x14260609, MAX_DIM = 1 << 24, MAX_BYTES = 0x7fffffff };

/* A part of the file with a place in it. */
typedef struct cursor {
    const uint8_t *bytes;
    uint64_t at, end;
    sim_error *error;
    const char *part; /* for the sentence */
} cursor;

static bool need(cursor *c, uint64_t count)
{
    if (c->at > c->end || count > c->end - c->at) {
        sim_fail(c->error, SIM_BAD_FILE,
                 "The model file is corrupt: %s ends at byte %llu, %llu more are needed; get the file again.", c->part,
                 (unsigned long long)c->end, (unsigned long long)count);
        return false;
    }
    return true;
}

static bool take_u32(cursor *c, uint32_t *value)
{
    if (!need(c, 4)) {
        return false;
    }
    *value = sim_read_u32(c->bytes + c->at);
    c->at += 4;
    return true;
}

/* A length, that many bytes, padding to 4. A symbol may hold any byte but NUL before its end. */
static bool take_name(cursor *c, char *name)
{
    uint32_t length;
    if (!take_u32(c, &length)) {
        return false;
    }
    if (length >= SIM_MAX_NAME) {
        sim_fail(c->error, SIM_BAD_FILE,
                 "The model file is corrupt: %s has a name of %u bytes, at most %d are allowed.", c->part, length,
                 SIM_MAX_NAME - 1);
        return false;
    }
    const uint64_t padded = (length + 3) / 4 * 4;
    if (!need(c, padded)) {
        return false;
    }
    memcpy(name, c->bytes + c->at, length);
    name[length] = 0;
    c->at += padded;
    return true;
}

static int64_t dtype_size(uint32_t dtype)
{
    switch (dtype >> 4) { /* families of cnrtDataType_t */
    case 1: return dtype == 0x12 ? 2 : dtype == 0x13 ? 4 : dtype == 0x14 ? 8 : 0;
    case 2: return dtype == 0x21 ? 1 : dtype == 0x22 ? 2 : dtype == 0x23 ? 4 : dtype == 0x24 ? 8 : 0;
    case 3: return dtype == 0x31 ? 1 : dtype == 0x32 ? 2 : dtype == 0x33 ? 4 : 0;
    case 4:
    case 5:
    case 6: return (dtype & 15) == 1 ? 1 : 0;
    default: return 0;
    }
}

static bool take_dims(cursor *c, sim_io *io)
{
    uint32_t rank;
    if (!take_u32(c, &rank)) {
        return false;
    }
    if (rank > SIM_MAX_RANK) {
        sim_fail(c->error, SIM_BAD_FILE,
                 "The model file is corrupt: %s has a tensor of rank %u, at most %d is allowed.", c->part, rank,
                 SIM_MAX_RANK);
        return false;
    }
    io->rank = (int32_t)rank;
    io->bytes = 1;
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t dim;
        if (!take_u32(c, &dim)) {
            return false;
        }
        if (dim < 1 || dim > MAX_DIM || io->bytes > MAX_BYTES / (int64_t)dim) {
            sim_fail(c->error, SIM_BAD_FILE,
                     "The model file is corrupt: %s has a dimension of %u, which is outside 1..2^24 or makes a tensor "
                     "above 2 GiB.",
                     c->part, dim);
            return false;
        }
        io->dims[i] = (int32_t)dim;
        io->bytes *= dim;
    }
    return true;
}

static bool take_descriptor(cursor *c, sim_io *io)
{
    uint32_t mask, ignored;
    memset(io, 0, sizeof *io);
    if (!take_u32(c, &mask)) {
        return false;
    }
    if (mask != DESCRIPTOR_MASK) {
        sim_fail(c->error, SIM_BAD_FILE,
                 "The model file is corrupt: %s has no tensor descriptor at byte %llu (0x%08x).", c->part,
                 (unsigned long long)(c->at - 4), mask);
        return false;
    }
    if (!take_dims(c, io) || !take_name(c, io->name) || !take_u32(c, &ignored) || !take_u32(c, &io->dtype) ||
        !take_u32(c, &io->order) || !take_u32(c, &ignored) || !take_u32(c, &ignored)) {
        return false;
    }
    const int64_t size = dtype_size(io->dtype);
    if (size == 0 || io->bytes > MAX_BYTES / size) {
        sim_fail(c->error, SIM_BAD_FILE,
                 "The model file is corrupt: %s has a tensor of unknown type 0x%x or above 2 GiB.", c->part, io->dtype);
        return false;
    }
    io->bytes *= size;
    return true;
}

static bool counts_fit(cursor *c, uint32_t inputs, uint32_t outputs)
{
    if (inputs <= SIM_MAX_TENSORS && outputs <= SIM_MAX_TENSORS && inputs + outputs <= SIM_MAX_TENSORS) {
        return true;
    }
    sim_fail(c->error, SIM_BAD_FILE,
             "The model file is corrupt: %s claims %u inputs and %u outputs, at most %d together are allowed.", c->part,
             inputs, outputs, SIM_MAX_TENSORS);
    return false;
}

/* The body of the last "atiR" section: the named descriptors. */
static bool read_descriptors(sim_model *model, cursor *c)
{
    uint32_t zero, inputs, outputs;
    if (!take_u32(c, &zero) || !take_u32(c, &inputs) || !take_u32(c, &outputs) || !counts_fit(c, inputs, outputs)) {
        return false;
    }
    for (uint32_t i = 0; i < inputs + outputs; i++) {
        if (!take_descriptor(c, &model->io[i])) {
            return false;
        }
    }
    if (c->at != c->end) {
        sim_fail(c->error, SIM_BAD_FILE, "The model file is corrupt: %llu bytes follow the descriptors.",
                 (unsigned long long)(c->end - c->at));
        return false;
    }
    model->info.input_count = (int32_t)inputs;
    model->info.output_count = (int32_t)outputs;
    return true;
}

static bool agrees(const sim_io *a, const sim_io *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0 && a->dtype == b->dtype &&
           a->order == b->order;
}

static bool read_footer_list(sim_model *model, cursor *c, int32_t first, int32_t expected)
{
    uint32_t count, size, zero;
    sim_io again;
    if (!take_u32(c, &count)) {
        return false;
    }
    if (count != (uint32_t)expected) {
        sim_fail(c->error, SIM_BAD_FILE, "The model file is corrupt: its two lists of tensors count %d and %u.",
                 expected, count);
        return false;
    }
    for (int32_t i = 0; i < expected; i++) {
        if (!take_u32(c, &size) || !take_u32(c, &zero) || !take_descriptor(c, &again)) {
            return false;
        }
        if (!agrees(&again, &model->io[first + i])) {
            sim_fail(c->error, SIM_BAD_FILE, "The model file is corrupt: its two descriptions of tensor %d differ.",
                     first + i);
            return false;
        }
    }
    return true;
}

static bool read_footer(sim_model *model, cursor *c)
{
    const sim_model_info *info = &model->info;
    if (!read_footer_list(model, c, 0, info->input_count) ||
        !read_footer_list(model, c, info->input_count, info->output_count) || !take_name(c, model->info.function) ||
        !need(c, 4)) {
        return false;
    }
    if (memcmp(c->bytes + c->at, "CDHB", 4) != 0 || c->at + 4 != c->end) {
        sim_fail(c->error, SIM_BAD_FILE, "The model file is corrupt: it does not end with its closing tag \"CDHB\".");
        return false;
    }
    return true;
}

uint64_t sim_descriptors_find(const uint8_t *bytes, uint64_t first, uint64_t footer)
{
    const uint64_t longest = 16 + 12 + (uint64_t)SIM_MAX_TENSORS * (4 * (8 + SIM_MAX_RANK) + SIM_MAX_NAME);
    for (uint64_t at = footer; at >= first + 16 && footer - at <= longest; at--) {
        const uint8_t *tag = bytes + at - 16;
        if (memcmp(tag, "atiR", 4) == 0 && sim_read_u32(tag + 4) == 0x0e && sim_read_u64(tag + 8) == footer - at) {
            return at;
        }
    }
    return 0;
}

sim_result sim_descriptors_read(sim_model *model, const uint8_t *bytes, uint64_t body, uint64_t footer, uint64_t size,
                                sim_error *error)
{
    cursor list = {bytes, body, footer, error, "the list of tensors"},
           tail = {bytes, footer + 4, size, error, "the footer"};
    if (!read_descriptors(model, &list) || !read_footer(model, &tail)) {
        return SIM_BAD_FILE;
    }
    model->info.has_descriptors = true;
    return SIM_OK;
}
