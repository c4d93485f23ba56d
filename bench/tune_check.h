/* The double reference of a benchmark's attention, and how far a result is off. */
#ifndef BENCH_TUNE_CHECK_H
#define BENCH_TUNE_CHECK_H

#include "job.h"

/* Positive features in float32 against double. An exponent carries eps (|w| |x| + |x|^2 / 2) log2 e, which for inputs
 * of variance 1, d = 256 and scale 1/sqrt(d) is 2^-24 * 400 = 2.4e-5 and mostly far less; wrong tiles are off by 0.1
 * and more. */
#define BENCH_TUNE_TOLERANCE 1e-4

typedef struct bench_expected {
    double *o[2]; /* of the first and of the last head, [n, d] */
} bench_expected;

/* Computes it on the host. false: the device's error is set; free either way. */
bool bench_expect(bench_device *d, const bench_work *work, bench_expected *out);
void bench_expected_free(bench_expected *expected);
/* Runs the job once, into memory filled with NaN, and compares: the largest error of the two heads, |O - E| / |E|
 * (Frobenius); infinite where a value is not finite. */
bool bench_compare_job(bench_job *job, const bench_expected *expected, double *error);

#endif
