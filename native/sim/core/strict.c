#define _POSIX_C_SOURCE 200809L
#include "core/strict.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/environment.h"
#include "core/strict_leaks.h"
#include "core/strict_place.h"
#include "core/strict_trap.h"

enum { MOST_PLACES = 1024 }; /* beyond these findings are counted, not told */

atomic_bool sim_strict_on;

static const char *const NAMES[SIM_FINDINGS] = {
    [SIM_FOUND_DEREFERENCE] = "device memory used by the host",
    [SIM_FOUND_NEVER_WRITTEN] = "memory never written",
    [SIM_FOUND_FREED] = "use after free",
    [SIM_FOUND_DOUBLE_FREE] = "double free",
    [SIM_FOUND_BAD_FREE] = "free of what is no buffer",
    [SIM_FOUND_LEAK] = "leak",
    [SIM_FOUND_NOT_SYNCHRONISED] = "not synchronised",
    [SIM_FOUND_REUSED] = "host memory reused too early",
    [SIM_FOUND_SIZE] = "wrong size",
    [SIM_FOUND_DIRECTION] = "wrong direction",
    [SIM_FOUND_NOT_DEVICE] = "no device memory",
    [SIM_FOUND_OTHER_MODEL] = "buffer of another model",
    [SIM_FOUND_SWAPPED] = "buffers swapped",
    [SIM_FOUND_HANDLE] = "bad handle",
    [SIM_FOUND_NOTIFIER] = "notifier not placed",
    [SIM_FOUND_INIT] = "not initialised",
};

typedef struct told {
    sim_finding kind;
    const void *address;
    const char *function;
} told;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static told places[MOST_PLACES];
static unsigned place_count;
static atomic_uint finding_count, signal_places;
static sim_place own; /* this library */

/* ---- Calls ---- */

bool sim_strict_is_own(const void *code)
{
    return (uintptr_t)code >= own.first && (uintptr_t)code < own.last;
}

void sim_site_text(const sim_site *site, char text[SIM_SITE_TEXT])
{
    sim_text words;
    sim_text_begin(&words, text, SIM_SITE_TEXT);
    if (site->address == NULL) {
        sim_text_add(&words, "the program");
        return;
    }
    sim_text_add(&words, site->function);
    sim_text_add(&words, " (call ");
    sim_text_add_number(&words, site->number, 10);
    sim_text_add(&words, ", at ");
    sim_text_add_place(&words, site->address);
    sim_text_add(&words, ")");
}

/* ---- Findings ---- */

/* With the lock held: whether this kind was not told of this place yet. */
static bool is_new(sim_finding kind, const sim_site *site)
{
    for (unsigned index = 0; index < place_count; index++) {
        const told *one = &places[index];
        if (one->kind == kind && one->address == site->address && one->function == site->function) {
            return false;
        }
    }
    if (place_count == MOST_PLACES) {
        return false;
    }
    places[place_count++] = (told){kind, site->address, site->function};
    return true;
}

static void tell(sim_finding kind, const sim_site *site, const char *format, va_list arguments)
{
    char sentence[1400], where[SIM_SITE_TEXT];
    if (!sim_strict()) {
        return;
    }
    pthread_mutex_lock(&lock);
    const bool is_told = is_new(kind, site);
    atomic_fetch_add(&finding_count, 1);
    pthread_mutex_unlock(&lock);
    if (is_told) {
        vsnprintf(sentence, sizeof sentence, format, arguments);
        sim_site_text(site, where);
        fprintf(stderr, "cnrt strict: %s: %s: %s\n", NAMES[kind], where, sentence);
    }
}

void sim_strict_tell(sim_finding kind, const char *format, ...)
{
    va_list arguments;
    const sim_site site = sim_call_now();
    va_start(arguments, format);
    tell(kind, &site, format, arguments);
    va_end(arguments);
}

void sim_strict_tell_at(sim_finding kind, const sim_site *site, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(kind, site, format, arguments);
    va_end(arguments);
}

cnrtRet_t sim_strict_failed(sim_finding kind, cnrtRet_t code)
{
    sim_strict_tell(kind, "%s", sim_error_message());
    return code;
}

void sim_strict_tell_signal(const char *sentence)
{
    sim_text line;
    char room[1200];
    sim_text_begin(&line, room, sizeof room);
    sim_text_add(&line, "cnrt strict: ");
    sim_text_add(&line, NAMES[SIM_FOUND_DEREFERENCE]);
    sim_text_add(&line, ": ");
    sim_text_add(&line, sentence);
    sim_text_add(&line, "\n");
    atomic_fetch_add(&signal_places, 1);
    sim_strict_count_signal();
    const ssize_t written = write(STDERR_FILENO, room, (size_t)(line.at - room));
    (void)written; /* there is nobody else to tell */
}

void sim_strict_count_signal(void)
{
    atomic_fetch_add(&finding_count, 1);
}

unsigned sim_strict_count(void)
{
    return atomic_load(&finding_count);
}

/* ---- The program's end ---- */

/* Behind what the program itself does at its end, with atexit or in the destructors of static objects. */
__attribute__((destructor)) static void sum_up(void)
{
    if (!sim_strict() || !sim_calls_in_this_process()) {
        return;
    }
    sim_leaks_tell("when the program ended");
    const unsigned count = sim_strict_count(), told_places = place_count + atomic_load(&signal_places);
    if (count == 0) {
        fprintf(stderr, "cnrt strict: nothing found\n");
    } else {
        fprintf(stderr, "cnrt strict: %u finding%s at %u place%s\n", count, count == 1 ? "" : "s", told_places,
                told_places == 1 ? "" : "s");
    }
}

bool sim_strict_begin(void)
{
    if (!sim_environment_get()->strict) {
        return false;
    }
    sim_place_of((const void *)(uintptr_t)&sim_strict_begin, &own);
    sim_strict_trap();
    atomic_store(&sim_strict_on, true);
    return true;
}
