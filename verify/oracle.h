/* What the program's contract says each map computes, in double and from W directly: A_ij pair by pair, no features, no
 * running sums. It shares no code with the library. */
#ifndef VERIFY_ORACLE_H
#define VERIFY_ORACLE_H

#include "device.h"
#include "moments.h"

typedef struct verify_oracle {
    const verify_call *call; /* dense, not shared; its map, shapes, inputs and exact keys */
    uint32_t sets;           /* 1, heads_kv or heads */
    double scale;
    const double *w, *phases;    /* [sets, m, d], [sets, m]; NULL for elu */
    const verify_fitted *fitted; /* EXPONENTIAL only: all of it is there */
    double *o, *lse, *sign;      /* [B, H, n, dv], [B, H, n] */
    double *cancellation;        /* [B, H, n] sum of the features' |terms| over |sum|; 1 without signs */
} verify_oracle;

bool verify_oracle_run(verify_worker *worker, const verify_oracle *oracle);

/* Gram-Schmidt in long double, twice: replaces the rows by their orthogonalisation with the former lengths. Returns the
 * condition number (Frobenius) of the rows; NaN when memory is exhausted. */
double verify_gram_schmidt(double *rows, uint32_t dim);
/* The mistake that most libraries make: Q of a Householder QR with its signs left as they are. */
bool verify_qr_without_sign_fix(double *rows, uint32_t dim);
/* The d x d normals of a block of a set, by the counters that the library promises: (pair, block, set, 2). */
void verify_block_normals(uint64_t seed, uint32_t set, uint32_t block, uint32_t dim, double *normals);

#endif
