/* A child process that answers every line with one line. Whatever it does, a question returns within its time limit. */
#ifndef BENCH_PEERS_CHILD_H
#define BENCH_PEERS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PEER_CHILD_LINE = 1 << 16 }; /* longest answer */

typedef struct peer_child {
    pid_t pid;   /* 0: not running */
    int socket;  /* -1: closed */
    size_t used; /* bytes of line that were read */
    char line[PEER_CHILD_LINE];
    char error[256]; /* why it was stopped */
} peer_child;

/* Starts arguments[0] (searched in PATH) with this environment, standard error into a file. False sets error. */
bool peer_child_start(peer_child *child, char *const arguments[], char *const environment[], const char *error_file);
/* Sends a line and returns the answer without its newline, good until the next call; NULL sets error, after the child
 * was stopped. */
const char *peer_child_ask(peer_child *child, const char *question, double seconds);
/* Closes its input, waits that long for it to end, then ends it and all that it started. */
void peer_child_stop(peer_child *child, double seconds);

#endif
