#define _GNU_SOURCE
#include "core/log.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/calls.h"
#include "core/codes.h"
#include "core/environment.h"

/* A program that fails with every frame is told so a few times, not a million times. */
enum { MOST_KINDS = 256, MOST_SENTENCES = 16 };

/* Failures of one function with one code. */
typedef struct kind {
    const char *function;
    bool queued;
    cnrtRet_t code;
    unsigned sentences; /* told in full */
    uint64_t last;      /* the last of them, by its digest */
    uint64_t repeats;   /* since then */
    uint64_t told;      /* of these */
} kind;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *out; /* NULL: nothing is wanted */
static kind kinds[MOST_KINDS];
static unsigned kind_count;
static uint64_t others; /* failures for which there was no kind left */

static void open_log(void)
{
    const char *where = sim_environment_get()->log;
    if (where == NULL) {
        return;
    }
    out = strcmp(where, "1") == 0 ? stderr : fopen(where, "ae");
    if (out == NULL) {
        fprintf(stderr, "cnrt simulator: CNRT_SIMULATOR_LOG=%s cannot be written, failures are told here\n", where);
        out = stderr;
    }
}

bool sim_log_wanted(void)
{
    pthread_once(&once, open_log);
    return out != NULL;
}

/* ---- Kinds; the lock is held ---- */

static kind *kind_of(const char *function, bool queued, cnrtRet_t code)
{
    for (unsigned index = 0; index < kind_count; index++) {
        kind *k = &kinds[index];
        if (k->code == code && k->queued == queued && strcmp(k->function, function) == 0) {
            return k;
        }
    }
    if (kind_count == MOST_KINDS) {
        return NULL;
    }
    kinds[kind_count] = (kind){.function = function, .queued = queued, .code = code};
    return &kinds[kind_count++];
}

static void tell_repeats(kind *k, const char *so_far)
{
    if (k->repeats > k->told) {
        fprintf(out, "cnrt simulator: %s%s with %s: %llu times more%s\n", k->function, k->queued ? " in its queue" : "",
                sim_code_name(k->code), (unsigned long long)k->repeats, so_far);
        k->told = k->repeats;
    }
}

static bool is_power_of_ten(uint64_t number)
{
    while (number >= 10 && number % 10 == 0) {
        number /= 10;
    }
    return number == 1;
}

static uint64_t digest_of(const char *sentence) /* FNV-1a */
{
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (const char *c = sentence; *c != '\0'; c++) {
        digest = (digest ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    }
    return digest;
}

/* A sentence need not name the function twice. */
static const char *without_name(const char *sentence, const char *function)
{
    const size_t length = strlen(function);
    return strncmp(sentence, function, length) == 0 && strncmp(sentence + length, ": ", 2) == 0 ? sentence + length + 2
                                                                                                : sentence;
}

static void tell(const kind *k, const char *sentence)
{
    const long thread = syscall(SYS_gettid);
    char who[40] = "";
    if (!k->queued && thread != (long)getpid()) {
        snprintf(who, sizeof who, "thread %ld: ", thread);
    }
    fprintf(out, "cnrt simulator: %s%s failed%s with %s (%d): %s\n", who, k->function, k->queued ? " in its queue" : "",
            sim_code_name(k->code), (int)k->code, without_name(sentence, k->function));
}

static void add(kind *k, const char *sentence)
{
    const uint64_t digest = digest_of(sentence);
    const bool same = k->sentences > 0 && digest == k->last;
    if (same || k->sentences == MOST_SENTENCES) {
        k->repeats++;
        if (k->repeats >= 10 && is_power_of_ten(k->repeats)) {
            tell_repeats(k, " so far");
        }
        return;
    }
    tell_repeats(k, "");
    tell(k, sentence);
    k->sentences++;
    k->last = digest;
    k->repeats = k->told = 0;
}

void sim_log_failure(const char *function, bool queued, cnrtRet_t code, const char *sentence)
{
    if (!sim_log_wanted()) {
        return;
    }
    pthread_mutex_lock(&lock);
    kind *k = kind_of(function == NULL ? "a call" : function, queued, code);
    if (k == NULL) {
        others++;
    } else {
        add(k, sentence);
    }
    fflush(out);
    pthread_mutex_unlock(&lock);
}

/* At the end of the process, or never where that is killed. */
__attribute__((destructor)) static void tell_rest(void)
{
    if (out == NULL || !sim_calls_in_this_process()) { /* a child's lock may be held by a thread that it has not */
        return;
    }
    pthread_mutex_lock(&lock);
    for (unsigned index = 0; index < kind_count; index++) {
        tell_repeats(&kinds[index], "");
    }
    if (others > 0) {
        fprintf(out, "cnrt simulator: %llu failures of further kinds\n", (unsigned long long)others);
    }
    fflush(out);
    pthread_mutex_unlock(&lock);
}
