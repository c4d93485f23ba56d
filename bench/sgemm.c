#include "sgemm.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "device.h"
#include "openblas.h"

/* Every thread here calls a BLAS of one thread: the library's own threads would go on spinning into the measurement
 * that comes next. */

enum { SIDE = 1024, MOST_THREADS = 256 }; /* 2 GFLOP a thread: some 10 to 40 ms */

typedef struct worker {
    const bench_sgemm *sgemm;
    pthread_t thread;
    float *c;
} worker;

struct bench_sgemm {
    bench_openblas blas;
    float *a, *b;
    unsigned threads;
    worker workers[MOST_THREADS];
};

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
    bool good = bench_openblas_load(&s->blas) && (s->a = matrix()) && (s->b = matrix());
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
    const worker *w = argument;
    w->sgemm->blas.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANS, BLAS_NO_TRANS, SIDE, SIDE, SIDE, 1.0F, w->sgemm->a, SIDE,
                         w->sgemm->b, SIDE, 0.0F, w->c, SIDE);
    return NULL;
}

double bench_sgemm_run(bench_sgemm *s) {
    unsigned started = 1;
    s->blas.set_threads(1);
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
    return s ? s->blas.name : "";
}

void bench_sgemm_close(bench_sgemm *s) {
    if (!s)
        return;
    free(s->a);
    free(s->b);
    for (unsigned i = 0; i < s->threads; ++i)
        free(s->workers[i].c);
    free(s);
}
