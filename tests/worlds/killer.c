/* Preloaded: kills at the n-th call that changes something below a folder, so that a test can stop a program between any two of its steps.

   KILLER_BELOW    the folder; calls on other paths do not count
   KILLER_SKIP     set: nor do calls on paths that have this in them
   KILLER_AT       which call is the last; it is not made (a write is made by half)
   KILLER_COUNTER  a file of four bytes in which all processes count together
   KILLER_GROUP    set: the whole process group dies, not only the process that makes the call */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path) {
    const char *folder = getenv("KILLER_BELOW");
    char whole[2 * PATH_MAX];
    if (!folder || !path) return 0;
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else if (getcwd(whole, PATH_MAX)) strncat(strcat(whole, "/"), path, PATH_MAX - 1);
    else return 0;
    const char *skip = getenv("KILLER_SKIP");
    return !strncmp(whole, folder, strlen(folder)) && !(skip && strstr(whole, skip));
}

static int last(const char *path) {
    static unsigned *counter;
    if (!below(path)) return 0;
    if (!counter) {
        int file = NEXT(open)(getenv("KILLER_COUNTER"), O_RDWR);
        counter = mmap(0, 4, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
    }
    return __sync_add_and_fetch(counter, 1) == (unsigned)atoi(getenv("KILLER_AT"));
}

static void die(void) {
    kill(getenv("KILLER_GROUP") ? 0 : getpid(), SIGKILL);
    pause();
}

static int last_of(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return last(path);
}

#define OPENER(name)                                                   \
    int name(const char *path, int flags, ...) {                       \
        va_list rest;                                                  \
        va_start(rest, flags);                                         \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                  \
        if (flags & (O_CREAT | O_TRUNC) && last(path)) die();          \
        return NEXT(name)(path, flags, mode);                          \
    }
OPENER(open)
OPENER(open64)

ssize_t write(int file, const void *data, size_t size) {
    if (last_of(file)) {
        NEXT(write)(file, data, size / 2);
        die();
    }
    return NEXT(write)(file, data, size);
}

int fsync(int file) {
    if (last_of(file)) die();
    return NEXT(fsync)(file);
}

#define OF_PATH(name, parameters, arguments, path)   \
    int name parameters {                            \
        if (last(path)) die();                       \
        return NEXT(name) arguments;                 \
    }
OF_PATH(rename, (const char *from, const char *to), (from, to), to)
OF_PATH(link, (const char *from, const char *to), (from, to), to)
OF_PATH(symlink, (const char *from, const char *to), (from, to), to)
OF_PATH(unlink, (const char *path), (path), path)
OF_PATH(mkdir, (const char *path, mode_t mode), (path, mode), path)
OF_PATH(rmdir, (const char *path), (path), path)
OF_PATH(chmod, (const char *path, mode_t mode), (path, mode), path)

int fchmod(int file, mode_t mode) {
    if (last_of(file)) die();
    return NEXT(fchmod)(file, mode);
}

int ftruncate(int file, off_t size) {
    if (last_of(file)) die();
    return NEXT(ftruncate)(file, size);
}
