/* The library's public operations as the suites use them: host arrays in, host arrays out, many heads a launch. */
#ifndef VERIFY_DEVICE_H
#define VERIFY_DEVICE_H

#include "engine.h"

#define VERIFY_VALUE_DIM 16u /* of most calls, so that they share programs */

/* One call of attention. Arrays are dense float32 [B, H, n, d] and so on. */
typedef struct verify_call {
    clfavor_operation operation; /* ATTENTION or EXACT */
    clfavor_map map;
    uint32_t m, dim, value_dim; /* value_dim 0: dim */
    bool causal;
    uint32_t chunk, pieces;
    uint64_t batch, heads, heads_kv; /* 0: 1, 1, heads */
    uint64_t n, n_k;                 /* n_k 0: n */
    bool shared;                     /* one q [n, d], k and v serve all heads (strides of 0) */
    double scale;                    /* EXACT only */
    const float *q, *k, *v;          /* v NULL: all 1, value_dim VERIFY_VALUE_DIM */
    float *o, *lse, *sign;           /* NULL: not wanted */
    const uint32_t *exact_keys;      /* [B, states, exact_count]; shared: [exact_count] */
    uint32_t exact_count;
    uint64_t states; /* max(H_kv, parameter sets), for exact keys; 0: heads_kv */
} verify_call;

/* Weights of the estimator, with one parameter set for each head or one for all. They belong to the worker and stay
 * valid until it asks again. A new draw of the same shape updates what is there: nothing is built. */
const clfavor_weights *verify_weights(verify_worker *worker, const clfavor_estimator *estimator);

bool verify_attention(verify_worker *worker, const verify_call *call, const clfavor_weights *weights);
/* Chunk that the plan of this call uses; 0 after verify_fail. */
uint32_t verify_chunk(verify_worker *worker, const verify_call *call);

/* sign exp(lse), the unbiased quantity itself, [B, H, n]. */
bool verify_estimates(verify_worker *worker, const verify_call *call, const clfavor_weights *weights,
                      double *estimates);

/* The feature matrix of x, [n, d] shared by all heads: features [heads, n, F]; log_scale [heads, n] (queries), [heads,
 * F] or, for signed maps, [heads] (keys). Of the call only map, m, dim and heads are read. */
bool verify_features(verify_worker *worker, const verify_call *call, bool key, const float *x, uint64_t n,
                     const clfavor_weights *weights, float *features, float *log_scale);

/* All three: NULL after verify_fail. projection: NULL for elu. */
clfavor_estimator *verify_estimator(verify_worker *worker, clfavor_map map, const clfavor_projection *projection,
                                    uint32_t dim, double scale);
clfavor_projection *verify_projection(verify_worker *worker, clfavor_projection_kind kind, uint32_t m, uint32_t dim,
                                      uint32_t sets, uint64_t seed);
clfavor_projection *verify_projection_of(verify_worker *worker, uint32_t m, uint32_t dim, uint32_t sets,
                                         const double *w, const double *phases);

/* PoCL before 6.0 miscounts the users of a compiled kernel where launches of it on different grids meet, and aborts the
 * process: workers must take turns. */
bool verify_needs_turns(const char *platform_version);

bool verify_worker_open(verify_worker *worker, verify_run *run);
void verify_worker_close(verify_worker *worker);
void verify_plans_release(verify_run *run);

#endif
