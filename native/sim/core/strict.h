/* CNRT_SIMULATOR_STRICT: what a program does wrong is told, once for each kind and place, on stderr (ABI.md section 10.4).
 *
 * All that is judged is judged in the call that asks for it, in the order of the calls, never when a queue comes to it: so
 * what is found does not depend on how fast the host is. Switched off, all this is one test of a flag. */
#ifndef SIM_CORE_STRICT_H
#define SIM_CORE_STRICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/calls.h"
#include "core/error.h"

typedef enum sim_finding {
    SIM_FOUND_DEREFERENCE,
    SIM_FOUND_NEVER_WRITTEN,
    SIM_FOUND_FREED,
    SIM_FOUND_DOUBLE_FREE,
    SIM_FOUND_BAD_FREE,
    SIM_FOUND_LEAK,
    SIM_FOUND_NOT_SYNCHRONISED,
    SIM_FOUND_REUSED,
    SIM_FOUND_SIZE,
    SIM_FOUND_DIRECTION,
    SIM_FOUND_NOT_DEVICE,
    SIM_FOUND_OTHER_MODEL,
    SIM_FOUND_SWAPPED,
    SIM_FOUND_HANDLE,
    SIM_FOUND_NOTIFIER,
    SIM_FOUND_INIT,
    SIM_FINDINGS
} sim_finding;

enum { SIM_SITE_TEXT = 200 };

extern atomic_bool sim_strict_on;

static inline bool sim_strict(void)
{
    return __builtin_expect(atomic_load_explicit(&sim_strict_on, memory_order_relaxed), 0);
}

bool sim_strict_begin(void); /* switches it on where it is asked for: once, before the first call goes on */
void sim_site_text(const sim_site *site, char text[SIM_SITE_TEXT]); /* "cnrtMalloc (call 2, at program+0x1234)" */

/* Tells a finding of the current call, or of another. Does nothing while it is off. */
void sim_strict_tell(sim_finding kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_strict_tell_at(sim_finding kind, const sim_site *site, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The calling thread's last failure is a finding: passes its code on. */
cnrtRet_t sim_strict_failed(sim_finding kind, cnrtRet_t code);
/* The same, with the buffer that holds the address, and what to do. */
cnrtRet_t sim_strict_failed_at(sim_finding kind, const void *address, const char *remedy, cnrtRet_t code);
/* In a signal handler, of device memory used by the host: tells it, or counts one that was told before. */
void sim_strict_tell_signal(const char *sentence);
void sim_strict_count_signal(void);
bool sim_strict_is_own(const void *code); /* of this library */
unsigned sim_strict_count(void);          /* findings so far, with those told once for many */

#endif
