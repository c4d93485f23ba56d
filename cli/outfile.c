#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 8

/* Static, because a signal handler must reach the names. */
static char temporary[SLOTS][PATH_MAX];
static volatile sig_atomic_t in_use[SLOTS];

static void all_signals(int how) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(how, &set, NULL);
}

static void on_signal(int number) {
    for (int i = 0; i < SLOTS; ++i)
        if (in_use[i])
            unlink(temporary[i]);
    if (number == SIGBUS) { /* what reading a mapped file raises beyond its end */
        static const char text[] =
            "clfavor: an input file was cut while it was being read; run again once it is whole\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        _exit(1);
    }
    raise(number); /* SA_RESETHAND: the default action ends the program */
}

void outfile_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigfillset(&action.sa_mask);
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGBUS};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) {
        struct sigaction before;
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup stays nohup */
            sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write, reported as any other */
}

static bool refuse(char error[OUTFILE_ERROR], const char *what, const char *path, const char *why) {
    snprintf(error, OUTFILE_ERROR, "%s '%.300s': %s", what, path, why);
    return false;
}

static bool open_temporary(outfile *file, char error[OUTFILE_ERROR]) {
    int slot = 0;
    while (slot < SLOTS && in_use[slot])
        ++slot;
    char *copy = strdup(file->path);
    if (slot == SLOTS || !copy) {
        free(copy);
        return refuse(error, "cannot write", file->path, slot == SLOTS ? "too many outputs" : strerror(ENOMEM));
    }
    const char *folder = dirname(copy);
    int saved = EEXIST;
    for (unsigned attempt = 0; file->descriptor < 0 && saved == EEXIST && attempt < 1000; ++attempt) {
        int length = snprintf(temporary[slot], PATH_MAX, "%s/.clfavor-%ld-%u.tmp", folder, (long)getpid(), attempt);
        if (length >= PATH_MAX) {
            saved = ENAMETOOLONG;
            break;
        }
        all_signals(SIG_BLOCK); /* no signal between creating the file and noting its name */
        file->descriptor = open(temporary[slot], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        saved = errno;
        if (file->descriptor >= 0) {
            in_use[slot] = 1;
            file->slot = slot;
        }
        all_signals(SIG_UNBLOCK);
    }
    free(copy);
    return file->descriptor >= 0 || refuse(error, "cannot write", file->path, strerror(saved));
}

bool outfile_open(outfile *file, const char *path, char error[OUTFILE_ERROR]) {
    *file = OUTFILE_CLOSED;
    size_t length = strlen(path);
    if (length == 0 || path[length - 1] == '/')
        return refuse(error, "cannot write", path, "that is no file name");
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && S_ISDIR(status.st_mode))
        return refuse(error, "cannot write", path, strerror(EISDIR));
    bool in_place = exists && !S_ISREG(status.st_mode);
    file->path = in_place || !exists ? strdup(path) : realpath(path, NULL);
    if (!file->path)
        return refuse(error, "cannot write", path, strerror(errno));
    if (!in_place) {
        if (open_temporary(file, error))
            return true;
    } else if ((file->descriptor = open(path, O_WRONLY | O_CLOEXEC)) >= 0) {
        return true;
    } else {
        refuse(error, "cannot write", path, strerror(errno));
    }
    free(file->path);
    *file = OUTFILE_CLOSED;
    return false;
}

bool outfile_write(outfile *file, const void *data, size_t size, char error[OUTFILE_ERROR]) {
    const char *at = data;
    while (size > 0) {
        ssize_t written = write(file->descriptor, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return refuse(error, "cannot write", file->path, strerror(errno));
        at += written;
        size -= (size_t)written;
    }
    return true;
}

bool outfile_commit(outfile *file, char error[OUTFILE_ERROR]) {
    bool good = close(file->descriptor) == 0;
    file->descriptor = -1;
    if (good && file->slot >= 0)
        good = rename(temporary[file->slot], file->path) == 0;
    if (good && file->slot >= 0) {
        in_use[file->slot] = 0;
        file->slot = -1;
    }
    if (!good)
        refuse(error, "cannot write", file->path, strerror(errno));
    outfile_discard(file);
    return good;
}

void outfile_discard(outfile *file) {
    if (file->descriptor >= 0)
        close(file->descriptor);
    if (file->slot >= 0) {
        unlink(temporary[file->slot]);
        in_use[file->slot] = 0;
    }
    free(file->path);
    *file = OUTFILE_CLOSED;
}

/* The folder's true path and the last component; NULL when the folder does not exist. */
static char *canonical(const char *path) {
    char *copies[2] = {strdup(path), strdup(path)}, *result = NULL;
    if (copies[0] && copies[1]) {
        char *folder = realpath(dirname(copies[0]), NULL);
        const char *name = basename(copies[1]);
        size_t size = folder ? strlen(folder) + strlen(name) + 2 : 0;
        result = folder ? malloc(size) : NULL;
        if (result)
            snprintf(result, size, "%s/%s", folder, name);
        free(folder);
    }
    free(copies[0]);
    free(copies[1]);
    return result;
}

bool outfile_same(const char *a, const char *b) {
    struct stat sa, sb;
    if (stat(a, &sa) == 0 && stat(b, &sb) == 0)
        return S_ISREG(sa.st_mode) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
    char *ca = canonical(a), *cb = canonical(b);
    bool same = ca && cb && strcmp(ca, cb) == 0;
    free(ca);
    free(cb);
    return same;
}
