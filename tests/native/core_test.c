/* Rules for faults, the reader of their file and clocks, each alone. */
#include <math.h>
#include <string.h>

#include "api_check.h"
#include "core/clock.h"
#include "core/processors.h"
#include "core/recording.h"
#include "core/rules.h"
#include "core/sha256.h"
#include "core/timing.h"
#include "core/toml.h"

static sim_rules rules;

static void read_rules(const char *text)
{
    char problem[200] = "";
    memset(&rules, 0, sizeof rules);
    pthread_mutex_init(&rules.lock, NULL);
    if (!sim_rules_read(&rules, text, strlen(text), "faults.toml", problem, sizeof problem)) {
        fprintf(stderr, "%s\n", problem);
        CHECK(!"the rules are read");
    }
}

static sim_fault meet(sim_function_number function, int direction, unsigned device, double seconds)
{
    const sim_call call = {function, direction, device, seconds};
    return sim_rules_match(&rules, &call);
}

/* Calls of cnrtInvokeRuntimeContext that are hit, of the next `count`: bit i for the (i + 1)th. */
static unsigned hits(unsigned count)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++) {
        found |= (unsigned)(meet(SIM_CALL_cnrtInvokeRuntimeContext, SIM_ANY, 0, 1).rule != NULL) << i;
    }
    return found;
}

#define INVOKE "[[fault]]\nfunction = \"cnrtInvokeRuntimeContext\"\ncode = \"CNRT_RET_ERR_QUEUE\"\n"

static void a_rule_hits_the_calls_that_it_names(void)
{
    read_rules(INVOKE "nth = 3");
    CHECK(hits(8) == 0x04);
    read_rules(INVOKE "nth = 3\ncount = 2");
    CHECK(hits(8) == 0x0c);
    read_rules(INVOKE "every = 3");
    CHECK(hits(8) == 0x24);
    read_rules(INVOKE "every = 3\ncount = 1");
    CHECK(hits(8) == 0x04);
    read_rules(INVOKE);
    CHECK(hits(8) == 0xff);
    read_rules(INVOKE "count = 2");
    CHECK(hits(8) == 0x03);
    read_rules(INVOKE "probability = 0");
    CHECK(hits(32) == 0);
}

static void chance_depends_on_the_seed_alone(void)
{
    read_rules(INVOKE "probability = 0.5\nseed = 7");
    const unsigned first = hits(32);
    read_rules(INVOKE "probability = 0.5\nseed = 7");
    CHECK(hits(32) == first && first != 0 && first != 0xffffffff);
    read_rules(INVOKE "probability = 0.5\nseed = 8");
    CHECK(hits(32) != first);
    CHECK(first == 0xcf423aa); /* on every processor */
    unsigned count = 0;
    read_rules(INVOKE "probability = 0.01\nseed = 1");
    for (unsigned i = 0; i < 10000; i++) {
        count += hits(1);
    }
    CHECK(count > 70 && count < 130);
}

static void a_rule_looks_at_its_function_direction_device_and_time_alone(void)
{
    read_rules("[[fault]]\nfunction = \"cnrtMemcpy\"\ndirection = \"out\"\ndevice = 1\nafter_s = 2.5\nhang = true\n");
    const int out = CNRT_MEM_TRANS_DIR_DEV2HOST;
    CHECK(meet(SIM_CALL_cnrtMemcpy, CNRT_MEM_TRANS_DIR_HOST2DEV, 1, 3).rule == NULL);
    CHECK(meet(SIM_CALL_cnrtMemcpy, out, 0, 3).rule == NULL);
    CHECK(meet(SIM_CALL_cnrtMemcpy, out, 1, 2.4).rule == NULL);
    CHECK(meet(SIM_CALL_cnrtMemcpyAsync, out, 1, 3).rule == NULL);
    const sim_fault fault = meet(SIM_CALL_cnrtMemcpy, out, 1, 3);
    CHECK(fault.rule != NULL && fault.number == 1 && fault.first && isinf(fault.rule->hang_s));
    CHECK(!meet(SIM_CALL_cnrtMemcpy, out, 1, 3).first);
    read_rules("[[fault]]\nfunction = \"cnrtMemcpyPeer\"\ndirection = \"peer\"\nhang = true\n");
    CHECK(meet(SIM_CALL_cnrtMemcpyPeer, CNRT_MEM_TRANS_DIR_PEER2PEER, 0, 0).rule != NULL);
}

static void a_fault_lasts_until_what_ends_it(void)
{
    read_rules(INVOKE "nth = 2\nuntil = \"init\"");
    CHECK(hits(4) == 0xe);
    sim_rules_mend(&rules, SIM_FAULT_UNTIL_CONTEXT);
    CHECK(hits(2) == 3);
    sim_rules_mend(&rules, SIM_FAULT_UNTIL_INIT);
    CHECK(hits(2) == 0);
    read_rules(INVOKE "every = 4\nuntil = \"context\"");
    CHECK(hits(6) == 0x38);
    sim_rules_mend(&rules, SIM_FAULT_UNTIL_CONTEXT);
    CHECK(hits(2) == 2);
}

static void a_lost_device_is_lost_for_all_but_what_gives_back_or_chooses(void)
{
    read_rules("[[fault]]\nfunction = \"cnrtSyncQueue\"\nlost = true\n");
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtMalloc, 1) == NULL);
    CHECK(meet(SIM_CALL_cnrtSyncQueue, SIM_ANY, 1, 0).rule != NULL);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtMalloc, 1) != NULL);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtMalloc, 0) == NULL);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtFree, 1) == NULL);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtSetCurrentDevice, 1) == NULL);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtInit, 1) == NULL);
    sim_rules_mend(&rules, SIM_FAULT_UNTIL_INIT);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtMalloc, 1) == NULL);
    read_rules("[[fault]]\nfunction = \"cnrtSyncQueue\"\nlost = true\nuntil = \"forever\"");
    meet(SIM_CALL_cnrtSyncQueue, SIM_ANY, 0, 0);
    sim_rules_mend(&rules, SIM_FAULT_UNTIL_INIT);
    CHECK(sim_rules_lost(&rules, SIM_CALL_cnrtInit, 0) != NULL);
}

static void of_two_rules_for_a_call_the_first_acts_and_both_count(void)
{
    read_rules(INVOKE "nth = 2\n" INVOKE "every = 2");
    CHECK(hits(1) == 0);
    CHECK(meet(SIM_CALL_cnrtInvokeRuntimeContext, SIM_ANY, 0, 0).rule == &rules.items[0]);
    CHECK(hits(1) == 0);
    CHECK(meet(SIM_CALL_cnrtInvokeRuntimeContext, SIM_ANY, 0, 0).rule == &rules.items[1]);
}

static void values_are_read_as_toml_says(void)
{
    read_rules(
        "# a comment\r\n\r\n  [[fault]] # one\r\n function='cnrtNotifierDuration'\t\r\nduration = -1_0.25e-1 #x\r\n"
        "[[ fault ]]\nfunction = \"cnrtInit\"\ncode = 632_011\nslow_ms = 250\ncount = +3\n"
        "[[fault]]\nfunction = \"cnrtNotifierDuration\"\nduration = nan");
    CHECK(rules.count == 3);
    CHECK(rules.items[0].duration == -1.025 && strcmp(rules.items[0].said_by, "line 3 of faults.toml") == 0);
    CHECK(rules.items[1].code == CNRT_RET_ERR_SYS && rules.items[1].slow_s == 0.25 && rules.items[1].most == 3);
    CHECK(isnan(rules.items[2].duration));
}

/* Each text is refused, with words of its sentence. */
static const char *const REFUSED[][2] = {
    {"", "line 1: there is no [[fault]]"},
    {"nth = 5", "line 1: nth stands before the first [[fault]]"},
    {"[fault]\n", "line 1: [fault] is not known"},
    {"\n[[faults]]\n", "line 2: [faults] is not known"},
    {"[[fault]\n", "line 1: [fault has no closing bracket"},
    {"[[fault]]\nnth = 1\n", "line 1: a [[fault]] needs function"},
    {"[[fault]]\nfunction = \"cnrtNothing\"\nhang = true", "line 1: function = \"cnrtNothing\" is none"},
    {"[[fault]]\nfunction = \"cnrtInit\"\n", "line 1: the fault does nothing"},
    {"[[fault]]\nfunction = \"cnrtInit\"\nhang = 1", "line 3: hang = 1 must be true or false"},
    {"[[fault]]\nfunction = true", "line 2: function must be a string"},
    {"[[fault]]\nfuncion = \"cnrtInit\"", "line 2: funcion is not known; there are: function direction"},
    {"[[fault]]\nnth = 1\nnth = 2", "line 3: nth is given twice"},
    {"[[fault]]\nnth = 0", "line 2: nth = 0 must be a whole number from 1"},
    {"[[fault]]\nnth = 1.5", "line 2: nth = 1.5 must be a whole number"},
    {"[[fault]]\nprobability = 1.5", "must be a number from 0 to 1"},
    {"[[fault]]\nprobability = nan", "must be a number from 0 to 1"},
    {"[[fault]]\nhang_s = inf", "must be a number from 0"},
    {"[[fault]]\nnth = one", "nth = one is no value that is understood"},
    {"[[fault]]\nnth = 12345678901234567890", "is no value that is understood"},
    {"[[fault]]\nnth = [1, 2]", "is no value that is understood"},
    {"[[fault]]\nnth = 1 every = 2", "line 2: one value on a line"},
    {"[[fault]]\nnth 1", "after nth there must be ="},
    {"[[fault]]\n= 1", "a plain name must stand here"},
    {"[[fault]]\nfunction = \"cnrtInit\n", "has no end"},
    {"[[fault]]\nfunction = \"cnrt\\xInit\"\n", "after \\ only"},
    {"[[fault]]\ndevice = 8", "device = 8 must be a whole number from 0 to 7"},
    {INVOKE "nth = 1\nevery = 1", "only one can be given"},
    {INVOKE "seed = 1", "seed is for probability or bits"},
    {INVOKE "until = \"tomorrow\"", "until = \"tomorrow\" must be one of: once, context, init, forever"},
    {INVOKE "until = \"init\"\ncount = 1", "contradict each other"},
    {INVOKE "direction = \"in\"", "direction is for copies"},
    {INVOKE "duration = 2", "duration is a factor for cnrtNotifierDuration"},
    {INVOKE "bits = 2", "bits is for output = \"corrupted\""},
    {INVOKE "tensor = 0", "tensor says which output"},
    {INVOKE "slow_factor = 2", "slow_factor is for work in a queue"},
    {INVOKE "hang = true\nhang_s = 1", "remove one"},
    {INVOKE "lost = true\nuntil = \"context\"", "a lost device comes back with"},
    {"[[fault]]\nfunction = \"cnrtInit\"\ncode = \"CNRT_RET_SUCCESS\"", "is no failure"},
    {"[[fault]]\nfunction = \"cnrtInit\"\ncode = 5", "is no failure"},
    {"[[fault]]\nfunction = \"cnrtInit\"\nhang = true\nat = \"queue\"", "is done at once"},
    {"[[fault]]\nfunction = \"cnrtInit\"\noutput = \"zero\"", "output is for invocations and copies"},
    {"[[fault]]\nfunction = \"cnrtMemcpy\"\noutput = \"stale\"", "\"stale\" is for invocations"},
};

static void what_cannot_be_read_is_refused_with_its_line(void)
{
    for (size_t index = 0; index < sizeof REFUSED / sizeof *REFUSED; index++) {
        char problem[200] = "";
        memset(&rules, 0, sizeof rules);
        const char *text = REFUSED[index][0];
        const bool taken = sim_rules_read(&rules, text, strlen(text), "faults.toml", problem, sizeof problem);
        if (taken || strstr(problem, REFUSED[index][1]) == NULL) {
            fprintf(stderr, "%s\ngave \"%s\", not \"%s\"\n", text, problem, REFUSED[index][1]);
            exit(1);
        }
    }
}

/* `count` faults of a known length, as text; a file of more bytes than allowed is refused before it is read. */
static bool many(unsigned count, size_t padding, char *problem)
{
    static char text[1 << 17];
    size_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, INVOKE);
    }
    memset(text + used, '#', padding);
    memset(&rules, 0, sizeof rules);
    pthread_mutex_init(&rules.lock, NULL);
    return sim_rules_read(&rules, text, used + padding, "faults.toml", problem, 200);
}

static void there_are_bounds(void)
{
    char problem[200] = "";
    CHECK(many(SIM_MOST_RULES, 0, problem) && rules.count == 256);
    CHECK(!many(SIM_MOST_RULES + 1, 0, problem) && strstr(problem, "more than 256 faults") != NULL);
    CHECK(many(1, 65536 - strlen(INVOKE), problem));
    CHECK(!many(1, 65537 - strlen(INVOKE), problem) && strstr(problem, "65537 bytes, 65536 are read") != NULL);
}

/* A file of `count` recorded outputs of 16 bytes, with its digest; returns its size. */
static size_t record_outputs(uint8_t *file, uint64_t count)
{
    const uint64_t head[5] = {1000, 77, 8, 16, count};
    const size_t bytes = 48 + (size_t)count * 24;
    memset(file, 0x5a, bytes);
    memcpy(file, "MLUOUTP1", 8);
    memcpy(file + 8, head, sizeof head);
    const uint64_t digest = sim_digest(file, bytes, 0);
    memcpy(file + bytes, &digest, sizeof digest);
    return bytes + sizeof digest;
}

static void recorded_outputs_are_checked_before_they_are_used(void)
{
    static uint8_t file[4096];
    sim_error error = {""};
    CHECK(sim_recording_check(file, record_outputs(file, 64), 1000, 77, 8, 16, &error) == 64);
    CHECK(sim_recording_check(file, record_outputs(file, 65), 1000, 77, 8, 16, &error) == 0);
    CHECK(sim_recording_check(file, record_outputs(file, 0), 1000, 77, 8, 16, &error) == 0);
    const size_t bytes = record_outputs(file, 3);
    CHECK(sim_recording_check(file, bytes, 1000, 77, 8, 16, &error) == 3);
    CHECK(sim_recording_check(file, bytes - 1, 1000, 77, 8, 16, &error) == 0);
    CHECK(sim_recording_check(file, bytes + 1, 1000, 77, 8, 16, &error) == 0);
    CHECK(sim_recording_check(file, bytes, 1001, 77, 8, 16, &error) == 0);
    CHECK(sim_recording_check(file, bytes, 1000, 78, 8, 16, &error) == 0);
    CHECK(sim_recording_check(file, bytes, 1000, 77, 9, 16, &error) == 0);
    for (size_t index = 48; index < bytes; index++) { /* each byte is looked after */
        file[index] ^= 1;
        CHECK(sim_recording_check(file, bytes, 1000, 77, 8, 16, &error) == 0);
        CHECK(strstr(error.text, "Its digest is wrong") != NULL);
        file[index] ^= 1;
    }
}

static void a_copy_is_estimated_by_its_bytes(void)
{
    const sim_timing timing = {.transfer = 1e9, .transfer_s = 20e-6};
    CHECK(sim_timing_of_copy(&timing, 0) == 20e-6);
    CHECK(fabs(sim_timing_of_copy(&timing, 1000000) - 1020e-6) < 1e-12);
}

static void a_clock_never_goes_back(void)
{
    sim_clock clock = {0};
    sim_clock_follow_host(&clock);
    int64_t first = clock.nanoseconds;
    sim_clock_follow_host(&clock);
    CHECK(first > 0 && clock.nanoseconds >= first);
    sim_clock ahead = {.nanoseconds = INT64_MAX};
    sim_clock_follow_host(&ahead);
    CHECK(ahead.nanoseconds == INT64_MAX);
}

static unsigned limit_in(const char *text)
{
    const char *path = "core_test_cpu.max"; /* in the folder of the build */
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    const unsigned limit = sim_processors_limit(path);
    CHECK(remove(path) == 0);
    return limit;
}

static void a_groups_share_of_time_is_whole_processors(void)
{
    CHECK(limit_in("200000 100000\n") == 2);
    CHECK(limit_in("200001 100000\n") == 3); /* a part of one more */
    CHECK(limit_in("50000 100000\n") == 1);  /* less than one */
    CHECK(limit_in("1 1\n") == 1);
    CHECK(limit_in("max 100000\n") == 0);
    CHECK(limit_in("") == 0);
    CHECK(limit_in("200000") == 0);
    CHECK(limit_in("200000 0\n") == 0);
    CHECK(limit_in("two of them\n") == 0);
    CHECK(limit_in("\xff\xfe 7") == 0);
    CHECK(limit_in("429496729600000 100000\n") == 64);      /* 2^32 processors */
    CHECK(limit_in("18446744073709551615 100000\n") == 64); /* nothing wraps */
    CHECK(limit_in("99999999999999999999999 1\n") == 64);
    CHECK(sim_processors_limit("there/is/none") == 0);
}

static void digest_is(const char *text, size_t times, const char *hex)
{
    char found[SIM_SHA256_HEX];
    const size_t length = strlen(text), count = length * times;
    uint8_t *bytes = malloc(count + 1);
    CHECK(bytes != NULL);
    for (size_t index = 0; index < times; index++) {
        memcpy(bytes + index * length, text, length);
    }
    sim_sha256_hex(bytes, count, found);
    CHECK(strcmp(found, hex) == 0);
    free(bytes);
}

/* The vectors of FIPS 180-2 and NIST; and lengths around the end of a block. */
static void sha256_gives_the_published_digests(void)
{
    digest_is("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_is("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    digest_is(
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstn"
        "opqrstu",
        1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    digest_is("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    digest_is("x", 55, "d5e285683cd4efc02d021a5c62014694958901005d6f71e89e0989fac77e4072");
    digest_is("x", 56, "04c26261370ee7541549d16dee320c723e3fd14671e66a099afe0a377c16888e");
    digest_is("x", 63, "75220b47218278e656f2013bb8f0c455a25eaf01e86c64924e9d48d89776d6f2");
    digest_is("x", 64, "7ce100971f64e7001e8fe5a51973ecdfe1ced42befe7ee8d5fd6219506b5393c");
    digest_is("x", 65, "9537c5fdf120482f7d58d25e9ed583f52c02b4e304ea814db1633ad565aed7e9");
}

int main(void)
{
    RUN(a_rule_hits_the_calls_that_it_names);
    RUN(chance_depends_on_the_seed_alone);
    RUN(a_rule_looks_at_its_function_direction_device_and_time_alone);
    RUN(a_fault_lasts_until_what_ends_it);
    RUN(a_lost_device_is_lost_for_all_but_what_gives_back_or_chooses);
    RUN(of_two_rules_for_a_call_the_first_acts_and_both_count);
    RUN(values_are_read_as_toml_says);
    RUN(what_cannot_be_read_is_refused_with_its_line);
    RUN(there_are_bounds);
    RUN(recorded_outputs_are_checked_before_they_are_used);
    RUN(a_copy_is_estimated_by_its_bytes);
    RUN(a_clock_never_goes_back);
    RUN(a_groups_share_of_time_is_whole_processors);
    RUN(sha256_gives_the_published_digests);
    return 0;
}
