/* One launch of the gpu class's attention: its part of the work, and where the parts of the workspace are. Compiled by
 * both sides, as types.h is.
 *
 * A state belongs to (batch, state head); states are counted through the batch. A slot is a query head of a state. The
 * work goes in groups of states, blocks of value columns, waves of tokens (a whole number of chunks) and blocks of
 * query heads. No bit of a result depends on how large any of these is, the chunk apart. */
#ifndef CLFAVOR_GPU_ATTENTION_H
#define CLFAVOR_GPU_ATTENTION_H

#ifndef __OPENCL_VERSION__
#include <CL/cl.h>
#define ulong cl_ulong
#define uint  cl_uint
#endif

typedef struct clfavor_gpu_wave {
    ulong state; /* the first one */
    ulong token; /* the first one */
    /* Parts of the workspace, in floats from the start of the buffer; F features, T = capacity tokens, C = value
     * columns and the sum without values, n: behind them (staged), or behind the next multiple of 4, and 3 more
     * (fused). key_scalars   [state][T] query_scalars [slot][T] exact         [state][exact keys]       their indices
     * (uint), each once references    [state][T/chunk + 1][F or 1]  at the start of each chunk; the last one: at the
     * end of the wave starts        [state][T/chunk][F][C]    what a chunk adds, then the state at its start; not
     * causal: the state sums, lows    [state][F][C]             the running state and its compensation Fused only:
     *   chunk_references  [state][T/chunk][F or 1]  of what a chunk adds
     * Staged only:
     *   keys          [state][T][F]             exponents or values
     *   queries       [slot][T][F + exact keys] exponents or values, then weights; key weights before there are queries
     *   row_references, denominators  [slot][T]
     *   pairs, pair_references  [slot][T][chunk]    causal only
     * CLBlast only:
     *   values        [state][T][C]             V and a column of ones; 0 for tokens without features
     *   products      [slot][T][C]              what rows take from the state */
    ulong key_scalars, query_scalars, exact, references, starts, sums, lows, chunk_references;
    ulong keys, queries, row_references, denominators, pairs, pair_references, values, products;
    uint tokens;   /* of this wave */
    uint capacity; /* tokens that a wave has room for */
    uint chunk;
    uint states;
    uint head, heads; /* of each state's query heads: the first one, how many */
    uint column, columns;
    uint first; /* 1: there is no state yet */
    uint causal;
    uint one_pass; /* fused: 1: the kernel of the states scans, too */
} clfavor_gpu_wave;

#ifndef __OPENCL_VERSION__
#undef ulong
#undef uint
#endif
#endif
