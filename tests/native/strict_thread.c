/* CNRT_SIMULATOR_STRICT: what tells of device memory used by the host allocates nothing where it happens, in the handler of a
 * signal, not even in a thread that never called the library, which was opened late.
 *
 *     CNRT_SIMULATOR_STRICT=1 strict_thread LIBRARY */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

#define SEEN __attribute__((visibility("default"))) /* by the C library */

static volatile sig_atomic_t in_handler, allocations, signals;
static sigjmp_buf recovery;
static volatile uint8_t *memory;

SEEN void *malloc(size_t bytes)
{
    allocations += in_handler;
    return __libc_malloc(bytes);
}

SEEN void *calloc(size_t count, size_t bytes)
{
    allocations += in_handler;
    return __libc_calloc(count, bytes);
}

SEEN void *memalign(size_t alignment, size_t bytes)
{
    allocations += in_handler;
    return __libc_memalign(alignment, bytes);
}

static void on_signal(int number) /* behind the library's handler */
{
    in_handler = 0;
    signals++;
    siglongjmp(recovery, number);
}

static void *body(void *unused)
{
    if (sigsetjmp(recovery, 1) == 0) {
        in_handler = 1;
        (void)memory[18];
    }
    in_handler = 0;
    return unused;
}

int main(int count, char **arguments)
{
    pthread_t thread;
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    int (*init)(unsigned) = NULL, (*take)(void **, size_t) = NULL;
    if (library != NULL) {
        *(void **)&init = dlsym(library, "cnrtInit");
        *(void **)&take = dlsym(library, "cnrtMalloc");
    }
    signal(SIGSEGV, on_signal);
    if (init == NULL || take == NULL || init(0) != 0 || take((void **)(void *)&memory, 64) != 0 ||
        pthread_create(&thread, NULL, body, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        fprintf(stderr, "strict_thread: it could not be tried\n");
        return 2;
    }
    printf("%d signals, %d allocations in a handler\n", (int)signals, (int)allocations);
    return signals == 1 && allocations == 0 ? 0 : 1;
}
