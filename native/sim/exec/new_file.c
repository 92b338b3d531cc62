#define _POSIX_C_SOURCE 200809L
#include "new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MOST_TRIES = 100 }; /* of names that are taken: what processes with this number left when they were killed */

/* Never an existing file or link: the folder may be anybody's. */
static int open_new(sim_new_file *new_file)
{
    static atomic_uint numbers;
    int descriptor = -1;
    errno = EEXIST;
    for (int try = 0; descriptor < 0 && errno == EEXIST && try < MOST_TRIES; try++) {
        const int length = snprintf(new_file->temporary, sizeof new_file->temporary, "%s.%ld.%u.new", new_file->path,
                                    (long)getpid(), atomic_fetch_add(&numbers, 1u));
        if (length < 0 || (size_t)length >= sizeof new_file->temporary) {
            errno = ENAMETOOLONG;
            return -1;
        }
        descriptor = open(new_file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    }
    return descriptor;
}

bool sim_new_file_begin(sim_new_file *new_file, const char *path)
{
    new_file->path = path;
    new_file->file = NULL;
    const int descriptor = open_new(new_file);
    if (descriptor < 0) {
        return false;
    }
    new_file->file = fdopen(descriptor, "w");
    if (new_file->file == NULL) {
        close(descriptor);
        unlink(new_file->temporary);
    }
    return new_file->file != NULL;
}

bool sim_new_file_end(sim_new_file *new_file, bool good)
{
    const bool whole = good && !ferror(new_file->file);
    if (fclose(new_file->file) == 0 && whole && rename(new_file->temporary, new_file->path) == 0) {
        return true;
    }
    const int why = errno;
    unlink(new_file->temporary);
    errno = why;
    return false;
}
