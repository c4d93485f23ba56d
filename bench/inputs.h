/* Queries, keys and values that every run and every peer sees. */
#ifndef BENCH_INPUTS_H
#define BENCH_INPUTS_H

#include <stddef.h>
#include <stdint.h>

/* count values of mean 0 and variance 1, bell-shaped (each the sum of four uniform ones); a function of the stream and
 * of the place only, so that a longer array begins as a shorter one does. */
void bench_inputs_fill(float *out, size_t count, uint64_t stream);

#endif
