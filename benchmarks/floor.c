/* The least that any full scan costs: list every folder, look at every file, and do nothing else.

   floor FOLDER THREADS     prints how many files it looked at */

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_THREADS = 64 };

struct folder {
    struct folder *next;
    char path[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct folder *to_do; /* under the lock, as are the two below */
static int working;
static long files_seen;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void add(const char *above, const char *name)
{
    struct folder *folder = malloc(sizeof *folder + strlen(above) + strlen(name) + 2);
    if (!folder)
        fail("malloc");
    sprintf(folder->path, *name ? "%s/%s" : "%s%s", above, name);
    pthread_mutex_lock(&lock);
    folder->next = to_do;
    to_do = folder;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/* The next folder; NULL when there is none and nobody is left who could find one. */
static struct folder *take(void)
{
    pthread_mutex_lock(&lock);
    while (!to_do && working)
        pthread_cond_wait(&changed, &lock);
    struct folder *folder = to_do;
    if (folder) {
        to_do = folder->next;
        working++;
    }
    pthread_mutex_unlock(&lock);
    return folder;
}

static void give_back(struct folder *folder, long files)
{
    free(folder);
    pthread_mutex_lock(&lock);
    files_seen += files;
    if (--working == 0 && !to_do)
        pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static long look_at(const char *path)
{
    DIR *listing = opendir(path);
    struct dirent *entry;
    struct stat status;
    long files = 0;
    if (!listing)
        fail(path);
    while ((entry = readdir(listing))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (entry->d_type == DT_DIR) {
            add(path, entry->d_name);
            continue;
        }
        if (fstatat(dirfd(listing), entry->d_name, &status, AT_SYMLINK_NOFOLLOW))
            fail(entry->d_name);
        files++;
    }
    closedir(listing);
    return files;
}

static void *work(void *unused)
{
    struct folder *folder;
    (void)unused;
    while ((folder = take()))
        give_back(folder, look_at(folder->path));
    return NULL;
}

int main(int count, char **words)
{
    pthread_t threads[MOST_THREADS];
    int asked = count == 3 ? atoi(words[2]) : 0;
    if (asked < 1 || asked > MOST_THREADS) {
        fprintf(stderr, "floor FOLDER THREADS (1 to %d)\n", MOST_THREADS);
        return 2;
    }
    add(words[1], "");
    for (int i = 0; i < asked; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            fail("pthread_create");
    for (int i = 0; i < asked; i++)
        pthread_join(threads[i], NULL);
    printf("%ld\n", files_seen);
    return 0;
}
