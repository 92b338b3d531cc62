#define _GNU_SOURCE
#include "core/timing.h"

#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"
#include "core/environment.h"
#include "core/file.h"
#include "core/toml.h"

static sim_timing estimated;
static bool known;
static char problem[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A profile as it stands. */
typedef struct draft {
    char name[SIM_TOML_MOST_STRING], device[SIM_TOML_MOST_STRING];
    int64_t cores;
    double clock_mhz, macs_int8, macs_int16, macs_float, efficiency, bandwidth_gb_s, memory_efficiency, launch_us;
    double transfer_gb_s, transfer_us;
    bool pace;
    uint64_t seen;
} draft;

#define FIELD(name, goal, low, high) {#name, goal, offsetof(draft, name), low, high}

static const sim_toml_field FIELDS[] = {
    FIELD(name, SIM_TO_TEXT, 0, 0),
    FIELD(device, SIM_TO_TEXT, 0, 0),
    FIELD(cores, SIM_TO_WHOLE, 1, 64),
    FIELD(clock_mhz, SIM_TO_NUMBER, 1, 1e5),
    FIELD(macs_int8, SIM_TO_NUMBER, 1, 1e6),
    FIELD(macs_int16, SIM_TO_NUMBER, 1, 1e6),
    FIELD(macs_float, SIM_TO_NUMBER, 1, 1e6),
    FIELD(efficiency, SIM_TO_NUMBER, 1e-3, 1),
    FIELD(bandwidth_gb_s, SIM_TO_NUMBER, 1e-3, 1e5),
    FIELD(memory_efficiency, SIM_TO_NUMBER, 1e-3, 1),
    FIELD(launch_us, SIM_TO_NUMBER, 0, 1e6),
    FIELD(transfer_gb_s, SIM_TO_NUMBER, 1e-3, 1e5),
    FIELD(transfer_us, SIM_TO_NUMBER, 0, 1e6),
    FIELD(pace, SIM_TO_TRUTH, 0, 0),
};
enum { FIELDS_COUNT = sizeof FIELDS / sizeof *FIELDS, PACE = FIELDS_COUNT - 1 }; /* pace alone may be left out */

static bool read_draft(sim_toml *toml, draft *d)
{
    sim_toml_item item;
    sim_toml_kind kind;
    while ((kind = sim_toml_next(toml, &item)) == SIM_TOML_VALUE || kind == SIM_TOML_TABLE) {
        if (kind == SIM_TOML_TABLE) {
            return sim_toml_wrong(toml, item.line, "[%s]: a timing profile has no tables; remove the line.", item.key);
        }
        if (!sim_toml_store(toml, &item, FIELDS, FIELDS_COUNT, d, &d->seen)) {
            return false;
        }
    }
    for (unsigned field = 0; kind == SIM_TOML_END && field < PACE; field++) {
        if ((d->seen >> field & 1) == 0) {
            return sim_toml_wrong(toml, toml->line, "%s is missing; give it a value.", FIELDS[field].key);
        }
    }
    return kind == SIM_TOML_END;
}

bool sim_timing_read(sim_timing *timing, const char *text, size_t bytes, const char *device, unsigned cores,
                     char *sentence, size_t room)
{
    draft d = {.seen = 0};
    sim_toml toml = sim_toml_open(text, bytes);
    bool good = bytes <= SIM_TOML_MOST_BYTES
                    ? read_draft(&toml, &d)
                    : sim_toml_wrong(&toml, 1, "the file has more than %d bytes; shorten it.", SIM_TOML_MOST_BYTES);
    if (good && (strcmp(d.device, device) != 0 || d.cores != cores)) {
        good = sim_toml_wrong(&toml, toml.line,
                              "it is for an %.20s of %lld cores, simulated is an %s of %u: set CNRT_SIMULATOR_DEVICE, "
                              "or take another profile.",
                              d.device, (long long)d.cores, device, cores);
    }
    if (!good) {
        snprintf(sentence, room, "%s", toml.problem);
        return false;
    }
    *timing = (sim_timing){
        .clock_hz = d.clock_mhz * 1e6,
        .macs_int8 = d.macs_int8,
        .macs_int16 = d.macs_int16,
        .macs_float = d.macs_float,
        .efficiency = d.efficiency,
        .bandwidth = d.bandwidth_gb_s * 1e9,
        .memory_efficiency = d.memory_efficiency,
        .launch_s = d.launch_us / 1e6,
        .transfer = d.transfer_gb_s * 1e9,
        .transfer_s = d.transfer_us / 1e6,
        .pace = d.pace,
    };
    memcpy(timing->name, d.name, sizeof timing->name);
    return true;
}

/* Sets the name at `into` to the file that this code was loaded from, once `object` is that. */
static int is_own(struct dl_phdr_info *object, size_t size, void *into)
{
    (void)size;
    for (int index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[index];
        if (part->p_type == PT_LOAD && (uintptr_t)&once - object->dlpi_addr - part->p_vaddr < part->p_memsz) {
            *(const char **)into = object->dlpi_name;
            return 1;
        }
    }
    return 0;
}

/* A name is looked for beside this library, as it is installed: profiles/NAME.toml. (dladdr would need libdl.) */
static void find(const char *wanted, char *path, size_t room)
{
    const char *library = NULL;
    const size_t length = strlen(wanted);
    const bool is_path = strchr(wanted, '/') != NULL || (length > 5 && strcmp(wanted + length - 5, ".toml") == 0);
    if (is_path || dl_iterate_phdr(is_own, &library) == 0 || library == NULL) {
        snprintf(path, room, "%s", wanted);
        return;
    }
    const char *slash = strrchr(library, '/');
    const int folder = slash == NULL ? 0 : (int)(slash - library) + 1;
    snprintf(path, room, "%.*sprofiles/%s.toml", folder, library, wanted);
}

static void load(void)
{
    const char *wanted = sim_environment_get()->timing;
    char path[4096], sentence[200];
    uint64_t bytes, size;
    if (wanted == NULL) {
        return;
    }
    const sim_device_kind *kind = sim_device_get_kind();
    find(wanted, path, sizeof path);
    uint8_t *text = sim_file_read_start(path, SIM_TOML_MOST_BYTES + 1, &bytes, &size);
    if (text == NULL) {
        snprintf(problem, sizeof problem, "CNRT_SIMULATOR_TIMING=%.30s: %.180s", wanted, sim_error_message());
    } else if (!sim_timing_read(&estimated, (const char *)text, bytes, kind->name, kind->cores, sentence,
                                sizeof sentence)) {
        snprintf(problem, sizeof problem, "CNRT_SIMULATOR_TIMING=%.30s, %.190s", wanted, sentence);
    } else {
        known = true;
        fprintf(stderr, "cnrt simulator: device times are estimates for %s, as CNRT_SIMULATOR_TIMING says\n",
                estimated.name);
    }
    free(text);
    if (problem[0] != '\0') {
        fprintf(stderr, "cnrt simulator: %s\n", problem);
    }
}

const sim_timing *sim_timing_get(void)
{
    pthread_once(&once, load);
    return known ? &estimated : NULL;
}

const char *sim_timing_problem(void)
{
    pthread_once(&once, load);
    return problem[0] == '\0' ? NULL : problem;
}
