#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define QUIET         2.0 /* s; shorter work prints nothing */
#define TERMINAL_STEP 0.2 /* s */
#define LINE_STEP     5.0 /* s */
#define BAR           24

double progress_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print(progress *p) {
    uint64_t done = atomic_load(&p->done);
    double elapsed = progress_now() - p->start, share = p->total ? (double)done / (double)p->total : 0;
    char tail[128];
    if (done == 0) /* one indivisible piece of work, or the first of several: nothing is known about its rate */
        snprintf(tail, sizeof tail, "%.0f s so far", elapsed);
    else
        snprintf(tail, sizeof tail, "%3.0f %%, %.3g %s/s, %.0f s so far, %.0f s left", 100 * share,
                 (double)done / elapsed, p->unit, elapsed, elapsed / share - elapsed);
    if (!p->terminal) {
        fprintf(stderr, "clfavor: %s: %s\n", p->label, tail);
        return;
    }
    char bar[BAR + 1];
    for (int i = 0; i < BAR; ++i)
        bar[i] = i < (int)(share * BAR) ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "\r%s [%s] %s\x1b[K", p->label, bar, tail);
    fflush(stderr);
    p->drawn = true;
}

static void *run(void *argument) {
    progress *p = argument;
    double next = p->start + QUIET;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct timespec until = {(time_t)next, (long)((next - (double)(time_t)next) * 1e9)};
        pthread_cond_timedwait(&p->wake, &p->lock, &until);
        if (!p->stopping && progress_now() >= next) {
            print(p);
            next += p->terminal ? TERMINAL_STEP : LINE_STEP;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void progress_start(progress *p, const char *label, const char *unit, uint64_t total) {
    *p = (progress){.label = label, .unit = unit, .total = total, .start = progress_now()};
    p->terminal = isatty(STDERR_FILENO);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    p->running = pthread_create(&p->thread, NULL, run, p) == 0; /* without a thread the work goes on in silence */
}

void progress_add(progress *p, uint64_t units) {
    atomic_fetch_add(&p->done, units);
}

void progress_share(void *user, double done, double total) {
    progress *p = user;
    uint64_t parts = (uint64_t)(PROGRESS_PARTS * done / total), before = atomic_load(&p->done);
    while (parts > before && parts <= PROGRESS_PARTS && !atomic_compare_exchange_weak(&p->done, &before, parts))
        ;
}

void progress_stop(progress *p) {
    if (p->running) {
        pthread_mutex_lock(&p->lock);
        p->stopping = true;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
    }
    if (p->drawn)
        fputs("\r\x1b[K", stderr);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
}
