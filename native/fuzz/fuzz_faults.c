/* libFuzzer: any bytes are read as a file of faults, as a timing profile and as recorded outputs without a crash; a refusal
 * says its line, and the faults that were read can be met by calls of every function. See run.sh. */
#include <stdlib.h>
#include <string.h>

#include "core/recording.h"
#include "core/rules.h"
#include "core/timing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_others(const uint8_t *data, size_t size)
{
    sim_timing timing;
    sim_error error = {""};
    char problem[200] = "";
    if (sim_timing_read(&timing, (const char *)data, size, "MLU220", 4, problem, sizeof problem) ==
        (problem[0] != '\0')) {
        abort();
    }
    if ((sim_recording_check(data, size, 0, 0, 8, 24, &error) == 0) == (error.text[0] == '\0')) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sim_rules rules;
    char problem[200] = "";
    char *text = malloc(size + !size); /* exactly: a sanitizer sees one byte too many */
    memcpy(text, data, size);
    read_others((const uint8_t *)text, size);
    memset(&rules, 0, sizeof rules);
    pthread_mutex_init(&rules.lock, NULL);
    const bool taken = sim_rules_read(&rules, text, size, "faults.toml", problem, sizeof problem);
    free(text);
    if (taken == (rules.count == 0 || problem[0] != '\0') || (!taken && strncmp(problem, "line ", 5) != 0)) {
        abort();
    }
    for (unsigned call = 0; taken && call < 2 * SIM_CALLS; call++) {
        const sim_call made = {(sim_function_number)(call % SIM_CALLS), (int)(call % 4), call % 8, call};
        sim_rules_match(&rules, &made);
        sim_rules_lost(&rules, made.function, made.device);
    }
    sim_rules_mend(&rules, SIM_FAULT_UNTIL_INIT);
    pthread_mutex_destroy(&rules.lock);
    return 0;
}
