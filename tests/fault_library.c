/* A library between the agent and the simulator that does wrong what a file tells it to, while the file is there.
 *
 * Linked against the simulator, which answers all that is not written here. FAULT_FILE names the file; it holds
 *     FUNCTION ACTION [CALLS]
 * the action begins with the call of that function after so many more, counted from when the file says so. The
 * function "in" is cnrtMemcpy to the device and "out" the one from it. Actions:
 *     hang   never returns; FAULT_FILE.seen says that somebody is in there
 *     fail   CNRT_RET_ERR_BROKEN, and nothing is done
 *     skip   nothing is done, and it is called a success
 *     zero   "out" only: the host's buffer holds zeros          flip   "out" only: one bit is another one
 *     stale  "out" only: the host gets what the copy of that size before this one held
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NONE, HANG, FAIL, SKIP, ZERO, FLIP, STALE };
enum { BROKEN = 632023, SIZES = 64, DEVICE_TO_HOST = 2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls; /* of the function that the file names, since it says so */
static char said[96];

static int action_of(const char *word)
{
    static const char *const words[] = {"", "hang", "fail", "skip", "zero", "flip", "stale"};
    for (int action = HANG; action <= STALE; action++)
        if (!strcmp(word, words[action]))
            return action;
    return NONE;
}

/* What is to be done in this call; never returns if that is to hang. */
static int fault(const char *function)
{
    const char *path = getenv("FAULT_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char name[64] = "", word[16] = "";
    long after = 0;
    char line[96] = "";
    if (file) {
        if (!fgets(line, sizeof line, file))
            line[0] = 0;
        fclose(file);
    }
    pthread_mutex_lock(&lock);
    if (strcmp(line, said)) {
        strcpy(said, line);
        calls = 0;
    }
    int fields = sscanf(line, "%63s %15s %ld", name, word, &after);
    int named = fields >= 2 && !strcmp(name, function);
    int due = named && ++calls > after;
    pthread_mutex_unlock(&lock);
    int action = due ? action_of(word) : NONE;
    if (action == HANG) {
        char seen[512];
        snprintf(seen, sizeof seen, "%s.seen", path);
        FILE *mark = fopen(seen, "w");
        if (mark)
            fclose(mark);
        for (;;)
            pause();
    }
    return action;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define PASS(name, parameters, arguments)                                                                              \
    int name parameters                                                                                                \
    {                                                                                                                  \
        int action = fault(#name);                                                                                     \
        return action == FAIL ? BROKEN : action == SKIP ? 0 : REAL(name) arguments;                                    \
    }

PASS(cnrtInit, (unsigned flags), (flags))
PASS(cnrtLoadModel, (void **model, const char *file), (model, file))
PASS(cnrtCreateQueue, (void **queue), (queue))
PASS(cnrtDestroyQueue, (void *queue), (queue))
PASS(cnrtDestroyRuntimeContext, (void *context), (context))
PASS(cnrtSyncQueue, (void *queue), (queue))
PASS(cnrtPlaceNotifier, (void *notifier, void *queue), (notifier, queue))
PASS(cnrtWaitNotifier, (void *notifier), (notifier))
PASS(cnrtInvokeRuntimeContext, (void *context, void **parameters, void *queue, void *extra),
     (context, parameters, queue, extra))

/* The host gets what the last copy of that size held; what this one held is kept for the next. */
static void keep(char *host, size_t bytes, int give)
{
    static struct {
        size_t bytes;
        char *kept;
    } table[SIZES];
    pthread_mutex_lock(&lock);
    for (int row = 0; row < SIZES; row++) {
        if (table[row].bytes && table[row].bytes != bytes)
            continue;
        char *fresh = malloc(bytes);
        memcpy(fresh, host, bytes);
        if (give && table[row].kept)
            memcpy(host, table[row].kept, bytes);
        free(table[row].kept);
        table[row].bytes = bytes;
        table[row].kept = fresh;
        break;
    }
    pthread_mutex_unlock(&lock);
}

int cnrtMemcpy(void *to, void *from, size_t bytes, int direction)
{
    int out = direction == DEVICE_TO_HOST;
    int action = fault(out ? "out" : "in");
    if (action == FAIL)
        return BROKEN;
    if (action == SKIP)
        return 0;
    int code = REAL(cnrtMemcpy)(to, from, bytes, direction);
    if (code || !out)
        return code;
    keep(to, bytes, action == STALE);
    if (action == ZERO)
        memset(to, 0, bytes);
    if (action == FLIP)
        ((char *)to)[bytes / 3] ^= 4;
    return 0;
}
