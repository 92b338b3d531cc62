#define _GNU_SOURCE
#include "core/strict_trap.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "core/strict_blocks.h"

enum {
    MOST_TOLD = 16,
    MOST_REPEATS = 8
}; /* a program may recover from the signal for ever, or its handler call ours */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before; /* the handler that stood there */
static atomic_uint told, repeats;
static _Atomic(const void *) last_code, last_address;

static const void *code_of(void *context)
{
    const ucontext_t *state = context;
#if defined(__x86_64__)
    return (const void *)state->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)state->uc_mcontext.pc;
#else
    (void)state;
    return NULL;
#endif
}

static void tell(const void *address, const void *code)
{
    char sentence[1000], call[SIM_SITE_TEXT];
    sim_text text;
    sim_text_begin(&text, sentence, sizeof sentence);
    sim_text_add(&text, "the code at ");
    sim_text_add_place(&text, code);
    const sim_site site = sim_strict_site();
    if (site.address != NULL) {
        sim_site_text(&site, call);
        sim_text_add(&text, sim_strict_is_own(code) ? ", called by the program after " : ", after ");
        sim_text_add(&text, call);
        sim_text_add(&text, ",");
    }
    sim_text_add(&text, " used address ");
    sim_text_add_number(&text, (uintptr_t)address, 16);
    sim_text_add(&text, ", ");
    if (sim_strict_describe(address, &text)) {
        sim_text_add(&text, ". The host cannot use device memory: copy it with cnrtMemcpy.");
        sim_strict_tell_signal(sentence);
    }
}

/* The same fault again and again: the handler that we found leads back to ours. */
static bool is_circle(const siginfo_t *info, const void *code)
{
    const bool same = atomic_exchange(&last_code, code) == code;
    if (atomic_exchange(&last_address, info->si_addr) == info->si_addr && same) {
        return atomic_fetch_add(&repeats, 1) >= MOST_REPEATS;
    }
    atomic_store(&repeats, 0);
    return false;
}

/* As if there were no handler here: the program's own, or the end of the process by the instruction that is tried again. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    const bool ends = is_circle(info, code_of(context));
    if (!ends && (before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(number, info, context);
    } else if (!ends && (before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler != SIG_DFL &&
               before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        signal(number, SIG_DFL);
        if (info->si_code <= 0) { /* sent by somebody: it does not come again by itself */
            raise(number);
        }
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    if (info->si_code > 0 && atomic_fetch_add(&told, 1) < MOST_TOLD) {
        tell(info->si_addr, code_of(context));
    }
    pass_on(number, info, context);
}

void sim_strict_trap(void)
{
    struct sigaction found, ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&ours.sa_mask);
    pthread_mutex_lock(&lock);
    if (sigaction(SIGSEGV, NULL, &found) == 0 && found.sa_sigaction != on_fault) {
        before = found;
        sigaction(SIGSEGV, &ours, NULL);
    }
    pthread_mutex_unlock(&lock);
}
