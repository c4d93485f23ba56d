/* OpenBLAS, where it was found when the program was configured and still is there. It is loaded when it is needed and
 * not linked: it starts threads when it is loaded, which spin for a while, and that would disturb every other command.
 */
#ifndef BENCH_OPENBLAS_H
#define BENCH_OPENBLAS_H

#include "bench.h"

enum { BLAS_ROW_MAJOR = 101, BLAS_NO_TRANS = 111, BLAS_TRANS = 112 }; /* of every CBLAS */

typedef struct bench_openblas {
    void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                  const float *b, int ldb, float beta, float *c, int ldc);
    void (*sgemv)(int order, int trans, int m, int n, float alpha, const float *a, int lda, const float *x, int step_x,
                  float beta, float *y, int step_y);
    float (*sdot)(int n, const float *x, int step_x, const float *y, int step_y);
    /* In each product of the whole process from now on: everyone who uses the library says it before each run. */
    void (*set_threads)(int threads);
    char name[BENCH_TEXT]; /* version and kernels */
} bench_openblas;

/* false: it is not there. It stays loaded: its threads would outlive it. */
bool bench_openblas_load(bench_openblas *blas);

#endif
