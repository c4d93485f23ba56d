/* Other people's attention on the same inputs, so that a benchmark can time it between its own runs: exact and linear
 * attention in Python, and chains of matrix products by OpenBLAS and CLBlast. README.md in peers/ tells what each of
 * them computes and how to install it. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include <clfavor/clfavor.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Self-attention of one sequence. The arrays belong to the caller and must live until bench_peers_close. */
typedef struct bench_inputs {
    uint64_t heads, n;
    uint32_t dim, features;
    bool causal;
    const float *q, *k, *v; /* [heads][n][dim] */
    const double *w;        /* [features][dim], the same for all heads; rows as clfavor_projection_data gives them */
} bench_inputs;

typedef struct bench_peer bench_peer;

typedef enum bench_computes {
    BENCH_EXACT, /* softmax attention with scale 1/sqrt(dim) */
    BENCH_LINEAR /* linear attention with positive features made from this very w */
} bench_computes;

/* Opens all peers that can be had for these inputs, to use `threads` threads (0: 1). What is missing is told through
 * note(user, line), one line a peer, and so is what breaks later; note may be NULL. cl and device are where CLBlast
 * runs; cl NULL leaves it out. Environment: CLFAVOR_BENCH_PYTHON is the interpreter (python3), CLFAVOR_BENCH_TIMEOUT
 * the seconds that it may take for an answer (300), TMPDIR where the inputs are handed over (/tmp).
 * Returns an array of *count peers for bench_peers_close; NULL with *count = 0 if there are none. */
bench_peer **bench_peers_open(const bench_inputs *inputs, unsigned threads, cl_context cl, cl_device_id device,
                              void (*note)(void *user, const char *line), void *user, size_t *count);
/* A short name without spaces that stays the same between runs, such as "torch-sdpa". Lives as long as the peer. */
const char *bench_peer_name(const bench_peer *peer);
bench_computes bench_peer_computes(const bench_peer *peer);
/* Seconds of one run, features included, inputs and results in place; the first one may warm up. NaN: it failed, and
 * will go on failing. When it returns, the peer's threads have stopped spinning. */
double bench_peer_run(bench_peer *peer);
/* [heads][n][dim] of the last run, owned by the peer and good until that peer's next call. NULL: there is none. */
const float *bench_peer_result(bench_peer *peer);
/* Closes all peers and frees the array; NULL is fine. */
void bench_peers_close(bench_peer **peers, size_t count);

#endif
