/* Stands between a script and the system (LD_PRELOAD): keeps a log of the calls that matter, and kills the process at
   the one it is given. The script knows nothing of it.

   PROVE_FOLDER  CODE_PATH: calls on the files in it are named by the file, on the folder itself "."
   PROVE_TREE    SRC_DIR: opening anything in it is named "tree"
   PROVE_LOG     where every call is noted once it has come back: "after CALL NAME OFFSET LENGTH PID\n", then LENGTH bytes
   PROVE_KILL    "before|partly|after CALL NAME NTH": the call to die at

   PROVE_BURN    how many microseconds of work each opening in the tree costs, as if its folders were large

   Calls on sockets are named by the request they belong to, such as POST:/v0.10/transfer, its body ...:body. Processes
   that the script starts are left alone. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NAME_BYTES = 256, PATH_BYTES = 4200, DESCRIPTORS = 1024 };

static const char *folder, *tree;
static size_t folder_length, tree_length;
static int log_fd = -1;
static pid_t watched_pid;
static char kill_when[16], kill_call[32], kill_name[NAME_BYTES];
static long kill_nth, seen, burn_us;
static char requests[DESCRIPTORS][NAME_BYTES];

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("PROVE_LOG"), *target = getenv("PROVE_KILL"), *first = getenv("PROVE_PID");
    char pid_text[16];
    folder = getenv("PROVE_FOLDER");
    tree = getenv("PROVE_TREE");
    if (!folder || !tree || !path) {
        folder = 0;
        return;
    }
    folder_length = strlen(folder);
    tree_length = strlen(tree);
    if (getenv("PROVE_BURN"))
        burn_us = atol(getenv("PROVE_BURN"));
    if (first && atoi(first) != getpid())
        return;
    snprintf(pid_text, sizeof pid_text, "%d", getpid());
    setenv("PROVE_PID", pid_text, 1);
    watched_pid = getpid();
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (target && sscanf(target, "%15s %31s %255s %ld", kill_when, kill_call, kill_name, &kill_nth) != 4)
        kill_nth = 0;
}

static int is_watching(void) { return watched_pid && watched_pid == getpid(); }

/* The name of a path as the log has it; 0 when it is no concern of ours. */
static int name_path(const char *path, char *name)
{
    if (!strncmp(path, folder, folder_length)) {
        const char *rest = path + folder_length;
        if (!*rest)
            return strcpy(name, ".") != 0;
        if (*rest == '/' && rest[1] && !strchr(rest + 1, '/') && !strchr(rest + 1, ' '))
            return snprintf(name, NAME_BYTES, "%s", rest + 1) < NAME_BYTES;
    }
    if (!strncmp(path, tree, tree_length) && (!path[tree_length] || path[tree_length] == '/'))
        return strcpy(name, "tree") != 0;
    return 0;
}

static int read_link(int fd, char *path)
{
    char proc[64];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, proc, path, PATH_BYTES - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int name_fd(int fd, char *name)
{
    char path[PATH_BYTES];
    int kept = errno, is_ours = 0;
    if (fd >= 0 && read_link(fd, path)) {
        if (!strncmp(path, "socket:", 7))
            is_ours = fd < DESCRIPTORS && snprintf(name, NAME_BYTES, "%s", *requests[fd] ? requests[fd] : "socket");
        else
            is_ours = name_path(path, name);
    }
    errno = kept;
    return is_ours;
}

static int name_at(int directory_fd, const char *path, char *name)
{
    char whole[2 * PATH_BYTES];
    if (*path == '/' || directory_fd == AT_FDCWD)
        return name_path(path, name);
    if (!read_link(directory_fd, whole))
        return 0;
    size_t length = strlen(whole);
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return name_path(whole, name);
}

/* A request line becomes METHOD:/path, without the path's first part, the emulator's secret, and with * for every id in
   it; what does not begin one is a body. */
static void name_request(int fd, const char *bytes, size_t length, char *name)
{
    static const char *const methods[] = {"GET ", "POST ", "PUT ", "DELETE ", "PATCH "};
    for (size_t each = 0; each < sizeof methods / sizeof *methods; each++) {
        size_t from = strlen(methods[each]), to = 0;
        if (length <= from || memcmp(bytes, methods[each], from))
            continue;
        to = (size_t)snprintf(name, NAME_BYTES, "%.*s:", (int)from - 1, bytes);
        const char *rest = memchr(bytes + from + 1, '/', length - from - 1);
        from = rest ? (size_t)(rest - bytes) : from;
        while (from < length && to < NAME_BYTES - 8 && !strchr(" ?\r", bytes[from])) {
            if (bytes[from - 1] == '/' && length - from > 36 && bytes[from + 8] == '-' && bytes[from + 13] == '-') {
                name[to++] = '*';
                from += 36;
            } else {
                name[to++] = bytes[from++];
            }
        }
        name[to] = 0;
        if (fd < DESCRIPTORS)
            strcpy(requests[fd], name);
        return;
    }
    snprintf(name, NAME_BYTES, "%.*s:body", NAME_BYTES - 8, fd < DESCRIPTORS && *requests[fd] ? requests[fd] : "socket");
}

static void note(const char *when, const char *call, const char *name, long offset, const void *bytes, size_t length)
{
    char head[NAME_BYTES + 128];
    int kept = errno;
    int size = snprintf(head, sizeof head, "%s %s %s %ld %zu %d\n", when, call, name, offset, length, getpid());
    struct iovec parts[] = {{head, (size_t)size}, {(void *)(size_t)bytes, length}};
    if (syscall(SYS_writev, log_fd, parts, length ? 2 : 1) != (long)(size + length))
        _exit(99); /* a log with holes proves nothing */
    errno = kept;
}

/* Whether the process is to die at this call: 'b'efore, 'p'artly or 'a'fter it; 0: it is not. */
static int is_target(const char *call, const char *name)
{
    if (!kill_nth || strcmp(call, kill_call) || strcmp(name, kill_name) || ++seen != kill_nth)
        return 0;
    return *kill_when;
}

static void die(void)
{
    for (;;)
        syscall(SYS_kill, getpid(), SIGKILL);
}

/* Dies now, if it is to die before the call; else tells when it is to die. */
static int approach(const char *call, const char *name)
{
    int target = is_target(call, name);
    if (target == 'b') {
        note("before", call, name, 0, "", 0);
        die();
    }
    return target;
}

static void leave(int target, const char *call, const char *name, long offset, const void *bytes, long length)
{
    if (length >= 0)
        note("after", call, name, offset, bytes, (size_t)length);
    if (target)
        die();
}

#define REAL(result, function, ...)                               \
    static result (*real)(__VA_ARGS__);                           \
    if (!real)                                                    \
        real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, function);

static size_t share(int target, size_t length) { return target == 'p' && length > 1 ? length / 2 : length; }

static void burn(const char *name)
{
    struct timespec start, now;
    if (!burn_us || strcmp(name, "tree"))
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000L + (now.tv_nsec - start.tv_nsec) / 1000 < burn_us);
}

/* --- files ------------------------------------------------------------------------------------------------------ */

#define OPEN(function, signature, actual, directory)                                                           \
    int function signature                                                                                     \
    {                                                                                                          \
        REAL(int, #function, OPEN_TYPES_##directory)                                                           \
        char name[NAME_BYTES];                                                                                 \
        mode_t mode = 0;                                                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                   \
            va_list more;                                                                                      \
            va_start(more, flags);                                                                             \
            mode = va_arg(more, mode_t);                                                                       \
            va_end(more);                                                                                      \
        }                                                                                                      \
        int kept = errno;                                                                                      \
        int is_named = folder && name_at(OPEN_AT_##directory, path, name);                                     \
        if (is_named)                                                                                          \
            burn(name);                                                                                        \
        if (!is_named || !is_watching())                                                                       \
            return errno = kept, real actual;                                                                  \
        int is_new = flags & O_CREAT && syscall(SYS_faccessat, OPEN_AT_##directory, path, F_OK) != 0;          \
        errno = kept;                                                                                          \
        const char *call = is_new ? "create" : "open";                                                         \
        int target = approach(call, name), result = real actual;                                               \
        leave(target, call, name, flags & O_TRUNC, "", result < 0 ? -1 : 0);                                   \
        return result;                                                                                         \
    }
#define OPEN_TYPES_plain const char *, int, ...
#define OPEN_TYPES_at int, const char *, int, ...
#define OPEN_AT_plain AT_FDCWD
#define OPEN_AT_at directory_fd
OPEN(open, (const char *path, int flags, ...), (path, flags, mode), plain)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), plain)
OPEN(openat, (int directory_fd, const char *path, int flags, ...), (directory_fd, path, flags, mode), at)
OPEN(openat64, (int directory_fd, const char *path, int flags, ...), (directory_fd, path, flags, mode), at)

#define PWRITE(function)                                                                  \
    ssize_t function(int fd, const void *bytes, size_t length, off_t offset)              \
    {                                                                                     \
        REAL(ssize_t, #function, int, const void *, size_t, off_t)                        \
        char name[NAME_BYTES];                                                            \
        if (!is_watching() || !name_fd(fd, name))                                         \
            return real(fd, bytes, length, offset);                                       \
        int target = approach("pwrite", name);                                            \
        ssize_t result = real(fd, bytes, share(target, length), offset);                  \
        leave(target, "pwrite", name, offset, bytes, result);                             \
        return result;                                                                    \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *bytes, size_t length)
{
    REAL(ssize_t, "write", int, const void *, size_t)
    char name[NAME_BYTES];
    if (!is_watching() || !name_fd(fd, name))
        return real(fd, bytes, length);
    int target = approach("write", name);
    ssize_t result = real(fd, bytes, share(target, length));
    leave(target, "write", name, -1, bytes, result);
    return result;
}

/* A call on a descriptor that gives 0 or an error, and what the log has of it. */
#define ON_FD(function, call, signature, types, actual, number)          \
    int function signature                                               \
    {                                                                    \
        REAL(int, #function, types)                                      \
        char name[NAME_BYTES];                                           \
        if (!is_watching() || !name_fd(fd, name))                        \
            return real actual;                                          \
        int target = approach(call, name), result = real actual;         \
        leave(target, call, name, number, "", result < 0 ? -1 : 0);      \
        return result;                                                   \
    }
#define TYPES_TRUNCATE int, off_t
#define TYPES_FLOCK int, int
ON_FD(ftruncate, "ftruncate", (int fd, off_t length), TYPES_TRUNCATE, (fd, length), length)
ON_FD(ftruncate64, "ftruncate", (int fd, off_t length), TYPES_TRUNCATE, (fd, length), length)
ON_FD(fsync, "sync", (int fd), int, (fd), 0)
ON_FD(fdatasync, "sync", (int fd), int, (fd), 0)
ON_FD(flock, "flock", (int fd, int operation), TYPES_FLOCK, (fd, operation), operation)

#define UNLINK(function, signature, types, actual, directory)            \
    int function signature                                               \
    {                                                                    \
        REAL(int, #function, types)                                      \
        char name[NAME_BYTES];                                           \
        if (!is_watching() || !name_at(directory, path, name))           \
            return real actual;                                          \
        int target = approach("unlink", name), result = real actual;     \
        leave(target, "unlink", name, 0, "", result < 0 ? -1 : 0);       \
        return result;                                                   \
    }
#define TYPES_UNLINKAT int, const char *, int
UNLINK(unlink, (const char *path), const char *, (path), AT_FDCWD)
UNLINK(unlinkat, (int directory_fd, const char *path, int flags), TYPES_UNLINKAT, (directory_fd, path, flags), directory_fd)

int rename(const char *path, const char *target_path)
{
    REAL(int, "rename", const char *, const char *)
    char name[NAME_BYTES];
    if (!is_watching() || !name_path(path, name))
        return real(path, target_path);
    int target = approach("rename", name), result = real(path, target_path);
    const char *base = strrchr(target_path, '/');
    base = base ? base + 1 : target_path;
    leave(target, "rename", name, 0, base, result < 0 ? -1 : (long)strlen(base));
    return result;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    REAL(int, "connect", int, const struct sockaddr *, socklen_t)
    if (!is_watching())
        return real(fd, address, length);
    if (fd < DESCRIPTORS)
        *requests[fd] = 0;
    int target = approach("connect", "socket"), result = real(fd, address, length);
    leave(target, "connect", "socket", 0, "", result < 0 && errno != EINPROGRESS ? -1 : 0);
    return result;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int)
    char name[NAME_BYTES];
    if (!is_watching())
        return real(fd, bytes, length, flags);
    name_request(fd, bytes, length, name);
    int target = approach("send", name);
    ssize_t result = real(fd, bytes, share(target, length), flags);
    leave(target, "send", name, 0, "", result < 0 ? -1 : 0);
    return result;
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
    REAL(ssize_t, "recv", int, void *, size_t, int)
    char name[NAME_BYTES];
    if (!is_watching() || !name_fd(fd, name))
        return real(fd, bytes, length, flags);
    int target = approach("recv", name);
    ssize_t result = real(fd, bytes, share(target, length), flags);
    leave(target, "recv", name, 0, "", result < 0 ? -1 : 0);
    return result;
}
