/* Weighted moments of sampled queries and keys: pass one of a fit. */
#ifndef CLFAVOR_FIT_MOMENTS_H
#define CLFAVOR_FIT_MOMENTS_H

#include "common.h"

/* Sums over pairs (i, j) of a query x and a key y with weights P: not normalised, so that the parts of a set add up,
 * and about x0 and y0, a query and a key, so that means that are large beside the spread cost no digits and equal
 * tokens have no variance at all. Scaled: x = q sqrt(scale). */
typedef struct clfavor_moments {
    size_t dim;
    bool begun;              /* x0 and y0 are there */
    double weight;           /* sum P */
    double *x0, *y0, *x, *y; /* [d] */
    double *xx, *yy, *xy;    /* [d, d]; xy[i, l] = sum P x_i y_l */
    double keys, rows;       /* sum over queries of exp(entropy of p_i), and their number */
} clfavor_moments;

/* Where the tokens of one (batch, K/V head) are. */
typedef struct clfavor_fit_tokens {
    const float *q, *k, *v; /* [group, n, d], [n_k, d], [n_k, dv]; v may be NULL */
    size_t group, n, n_k, dim, value_dim;
    double scale;
} clfavor_fit_tokens;

typedef struct clfavor_fit_sample {
    size_t queries, keys;  /* at most */
    uint64_t seed, stream; /* stream: another sample for each (batch, K/V head) */
    bool uniform;          /* all pairs alike instead of P = p |v - o| */
    bool several;          /* other (batch, K/V head) are added to the same moments */
    uint32_t exact;        /* keys to choose and to leave out */
} clfavor_fit_sample;

/* A line for the caller's log. In fit.c, as the next one is. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
void clfavor_fit_say(const clfavor_fit_desc *desc, clfavor_log_level level, const char *format, ...);
/* Fills in the defaults of a description that was read, and checks it; says what is wrong. */
clfavor_status clfavor_fit_resolve(clfavor_fit_desc *desc);

/* Index i of `count` out of n: one at random from each of count strata of about the same size, so ascending. The
 * sides draw apart: 0 and 1 are the queries and the keys of the fit, 2 and 3 those by which the heavy keys are found.
 */
size_t clfavor_fit_sampled(const clfavor_fit_sample *sample, uint32_t side, size_t i, size_t count, size_t n);
/* Whether no value is NaN or infinite. */
bool clfavor_fit_finite(const float *row, size_t count);

clfavor_status clfavor_moments_create(clfavor_moments *moments, size_t dim);
void clfavor_moments_free(clfavor_moments *moments);

/* Adds what the tokens give, and writes the exact keys: ascending, then UINT32_MAX. all (may be NULL): the same with
 * the exact keys' pairs in. NOT_FINITE where a sampled token is not. */
clfavor_status clfavor_moments_add(clfavor_moments *moments, clfavor_moments *all, const clfavor_fit_tokens *tokens,
                                   const clfavor_fit_sample *sample, uint32_t *exact_keys);

#endif
