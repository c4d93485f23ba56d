/* Corrections of the values: a ridge regression of sampled exact outputs on the rows' shares. */
#include <math.h>
#include <stdlib.h>

#include "estimator.h"
#include "fit_moments.h"
#include "linalg.h"
#include "parallel.h"

#define QUERIES 256u

/* In units of the mean eigenvalue; the last one leaves nothing of the correction. */
static const double ridges[] = {1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 1e6};

typedef struct job {
    const clfavor_fit_desc *desc;
    const clfavor_estimator *estimator;
    const uint32_t *keys;
    float *corrections;
    size_t states; /* S */
} job;

/* One state head. Rows are features, then exact keys. */
typedef struct work {
    const job *j;
    size_t set, d, dv, features, exact, rows, nq;
    const float *q, *k, *v; /* of its heads */
    const uint32_t *keys;
    clfavor_fit_sample sample;
    size_t *index;                   /* [count] sampled keys that are not exact */
    size_t count, heavy;             /* heavy: exact keys, each counted once */
    double *c, *n, *s;               /* [rows], [rows], [rows, dv]: the state; c of exact keys is unused */
    double *share;                   /* [nq, rows] w */
    double *missing;                 /* [nq, dv] what a query lacks */
    double *log_abs, *sign;          /* [features] of a token */
    double *token;                   /* [d] */
    double *gram, *factor, *inverse; /* [nq, nq] */
    double *alpha, *best, *scratch;  /* [nq, dv], [nq, dv], [nq, dv] */
} work;

static const double *widen(const work *w, const float *row) {
    for (size_t l = 0; l < w->d; ++l)
        w->token[l] = (double)row[l];
    return w->token;
}

static void add_key(work *w, size_t key) {
    const float *value = w->v + key * w->dv;
    clfavor_reference_features(w->j->estimator, (uint32_t)w->set, 1, widen(w, w->k + key * w->d), w->log_abs, w->sign);
    for (size_t r = 0; r < w->features; ++r) {
        double *s = w->s + r * w->dv;
        if (w->log_abs[r] > w->c[r]) {
            double factor = exp(w->c[r] - w->log_abs[r]);
            w->c[r] = w->log_abs[r];
            w->n[r] *= factor;
            for (size_t l = 0; l < w->dv; ++l)
                s[l] *= factor;
        }
        double weight = exp(w->log_abs[r] - w->c[r]);
        w->n[r] += weight;
        for (size_t l = 0; l < w->dv; ++l)
            s[l] += weight * (double)value[l];
    }
}

static double logit(const work *w, const float *query, size_t key) {
    double sum = 0.0;
    for (size_t l = 0; l < w->d; ++l)
        sum += (double)query[l] * (double)w->k[key * w->d + l];
    return sum * w->j->estimator->scale;
}

/* The sampled keys without the exact ones, which are marked on the way. */
static clfavor_status list_keys(work *w) {
    size_t n_k = (size_t)w->j->desc->n_k, count = (size_t)clfavor_min(n_k, w->j->desc->sample_keys);
    bool *exact = calloc(n_k, sizeof *exact);
    w->index = malloc(count * sizeof *w->index);
    if (!exact || !w->index) {
        free(exact);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    for (size_t t = 0; t < w->exact; ++t) {
        size_t r = w->features + t, key = w->keys[t];
        w->n[r] = key < n_k && !exact[key] ? 1.0 : 0.0;
        w->heavy += w->n[r] > 0.0;
        if (key < n_k)
            exact[key] = true;
    }
    for (size_t i = 0; i < count; ++i) {
        size_t key = clfavor_fit_sampled(&w->sample, 1, i, count, n_k);
        if (!exact[key])
            w->index[w->count++] = key;
    }
    free(exact);
    return CLFAVOR_SUCCESS;
}

static bool finite_key(const work *w, size_t key) {
    return clfavor_fit_finite(w->k + key * w->d, w->d) && clfavor_fit_finite(w->v + key * w->dv, w->dv);
}

/* How many keys one that was sampled stands for. */
static double stands_for(const work *w) {
    return w->count ? (double)((size_t)w->j->desc->n_k - w->heavy) / (double)w->count : 1.0;
}

/* The state of the sampled keys, and the mean values of all rows. */
static clfavor_status take_keys(work *w) {
    for (size_t r = 0; r < w->rows; ++r) {
        w->c[r] = r < w->features ? -INFINITY : 0.0;
        w->n[r] = 0.0;
    }
    memset(w->s, 0, w->rows * w->dv * sizeof *w->s);
    clfavor_status status = list_keys(w);
    for (size_t i = 0; i < w->count && !status; ++i) {
        if (!finite_key(w, w->index[i]))
            return CLFAVOR_NOT_FINITE;
        add_key(w, w->index[i]);
    }
    for (size_t t = 0; t < w->exact && !status; ++t) {
        size_t r = w->features + t, key = w->keys[t];
        if (w->n[r] > 0.0 && !finite_key(w, key))
            return CLFAVOR_NOT_FINITE;
        for (size_t l = 0; w->n[r] > 0.0 && l < w->dv; ++l)
            w->s[r * w->dv + l] = (double)w->v[key * w->dv + l];
    }
    for (size_t r = 0; r < w->rows; ++r) {
        for (size_t l = 0; l < w->dv; ++l)
            w->s[r * w->dv + l] = w->n[r] > 0.0 ? w->s[r * w->dv + l] / w->n[r] : 0.0;
        w->n[r] *= r < w->features ? stands_for(w) : 1.0;
    }
    return status;
}

/* The exact output of one query over the same keys, into out. */
static void exact_output(const work *w, const float *query, double *out) {
    double log_stands_for = log(stands_for(w)), top = -INFINITY, sum = 0.0;
    memset(out, 0, w->dv * sizeof *out);
    for (size_t i = 0; i < w->count + w->exact; ++i) {
        bool exact = i >= w->count;
        if (exact && !(w->n[w->features + i - w->count] > 0.0))
            continue;
        size_t key = exact ? w->keys[i - w->count] : w->index[i];
        double value = logit(w, query, key) + (exact ? 0.0 : log_stands_for);
        if (value > top) {
            double factor = exp(top - value);
            top = value;
            sum *= factor;
            for (size_t l = 0; l < w->dv; ++l)
                out[l] *= factor;
        }
        double weight = exp(value - top);
        sum += weight;
        for (size_t l = 0; l < w->dv; ++l)
            out[l] += weight * (double)w->v[key * w->dv + l];
    }
    for (size_t l = 0; l < w->dv; ++l)
        out[l] /= sum;
}

/* The shares of the rows in the answer to one query, and what that answer lacks. */
static clfavor_status take_query(work *w, size_t i) {
    const clfavor_fit_desc *desc = w->j->desc;
    size_t group = (size_t)desc->heads / w->j->states;
    const float *query = w->q + clfavor_fit_sampled(&w->sample, 0, i, w->nq, group * (size_t)desc->n) * w->d;
    double *share = w->share + i * w->rows, *missing = w->missing + i * w->dv, top = -INFINITY, sum = 0.0;
    if (!clfavor_fit_finite(query, w->d))
        return CLFAVOR_NOT_FINITE;
    clfavor_reference_features(w->j->estimator, (uint32_t)w->set, 0, widen(w, query), w->log_abs, w->sign);
    for (size_t r = 0; r < w->rows; ++r) {
        share[r] = r < w->features ? w->log_abs[r] + w->c[r]
                   : w->n[r] > 0.0 ? logit(w, query, w->keys[r - w->features])
                                   : -INFINITY;
        top = w->n[r] > 0.0 && share[r] > top ? share[r] : top;
    }
    for (size_t r = 0; r < w->rows; ++r) {
        share[r] = w->n[r] > 0.0 ? w->n[r] * exp(share[r] - top) : 0.0;
        sum += share[r];
    }
    exact_output(w, query, missing);
    for (size_t r = 0; r < w->rows; ++r) {
        share[r] /= sum;
        for (size_t l = 0; l < w->dv; ++l)
            missing[l] -= share[r] * w->s[r * w->dv + l];
    }
    return CLFAVOR_SUCCESS;
}

/* alpha = (G + ridge I)^-1 R and the sum of squares that leaving one out leaves: alpha_i / (G + ridge I)^-1_ii.
 * Infinite where that cannot be had. */
static double leave_one_out(work *w, double ridge) {
    size_t n = w->nq, dv = w->dv;
    double sum = 0.0;
    memcpy(w->factor, w->gram, n * n * sizeof *w->gram);
    for (size_t i = 0; i < n; ++i)
        w->factor[i * n + i] += ridge;
    if (!clfavor_cholesky_inverse(n, w->factor, w->inverse))
        return INFINITY;
    memset(w->scratch, 0, n * dv * sizeof *w->scratch);
    for (size_t i = 0; i < n; ++i) /* X'R */
        for (size_t k = i; k < n; ++k)
            for (size_t l = 0; l < dv; ++l)
                w->scratch[k * dv + l] += w->inverse[i * n + k] * w->missing[i * dv + l];
    memset(w->alpha, 0, n * dv * sizeof *w->alpha);
    for (size_t i = 0; i < n; ++i) {
        double diagonal = 0.0, squares = 0.0;
        for (size_t k = i; k < n; ++k) {
            double x = w->inverse[i * n + k];
            diagonal += x * x;
            for (size_t l = 0; l < dv; ++l)
                w->alpha[i * dv + l] += x * w->scratch[k * dv + l];
        }
        for (size_t l = 0; l < dv; ++l)
            squares += w->alpha[i * dv + l] * w->alpha[i * dv + l];
        sum += squares / (diagonal * diagonal);
    }
    return sum;
}

static void regress(work *w, float *corrections) {
    size_t n = w->nq, dv = w->dv;
    double least = INFINITY, trace = 0.0;
    clfavor_gram(n, w->rows, w->share, w->gram);
    for (size_t i = 0; i < n; ++i)
        trace += w->gram[i * n + i];
    double unit = trace / (double)(n < w->rows ? n : w->rows);
    memset(w->best, 0, n * dv * sizeof *w->best);
    for (size_t i = 0; i < sizeof ridges / sizeof *ridges; ++i) {
        double left = leave_one_out(w, ridges[i] * unit);
        if (left < least) {
            least = left;
            memcpy(w->best, w->alpha, n * dv * sizeof *w->best);
        }
    }
    memset(w->s, 0, w->rows * dv * sizeof *w->s); /* the mean values are not needed any more */
    for (size_t i = 0; i < n; ++i)
        for (size_t r = 0; r < w->rows; ++r)
            for (size_t l = 0; l < dv; ++l)
                w->s[r * dv + l] += w->share[i * w->rows + r] * w->best[i * dv + l];
    for (size_t i = 0; i < w->rows * dv; ++i)
        corrections[i] = (float)w->s[i];
}

static clfavor_status correct(void *user, size_t part) {
    const job *j = user;
    const clfavor_fit_desc *desc = j->desc;
    const clfavor_estimator *e = j->estimator;
    size_t batch = part / j->states, state = part % j->states, group = (size_t)desc->heads / j->states;
    size_t kv = batch * (size_t)desc->heads_kv + state * (size_t)desc->heads_kv / j->states;
    work w = {.j = j,
              .set = e->sets == 1 ? 0 : state,
              .d = desc->dim,
              .dv = desc->value_dim,
              .features = e->features,
              .exact = desc->exact_keys,
              .rows = e->features + desc->exact_keys,
              .q = desc->q + part * group * (size_t)desc->n * desc->dim,
              .k = desc->k + kv * (size_t)desc->n_k * desc->dim,
              .v = desc->v + kv * (size_t)desc->n_k * desc->value_dim,
              .keys = j->keys + part * desc->exact_keys,
              .sample = {.seed = desc->seed, .stream = part}};
    w.nq = (size_t)clfavor_min(clfavor_min(group * desc->n, desc->sample_queries), QUERIES);
    size_t n = w.nq, dv = w.dv;
    double *block = malloc((w.rows * (2 + dv + n) + 4 * n * dv + 2 * w.features + w.d + 3 * n * n) * sizeof *block);
    if (!block)
        return CLFAVOR_OUT_OF_MEMORY;
    w.c = block;
    w.n = w.c + w.rows;
    w.s = w.n + w.rows;
    w.share = w.s + w.rows * dv;
    w.missing = w.share + n * w.rows;
    w.alpha = w.missing + n * dv;
    w.best = w.alpha + n * dv;
    w.scratch = w.best + n * dv;
    w.log_abs = w.scratch + n * dv;
    w.sign = w.log_abs + w.features;
    w.token = w.sign + w.features;
    w.gram = w.token + w.d;
    w.factor = w.gram + n * n;
    w.inverse = w.factor + n * n;
    clfavor_status status = take_keys(&w);
    for (size_t i = 0; i < n && !status; ++i)
        status = take_query(&w, i);
    if (!status)
        regress(&w, j->corrections + part * w.rows * dv);
    free(block);
    free(w.index);
    return status;
}

clfavor_status clfavor_fit_values(const clfavor_fit_desc *user_desc, const clfavor_estimator *estimator,
                                  const uint32_t *keys, float *corrections) {
    clfavor_fit_desc desc;
    if (!clfavor_desc_read(&desc, sizeof desc, user_desc) || !estimator || !corrections || !desc.v ||
        (desc.exact_keys && !keys))
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_status status = clfavor_fit_resolve(&desc);
    if (status)
        return status;
    if (estimator->family != CLFAVOR_FAMILY_EXP) {
        clfavor_fit_say(&desc, CLFAVOR_LOG_ERROR,
                        "values are corrected for positive, hyperbolic and exponential features");
        return CLFAVOR_UNSUPPORTED;
    }
    if (estimator->dim != desc.dim ||
        (estimator->sets != 1 && estimator->sets != desc.heads_kv && estimator->sets != desc.heads)) {
        clfavor_fit_say(&desc, CLFAVOR_LOG_ERROR,
                        "the estimator has d = %u and %u sets, the tokens d = %u and %u heads", estimator->dim,
                        estimator->sets, desc.dim, (unsigned)desc.heads);
        return CLFAVOR_MISMATCH;
    }
    job j = {.desc = &desc, .estimator = estimator, .keys = keys, .corrections = corrections};
    j.states = (size_t)clfavor_max(estimator->sets, desc.heads_kv);
    status = clfavor_parallel((size_t)desc.batch * j.states, desc.threads, correct, &j);
    if (status == CLFAVOR_NOT_FINITE)
        clfavor_fit_say(&desc, CLFAVOR_LOG_ERROR, "q, k or v holds a NaN or an infinity");
    return status;
}
