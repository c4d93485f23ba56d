/* Flops a second of OpenBLAS. */
#ifndef BENCH_SGEMM_H
#define BENCH_SGEMM_H

typedef struct bench_sgemm bench_sgemm;

/* NULL: there is no OpenBLAS, or memory is exhausted. */
bench_sgemm *bench_sgemm_open(unsigned threads);
/* Every thread multiplies matrices of its own once. NaN: no thread could be made. */
double bench_sgemm_run(bench_sgemm *s);
/* Version and kernels of the library; "" for NULL. */
const char *bench_sgemm_name(const bench_sgemm *s);
void bench_sgemm_close(bench_sgemm *s);

#endif
