#define _POSIX_C_SOURCE 200809L
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES 0x7fffffffu /* the ABI returns sizes in an int */

static uint8_t *read_descriptor(int descriptor, const char *path, uint64_t limit, uint64_t *bytes, uint64_t *size,
                                sim_status *status)
{
    struct stat facts;
    if (fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        sim_status_set(status, CNRT_RET_ERR_INVALID, "%.240s is not a regular file.", path);
        return NULL;
    }
    if (facts.st_size > (off_t)MAX_FILE_BYTES) {
        sim_status_set(status, CNRT_RET_ERR_INVALID, "%.240s has %lld bytes, a model has at most %u.", path,
                       (long long)facts.st_size, MAX_FILE_BYTES);
        return NULL;
    }
    *size = (uint64_t)facts.st_size;
    uint64_t wanted = *size < limit ? *size : limit;
    uint8_t *data = malloc(wanted + 1); /* never a block of nothing */
    if (data == NULL) {
        sim_status_set(status, CNRT_RET_ERR_NOMEM, "The host has no memory for the %llu bytes of %.240s.",
                       (unsigned long long)wanted, path);
        return NULL;
    }
    *bytes = 0;
    while (*bytes < wanted) {
        ssize_t got = read(descriptor, data + *bytes, wanted - *bytes);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            sim_status_set(status, CNRT_RET_ERR_INVALID, "%.240s cannot be read: %s.", path,
                           got == 0 ? "it became shorter" : strerror(errno));
            free(data);
            return NULL;
        }
        *bytes += got > 0 ? (uint64_t)got : 0;
    }
    return data;
}

uint8_t *sim_file_try_start(const char *path, uint64_t limit, uint64_t *bytes, uint64_t *size, sim_status *status)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    if (descriptor < 0) {
        sim_status_set(status, CNRT_RET_ERR_SYS, "%.240s cannot be opened: %s.", path, strerror(errno));
        return NULL;
    }
    uint8_t *data = read_descriptor(descriptor, path, limit, bytes, size, status);
    close(descriptor);
    return data;
}

uint8_t *sim_file_read_start(const char *path, uint64_t limit, uint64_t *bytes, uint64_t *size)
{
    sim_status status = {CNRT_RET_SUCCESS, ""};
    uint8_t *data = sim_file_try_start(path, limit, bytes, size, &status);
    sim_error_set_status(&status);
    return data;
}

uint8_t *sim_file_try(const char *path, uint64_t *bytes, sim_status *status)
{
    uint64_t size;
    return sim_file_try_start(path, MAX_FILE_BYTES, bytes, &size, status);
}

uint8_t *sim_file_read(const char *path, uint64_t *bytes)
{
    uint64_t size;
    return sim_file_read_start(path, MAX_FILE_BYTES, bytes, &size);
}
