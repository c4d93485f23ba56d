/* Whole attention against theory. With p the softmax row and o the exact output, (O - o) (sum A / sum K) = sum_j p_j
 * (v_j - o) (Khat_j / K_j - 1) exactly: a mean of m rows with mean 0 and known variance, whatever m is (docs/theory.md,
 * section 4). To first order it is O - o itself, the delta method. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "scenario.h"

enum { KEYS = 8, DV = VERIFY_VALUE_DIM, COLUMNS = 2 };

typedef struct numerator_data {
    const verify_pool *pool;
    verify_estimand e;
    float q[VERIFY_MAX_DIM], k[KEYS * VERIFY_MAX_DIM], v[KEYS * DV];
    double o[DV], log_sum, delta[COLUMNS]; /* delta: lim m MSE(O) */
    verify_catoni mean[COLUMNS], square[COLUMNS];
    bool with_square; /* the fourth moment is known: positive, independent rows */
} numerator_data;

typedef struct numerator_sums {
    verify_catoni_sums mean, square;
    verify_sum error2; /* of (O - o)^2 */
} numerator_sums;

/* E Y^4 for Y = sum_j c_j p_j exp(w.z_j): p_j = exp(-(|x|^2 + |y_j|^2)/2). */
static double fourth_moment(const double *x, const double *y, const double *count, uint32_t d) {
    double z[KEYS][VERIFY_MAX_DIM], p[KEYS], sum = 0.0;
    for (size_t j = 0; j < KEYS; ++j) {
        double norms = 0.0;
        for (uint32_t l = 0; l < d; ++l) {
            z[j][l] = x[l] + y[j * d + l];
            norms += x[l] * x[l] + y[j * d + l] * y[j * d + l];
        }
        p[j] = count[j] * exp(-norms / 2.0);
    }
    for (size_t j = 0; j < KEYS * KEYS * KEYS * KEYS; ++j) {
        size_t index[4] = {j % KEYS, j / KEYS % KEYS, j / KEYS / KEYS % KEYS, j / KEYS / KEYS / KEYS};
        double square = 0.0, product = 1.0;
        for (uint32_t l = 0; l < d; ++l) {
            double total = z[index[0]][l] + z[index[1]][l] + z[index[2]][l] + z[index[3]][l];
            square += total * total;
        }
        for (size_t i = 0; i < 4; ++i)
            product *= p[index[i]];
        sum += product * exp(square / 2.0);
    }
    return sum;
}

static void size_up(verify_job *job, const verify_options *options, double share) {
    static const double trials[] = {50000.0, 5e5, 1e7};
    numerator_data *data = job->data;
    const verify_pool *pool = data->pool;
    uint32_t d = pool->dim;
    double root = pow((double)d, -0.25), x[VERIFY_MAX_DIM], y[KEYS * VERIFY_MAX_DIM], kernel[KEYS], sum = 0.0;
    job->blocks = verify_pool_blocks(pool, options, trials[options->level]);
    job->cost = pool->trials * pool->m * 1e-4;
    for (uint32_t l = 0; l < d; ++l)
        x[l] = (double)data->q[l] * root;
    for (size_t j = 0; j < KEYS; ++j) {
        double dot = 0.0;
        for (uint32_t l = 0; l < d; ++l) {
            y[j * d + l] = (double)data->k[j * d + l] * root;
            dot += x[l] * y[j * d + l];
        }
        sum += kernel[j] = exp(dot);
    }
    data->log_sum = log(sum);
    for (size_t l = 0; l < DV; ++l) {
        data->o[l] = 0.0;
        for (size_t j = 0; j < KEYS; ++j)
            data->o[l] += kernel[j] / sum * (double)data->v[j * DV + l];
    }
    double n = (double)pool->trials * job->blocks, m = pool->m;
    for (size_t c = 0; c < COLUMNS; ++c) {
        double count[KEYS];
        for (size_t j = 0; j < KEYS; ++j)
            count[j] = ((double)data->v[j * DV + c] - data->o[c]) / sum;
        verify_target target = {.map = data->e.map,
                                .kind = pool->kind,
                                .dim = d,
                                .x = x,
                                .y = y,
                                .count = count,
                                .keys = KEYS,
                                .fitted = &data->e.fitted};
        verify_moments moments = verify_moments_of(&target);
        double variance = verify_variance(&moments, pool->kind, d, pool->m, NULL);
        double slack = 1e-5 * sqrt(moments.second); /* rounding of O, o and lse */
        data->delta[c] = variance * m;
        data->mean[c] = verify_catoni_plan(0.0, slack, variance, n, share);
        if (data->with_square) {
            double fourth = fourth_moment(x, y, count, d), one = variance * m;
            double square = (fourth - 3.0 * one * one) / pow(m, 3.0) + 2.0 * variance * variance;
            data->square[c] = verify_catoni_plan(variance, 2.0 * slack * sqrt(variance), square, n, share);
        }
    }
}

static bool work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)block;
    const numerator_data *data = job->data;
    const verify_pool *pool = data->pool;
    numerator_sums *sums = (numerator_sums *)(void *)record;
    size_t trials = pool->trials;
    float *memory = verify_alloc(worker, trials * (DV + 2), sizeof *memory);
    verify_call call = {.map = data->e.map,
                        .m = pool->m,
                        .dim = pool->dim,
                        .value_dim = DV,
                        .chunk = 32,
                        .heads = trials,
                        .n = 1,
                        .n_k = KEYS,
                        .shared = true,
                        .q = data->q,
                        .k = data->k,
                        .v = data->v,
                        .o = memory,
                        .lse = memory + trials * DV,
                        .sign = memory + trials * (DV + 1)};
    clfavor_estimator *e = memory ? verify_estimand_estimator(worker, &data->e, drawn) : NULL;
    const clfavor_weights *weights = e ? verify_weights(worker, e) : NULL;
    bool good = weights && verify_attention(worker, &call, weights);
    for (size_t t = 0; good && t < trials; ++t) {
        double ratio = (double)call.sign[t] * exp((double)call.lse[t] - data->log_sum);
        for (size_t c = 0; c < COLUMNS; ++c) {
            double error = (double)call.o[t * DV + c] - data->o[c], numerator = error * ratio;
            verify_catoni_add(&data->mean[c], &sums[c].mean, numerator);
            if (data->with_square)
                verify_catoni_add(&data->square[c], &sums[c].square, numerator * numerator);
            verify_add(&sums[c].error2, error * error);
        }
    }
    clfavor_estimator_destroy(e);
    free(memory);
    return good;
}

static void emit(verify_run *run, const verify_job *job, const char *what, size_t column, const verify_catoni *test,
                 const verify_catoni_sums *sums) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s, value column %zu", job->name, what, column);
    verify_check check =
        verify_check_init(job, "Catoni", verify_catoni_statistic(test, sums), test->threshold, run->share);
    check.name = name;
    check.samples = test->samples;
    check.estimate = verify_total(&sums->sum) / test->samples;
    check.expected = test->mean;
    check.band = verify_catoni_band(test->variance, test->samples, run->share);
    verify_add_check(run, &check);
}

static void judge(verify_run *run, const verify_job *job, const double *const *records) {
    const numerator_data *data = job->data;
    for (size_t c = 0; c < COLUMNS; ++c) {
        numerator_sums sums = {{{0, 0}, {0, 0}, {0, 0}}, {{0, 0}, {0, 0}, {0, 0}}, {0, 0}};
        for (uint32_t b = 0; b < job->blocks; ++b) {
            const numerator_sums *own = (const numerator_sums *)(const void *)records[b] + c;
            verify_catoni_merge(&sums.mean, &own->mean);
            verify_catoni_merge(&sums.square, &own->square);
            verify_merge(&sums.error2, &own->error2);
        }
        emit(run, job, "mean of (O - o) sum A / sum K", c, &data->mean[c], &sums.mean);
        if (data->with_square)
            emit(run, job, "its square", c, &data->square[c], &sums.square);
        char name[128];
        snprintf(name, sizeof name, "%s/m MSE(O) by the delta method, value column %zu", job->name, c);
        verify_check check = verify_check_init(job, "first order in 1/m", 0.0, 0.0, 0.0);
        check.name = name;
        check.outcome = VERIFY_SHOWN;
        check.samples = data->mean[c].samples;
        check.estimate = verify_total(&sums.error2) / check.samples * data->pool->m;
        check.expected = data->delta[c];
        verify_add_check(run, &check);
    }
}

static void add_numerator(verify_run *run, const verify_pool *pool, enum verify_estimand_id id) {
    numerator_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    data->pool = pool;
    verify_estimand_init(&data->e, id, pool->dim);
    data->with_square = id == VERIFY_POSITIVE && pool->kind == CLFAVOR_PROJECTION_IID;
    /* keys within 0.5 of the query's opposite (the query for cosines), so that every s (D2) is small */
    double sign = verify_estimand_is_cosine(&data->e) ? 1.0 : -1.0, root = pow((double)pool->dim, 0.25);
    for (uint32_t l = 0; l < pool->dim; ++l) {
        double x = 0.35 * sin(1.3 * l + 0.4);
        data->q[l] = (float)(x * root);
        for (size_t j = 0; j < KEYS; ++j)
            data->k[j * pool->dim + l] = (float)((sign * x + 0.25 * sin(2.1 * (double)j + 0.9 * l)) * root);
    }
    for (size_t i = 0; i < (size_t)KEYS * DV; ++i)
        data->v[i] = (float)cos(0.7 * (double)i);
    verify_job job = {.suite = "attention",
                      .text = "normalised output against its exact first and second moments",
                      .method = "Catoni, exact variance",
                      .tests = COLUMNS * (data->with_square ? 2u : 1u),
                      .exact = COLUMNS,
                      .size = COLUMNS * sizeof(numerator_sums) / sizeof(double),
                      .group = &pool->group,
                      .data = data,
                      .size_up = size_up,
                      .work = work,
                      .judge = judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "output/%s/%s", pool->name, data->e.name);
    verify_add_job(run, &job);
}

void verify_suite_attention(verify_run *run) {
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID};
    static const enum verify_estimand_id maps[] = {VERIFY_POSITIVE, VERIFY_HYPERBOLIC, VERIFY_TRIG, VERIFY_OPRF};
    for (size_t k = 0; k < 2; ++k)
        for (size_t i = 0; i < 4; ++i)
            add_numerator(run, verify_pool_standard(run, 6, kinds[k]), maps[i]);
    verify_figure_2(run);
    verify_figure_4(run);
    if (run->options.level != VERIFY_QUICK) /* a program of its own, for results that are shown only */
        verify_issue_69(run);
}
