/* Progress on stderr: a bar with rate and time left on a terminal, a line every few seconds otherwise; nothing for work
 * of less than 2 s. A thread prints, so that the work may block. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *label, *unit;
    uint64_t total;
    _Atomic uint64_t done;
    double start;
    bool stopping, running, terminal, drawn;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
} progress;

/* total in units ("tokens"); the strings must outlive the progress. */
void progress_start(progress *p, const char *label, const char *unit, uint64_t total);
void progress_add(progress *p, uint64_t units);
/* For callbacks that know done and total of something else; user is a progress of PROGRESS_PARTS. */
#define PROGRESS_PARTS 10000u
void progress_share(void *user, double done, double total);
/* Ends the thread and clears the bar. */
void progress_stop(progress *p);

/* Seconds on the monotonic clock. */
double progress_now(void);

#endif
