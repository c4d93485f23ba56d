/* Known mistakes through the same tests: each must be rejected, or the tests cannot be trusted to see anything. A check
 * here passes when the statistic reaches the test's threshold: both are shown negated. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "laws.h"
#include "oracle.h"
#include "pytorch_eps.h"
#include "scenario.h"

/* The sums of a control's tests are all Catoni's, except where a record says more. */
static void emit(verify_run *run, const verify_job *job, const char *name, const char *test, double statistic,
                 double threshold, double samples, double estimate, double expected) {
    char full[160];
    snprintf(full, sizeof full, "%s/%s", job->name, name);
    verify_check check = verify_check_init(job, test, -statistic, -threshold, 0.0);
    check.name = full;
    check.samples = samples;
    check.estimate = estimate;
    check.expected = expected;
    check.note = "must be rejected: the statistic must exceed its threshold";
    verify_add_check(run, &check);
}

/* -------------------------------------------------------------------------- a Householder QR without the sign fix */

enum { D = 6, TRIALS = 4096, SIDES = 2 };

typedef struct householder_data {
    float q[SIDES * D], k[D];
    verify_catoni tests[SIDES];
} householder_data;

static void householder_size_up(verify_job *job, const verify_options *options, double share) {
    (void)options;
    householder_data *data = job->data;
    double root = pow((double)D, -0.25);
    for (size_t side = 0; side < SIDES; ++side) {
        double x[D], y[D];
        for (size_t l = 0; l < D; ++l) {
            x[l] = (double)data->q[side * D + l] * root;
            y[l] = (double)data->k[l] * root;
        }
        verify_target target = {
            .map = CLFAVOR_MAP_POSITIVE, .kind = CLFAVOR_PROJECTION_ORTHOGONAL, .dim = D, .x = x, .y = y, .keys = 1};
        verify_moments moments = verify_moments_of(&target);
        double variance = verify_variance(&moments, CLFAVOR_PROJECTION_ORTHOGONAL, D, D, NULL);
        data->tests[side] = verify_catoni_plan(moments.mean, 1e-5 * moments.mean, variance, TRIALS, share);
    }
}

static bool householder_work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block,
                             double *record) {
    (void)drawn;
    (void)block;
    const householder_data *data = job->data;
    verify_catoni_sums *sums = (verify_catoni_sums *)(void *)record;
    verify_sum *diagonal = (verify_sum *)(void *)(record + SIDES * VERIFY_CATONI_DOUBLES);
    double *w = verify_alloc(worker, (size_t)TRIALS * D * D, sizeof *w);
    double *estimates = verify_alloc(worker, (size_t)TRIALS * SIDES, sizeof *estimates);
    bool good = w && estimates;
    for (uint32_t t = 0; good && t < TRIALS; ++t) {
        double *rows = w + (size_t)t * D * D;
        verify_block_normals(verify_seed(worker->run->options.seed, "householder", 0), 0, t, D, rows);
        if (!verify_qr_without_sign_fix(rows, D))
            good = verify_fail(worker, "host memory is exhausted");
        for (uint32_t i = 0; i < D; ++i)
            verify_add(&diagonal[i], rows[i * D + i]);
    }
    clfavor_projection *p = good ? verify_projection_of(worker, D, D, TRIALS, w, NULL) : NULL;
    clfavor_estimator *e = p ? verify_estimator(worker, CLFAVOR_MAP_POSITIVE, p, 0, 0.0) : NULL;
    const clfavor_weights *weights = e ? verify_weights(worker, e) : NULL;
    verify_call call = {.map = CLFAVOR_MAP_POSITIVE,
                        .m = D,
                        .dim = D,
                        .chunk = 32,
                        .heads = TRIALS,
                        .n = SIDES,
                        .n_k = 1,
                        .shared = true,
                        .q = data->q,
                        .k = data->k};
    good = weights && verify_estimates(worker, &call, weights, estimates);
    for (size_t i = 0; good && i < (size_t)TRIALS * SIDES; ++i)
        verify_catoni_add(&data->tests[i % SIDES], &sums[i % SIDES], estimates[i]);
    clfavor_estimator_destroy(e);
    clfavor_projection_destroy(p);
    free(w);
    free(estimates);
    return good;
}

static void householder_judge(verify_run *run, const verify_job *job, const double *const *records) {
    const householder_data *data = job->data;
    const verify_catoni_sums *sums = (const verify_catoni_sums *)(const void *)records[0];
    const verify_sum *diagonal = (const verify_sum *)(const void *)(records[0] + SIDES * VERIFY_CATONI_DOUBLES);
    static const char *const names[SIDES] = {"kernel mean along ones", "kernel mean along -ones"};
    for (size_t side = 0; side < SIDES; ++side)
        emit(run, job, names[side], "Catoni", verify_catoni_statistic(&data->tests[side], &sums[side]),
             data->tests[side].threshold, TRIALS, verify_total(&sums[side].sum) / TRIALS, data->tests[side].mean);
    double worst = 0.0, mean = 0.0;
    for (size_t i = 0; i < D; ++i) {
        double sum = verify_total(&diagonal[i]), statistic = verify_normal_statistic(sum / sqrt(TRIALS));
        mean = statistic > worst ? sum / TRIALS : mean;
        worst = fmax(worst, statistic);
    }
    emit(run, job, "mean of w_ii, worst i", "normal", worst, verify_log_threshold(run->share / D), TRIALS, mean, 0.0);
}

static void add_householder(verify_run *run) {
    householder_data *data = verify_new(run, 1, sizeof *data);
    if (!data)
        return;
    double root = pow((double)D, 0.25);
    for (size_t l = 0; l < D; ++l) { /* z = +-(1, .., 1)/2, |z|^2 = 1.5 */
        double y = l % 2 ? 0.1 : -0.2;
        data->k[l] = (float)(y * root);
        data->q[l] = (float)((0.5 - y) * root);
        data->q[D + l] = (float)((-0.5 - y) * root);
    }
    verify_job job = {.suite = "controls",
                      .text = "a Householder QR without the sign fix must be found",
                      .method = "rejection",
                      .exact = SIDES + 1,
                      .blocks = 1,
                      .size = SIDES * VERIFY_CATONI_DOUBLES + 2 * D,
                      .cost = 40.0,
                      .data = data,
                      .size_up = householder_size_up,
                      .work = householder_work,
                      .judge = householder_judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "householder");
    verify_add_job(run, &job);
}

/* ------------------------------------------------------------------------------- biased maps taken for softmax */

enum { DRAWS = 4 };

typedef struct biased_data {
    const verify_pool *pool;
    verify_estimand e;
    verify_scenario scenario;
} biased_data;

static void biased_release(void *memory) {
    biased_data *data = memory;
    verify_scenario_free(&data->scenario);
    free(data);
}

/* The same test as in the mean suite, but for exp(x.y). */
static void biased_size_up(verify_job *job, const verify_options *options, double share) {
    biased_data *data = job->data;
    verify_scenario_size(&data->scenario, &data->e, data->pool, options, share, 0.02, DRAWS);
    verify_row *row = &data->scenario.rows[0];
    job->blocks = data->scenario.blocks;
    job->cost = data->pool->trials * data->pool->m * 1e-4;
    row->test = verify_catoni_plan(row->moments.exact, row->test.slack, row->variance, row->test.samples, share);
}

static bool biased_work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    const biased_data *data = job->data;
    return verify_scenarios_run(worker, &data->scenario, 1, &data->e, data->pool, drawn, block, record);
}

static void biased_judge(verify_run *run, const verify_job *job, const double *const *records) {
    const biased_data *data = job->data;
    const verify_catoni *test = &data->scenario.rows[0].test;
    verify_catoni_sums sums = verify_row_sums(&data->scenario, 0, records);
    emit(run, job, "as an estimate of exp(x.y)", "Catoni", verify_catoni_statistic(test, &sums), test->threshold,
         test->samples, verify_total(&sums.sum) / test->samples, test->mean);
}

static void add_biased(verify_run *run, const char *name, const char *text, const verify_pool *pool,
                       enum verify_estimand_id id, double size) {
    biased_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    data->pool = pool;
    verify_estimand_init(&data->e, id, pool->dim);
    data->scenario.chunk = 32;
    double z[VERIFY_MAX_DIM], y[VERIFY_MAX_DIM], x[VERIFY_MAX_DIM];
    if (!verify_scenario_init(&data->scenario, run, pool, 1, 1, 1, 1)) {
        biased_release(data);
        return;
    }
    for (uint32_t l = 0; l < pool->dim; ++l) {
        z[l] = sqrt(size / pool->dim);
        y[l] = l % 2 ? -0.2 : 0.2;
    }
    verify_scenario_key(&data->scenario, 0, y);
    verify_scenario_lay_out(&data->scenario);
    verify_estimand_query(&data->e, pool->dim, z, y, x);
    verify_scenario_query(&data->scenario, 0, x);
    verify_job job = {.suite = "controls",
                      .text = text,
                      .method = "rejection",
                      .exact = 1,
                      .size = VERIFY_CATONI_DOUBLES,
                      .group = &pool->group,
                      .data = data,
                      .size_up = biased_size_up,
                      .work = biased_work,
                      .judge = biased_judge,
                      .release = biased_release};
    snprintf(job.name, sizeof job.name, "%s", name);
    verify_add_job(run, &job);
}

/* ------------------------------------------------------------------------------ a constant added to every feature */

enum { EPS_KEYS = 4, EPS_M = 32, EPS_D = 8, EPS_TRIALS = 2000 };

/* With performer-pytorch's features, their maxima put back, sum_j (v_j - o) Khat_j / sum_j K_j must have mean 0 if they
 * were unbiased: the numerator of the attention suite. Norms of 3, as in real inputs. */
static double eps_numerator(const double *w, const float *q, const float *k, double eps) {
    double phi_q[EPS_M], phi_k[EPS_KEYS * EPS_M], max_q, max_k[EPS_KEYS], kernel[EPS_KEYS], sum = 0.0, o = 0.0;
    double numerator = 0.0;
    verify_pytorch_features(w, EPS_M, EPS_D, q, 1, true, eps, phi_q, &max_q);
    verify_pytorch_features(w, EPS_M, EPS_D, k, EPS_KEYS, false, eps, phi_k, max_k);
    for (size_t j = 0; j < EPS_KEYS; ++j) {
        double dot = 0.0;
        for (size_t l = 0; l < EPS_D; ++l)
            dot += (double)q[l] * (double)k[j * EPS_D + l];
        sum += kernel[j] = exp(dot / sqrt((double)EPS_D));
    }
    for (size_t j = 0; j < EPS_KEYS; ++j)
        o += kernel[j] / sum * (double)j;
    for (size_t j = 0; j < EPS_KEYS; ++j) {
        double estimate = 0.0;
        for (size_t r = 0; r < EPS_M; ++r)
            estimate += phi_q[r] * phi_k[j * EPS_M + r];
        numerator += ((double)j - o) * estimate * exp(max_q + max_k[j]) / sum;
    }
    return numerator;
}

typedef struct eps_data {
    float q[EPS_D], k[EPS_KEYS * EPS_D];
    verify_catoni test;
} eps_data;

static void eps_size_up(verify_job *job, const verify_options *options, double share) {
    (void)options;
    eps_data *data = job->data;
    double root = pow((double)EPS_D, -0.25), x[EPS_D], y[EPS_KEYS * EPS_D], count[EPS_KEYS], sum = 0.0, o = 0.0;
    for (size_t l = 0; l < EPS_D; ++l)
        x[l] = (double)data->q[l] * root;
    for (size_t j = 0; j < EPS_KEYS; ++j) {
        double dot = 0.0;
        for (size_t l = 0; l < EPS_D; ++l) {
            y[j * EPS_D + l] = (double)data->k[j * EPS_D + l] * root;
            dot += x[l] * y[j * EPS_D + l];
        }
        sum += count[j] = exp(dot);
    }
    for (size_t j = 0; j < EPS_KEYS; ++j)
        o += count[j] / sum * (double)j;
    for (size_t j = 0; j < EPS_KEYS; ++j)
        count[j] = ((double)j - o) / sum;
    verify_target target = {.map = CLFAVOR_MAP_POSITIVE,
                            .kind = CLFAVOR_PROJECTION_IID,
                            .dim = EPS_D,
                            .x = x,
                            .y = y,
                            .count = count,
                            .keys = EPS_KEYS};
    verify_moments moments = verify_moments_of(&target);
    double variance = verify_variance(&moments, CLFAVOR_PROJECTION_IID, EPS_D, EPS_M, NULL);
    data->test = verify_catoni_plan(0.0, 1e-9 * sqrt(variance), variance, EPS_TRIALS, share);
}

/* Without eps the same code must pass: the second half of the control. */
static bool eps_work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)drawn;
    (void)block;
    const eps_data *data = job->data;
    verify_catoni_sums *sums = (verify_catoni_sums *)(void *)record;
    clfavor_projection *p = verify_projection(worker, CLFAVOR_PROJECTION_IID, EPS_M, EPS_D, EPS_TRIALS,
                                              verify_seed(worker->run->options.seed, "eps", 0));
    for (size_t t = 0; p && t < EPS_TRIALS; ++t) {
        const double *w = clfavor_projection_data(p) + t * EPS_M * EPS_D;
        verify_catoni_add(&data->test, &sums[0], eps_numerator(w, data->q, data->k, 1e-4));
        verify_catoni_add(&data->test, &sums[1], eps_numerator(w, data->q, data->k, 0.0));
    }
    clfavor_projection_destroy(p);
    return p != NULL;
}

static void eps_judge(verify_run *run, const verify_job *job, const double *const *records) {
    const eps_data *data = job->data;
    const verify_catoni_sums *sums = (const verify_catoni_sums *)(const void *)records[0];
    emit(run, job, "performer-pytorch's features, eps = 1e-4", "Catoni", verify_catoni_statistic(&data->test, &sums[0]),
         data->test.threshold, EPS_TRIALS, verify_total(&sums[0].sum) / EPS_TRIALS, 0.0);
    char name[160];
    snprintf(name, sizeof name, "%s/the same without eps is accepted", job->name);
    verify_check check = verify_check_init(job, "Catoni", verify_catoni_statistic(&data->test, &sums[1]),
                                           data->test.threshold, run->share);
    check.name = name;
    check.samples = EPS_TRIALS;
    check.estimate = verify_total(&sums[1].sum) / EPS_TRIALS;
    check.expected = 0.0;
    check.band = verify_catoni_band(data->test.variance, EPS_TRIALS, run->share);
    verify_add_check(run, &check);
}

static void add_eps(verify_run *run) {
    eps_data *data = verify_new(run, 1, sizeof *data);
    if (!data)
        return;
    double root = pow((double)EPS_D, 0.25);
    for (size_t l = 0; l < EPS_D; ++l) { /* |x| about 3, |y_j| likewise, all |x + y_j| below 1 */
        double x = l % 2 ? 1.0 : -1.1;
        data->q[l] = (float)(x * root);
        for (size_t j = 0; j < EPS_KEYS; ++j)
            data->k[j * EPS_D + l] = (float)((-x + 0.3 * sin(1.9 * (double)(j * EPS_D + l))) * root);
    }
    verify_job job = {.suite = "controls",
                      .text = "a constant added to every feature must be found",
                      .method = "rejection",
                      .tests = 1,
                      .exact = 1,
                      .blocks = 1,
                      .size = 2 * VERIFY_CATONI_DOUBLES,
                      .cost = 30.0,
                      .data = data,
                      .size_up = eps_size_up,
                      .work = eps_work,
                      .judge = eps_judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "eps");
    verify_add_job(run, &job);
}

void verify_suite_controls(verify_run *run) {
    add_householder(run);
    add_eps(run);
    add_biased(run, "fixed-norm", "rows of length sqrt(d) must be found to be biased",
               verify_pool_standard(run, 6, CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM), VERIFY_POSITIVE, 2.0);
    add_biased(run, "gaussian", "the Gaussian kernel must not pass for softmax",
               verify_pool_standard(run, 6, CLFAVOR_PROJECTION_IID), VERIFY_GAUSSIAN, 0.5);
}
