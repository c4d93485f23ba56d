/* What a run needs at the least, and how fast that can be. */
#ifndef BENCH_ROOFLINE_H
#define BENCH_ROOFLINE_H

#include "bench.h"

typedef struct bench_need {
    double flops;        /* useful ones: none for padding, masked pairs or work done twice */
    double exponentials; /* evaluations; sines, cosines and logarithms of the other maps count as one each */
    double bytes;        /* inputs read once, outputs written once */
} bench_need;

/* Of one run. columns: F, the features that the map makes; 0 for exact attention. */
bench_need bench_need_of(const bench_work *work, uint32_t columns);

/* The part of the peak that useful flops can reach when exponentials take the time that they were measured to take,
 * nothing else takes any, and memory is read beside. *bytes_bound: whether memory is the limit. */
double bench_bound(const bench_need *need, const bench_ceilings *ceilings, bool *bytes_bound);

#endif
