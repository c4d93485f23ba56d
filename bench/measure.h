/* The three kinds of run that bench_run puts together. Each fills its part of the result; false: the device's error is
 * set. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "peak.h"

/* The works of the options, in turns with what the device can do at most. */
bool bench_measure(bench_device *d, bench_result *result);
/* One map over a grid of shapes. */
bool bench_sweep(bench_device *d, bench_result *result);
/* The shapes of the options beside other implementations. */
bool bench_compare(bench_device *d, bench_result *result);

/* Everything that follows from figures, their peak and the ceilings. columns: F. */
void bench_figures_finish(bench_figures *figures, uint32_t columns, const bench_ceilings *ceilings);

#endif
