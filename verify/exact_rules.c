/* What must hold exactly whatever W is: opposite tokens, values that are constant or sum to 1, sums over many tokens;
 * and the feature matrices against double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "oracle.h"

enum { D = 6, M = 150, DV = VERIFY_VALUE_DIM, CHUNK = 32 };

static const clfavor_weights *draw_weights(verify_worker *worker, clfavor_map map, uint32_t m, uint32_t sets,
                                           clfavor_projection **projection) {
    const clfavor_weights *weights = NULL;
    *projection = verify_projection(worker, CLFAVOR_PROJECTION_ORTHOGONAL, m, D, sets,
                                    verify_seed(worker->run->options.seed, "rules", sets));
    clfavor_estimator *e = *projection ? verify_estimator(worker, map, *projection, 0, 0.0) : NULL;
    weights = e ? verify_weights(worker, e) : NULL;
    clfavor_estimator_destroy(e);
    return weights;
}

static double longest_row(const clfavor_projection *projection, size_t rows) {
    const double *w = clfavor_projection_data(projection);
    double most = 0.0;
    for (size_t r = 0; r < rows; ++r) {
        double square = 0.0;
        for (size_t l = 0; l < D; ++l)
            square += w[r * D + l] * w[r * D + l];
        most = fmax(most, square);
    }
    return sqrt(most);
}

/* At y = -x the product of the features is e^(-|x|^2) for every w (docs/theory.md, section 1): so is the estimate. The
 * exponents w.x and -w.x have the same roundings; adding them to others of that size and |x|^2 itself round: 2^-24 (16
 * + 4 |w||x|
 * + 2 (d + 4) |x|^2). */
static bool opposite(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    static const double norms[] = {0.1, 1.0, 4.0, 10.0};
    enum { HEADS = 4 };
    float q[HEADS * D], k[HEADS * D], lse[HEADS], sign[HEADS];
    double root = pow((double)D, -0.25), square[HEADS] = {0};
    for (size_t h = 0; h < HEADS; ++h)
        for (size_t l = 0; l < D; ++l) {
            q[h * D + l] = (float)(norms[h] / root * (l % 2 ? -0.3 : 0.45) * (1.0 + 0.1 * (double)l));
            k[h * D + l] = -q[h * D + l];
            square[h] += (double)q[h * D + l] * (double)q[h * D + l] * root * root;
        }
    verify_call call = {.map = exact->map,
                        .m = M,
                        .dim = D,
                        .chunk = CHUNK,
                        .heads = HEADS,
                        .n = 1,
                        .q = q,
                        .k = k,
                        .lse = lse,
                        .sign = sign};
    clfavor_projection *projection;
    const clfavor_weights *weights = draw_weights(worker, exact->map, M, 1, &projection);
    bool good = weights && verify_attention(worker, &call, weights);
    double w = good ? longest_row(projection, M) : 0.0;
    for (size_t h = 0; good && h < HEADS; ++h) {
        double norm = sqrt(square[h]);
        values[h].value = sign[h] == 1.0F ? fabs((double)lse[h] + square[h]) : NAN;
        values[h].tolerance = 0x1p-24 * (16.0 + 4.0 * w * norm + 2.0 * (D + 4) * square[h]);
    }
    clfavor_projection_destroy(projection);
    return good;
}

/* Constant values come out constant; values that sum to 1 give outputs that do. Both are quotients of sums of the same
 * n terms: 2^-24 x 2 n, times the values. Norms up to 8, where an eps in phi would show. */
static bool convex(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    enum { N = 3 * CHUNK + 1 };
    float q[N * D], k[N * D], v[N * DV], o[N * DV];
    for (size_t i = 0; i < (size_t)N * D; ++i) {
        double norm = 0.2 + 8.0 * (double)(i / D % 7) / 6.0;
        q[i] = (float)(norm * sin(1.7 * (double)i + 0.3));
        k[i] = (float)(norm * cos(2.3 * (double)i + 0.1));
    }
    for (size_t i = 0; i < N; ++i) {
        float share = (float)(i % 5) / 5.0F;
        v[i * DV] = 1.1F;
        v[i * DV + 1] = share;
        v[i * DV + 2] = 1.0F - share;
    }
    verify_call call = {.map = exact->map,
                        .m = M,
                        .dim = D,
                        .value_dim = DV,
                        .causal = exact->causal,
                        .chunk = CHUNK,
                        .n = N,
                        .q = q,
                        .k = k,
                        .v = v,
                        .o = o};
    clfavor_projection *projection;
    const clfavor_weights *weights = draw_weights(worker, exact->map, M, 1, &projection);
    bool good = weights && verify_attention(worker, &call, weights);
    for (size_t i = 0; good && i < N; ++i) {
        double constant = fabs((double)o[i * DV] - (double)1.1F);
        double sum = fabs((double)o[i * DV + 1] + (double)o[i * DV + 2] - 1.0);
        bool nothing = exact->map == CLFAVOR_MAP_RELU && o[i * DV] == 0.0F; /* no active feature */
        if (!nothing && !(constant <= values[0].value))
            values[0].value = constant;
        if (!nothing && !(sum <= values[1].value))
            values[1].value = sum;
    }
    values[0].tolerance = values[1].tolerance = 0x1p-24 * 2.0 * N * 1.1;
    clfavor_projection_destroy(projection);
    return good;
}

/* 2^20 tokens of two kinds in turn: lse and O are those of two tokens, and log of the number. A plain fp32 sum would be
 * off by some 1e-4 to 1e-3; the compensated one by the rounding of its terms: 1e-5 in all (rule 6). */
static bool many_tokens(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    enum { QUERIES = 4, FEW = 4 };
    size_t n_k = (size_t)1 << (exact->causal ? 18 : 20), n = exact->causal ? n_k : QUERIES;
    static const float pair[2][D] = {{0.3F, -0.2F, 0.5F, 0.1F, -0.4F, 0.2F}, {-0.1F, 0.6F, 0.2F, -0.3F, 0.1F, 0.4F}};
    static const float query[D] = {0.4F, 0.1F, -0.3F, 0.2F, 0.5F, -0.1F}, value[2] = {1.0F / 3.0F, 1.7F};
    float *q = verify_alloc(worker, n * D, sizeof *q), *k = verify_alloc(worker, n_k * D, sizeof *k);
    float *v = verify_alloc(worker, n_k * DV, sizeof *v), *o = verify_alloc(worker, n * DV, sizeof *o);
    float *lse = verify_alloc(worker, n, sizeof *lse);
    double truth[DV + 3];
    clfavor_projection *projection = NULL;
    bool good = q && k && v && o && lse;
    for (size_t i = 0; good && i < n; ++i)
        memcpy(q + i * D, query, sizeof query);
    for (size_t j = 0; good && j < n_k; ++j) {
        memcpy(k + j * D, pair[j % 2], sizeof *pair);
        v[j * DV] = v[j * DV + 1] = v[j * DV + 2] = value[j % 2];
    }
    verify_call call = {.map = exact->map,
                        .m = FEW,
                        .dim = D,
                        .value_dim = DV,
                        .causal = exact->causal,
                        .chunk = CHUNK,
                        .n = n,
                        .n_k = n_k,
                        .q = q,
                        .k = k,
                        .v = v,
                        .o = o,
                        .lse = lse};
    const clfavor_weights *weights = good ? draw_weights(worker, exact->map, FEW, 1, &projection) : NULL;
    good = weights && verify_attention(worker, &call, weights);
    verify_call two = call;
    two.batch = two.heads = two.heads_kv = two.n = 1;
    two.n_k = 2;
    two.causal = false;
    verify_oracle oracle = {.call = &two,
                            .sets = 1,
                            .scale = 1.0 / sqrt((double)D),
                            .w = clfavor_projection_data(projection),
                            .phases = clfavor_projection_phases(projection),
                            .o = truth,
                            .lse = truth + DV,
                            .sign = truth + DV + 1,
                            .cancellation = truth + DV + 2};
    if (good && (good = verify_oracle_run(worker, &oracle))) {
        values[0].value = fabs((double)lse[n - 1] - truth[DV] - log((double)n_k / 2.0));
        values[1].value = fabs((double)o[(n - 1) * DV] / truth[0] - 1.0);
        values[0].tolerance = 1e-5 + 0x1p-24 * 16.0; /* lse itself is about 12 */
        values[1].tolerance = 1e-5;
    }
    clfavor_projection_destroy(projection);
    float *arrays[] = {q, k, v, o, lse};
    for (size_t i = 0; i < 5; ++i)
        free(arrays[i]);
    return good;
}

/* log|phi| or phi of each feature from its definition; 1/sqrt(count) included. */
static double feature(clfavor_map map, const double *w, const float *x, size_t part, double *log_scale) {
    double t = 0.0, square = 0.0, root = pow((double)D, -0.25);
    for (size_t l = 0; l < D; ++l) {
        t += w[l] * (double)x[l] * root;
        square += (double)x[l] * (double)x[l] * root * root;
    }
    *log_scale = map == CLFAVOR_MAP_POSITIVE ? t - square / 2.0 : map == CLFAVOR_MAP_TRIG ? square / 2.0 : 0.0;
    double value = map == CLFAVOR_MAP_POSITIVE ? 1.0
                   : map == CLFAVOR_MAP_TRIG   ? (part ? sin(t) : cos(t))
                   : t > 0.0                   ? t
                                               : 0.0;
    return value / sqrt((double)M);
}

/* The error of a feature relative to its own size (trig: to the prefactor): 2^-24 (16 + 2 sqrt(d) (|w||x| + |x|^2/2)).
 */
static bool features(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    enum { N = 5, HEADS = 2 };
    bool trig = exact->map == CLFAVOR_MAP_TRIG;
    size_t f = trig ? 2 * M : M;
    float x[N * D], out[HEADS * N * 2 * M], scales[HEADS * 2 * M];
    double most = 0.0, root = pow((double)D, -0.25);
    for (size_t i = 0; i < (size_t)N * D; ++i)
        x[i] = (float)((1.0 + (double)(i / D)) * sin(3.1 * (double)i + 0.5));
    for (size_t i = 0; i < N; ++i) {
        double square = 0.0;
        for (size_t l = 0; l < D; ++l)
            square += (double)x[i * D + l] * (double)x[i * D + l] * root * root;
        most = fmax(most, sqrt(square));
    }
    verify_call call = {.map = exact->map, .m = M, .dim = D, .heads = HEADS};
    clfavor_projection *projection;
    const clfavor_weights *weights = draw_weights(worker, exact->map, M, HEADS, &projection);
    const double *w = clfavor_projection_data(projection);
    bool good = weights != NULL;
    for (int key = 0; good && key < 2; ++key) {
        good = verify_features(worker, &call, key, x, N, weights, out, scales);
        for (size_t at = 0; good && at < HEADS * N * f; ++at) {
            size_t head = at / f / N, i = at / f % N, r = at % f;
            double log_scale, truth = feature(exact->map, w + (head * M + r % M) * D, x + i * D, r / M, &log_scale);
            double scale = (double)scales[!key ? head * N + i : trig ? head : head * f + r];
            double value = (double)out[at] == 0.0 ? 0.0 : (double)out[at] * exp(scale - log_scale);
            double size = trig ? 1.0 / sqrt((double)M) : fabs(truth);
            double error = value == truth ? 0.0 : fabs(value - truth) / size;
            /* relu near 0, and features that 2^-126 of the largest flushes */
            if (exact->map == CLFAVOR_MAP_RELU)
                error = fabs(value - truth);
            if (!(error <= values[key].value))
                values[key].value = error;
        }
        values[key].tolerance =
            0x1p-24 * (16.0 + 2.0 * sqrt((double)D) * (longest_row(projection, HEADS * M) * most + most * most / 2.0));
    }
    clfavor_projection_destroy(projection);
    return good;
}

void verify_exact_rules(verify_run *run) {
    static const char *const norms[] = {"norm 0.1", "norm 1", "norm 4", "norm 10"};
    static const char *const sums[] = {"constant values", "values that sum to 1"};
    static const char *const outputs[] = {"lse", "O"};
    static const char *const roles[] = {"queries", "keys"};
    static const char opposite_text[] = "y = -x: the estimate is exp(-|x|^2) whatever W is";
    static const char convex_text[] = "outputs are convex combinations of the values";
    static const char many_text[] = "sums over 2^20 (causal: 2^18) tokens";
    static const char features_text[] = "feature matrices against double";
    static const verify_exact all[] = {
        {"opposite/positive", opposite_text, 4, norms, 5.0, opposite, CLFAVOR_MAP_POSITIVE, false},
        {"opposite/hyperbolic", opposite_text, 4, norms, 5.0, opposite, CLFAVOR_MAP_HYPERBOLIC, false},
        {"convex/positive", convex_text, 2, sums, 5.0, convex, CLFAVOR_MAP_POSITIVE, false},
        {"convex/positive/causal", convex_text, 2, sums, 5.0, convex, CLFAVOR_MAP_POSITIVE, true},
        {"convex/relu", convex_text, 2, sums, 5.0, convex, CLFAVOR_MAP_RELU, false},
        {"convex/relu/causal", convex_text, 2, sums, 5.0, convex, CLFAVOR_MAP_RELU, true},
        {"many-tokens/positive", many_text, 2, outputs, 900.0, many_tokens, CLFAVOR_MAP_POSITIVE, false},
        {"many-tokens/positive/causal", many_text, 2, outputs, 900.0, many_tokens, CLFAVOR_MAP_POSITIVE, true},
        {"features/positive", features_text, 2, roles, 5.0, features, CLFAVOR_MAP_POSITIVE, false},
        {"features/trig", features_text, 2, roles, 5.0, features, CLFAVOR_MAP_TRIG, false},
        {"features/relu", features_text, 2, roles, 5.0, features, CLFAVOR_MAP_RELU, false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        verify_add_exact(run, &all[i]);
}
