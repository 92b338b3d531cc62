#define _GNU_SOURCE
#include "core/strict_trap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "core/strict_blocks.h"

/* A program may recover from the signal for ever; handlers that call each other in a circle must end. */
enum { MOST_TOLD = 16, MOST_LAYERS = 4, MOST_NESTED = 8 };

/* One that found this handler here and stands before it now leads to the layer below, never back to itself: so each handler of
 * the program that we find gets an entry of ours of its own. */
typedef struct layer {
    struct sigaction before; /* the handler that stood there: written before the layer counts, then for ever the same */
    atomic_bool spent;       /* it was one for a single signal */
} layer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static layer layers[MOST_LAYERS];
static atomic_uint layer_count;
static atomic_uintptr_t told[MOST_TOLD]; /* places */

/* ---- What is told ---- */

static const void *code_of(const ucontext_t *state)
{
#if defined(__x86_64__)
    return (const void *)state->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)state->uc_mcontext.pc;
#else
    (void)state;
    return NULL;
#endif
}

static bool is_new(uintptr_t place)
{
    for (int index = 0; index < MOST_TOLD; index++) {
        uintptr_t found = 0;
        if (atomic_compare_exchange_strong(&told[index], &found, place)) {
            return true;
        }
        if (found == place) {
            return false;
        }
    }
    return false;
}

static void tell(const void *address, const void *code)
{
    char what[500], sentence[1000], call[SIM_SITE_TEXT];
    sim_text text;
    sim_text_begin(&text, what, sizeof what);
    if (!sim_strict_describe(address, &text)) {
        return;
    }
    const sim_site site = sim_call_now();
    if (!is_new((uintptr_t)code ^ (uintptr_t)site.address << 16)) {
        sim_strict_count_signal();
        return;
    }
    sim_text_begin(&text, sentence, sizeof sentence);
    sim_text_add(&text, "the code at ");
    sim_text_add_place(&text, code);
    if (site.address != NULL) {
        sim_site_text(&site, call);
        sim_text_add(&text, sim_strict_is_own(code) ? ", called by the program after " : ", after ");
        sim_text_add(&text, call);
        sim_text_add(&text, ",");
    }
    sim_text_add(&text, " used address ");
    sim_text_add_number(&text, (uintptr_t)address, 16);
    sim_text_add(&text, ", ");
    sim_text_add(&text, what);
    sim_strict_tell_signal(sentence);
}

/* ---- The signal ---- */

static bool is_function(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* As if there were no handler here: the program's own, or the end of the process by the instruction that is tried again. */
static void pass_on(layer *to, int number, siginfo_t *info, ucontext_t *state, bool circle)
{
    const struct sigaction *before = &to->before;
    const bool sent = info->si_code <= 0, once = (before->sa_flags & (int)SA_RESETHAND) != 0;
    const bool calls = is_function(before) && !circle && !(once && atomic_exchange(&to->spent, true));
    if (calls && (before->sa_flags & SA_SIGINFO) != 0) {
        before->sa_sigaction(number, info, state);
    } else if (calls) {
        before->sa_handler(number);
    } else if (is_function(before) || before->sa_handler != SIG_IGN || !sent) {
        signal(number, SIG_DFL);
        if (sent) { /* by somebody: it does not come again by itself */
            raise(number);
        }
    }
}

static void on_fault(unsigned index, int number, siginfo_t *info, void *context)
{
    ucontext_t *state = context;
    const int error = errno;
    /* The kernel leaves 0 there and looks no more at it: counts how often this one signal came here. One that the handler left
     * by siglongjmp is gone with its count. */
    ucontext_t *const link = state->uc_link;
    const uintptr_t nested = (uintptr_t)link;
    if (info->si_code > 0 && nested == 0) {
        tell(info->si_addr, code_of(state));
    }
    state->uc_link = (ucontext_t *)(nested + 1);
    errno = error;
    if (index < atomic_load(&layer_count)) {
        pass_on(&layers[index], number, info, state, nested >= MOST_NESTED);
    }
    state->uc_link = link;
}

#define ENTRY(index)                                                         \
    static void on_fault_##index(int number, siginfo_t *info, void *context) \
    {                                                                        \
        on_fault(index, number, info, context);                              \
    }
ENTRY(0)
ENTRY(1)
ENTRY(2)
ENTRY(3)
static void (*const ENTRIES[MOST_LAYERS])(int, siginfo_t *, void *) = {on_fault_0, on_fault_1, on_fault_2, on_fault_3};

/* ---- Setting it ---- */

static bool is_ours(const struct sigaction *found)
{
    for (int index = 0; index < MOST_LAYERS; index++) {
        if ((found->sa_flags & SA_SIGINFO) != 0 && found->sa_sigaction == ENTRIES[index]) {
            return true;
        }
    }
    return false;
}

static bool is_same(const struct sigaction *one, const struct sigaction *other)
{
    const bool informed = (one->sa_flags & SA_SIGINFO) != 0;
    return one->sa_flags == other->sa_flags &&
           (informed ? one->sa_sigaction == other->sa_sigaction : one->sa_handler == other->sa_handler);
}

/* The layer above a handler; MOST_LAYERS: there are too many, it stays alone. */
static unsigned layer_above(const struct sigaction *found)
{
    const unsigned count = atomic_load(&layer_count);
    for (unsigned index = 0; index < count; index++) {
        if (is_same(&layers[index].before, found)) {
            atomic_store(&layers[index].spent, false);
            return index;
        }
    }
    if (count < MOST_LAYERS) {
        layers[count].before = *found;
        atomic_store(&layer_count, count + 1);
    }
    return count;
}

void sim_strict_trap(void)
{
    struct sigaction found;
    pthread_mutex_lock(&lock);
    if (sigaction(SIGSEGV, NULL, &found) == 0 && !is_ours(&found)) {
        const unsigned index = layer_above(&found);
        if (index < MOST_LAYERS) {
            const int kept =
                is_function(&found) ? found.sa_flags & (SA_ONSTACK | SA_NODEFER | SA_RESTART) : SA_ONSTACK | SA_RESTART;
            struct sigaction ours = {.sa_sigaction = ENTRIES[index], .sa_flags = SA_SIGINFO | kept};
            ours.sa_mask = found.sa_mask;
            sigaction(SIGSEGV, &ours, NULL);
        }
    }
    pthread_mutex_unlock(&lock);
}
