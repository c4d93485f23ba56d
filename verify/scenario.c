#include "scenario.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool verify_scenario_init(verify_scenario *s, verify_run *run, const verify_pool *pool, uint32_t n, uint32_t n_k,
                          uint32_t keys, size_t rows) {
    uint32_t dim = pool->dim;
    s->dim = dim;
    s->n = n;
    s->n_k = n_k;
    s->keys = keys;
    s->m = s->m ? s->m : pool->m;
    s->row_count = rows;
    s->q = verify_new(run, (size_t)n * dim, sizeof *s->q);
    s->k = verify_new(run, (size_t)n_k * dim, sizeof *s->k);
    s->y = verify_new(run, (size_t)keys * dim, sizeof *s->y);
    s->order = verify_new(run, n_k, sizeof *s->order);
    s->rows = verify_new(run, rows, sizeof *s->rows);
    return s->q && s->k && s->y && s->order && s->rows;
}

void verify_scenario_free(verify_scenario *s) {
    free(s->q);
    free(s->k);
    free(s->y);
    free(s->order);
    free(s->rows);
}

/* x = q sqrt(scale) with the default scale 1/sqrt(d). */
static double root_scale(uint32_t dim) {
    return pow((double)dim, -0.25);
}

void verify_scenario_query(verify_scenario *s, uint32_t i, const double *x) {
    for (uint32_t l = 0; l < s->dim; ++l)
        s->q[(size_t)i * s->dim + l] = (float)(x[l] / root_scale(s->dim));
}

void verify_scenario_key(verify_scenario *s, uint32_t j, const double *y) {
    for (uint32_t l = 0; l < s->dim; ++l)
        s->y[(size_t)j * s->dim + l] = y[l];
}

void verify_scenario_lay_out(verify_scenario *s) {
    size_t d = s->dim;
    double root = root_scale(s->dim);
    for (size_t t = 0; t < s->n_k; ++t)
        for (size_t l = 0; l < d; ++l)
            s->k[t * d + l] = (float)(s->y[s->order[t] * d + l] / root);
    for (size_t i = 0; i < s->keys * d; ++i)
        s->y[i] = (double)(float)(s->y[i] / root) * root;
}

/* Room for the systematic part of rounding: exp2's polynomial errs by 1.7e-7 on either side, the factor of |x|^2 +
 * |y|^2 and lse by 2^-24 of their values; roundings that depend on W average out. 2^-20 (1 + |x|^2 + |y|^2) is three
 * times their sum. */
static double slack_of(const verify_scenario *s, const double *x, double rms) {
    double norms = 0.0, largest = 0.0;
    for (uint32_t l = 0; l < s->dim; ++l)
        norms += x[l] * x[l];
    for (uint32_t j = 0; j < s->keys; ++j) {
        double square = 0.0;
        for (uint32_t l = 0; l < s->dim; ++l)
            square += s->y[(size_t)j * s->dim + l] * s->y[(size_t)j * s->dim + l];
        largest = fmax(largest, square);
    }
    return 0x1p-20 * (1.0 + norms + largest) * rms;
}

/* Estimates that a block gives. */
static uint32_t heads_of(const verify_scenario *s, const verify_pool *pool) {
    return (uint32_t)((uint64_t)pool->trials * pool->m / s->m);
}

/* Of one estimate. Draws are independent of each other; parts of a draw only if its rows are. */
static double variance_of(const verify_scenario *s, const verify_pool *pool, verify_row *row) {
    int exact;
    uint32_t m = s->m < pool->m ? s->m : pool->m;
    double variance = verify_variance(&row->moments, pool->kind, s->dim, m, &exact);
    row->exact = exact;
    return variance * m / s->m;
}

static bool is_exact(const verify_scenario *s, uint32_t token) {
    bool found = false;
    for (uint32_t t = 0; t < s->exact_count; ++t)
        found |= s->exact[t] == token;
    return found;
}

/* A constant beside the estimate: keys that are treated exactly have no variance. */
static void add_exact_keys(const verify_scenario *s, const double *x, uint32_t seen, verify_moments *m) {
    double sum = 0.0;
    for (uint32_t t = 0; t < seen; ++t) {
        double logit = 0.0;
        for (uint32_t l = 0; l < s->dim; ++l)
            logit += x[l] * s->y[(size_t)s->order[t] * s->dim + l];
        sum += is_exact(s, t) ? exp(logit) : 0.0;
    }
    m->second += sum * (2.0 * m->mean + sum);
    m->mean += sum;
    m->exact += sum;
}

static void plan_row(const verify_scenario *s, const verify_estimand *e, const verify_pool *pool, verify_row *row) {
    double x[VERIFY_MAX_DIM], count[VERIFY_MAX_KEYS] = {0}, root = root_scale(s->dim);
    uint32_t seen = s->causal ? row->query + 1 : s->n_k;
    for (uint32_t l = 0; l < s->dim; ++l)
        x[l] = (double)s->q[(size_t)row->query * s->dim + l] * root;
    for (uint32_t t = 0; t < seen; ++t)
        count[s->order[t]] += is_exact(s, t) ? 0.0 : 1.0;
    verify_target target = {.map = e->map,
                            .kind = pool->kind,
                            .dim = s->dim,
                            .x = x,
                            .y = s->y,
                            .count = count,
                            .keys = s->keys,
                            .fitted = &e->fitted};
    row->moments = verify_moments_of(&target);
    row->variance = variance_of(s, pool, row);
    if (s->exact_count)
        add_exact_keys(s, x, seen, &row->moments);
    row->test = (verify_catoni){
        .mean = row->moments.mean, .slack = slack_of(s, x, sqrt(row->moments.second)), .variance = row->variance};
    if (s->square) /* (X + rounding - E)^2 is off by 2 rounding |X - E| */
        row->test = (verify_catoni){.mean = row->variance,
                                    .slack = row->test.slack * (2.0 * sqrt(row->variance) + row->test.slack),
                                    .variance = verify_square_variance(&row->moments, pool->kind, s->dim, s->m)};
}

void verify_scenario_size(verify_scenario *s, const verify_estimand *e, const verify_pool *pool,
                          const verify_options *options, double share, double rho, uint32_t most_blocks) {
    double most = 0.0;
    for (size_t i = 0; i < s->row_count; ++i) {
        verify_row *row = &s->rows[i];
        plan_row(s, e, pool, row);
        row->samples = heads_of(s, pool);
        double samples = verify_catoni_samples(row->test.variance, rho * fabs(row->test.mean), share, 1e-3);
        most = fmax(most, samples * s->m / pool->m);
    }
    s->blocks = verify_pool_blocks(pool, options, most);
    s->blocks = s->blocks > most_blocks ? most_blocks : s->blocks;
    for (size_t i = 0; i < s->row_count; ++i) {
        verify_catoni *test = &s->rows[i].test;
        *test =
            verify_catoni_plan(test->mean, test->slack, test->variance, (double)s->rows[i].samples * s->blocks, share);
    }
}

/* The draw with s->m rows an estimate; *owned is to be destroyed. */
static const clfavor_projection *regroup(verify_worker *worker, const verify_pool *pool, const verify_scenario *s,
                                         const clfavor_projection *drawn, clfavor_projection **owned) {
    *owned = NULL;
    if (s->m == pool->m)
        return drawn;
    return *owned = verify_projection_of(worker, s->m, pool->dim, heads_of(s, pool), clfavor_projection_data(drawn),
                                         clfavor_projection_phases(drawn));
}

/* sum_r phi_r(x_i) phi_r(y) of each trial from the two feature matrices; one key. */
static bool by_features(verify_worker *worker, const verify_scenario *s, const verify_call *call,
                        const clfavor_weights *weights, double *estimates) {
    bool two =
        call->map == CLFAVOR_MAP_TRIG || call->map == CLFAVOR_MAP_GAUSSIAN || call->map == CLFAVOR_MAP_HYPERBOLIC;
    bool one_scale = verify_estimand_is_cosine(&(verify_estimand){.map = call->map});
    size_t f = call->m * (two ? 2 : 1), heads = (size_t)call->heads, n = s->n, scales = one_scale ? 1 : f;
    float *query = verify_alloc(worker, heads * n * f, sizeof *query),
          *key = verify_alloc(worker, heads * f, sizeof *key);
    float *query_scale = verify_alloc(worker, heads * n, sizeof *query_scale);
    float *key_scale = verify_alloc(worker, heads * scales, sizeof *key_scale);
    bool good = query && key && query_scale && key_scale &&
                verify_features(worker, call, false, s->q, n, weights, query, query_scale) &&
                verify_features(worker, call, true, s->k, 1, weights, key, key_scale);
    for (size_t h = 0; good && h < heads; ++h)
        for (size_t i = 0; i < n; ++i) {
            double sum = 0.0;
            for (size_t r = 0; r < f; ++r) {
                double scale = (double)key_scale[h * scales + (one_scale ? 0 : r)];
                double product = (double)query[(h * n + i) * f + r] * (double)key[h * f + r];
                sum += product == 0.0 ? 0.0 : product * exp((double)query_scale[h * n + i] + scale);
            }
            estimates[h * n + i] = sum;
        }
    free(query);
    free(key);
    free(query_scale);
    free(key_scale);
    return good;
}

/* Runs the scenario on a block's draws and adds to sums [rows]. weights: of the scenario's m. */
static bool run_scenario(verify_worker *worker, const verify_scenario *s, const verify_estimand *e,
                         const verify_pool *pool, const clfavor_weights *weights, verify_catoni_sums *sums) {
    verify_call call = {.map = e->map,
                        .m = s->m,
                        .dim = s->dim,
                        .causal = s->causal,
                        .chunk = s->chunk,
                        .heads = heads_of(s, pool),
                        .n = s->n,
                        .n_k = s->n_k,
                        .shared = true,
                        .q = s->q,
                        .k = s->k,
                        .exact_keys = s->exact,
                        .exact_count = s->exact_count};
    double *estimates = verify_alloc(worker, (size_t)call.heads * s->n, sizeof *estimates);
    bool good = estimates && (s->features ? by_features(worker, s, &call, weights, estimates)
                                          : verify_estimates(worker, &call, weights, estimates));
    for (size_t i = 0; good && i < s->row_count; ++i)
        for (size_t h = 0; h < call.heads; ++h) {
            double estimate = estimates[h * s->n + s->rows[i].query], error = estimate - s->rows[i].moments.mean;
            verify_catoni_add(&s->rows[i].test, &sums[i], s->square ? error * error : estimate);
        }
    free(estimates);
    return good;
}

bool verify_scenarios_run(verify_worker *worker, const verify_scenario *scenarios, size_t count,
                          const verify_estimand *e, const verify_pool *pool, const clfavor_projection *drawn,
                          uint32_t block, double *record) {
    clfavor_projection *owned = NULL;
    const clfavor_weights *weights = NULL;
    uint32_t m = 0;
    bool good = true;
    for (const verify_scenario *s = scenarios; good && s < scenarios + count; ++s) {
        if (block >= s->blocks)
            continue;
        if (s->m != m) {
            clfavor_projection_destroy(owned);
            m = s->m;
            const clfavor_projection *projection = regroup(worker, pool, s, drawn, &owned);
            clfavor_estimator *estimator = projection ? verify_estimand_estimator(worker, e, projection) : NULL;
            weights = estimator ? verify_weights(worker, estimator) : NULL;
            clfavor_estimator_destroy(estimator);
        }
        good = weights && run_scenario(worker, s, e, pool, weights, (verify_catoni_sums *)(void *)(record + s->at));
    }
    clfavor_projection_destroy(owned);
    return good;
}

verify_catoni_sums verify_row_sums(const verify_scenario *s, size_t row, const double *const *records) {
    verify_catoni_sums sums = {{0, 0}, {0, 0}, {0, 0}};
    for (uint32_t b = 0; b < s->blocks; ++b)
        verify_catoni_merge(&sums, (const verify_catoni_sums *)(const void *)(records[b] + s->at) + row);
    return sums;
}

void verify_row_judge(verify_run *run, const verify_job *job, const verify_scenario *s, size_t i,
                      const verify_catoni_sums *sums) {
    const verify_row *row = &s->rows[i];
    const verify_catoni *test = &row->test;
    char name[192];
    snprintf(name, sizeof name, "%s/%s/%s", job->name, s->label, row->label);
    verify_check check =
        verify_check_init(job, "Catoni", verify_catoni_statistic(test, sums), test->threshold, run->share);
    check.name = name;
    check.samples = test->samples;
    check.estimate = verify_total(&sums->sum) / test->samples;
    check.expected = test->mean;
    check.band = verify_catoni_band(test->variance, test->samples, run->share);
    check.sensitivity = verify_catoni_shift(test->variance, test->samples, run->share, 1e-3) / fabs(test->mean);
    check.note = row->exact ? NULL : "variance by its bound";
    verify_add_check(run, &check);
}

void verify_scenarios_place(verify_scenario *scenarios, size_t count, verify_job *job) {
    for (verify_scenario *s = scenarios; s < scenarios + count; ++s) {
        s->at = job->size;
        job->size += s->row_count * VERIFY_CATONI_DOUBLES;
        job->tests += (unsigned)s->row_count;
    }
}
