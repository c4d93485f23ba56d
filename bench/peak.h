/* Measures what the device can do at most: flops by FMA loops and sgemm, exponentials, bytes. One call is one round, so
 * that a caller can take turns with its own work. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include "device.h"
#include "sgemm.h"

enum { BENCH_KERNELS = BENCH_LOOPS + 1 }; /* the FMA loops and the exponentials */

typedef struct bench_peak {
    bench_device *device;
    cl_kernel loops[BENCH_KERNELS], triad;
    cl_uint rounds[BENCH_KERNELS]; /* of a launch, so that it takes long enough */
    cl_mem out, arrays[3];
    uint32_t lanes;
    size_t items, group;
    uint64_t vectors; /* of each array */
    bench_sgemm *sgemm;
    double cpu, wall; /* s, of the loops */
    bench_samples samples[BENCH_KERNELS], sgemm_samples, bandwidth_samples;
} bench_peak;

/* Builds the kernels and runs each once. false: the device's error is set; close either way. */
bool bench_peak_open(bench_peak *p, bench_device *device);
/* One launch each of all loops, sgemm, exponentials and triad. */
bool bench_peak_round(bench_peak *p);
/* Flops a second of one launch of a loop, or of sgemm (BENCH_LOOPS); not added to the samples. */
bool bench_peak_flops(bench_peak *p, int which, double *rate);
/* What all rounds found. */
void bench_peak_ceilings(bench_peak *p, bench_ceilings *out);
void bench_peak_close(bench_peak *p);

#endif
