/* Other implementations of the same attention, timed beside the library's. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clfavor/clfavor.h>

typedef struct bench_inputs {
    uint64_t heads, n;
    uint32_t dim, features;
    bool causal;
    const float *q, *k, *v; /* [heads][n][dim] */
    const double *w;        /* [features][dim] */
} bench_inputs;

typedef struct bench_peer bench_peer;

/* softmax attention; positive features with this very w */
typedef enum bench_computes { BENCH_EXACT, BENCH_LINEAR } bench_computes;

/* Opens all peers that can be had for these inputs; what is missing is told through note(user, line), once a peer. */
bench_peer **bench_peers_open(const bench_inputs *inputs, unsigned threads, cl_context cl, cl_device_id device,
                              void (*note)(void *user, const char *line), void *user, size_t *count);
const char *bench_peer_name(const bench_peer *peer);
bench_computes bench_peer_computes(const bench_peer *peer);
double bench_peer_run(bench_peer *peer);          /* seconds of one run, the first of which may warm up; NaN: failed */
const float *bench_peer_result(bench_peer *peer); /* [heads][n][dim] of the last run */
void bench_peers_close(bench_peer **peers, size_t count);

#endif
