/* Stands between a script and the system (LD_PRELOAD): pauses it where a test wants to change something under it, and
   refuses writes as a quota does. The script knows nothing of it.

   PAUSE_CALL     "look" (fstatat, statx), "open" (openat) or "remove" (unlink)
   PAUSE_NAME     the last name of the path at which the call is held
   PAUSE_FOLDER   where the file "reached" is made then, and where "go" is waited for; once gone on, nothing is held
   FAIL_CALL      "look" or "open", as above: for FAIL_NAME this call fails, always
   FAIL_NAME      the last name of the path
   FAIL_ERRNO     with this error
   REFUSE_FILE    writes to a file whose path begins so fail
   REFUSE_ERRNO   with this error */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4200, LONGEST_PAUSE_MS = 600000 };

static int is_there(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static void pause_at(const char *call, const char *path)
{
    const char *wanted_call = getenv("PAUSE_CALL"), *wanted_name = getenv("PAUSE_NAME");
    const char *folder = getenv("PAUSE_FOLDER"), *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    struct timespec short_while = {0, 1000000};
    char reached[PATH_BYTES];
    if (!name || !wanted_call || !wanted_name || !folder || strcmp(wanted_call, call) || strcmp(wanted_name, name))
        return;
    if (is_there(folder, "go"))
        return;
    snprintf(reached, sizeof reached, "%s/reached", folder);
    close((int)syscall(SYS_openat, AT_FDCWD, reached, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (int waited_ms = 0; waited_ms < LONGEST_PAUSE_MS && !is_there(folder, "go"); waited_ms++)
        nanosleep(&short_while, NULL);
}

static int fails(const char *call, const char *path)
{
    const char *wanted_call = getenv("FAIL_CALL"), *wanted_name = getenv("FAIL_NAME"), *number = getenv("FAIL_ERRNO");
    const char *slash = path ? strrchr(path, '/') : NULL, *name = slash ? slash + 1 : path;
    if (!name || !wanted_call || !wanted_name || !number || strcmp(wanted_call, call) || strcmp(wanted_name, name))
        return 0;
    errno = atoi(number);
    return 1;
}

static int is_refused(int fd)
{
    const char *file = getenv("REFUSE_FILE"), *number = getenv("REFUSE_ERRNO");
    char proc[64], path[PATH_BYTES];
    if (!file || !number)
        return 0;
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, proc, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (strncmp(path, file, strlen(file)))
        return 0;
    errno = atoi(number);
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define LOOK(name, type)                                                                                               \
    int name(int folder_fd, const char *path, struct type *status, int flags)                                          \
    {                                                                                                                  \
        pause_at("look", path);                                                                                        \
        if (fails("look", path))                                                                                       \
            return -1;                                                                                                 \
        return REAL(name)(folder_fd, path, status, flags);                                                             \
    }
LOOK(fstatat, stat)
LOOK(fstatat64, stat64)
int statx(int folder_fd, const char *path, int flags, unsigned mask, struct statx *status)
{
    pause_at("look", path);
    if (fails("look", path))
        return -1;
    return REAL(statx)(folder_fd, path, flags, mask, status);
}

#define OPEN(name)                                                                                                     \
    int name(int folder_fd, const char *path, int flags, ...)                                                          \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        pause_at("open", path);                                                                                        \
        if (fails("open", path))                                                                                       \
            return -1;                                                                                                 \
        return REAL(name)(folder_fd, path, flags, mode);                                                               \
    }
OPEN(openat)
OPEN(openat64)

int unlink(const char *path)
{
    pause_at("remove", path);
    return REAL(unlink)(path);
}

ssize_t write(int fd, const void *bytes, size_t count) { return is_refused(fd) ? -1 : REAL(write)(fd, bytes, count); }

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return is_refused(fd) ? -1 : REAL(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return is_refused(fd) ? -1 : REAL(pwrite64)(fd, bytes, count, offset);
}
