/* Makes a command's looks at the files of a tree as slow as a network file system does (LD_PRELOAD): each waits 0.2 ms
   first.

   SLOW_BELOW     the tree; looks at absolute paths elsewhere are not slow, such as those at a program's own files
   SLOW_COUNT     a file of 8 bytes in which the looks are counted, of all processes of the command together: a command
                  that makes its looks past the C library is not slowed, and its count tells */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DELAY_NS = 200000 };

static long nowhere, *looks = &nowhere;
static const char *tree = "/";

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SLOW_COUNT"), *below = getenv("SLOW_BELOW");
    tree = below ? below : tree;
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof *looks, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        looks = shared;
}

static void wait_for_the_network(const char *path)
{
    struct timespec delay = {0, DELAY_NS};
    if (!path || (*path == '/' && strncmp(path, tree, strlen(tree))))
        return; /* NULL: Rust's library asks so whether there is statx */
    __atomic_add_fetch(looks, 1, __ATOMIC_RELAXED);
    nanosleep(&delay, NULL);
}

#define SLOW(name, parameters, arguments)                                                                              \
    int name parameters                                                                                                \
    {                                                                                                                  \
        static __typeof__(&name) real;                                                                                 \
        if (!real)                                                                                                     \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                         \
        wait_for_the_network(path);                                                                                    \
        return real arguments;                                                                                         \
    }
SLOW(stat, (const char *path, struct stat *status), (path, status))
SLOW(stat64, (const char *path, struct stat64 *status), (path, status))
SLOW(lstat, (const char *path, struct stat *status), (path, status))
SLOW(lstat64, (const char *path, struct stat64 *status), (path, status))
SLOW(fstatat, (int folder_fd, const char *path, struct stat *status, int flags), (folder_fd, path, status, flags))
SLOW(fstatat64, (int folder_fd, const char *path, struct stat64 *status, int flags), (folder_fd, path, status, flags))
SLOW(statx, (int folder_fd, const char *path, int flags, unsigned mask, struct statx *status),
     (folder_fd, path, flags, mask, status))
