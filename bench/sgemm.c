#define _GNU_SOURCE
#include "sgemm.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"

/* The library is loaded when it is needed and not linked: it starts threads when it is loaded, which spin for a while,
 * and that would disturb every other command. For the same reason it is told to use one thread, and the threads here
 * call it: its own would go on spinning into the measurement that comes next. */

enum { SIDE = 1024, MOST_THREADS = 256 }; /* 2 GFLOP a thread: some 10 to 40 ms */

typedef void (*sgemm_function)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                               int lda, const float *b, int ldb, float beta, float *c, int ldc);

typedef struct worker {
    const bench_sgemm *sgemm;
    pthread_t thread;
    float *c;
} worker;

struct bench_sgemm {
    void *library;
    sgemm_function multiply;
    float *a, *b;
    unsigned threads;
    worker workers[MOST_THREADS];
    char name[BENCH_TEXT];
};

static bool load(bench_sgemm *s) {
#ifdef BENCH_OPENBLAS
    s->library = dlopen(BENCH_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (!s->library) /* the program may have been moved to another machine */
        s->library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
#endif
    if (!s->library)
        return false;
    void (*set_threads)(int);
    const char *(*config)(void);
    const char *(*core)(void);
    *(void **)&s->multiply = dlsym(s->library, "cblas_sgemm");
    *(void **)&set_threads = dlsym(s->library, "openblas_set_num_threads");
    *(void **)&config = dlsym(s->library, "openblas_get_config");
    *(void **)&core = dlsym(s->library, "openblas_get_corename");
    if (!s->multiply || !set_threads)
        return false;
    set_threads(1);
    snprintf(s->name, sizeof s->name, "%s, kernels for %s", config ? config() : "OpenBLAS", core ? core() : "unknown");
    return true;
}

static float *matrix(void) {
    float *values = aligned_alloc(64, sizeof(float) * SIDE * SIDE);
    for (int i = 0; values && i < SIDE * SIDE; ++i)
        values[i] = (float)(i % 97) * 0x1p-7F - 0.375F;
    return values;
}

bench_sgemm *bench_sgemm_open(unsigned threads) {
    bench_sgemm *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    bool good = load(s) && (s->a = matrix()) && (s->b = matrix());
    for (unsigned i = 0; i < s->threads && good; ++i) {
        s->workers[i].sgemm = s;
        good = (s->workers[i].c = matrix()) != NULL;
    }
    if (good && isfinite(bench_sgemm_run(s)))
        return s;
    bench_sgemm_close(s);
    return NULL;
}

static void *run(void *argument) {
    enum { ROW_MAJOR = 101, NO_TRANS = 111 }; /* of every CBLAS */
    const worker *w = argument;
    w->sgemm->multiply(ROW_MAJOR, NO_TRANS, NO_TRANS, SIDE, SIDE, SIDE, 1.0F, w->sgemm->a, SIDE, w->sgemm->b, SIDE,
                       0.0F, w->c, SIDE);
    return NULL;
}

double bench_sgemm_run(bench_sgemm *s) {
    unsigned started = 1;
    double start = bench_now();
    while (started < s->threads && pthread_create(&s->workers[started].thread, NULL, run, &s->workers[started]) == 0)
        ++started;
    run(&s->workers[0]);
    for (unsigned i = 1; i < started; ++i)
        pthread_join(s->workers[i].thread, NULL);
    double seconds = bench_now() - start;
    return started == s->threads ? 2.0 * SIDE * SIDE * SIDE * s->threads / seconds : NAN;
}

const char *bench_sgemm_name(const bench_sgemm *s) {
    return s ? s->name : "";
}

void bench_sgemm_close(bench_sgemm *s) {
    if (!s)
        return;
    free(s->a);
    free(s->b);
    for (unsigned i = 0; i < s->threads; ++i)
        free(s->workers[i].c);
    free(s); /* the library stays loaded: its threads would outlive it */
}
