/* What the reader of model files accepts and refuses.
 *
 *     container_test MODEL MORE WIDEST TOO_WIDE DEEPEST TOO_DEEP   the checks, on models written by make_model.py
 *     container_test --describe FILE... what the reader sees, one line per fact
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "network.h"

enum { INT8 = 0x21, FLOAT32 = 0x13 }; /* the file's types */
enum { SECTION = 0x4b0, CRC = SECTION + 0x10, TENSORS = SECTION + 0x40 };

static unsigned long failures;

static uint8_t *read_file(const char *path, uint64_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *size = (uint64_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return bytes;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static void seal(uint8_t *bytes, uint64_t size)
{
    put_u32(bytes + CRC, sim_crc32(bytes, size, CRC));
}

/* Parses a copy of exactly `size` bytes, so that a sanitizer sees any read past its end. */
static sim_result parse(const uint8_t *bytes, uint64_t size, sim_error *error)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        exit(3);
    }
    memcpy(copy, bytes, size);
    sim_model *model = NULL;
    error->text[0] = 0;
    const sim_result result = sim_model_parse(copy, size, &model, error);
    if ((result == SIM_OK) != (model != NULL)) {
        fprintf(stderr, "FAIL result %d with model %p\n", result, (void *)model);
        failures++;
    }
    sim_model_free(model);
    free(copy);
    return result;
}

static void refused(const char *what, const uint8_t *bytes, uint64_t size, sim_result wanted, const char *word)
{
    sim_error error;
    const sim_result result = parse(bytes, size, &error);
    if (result != wanted || !strstr(error.text, word)) {
        fprintf(stderr, "FAIL %s: result %d, \"%s\"; expected %d and the words \"%s\"\n", what, result, error.text,
                wanted, word);
        failures++;
    }
}

static void expect_text(const char *what, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0) {
        fprintf(stderr, "FAIL %s is \"%s\", expected \"%s\"\n", what, got, wanted);
        failures++;
    }
}

static void expect(const char *what, int64_t got, int64_t wanted)
{
    if (got != wanted) {
        fprintf(stderr, "FAIL %s is %lld, expected %lld\n", what, (long long)got, (long long)wanted);
        failures++;
    }
}

static void test_facts(const uint8_t *bytes, uint64_t size)
{
    sim_model *model;
    sim_error error = {""};
    expect("claimed size", (int64_t)sim_model_claimed_size(bytes, 0x434, &error), (int64_t)size);
    expect("claimed size of a short header", (int64_t)sim_model_claimed_size(bytes, 0x433, &error), 0);
    if (sim_model_parse(bytes, size, &model, &error) != SIM_OK) {
        fprintf(stderr, "FAIL %s\n", error.text);
        exit(1);
    }
    const sim_model_info *info = sim_model_get_info(model);
    expect_text("name", info->name, "small");
    expect_text("function", info->function, "subnet0");
    expect("year", info->format_date[0], 2020);
    expect("level", info->level, 15);
    expect("architecture", info->architecture, 8);
    expect("parallelism", info->parallelism, 1);
    expect("network", info->has_network, 1);
    expect("inputs", info->input_count, 1);
    expect_text("input", info->inputs[0].name, "data");
    expect("input bytes", info->inputs[0].bytes, 32 * 32 * 4);
    expect_text("output", info->outputs[0].name, "head");
    expect("output channels", info->outputs[0].dims[3], 18);
    expect("output type", info->outputs[0].dtype, 0x12);
    sim_model_free(model);
}

/* Every shorter file and every changed bit is refused with a sentence. */
static void test_damage(const uint8_t *bytes, uint64_t size)
{
    sim_error error;
    for (uint64_t length = 0; length < size; length += length < 0x600 || size - length < 600 ? 1 : 97) {
        if (parse(bytes, length, &error) == SIM_OK || !error.text[0]) {
            fprintf(stderr, "FAIL the first %llu bytes were taken for a model\n", (unsigned long long)length);
            failures++;
        }
    }
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    for (uint64_t i = 0; i < size; i++) {
        copy[i] ^= (uint8_t)(1u << i % 8);
        const sim_result result = parse(copy, size, &error);
        if (result == SIM_OK || !error.text[0]) {
            fprintf(stderr, "FAIL a changed bit at %llu was not seen\n", (unsigned long long)i);
            failures++;
        }
        copy[i] ^= (uint8_t)(1u << i % 8);
    }
    free(copy);
}

typedef struct change { /* one wrong field; the checksum is made right again */
    const char *what;
    uint64_t at;
    uint32_t value;
    sim_result result;
    const char *word;
} change;

static uint64_t constants_at(const uint8_t *bytes)
{
    return TENSORS + 32 * (uint64_t)sim_read_u32(bytes + SECTION + 0x14);
}

static uint64_t operators_at(const uint8_t *bytes)
{
    const uint64_t ends = (uint64_t)sim_read_u32(bytes + SECTION + 0x30) + sim_read_u32(bytes + SECTION + 0x34);
    return constants_at(bytes) + 32 * (uint64_t)sim_read_u32(bytes + SECTION + 0x18) + (4 * ends + 7) / 8 * 8;
}

static void test_fields(const uint8_t *bytes, uint64_t size)
{
    const uint64_t first = operators_at(bytes), conv = first + 4 * (uint64_t)sim_read_u32(bytes + first + 4),
                   attributes = conv + 4 * 14;
    const uint64_t data = (first + sim_read_u64(bytes + SECTION + 0x20) - SECTION + 63) / 64 * 64 + SECTION;
    const change changes[] = {
        {"two functions", 8, 2, SIM_NOT_SUPPORTED, "functions"},
        {"a long name", 12, 128, SIM_BAD_FILE, "name"},
        {"a huge payload", 0x42c, 0x7fffffff, SIM_BAD_FILE, "header"},
        {"another header size", 0x424, 0x435, SIM_BAD_FILE, "header"},
        {"no cores", 0x474, 0, SIM_BAD_FILE, "cores"},
        {"a short hdxf", 0x458, 0x60, SIM_BAD_FILE, "wfcs"},
        {"a newer version", SECTION + 4, 2, SIM_NOT_SUPPORTED, "version"},
        {"a short section", SECTION + 8, 0x20, SIM_BAD_FILE, "network section"},
        {"a huge section", SECTION + 8, 0x7fffffff, SIM_BAD_FILE, "network section"},
        {"no tensors", SECTION + 0x14, 0, SIM_BAD_FILE, "tensors"},
        {"too many constants", SECTION + 0x18, 65537, SIM_BAD_FILE, "constants"},
        {"more operators", SECTION + 0x1c, 8, SIM_BAD_FILE, "operator"},
        {"a long table", SECTION + 0x20, 0x7fffffff, SIM_BAD_FILE, "tables"},
        {"other inputs", SECTION + 0x30, 2, SIM_BAD_FILE, "inputs"},
        {"a dimension of 0", TENSORS + 4, 0, SIM_BAD_FILE, "dimension"},
        {"a dimension of 2^31", TENSORS + 8, 0x80000000u, SIM_BAD_FILE, "dimension"},
        {"an int8 tensor", TENSORS + 16, 0x21, SIM_BAD_FILE, "type"},
        {"a tensor unlike the container's", TENSORS + 4, 31, SIM_BAD_FILE, "container"},
        {"a misplaced constant", constants_at(bytes), 32, SIM_BAD_FILE, "constant"},
        {"a constant too long", constants_at(bytes) + 8, 0x7fffffff, SIM_BAD_FILE, "constant"},
        {"a constant of another type", constants_at(bytes) + 16, 0x12, SIM_BAD_FILE, "constant"},
        {"a NaN", data, 0x7fc00000u, SIM_BAD_FILE, "finite"},
        {"a code to come", first, 63, SIM_NOT_SUPPORTED, "operator code 63"},
        {"no code", first, 64, SIM_BAD_FILE, "code"},
        {"a record too long", first + 4, 0x7fffffff, SIM_BAD_FILE, "words"},
        {"too many inputs", first + 8, 0x40000000u, SIM_BAD_FILE, "words"},
        {"its own output", first + 32, sim_read_u32(bytes + first + 20), SIM_BAD_FILE, "before it is written"},
        {"a tensor that is not there", first + 20, 0x7fffffff, SIM_BAD_FILE, "writes tensor"},
        {"an input as output", first + 20, 0, SIM_BAD_FILE, "already written"},
        {"a constant that is not there", conv + 36, 0x7fffffff, SIM_BAD_FILE, "constant"},
        {"no weights", conv + 36, SIM_ABSENT, SIM_BAD_FILE, "weights"},
        {"no scale", conv + 40, SIM_ABSENT, SIM_BAD_FILE, "scale"},
        {"alpha without beta", conv + 52, SIM_ABSENT, SIM_BAD_FILE, "alpha"},
        {"a kernel of 0", attributes, 0, SIM_BAD_FILE, "kernel"},
        {"a kernel of 4", attributes, 4, SIM_BAD_FILE, "weights"},
        {"a stride of 0", attributes + 8, 0, SIM_BAD_FILE, "stride"},
        {"padding beyond the kernel", attributes + 16, 3, SIM_BAD_FILE, "padding"},
        {"negative padding", attributes + 20, 0xffffffffu, SIM_BAD_FILE, "padding"},
        {"a dilation of 0", attributes + 24, 0, SIM_BAD_FILE, "dilation"},
        {"no groups", attributes + 32, 0, SIM_BAD_FILE, "groups"},
        {"a negative quant_scale", attributes + 36, 0xbf800000u, SIM_BAD_FILE, "quant_scale"},
        {"an infinite quant_scale", attributes + 36, 0x7f800000u, SIM_BAD_FILE, "quant_scale"},
    };
    uint8_t *copy = malloc(size);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(copy, bytes, size);
        put_u32(copy + changes[i].at, changes[i].value);
        seal(copy, size);
        refused(changes[i].what, copy, size, changes[i].result, changes[i].word);
    }
    free(copy);
}

/* Where the last "atiR" section's descriptors begin. */
static uint64_t descriptors_at(const uint8_t *bytes, uint64_t size)
{
    uint64_t at = size - 4;
    while (memcmp(bytes + at, "atiR", 4) != 0) {
        at--;
    }
    return at + 16 + 12;
}

/* The file is longer than each of its parts: a part's own end is what counts. */
static void test_ends(const uint8_t *bytes, uint64_t size)
{
    const uint64_t name = descriptors_at(bytes, size) + 4 * 6; /* behind mask, rank and four dimensions */
    const uint32_t last = sim_read_u32(bytes + SECTION + 0x18) - 1;
    const uint64_t record = constants_at(bytes) + 32 * (uint64_t)last;
    const uint64_t here = sim_read_u64(bytes + record), all = sim_read_u64(bytes + SECTION + 0x28);
    const uint32_t bytes_each = sim_read_u32(bytes + record + 16) == FLOAT32 ? 4 : 1;
    const change changes[] = {
        {"a tensor's name too long for us", name, 128, SIM_BAD_FILE, "has a name of 128 bytes"},
        {"a tensor's name too long for the list", name, 127, SIM_BAD_FILE, "the list of tensors ends at byte"},
        {"a rank too large for us", name - 4 * 5, 9, SIM_BAD_FILE, "rank 9"},
        {"a constant of one element too many", record + 8, (uint32_t)((all - here) / bytes_each + 1), SIM_BAD_FILE,
         "does not lie inside"},
    };
    uint8_t *copy = malloc(size);
    expect("the last constant's place", here > 0, 1);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(copy, bytes, size);
        put_u32(copy + changes[i].at, changes[i].value);
        seal(copy, size);
        refused(changes[i].what, copy, size, changes[i].result, changes[i].word);
    }
    free(copy);
}

/* Quantized values are symmetric: the most negative code would let sums leave their 32 bits. */
static void test_codes(const uint8_t *bytes, uint64_t size)
{
    const uint64_t data =
        (operators_at(bytes) + sim_read_u64(bytes + SECTION + 0x20) - SECTION + 63) / 64 * 64 + SECTION;
    uint64_t record = constants_at(bytes);
    while (sim_read_u32(bytes + record + 16) != INT8) {
        record += 32;
    }
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    copy[data + sim_read_u64(bytes + record) + sim_read_u64(bytes + record + 8) - 1] = 0x80;
    seal(copy, size);
    refused("a weight of -128", copy, size, SIM_BAD_FILE, "holds the code -128");
    free(copy);
}

/* The record of the first operator with this code (and, for activations, this function). */
static uint64_t record_of(const uint8_t *bytes, uint32_t opcode, uint32_t function)
{
    const uint64_t first = operators_at(bytes), end = first + sim_read_u64(bytes + SECTION + 0x20);
    for (uint64_t at = first; at < end; at += 4 * (uint64_t)sim_read_u32(bytes + at + 4)) {
        const uint64_t words = at + 4 * (8 + (uint64_t)sim_read_u32(bytes + at + 8) + sim_read_u32(bytes + at + 12));
        if (sim_read_u32(bytes + at) == opcode && (!function || sim_read_u32(bytes + words) == function)) {
            return at;
        }
    }
    printf("the model has no operator of code %u and function %u\n", opcode, function);
    exit(2);
}

enum { CONSTANT = 100, COUNT }; /* instead of an attribute's number: the first constant, their count */

/* Every attribute of the operators 14 to 27 has limits. */
static void test_attributes(const uint8_t *bytes, uint64_t size)
{
    const uint32_t infinite = 0x7f800000, nan = 0x7fc00000, minus = 0xbf800000, zero = 0, large = 1u << 30,
                   negative = 0x80000000u;
    const struct {
        uint32_t opcode, function, attribute, value;
        const char *word;
    } changes[] = {
        {8, 5, 0, 19, "not known"},
        {8, 5, 0, negative, "not known"},
        {8, 5, 1, nan, "not finite"},
        {8, 15, 2, minus, "wrong order"},
        {8, 9, 0, 8, "exactly if its function is prelu"},
        {8, 5, 0, 9, "exactly if its function is prelu"},
        {8, 9, CONSTANT, SIM_ABSENT, "slope"},
        {18, 0, 0, 0, "window"},
        {18, 0, 1, large, "window"},
        {18, 0, 2, 0, "window"},
        {18, 0, 3, negative, "window"},
        {18, 0, 4, 3, "window"},
        {18, 0, 5, negative, "window"},
        {18, 0, 6, 2, "count_include_pad"},
        {19, 0, 0, 0, "kind"},
        {19, 0, 0, 4, "kind"},
        {19, 0, 1, 0, "axes"},
        {19, 0, 1, 16, "axes"},
        {19, 0, 1, 15, "do not fit"},
        {20, 0, 0, 0, "kernel"},
        {20, 0, 1, large, "kernel"},
        {20, 0, 2, 0, "kernel"},
        {20, 0, 2, 1, "kernel"},
        {20, 0, 4, negative, "kernel"},
        {20, 0, 5, 2, "kernel"},
        {20, 0, 6, 0, "kernel"},
        {20, 0, 7, large, "kernel"},
        {20, 0, 8, 0, "groups"},
        {20, 0, 8, 5, "groups"},
        {20, 0, 9, nan, "quant_scale"},
        {20, 0, CONSTANT, SIM_ABSENT, "weights"},
        {21, 0, 0, 2, "align_corners"},
        {22, 0, 0, negative, "outside"},
        {22, 0, 1, 0, "padding"},
        {22, 0, 2, large, "outside"},
        {22, 0, 3, 4, "padding"},
        {22, 0, 4, infinite, "not finite"},
        {23, 0, CONSTANT, SIM_ABSENT, "alpha"},
        {24, 0, 0, zero, "eps"},
        {24, 0, 0, nan, "eps"},
        {24, 0, CONSTANT, 1, "scale per channel"},
        {25, 0, 0, 0, "kind"},
        {25, 0, 0, 4, "kind"},
        {25, 0, 1, 0, "classes"},
        {25, 0, 1, 4, "head"},
        {25, 0, 2, 0, "anchors"},
        {25, 0, 2, 65, "anchors"},
        {25, 0, 3, 0, "size"},
        {25, 0, 4, negative, "size"},
        {25, 0, 5, nan, "confidence"},
        {25, 0, 5, minus, "confidence"},
        {25, 0, 6, infinite, "iou"},
        {25, 0, 7, 0, "max_boxes"},
        {25, 0, 7, large, "max_boxes"},
        {25, 0, 7, 41, "7 * max_boxes"},
        {25, 0, 8, zero, "scale_x_y"},
        {25, 0, 9, infinite, "scale_x_y"},
        {25, 0, CONSTANT, SIM_ABSENT, "width and height"},
        {26, 0, 0, 2, "turn"},
        {26, 0, 1, negative, "turn"},
        {26, 0, 0, 1, "do not fit"},
        {26, 0, 1, 0, "do not fit"},
        {26, 0, 2, zero, "scale"},
        {26, 0, 2, minus, "scale"},
        {26, 0, 2, infinite, "scale"},
        {27, 0, 0, zero, "eps"},
        {27, 0, 0, nan, "eps"},
        {27, 0, CONSTANT, 1, "gamma and beta per channel"},
        {8, 5, COUNT, 1, "its parts need"},
    };
    uint8_t *copy = malloc(size);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const uint64_t record = record_of(bytes, changes[i].opcode, changes[i].function);
        const uint64_t constants = record + 4 * (8 + (uint64_t)sim_read_u32(bytes + record + 8)),
                       attributes = constants + 4 * (uint64_t)sim_read_u32(bytes + record + 12);
        char what[80];
        snprintf(what, sizeof what, "operator code %u, attribute %u = 0x%x", changes[i].opcode, changes[i].attribute,
                 changes[i].value);
        memcpy(copy, bytes, size);
        put_u32(copy + (changes[i].attribute == COUNT      ? record + 12
                        : changes[i].attribute == CONSTANT ? constants
                                                           : attributes + 4 * (uint64_t)changes[i].attribute),
                changes[i].value);
        seal(copy, size);
        refused(what, copy, size, SIM_BAD_FILE, changes[i].word);
    }
    free(copy);
}

/* Without our section it is a vendor's file: described, but with nothing to run. */
static void test_device_file(const uint8_t *bytes, uint64_t size)
{
    uint8_t *copy = malloc(size);
    sim_model *model;
    sim_plan *plan;
    sim_error error = {""};
    memcpy(copy, bytes, size);
    memcpy(copy + SECTION, "code", 4);
    refused("our file without its tag", copy, size, SIM_BAD_FILE, "network section");
    memset(copy + 0x408, 0, 12); /* the header no longer says that it is ours */
    expect("a device file", sim_model_parse(copy, size, &model, &error), SIM_OK);
    expect("its network", sim_model_get_info(model)->has_network, 0);
    expect("its outputs", sim_model_get_info(model)->output_count, 1);
    expect("its plan", sim_plan_create(model, &(sim_settings){0}, &plan, &error), SIM_DEVICE_CODE);
    expect("the sentence", strstr(error.text, "device code") != NULL, 1);
    sim_model_free(model);
    for (uint64_t i = 0; i < size; i++) { /* nothing guards it but the reader's own care */
        const uint8_t before = copy[i];
        copy[i] ^= (uint8_t)(1u << i % 8);
        parse(copy, size, &error);
        copy[i] = 0xff;
        parse(copy, size, &error);
        copy[i] = before;
    }
    free(copy);
}

/* A container of 2019: "hdxf" comes first, no descriptors, "ZLYF" ends the file. */
static void test_old_file(const uint8_t *bytes)
{
    uint8_t old[0x434 + 0x80];
    sim_model *model;
    sim_error error = {""};
    memcpy(old, bytes, 0x434);
    memset(old + 0x408, 0, 12);
    memset(old + 0x434, 0, 0x80);
    put_u64(old + 0x42c, 0x80);
    memcpy(old + 0x434, "hdxf", 4);
    put_u64(old + 0x434 + 8, 0x80);
    put_u32(old + 0x434 + 0x20, 6);
    put_u32(old + 0x434 + 0x24, 1);
    memcpy(old + sizeof old - 4, "ZLYF", 4);
    expect("an old file", sim_model_parse(old, sizeof old, &model, &error), SIM_OK);
    expect("its descriptors", sim_model_get_info(model)->has_descriptors, 0);
    expect("its architecture", sim_model_get_info(model)->architecture, 6);
    sim_model_free(model);
}

static void describe(const char *path)
{
    uint64_t size;
    uint8_t *bytes = read_file(path, &size);
    sim_model *model;
    sim_error error = {""};
    if (sim_model_parse(bytes, size, &model, &error) != SIM_OK) {
        printf("%s: %s\n", path, error.text);
        failures++;
        free(bytes);
        return;
    }
    const sim_model_info *info = sim_model_get_info(model);
    printf("%s: name %s function %s date %u-%u-%u level %u versions %u %u architecture %u parallelism %u network %d\n",
           path, info->name, info->function, info->format_date[0], info->format_date[1], info->format_date[2],
           info->level, info->runtime_version, info->compiler_version, info->architecture, info->parallelism,
           info->has_network);
    for (int32_t i = 0; i < info->input_count + info->output_count; i++) {
        const sim_io *io = &info->inputs[i]; /* outputs follow the inputs */
        printf("  %s \"%s\" type 0x%x order 0x%x bytes %lld dims", i < info->input_count ? "input" : "output", io->name,
               io->dtype, io->order, (long long)io->bytes);
        for (int32_t k = 0; k < io->rank; k++) {
            printf(" %d", io->dims[k]);
        }
        printf("\n");
    }
    sim_model_free(model);
    free(bytes);
}

/* Sums that are just as long as may be, and one product longer. */
static void test_longest(const char *longest, const char *too_long, const char *sentence)
{
    uint64_t size;
    sim_error error;
    uint8_t *bytes = read_file(longest, &size);
    expect("sums as long as may be", parse(bytes, size, &error), SIM_OK);
    free(bytes);
    bytes = read_file(too_long, &size);
    refused("sums that are too long", bytes, size, SIM_BAD_FILE, sentence);
    free(bytes);
}

/* As IEEE 802.3 defines it, bit by bit. */
static uint32_t plain_crc(const uint8_t *bytes, uint64_t size, uint64_t hole)
{
    uint32_t crc = 0xffffffffu;
    for (uint64_t i = 0; i < size; i++) {
        crc ^= i >= hole && i < hole + 4 ? 0 : bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

/* Of every length and place in memory around those that are taken at once, the hole anywhere. */
static void test_checksum(void)
{
    uint8_t bytes[128];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * i * 37 + 11);
    }
    for (uint64_t size = 0; size <= 112; size++) {
        for (uint64_t hole = 0; hole <= size + 1; hole++) {
            const uint8_t *at = bytes + hole % 16;
            expect("a checksum", sim_crc32(at, size, hole), plain_crc(at, size, hole));
        }
    }
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--describe") == 0) {
        for (int i = 2; i < argc; i++) {
            describe(argv[i]);
        }
        return failures ? 1 : 0;
    }
    if (argc != 7) {
        fprintf(stderr, "usage: container_test MODEL MODEL_OF_MORE_OPERATORS WIDEST TOO_WIDE DEEPEST TOO_DEEP\n");
        return 2;
    }
    uint64_t size;
    uint8_t *bytes = read_file(argv[1], &size);
    expect("CRC-32 of 123456789", sim_crc32((const uint8_t *)"123456789", 9, 100), 0xcbf43926);
    test_checksum();
    test_facts(bytes, size);
    test_damage(bytes, size);
    test_fields(bytes, size);
    test_ends(bytes, size);
    test_codes(bytes, size);
    test_device_file(bytes, size);
    test_old_file(bytes);
    refused("an empty file", bytes, 0, SIM_BAD_FILE, "empty");
    refused("a text", (const uint8_t *)"hello, world", 12, SIM_BAD_FILE, "no offline model");
    free(bytes);
    bytes = read_file(argv[2], &size);
    test_attributes(bytes, size);
    free(bytes);
    test_longest(argv[3], argv[4], "a kernel volume above 133143, which could overflow");
    test_longest(argv[5], argv[6], "adds up more than 65536 products");
    printf("%lu failures\n", failures);
    return failures ? 1 : 0;
}
