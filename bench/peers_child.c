#define _GNU_SOURCE /* SOCK_CLOEXEC */

#include "device.h"
#include "peers_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A socket and not two pipes: writing to one whose other end is gone can be told to raise no SIGPIPE. */
bool peer_child_start(peer_child *child, char *const arguments[], char *const environment[], const char *error_file) {
    int ends[2];
    child->pid = 0;
    child->socket = -1;
    child->used = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        snprintf(child->error, sizeof child->error, "no socket: %s", strerror(errno));
        return false;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP); /* a group of its own, to end all of it at once */
    int code = posix_spawnp(&child->pid, arguments[0], &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (code) {
        close(ends[0]);
        child->pid = 0;
        snprintf(child->error, sizeof child->error, "'%s' does not start: %s", arguments[0], strerror(code));
        return false;
    }
    child->socket = ends[0];
    return true;
}

static const char *fail(peer_child *child, const char *why) {
    snprintf(child->error, sizeof child->error, "%s", why);
    peer_child_stop(child, 0);
    return NULL;
}

/* Waits until the socket can be read or written; false when the deadline passes. */
static bool wait_for(const peer_child *child, short what, double deadline) {
    for (;;) {
        double left = deadline - bench_now();
        if (left <= 0)
            return false;
        struct pollfd end = {.fd = child->socket, .events = what};
        int milliseconds = left > 1e6 ? 1000000000 : (int)(left * 1e3) + 1;
        int ready = poll(&end, 1, milliseconds);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

static bool send_all(const peer_child *child, const char *text, size_t size, double deadline) {
    while (size > 0) {
        if (!wait_for(child, POLLOUT, deadline))
            return false;
        ssize_t sent = send(child->socket, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (sent > 0) {
            text += sent;
            size -= (size_t)sent;
        }
    }
    return true;
}

const char *peer_child_ask(peer_child *child, const char *question, double seconds) {
    double deadline = bench_now() + seconds;
    if (child->socket < 0)
        return NULL;
    if (recv(child->socket, child->line, 1, MSG_DONTWAIT) > 0) /* it would be taken for the answer */
        return fail(child, "it answered more than it was asked");
    if (!send_all(child, question, strlen(question), deadline) || !send_all(child, "\n", 1, deadline))
        return fail(child, "it takes no more questions");
    child->used = 0;
    for (;;) {
        if (!wait_for(child, POLLIN, deadline)) {
            char why[96];
            snprintf(why, sizeof why, "no answer within %.0f s", seconds);
            return fail(child, why);
        }
        ssize_t got = recv(child->socket, child->line + child->used, sizeof child->line - child->used, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return fail(child, "it ended");
        char *end = memchr(child->line + child->used, '\n', (size_t)got);
        child->used += (size_t)got;
        if (end && end + 1 != child->line + child->used)
            return fail(child, "it answered more than it was asked");
        if (end) {
            *end = '\0';
            return child->line;
        }
        if (child->used == sizeof child->line)
            return fail(child, "its answer has no end");
    }
}

void peer_child_stop(peer_child *child, double seconds) {
    if (child->socket >= 0)
        close(child->socket);
    child->socket = -1;
    if (!child->pid)
        return;
    double deadline = bench_now() + seconds;
    while (bench_now() < deadline) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    /* Still unreaped, so that nobody else can have got the number. */
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    child->pid = 0;
}
