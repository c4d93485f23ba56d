/* The error as m grows, against the closed forms: MSE(m) of independent rows from m = 16 to 16,384, that of orthogonal
 * blocks with parts of blocks, and the products of two rows of a block that its formula rests on. The slope of log
 * error against log m is shown with an interval. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"
#include "special.h"

enum { OCTAVES = 11, FIRST_M = 16, LAST_M = 16384, PARTS = 4 };

typedef struct square_data {
    const verify_pool *pool;
    verify_estimand e;
    verify_scenario scenarios[OCTAVES];
    size_t count;
    double rho;
    uint32_t most_blocks[OCTAVES];
} square_data;

/* One key of norm 0.5, queries with |x + y|^2 (|x - y|^2) = size along (1, .., 1) and along the first axis. */
static bool fill(verify_scenario *s, verify_run *run, const square_data *data, double size) {
    uint32_t d = data->pool->dim;
    if (!verify_scenario_init(s, run, data->pool, 2, 1, 1, 2))
        return false;
    double y[VERIFY_MAX_DIM], z[VERIFY_MAX_DIM], x[VERIFY_MAX_DIM];
    for (uint32_t l = 0; l < d; ++l)
        y[l] = (l % 2 ? -0.5 : 0.5) / sqrt((double)d);
    s->chunk = 32;
    s->square = true;
    verify_scenario_key(s, 0, y);
    verify_scenario_lay_out(s);
    bool cosine = verify_estimand_is_cosine(&data->e);
    for (uint32_t i = 0; i < 2; ++i) {
        for (uint32_t l = 0; l < d; ++l)
            z[l] = i ? (l ? 0.0 : sqrt(size)) : sqrt(size / d);
        verify_estimand_query(&data->e, d, z, y, x);
        verify_scenario_query(s, i, x);
        s->rows[i].query = i;
        snprintf(s->rows[i].label, sizeof s->rows[i].label, "%s=%g along %s", cosine ? "D2" : "s", size,
                 i ? "e1" : "ones");
    }
    return true;
}

static void release(void *memory) {
    square_data *data = memory;
    for (size_t i = 0; data && i < data->count; ++i)
        verify_scenario_free(&data->scenarios[i]);
    free(data);
}

static void size_up(verify_job *job, const verify_options *options, double share) {
    square_data *data = job->data;
    double rows = 0.0;
    for (size_t i = 0; i < data->count; ++i) {
        verify_scenario *s = &data->scenarios[i];
        verify_scenario_size(s, &data->e, data->pool, options, share, data->rho, data->most_blocks[i]);
        job->blocks = s->blocks > job->blocks ? s->blocks : job->blocks;
        rows += (double)s->blocks * data->pool->trials * data->pool->m;
    }
    job->cost = rows / job->blocks * 1e-4;
}

static bool work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    const square_data *data = job->data;
    return verify_scenarios_run(worker, data->scenarios, data->count, &data->e, data->pool, drawn, block, record);
}

/* ---------------------------------------------------------------------------------------- independent rows, octaves */

/* Least squares of log2 rms on log2 m: slope = sum weight_i log2(rms_i). Catoni's bands around all of the points hold
 * together with probability 0.99, so the interval that they leave to the slope does. */
static void judge_slope(verify_run *run, const verify_job *job, size_t query, const double *mse) {
    const square_data *data = job->data;
    double n = (double)data->count, middle = 0.0, square = 0.0, slope = 0.0, half = 0.0;
    for (size_t i = 0; i < data->count; ++i)
        middle += log2(data->scenarios[i].m) / n;
    for (size_t i = 0; i < data->count; ++i)
        square += pow(log2(data->scenarios[i].m) - middle, 2.0);
    for (size_t i = 0; i < data->count; ++i) {
        const verify_row *row = &data->scenarios[i].rows[query];
        double weight = (log2(data->scenarios[i].m) - middle) / square;
        double shift = verify_catoni_band(row->test.variance, row->test.samples, 0.01 / n) / row->test.mean;
        slope += weight * 0.5 * log2(mse[i]);
        half += fabs(weight) * 0.5 * (shift < 1.0 ? -log2(1.0 - shift) : INFINITY);
    }
    char name[160];
    snprintf(name, sizeof name, "%s/slope of log error against log m, %s", job->name,
             data->scenarios[0].rows[query].label);
    verify_check check = verify_check_init(job, "99 % interval", 0.0, 0.0, 0.0);
    check.name = name;
    check.outcome = VERIFY_SHOWN;
    check.estimate = slope;
    check.expected = -0.5;
    check.band = half;
    verify_add_check(run, &check);
}

static void plot_octaves(verify_run *run, const verify_job *job, size_t query, const double *mse) {
    const square_data *data = job->data;
    double x[OCTAVES], y[OCTAVES], low[OCTAVES], high[OCTAVES], truth[OCTAVES];
    for (size_t i = 0; i < data->count; ++i) {
        const verify_row *row = &data->scenarios[i].rows[query];
        double k2 = row->moments.mean * row->moments.mean;
        double band = verify_catoni_band(row->test.variance, row->test.samples, run->share);
        x[i] = data->scenarios[i].m;
        y[i] = sqrt(mse[i] / k2);
        truth[i] = sqrt(row->test.mean / k2);
        low[i] = sqrt(fmax(mse[i] - band, 0.0) / k2);
        high[i] = sqrt((mse[i] + band) / k2);
    }
    char *title =
        verify_format("Relative error against m, %s, iid, %s", data->e.name, data->scenarios[0].rows[query].label);
    verify_plot *plot =
        verify_add_plot(run, job->suite, title, "rows of W, m", "rms error / kernel", true, true,
                        "Measured through the kernels; the line is sqrt(V/m). It falls as m^-1/2: the estimate "
                        "converges to exp(q.k/sqrt d).");
    verify_add_series(run, plot, "measured", VERIFY_POINTS, data->count, x, y, low, high);
    verify_add_series(run, plot, "sqrt(V/m)", VERIFY_THEORY, data->count, x, truth, NULL, NULL);
    free(title);
}

static void judge_octaves(verify_run *run, const verify_job *job, const double *const *records) {
    const square_data *data = job->data;
    for (size_t query = 0; query < 2; ++query) {
        double mse[OCTAVES];
        for (size_t i = 0; i < data->count; ++i) {
            const verify_scenario *s = &data->scenarios[i];
            verify_catoni_sums sums = verify_row_sums(s, query, records);
            mse[i] = verify_total(&sums.sum) / s->rows[query].test.samples;
            verify_row_judge(run, job, s, query, &sums);
        }
        judge_slope(run, job, query, mse);
        if (query == 0)
            plot_octaves(run, job, query, mse);
    }
}

static square_data *new_data(verify_run *run, const verify_pool *pool, enum verify_estimand_id id) {
    square_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (data) {
        data->pool = pool;
        run->out_of_memory |= !verify_estimand_init(&data->e, id, pool->dim);
    }
    return data;
}

static void add_octaves(verify_run *run, const verify_pool *pool, enum verify_estimand_id id) {
    static const double rhos[] = {0.05, 0.015, 0.005};
    static const double sizes[] = {62.0, 200.0, 6000.0}; /* blocks of 8 draws of 16,384 rows at the size of quick */
    square_data *data = new_data(run, pool, id);
    if (!data)
        return;
    data->rho = rhos[run->options.level];
    uint32_t last = run->options.level == VERIFY_QUICK && id != VERIFY_POSITIVE ? LAST_M / 8 : LAST_M;
    for (uint32_t m = FIRST_M; m <= last; m *= 2, ++data->count) {
        verify_scenario *s = &data->scenarios[data->count];
        s->m = m;
        /* 500 draws of the largest m (quick), and fewer blocks where a block gives more estimates */
        data->most_blocks[data->count] =
            (uint32_t)fmax(4.0, sizes[run->options.level] * 8.0 / pool->trials * fmin(1.0, sqrt((double)m / LAST_M)));
        snprintf(s->label, sizeof s->label, "m=%u", m);
        if (!fill(s, run, data, 0.5))
            break;
    }
    verify_job job = {.suite = "variance",
                      .text = "MSE(m) m = V for m = 16 .. 16,384, and the slope",
                      .method = "Catoni on squared errors, exact variance",
                      .exact = 2,
                      .group = &pool->group,
                      .data = data,
                      .size_up = size_up,
                      .work = work,
                      .judge = judge_octaves,
                      .release = release};
    snprintf(job.name, sizeof job.name, "octaves/%s", data->e.name);
    verify_scenarios_place(data->scenarios, data->count, &job);
    verify_add_job(run, &job);
}

/* ------------------------------------------------------------------------------------------------ orthogonal blocks */

static void judge_blocks(verify_run *run, const verify_job *job, const double *const *records) {
    const square_data *data = job->data;
    for (size_t i = 0; i < data->count; ++i)
        for (size_t r = 0; r < 2; ++r) {
            verify_catoni_sums sums = verify_row_sums(&data->scenarios[i], r, records);
            verify_row_judge(run, job, &data->scenarios[i], r, &sums);
        }
}

static void add_blocks(verify_run *run, const verify_pool *pool, enum verify_estimand_id id) {
    static const double rhos[] = {0.05, 0.01, 0.0025};
    static const uint32_t most[] = {12, 60, 1500};
    square_data *data = new_data(run, pool, id);
    if (!data)
        return;
    data->rho = rhos[run->options.level];
    for (size_t i = 0; i < 2; ++i, ++data->count) {
        verify_scenario *s = &data->scenarios[i];
        data->most_blocks[i] = most[run->options.level];
        snprintf(s->label, sizeof s->label, "m=%u", pool->m);
        if (!fill(s, run, data, i ? 1.0 : 0.5))
            break;
    }
    verify_job job = {.suite = "variance",
                      .text = "MSE(m) of orthogonal blocks with a part of a block",
                      .method = "Catoni on squared errors, exact variance",
                      .group = &pool->group,
                      .data = data,
                      .size_up = size_up,
                      .work = work,
                      .judge = judge_blocks,
                      .release = release};
    snprintf(job.name, sizeof job.name, "blocks/%s/m%u/%s", pool->name, pool->m, data->e.name);
    verify_scenarios_place(data->scenarios, data->count, &job);
    verify_add_job(run, &job);
}

/* --------------------------------------------------------------------------------------------------- pair products */

enum { SAME_BLOCK, BLOCK_ENDS, PART, TWO_BLOCKS, PLACES };
static const char *const place_names[PLACES] = {"first two rows", "first and last row of a block",
                                                "two rows of the last, partial block", "rows of two blocks"};

typedef struct pair_data {
    const verify_pool *pool;
    verify_estimand e;
    float q[VERIFY_MAX_DIM], k[VERIFY_MAX_DIM];
    verify_catoni tests[PLACES];
    double expected[PLACES], variance[PLACES];
} pair_data;

/* X = p f(w.v) with f = exp, cosh or cos and v = x + y or x - y, s = +-|v|^2. With r = E f(w.v)^2: inside a block E X1
 * X2 = p^2 C(s), and E (X1 X2)^2 = p^4 C(4 s) for exp; f^2 = (1 + f(2 w.v))/2 gives the others. */
static void pair_moments(pair_data *data, double p, double s) {
    double d = data->pool->dim, c1 = verify_1f1(d, d / 2.0, s / 2.0), c4 = verify_1f1(d, d / 2.0, 2.0 * s);
    bool even = data->e.map != CLFAVOR_MAP_POSITIVE;
    double mean = exp(s / 2.0), second = even ? (1.0 + exp(2.0 * s)) / 2.0 : exp(2.0 * s);
    double both = even ? (1.0 + 2.0 * exp(2.0 * s) + c4) / 4.0 : c4;
    for (int place = 0; place < PLACES; ++place) {
        double e = place == TWO_BLOCKS ? mean * mean : c1, e2 = place == TWO_BLOCKS ? second * second : both;
        data->expected[place] = p * p * e;
        data->variance[place] = pow(p, 4.0) * (e2 - e * e);
    }
}

static void pair_size_up(verify_job *job, const verify_options *options, double share) {
    static const uint32_t most[] = {24, 300, 2500};
    pair_data *data = job->data;
    job->blocks = verify_pool_blocks(data->pool, options, 1e12);
    job->blocks = job->blocks > most[options->level] ? most[options->level] : job->blocks;
    job->cost = data->pool->trials * data->pool->m * 1e-4;
    for (int place = 0; place < PLACES; ++place)
        data->tests[place] = verify_catoni_plan(data->expected[place], 1e-5 * data->expected[place],
                                                data->variance[place], (double)job->blocks * data->pool->trials, share);
}

/* Row r's contribution m phi_r(x) phi_r(y) from the features operation. */
static bool row_products(verify_worker *worker, const pair_data *data, const clfavor_weights *weights,
                         double *products) {
    const verify_pool *pool = data->pool;
    bool trig = data->e.map == CLFAVOR_MAP_TRIG, two = data->e.map != CLFAVOR_MAP_POSITIVE;
    size_t f = pool->m * (two ? 2u : 1u), heads = pool->trials, scales = trig ? 1 : f;
    verify_call call = {.map = data->e.map, .m = pool->m, .dim = pool->dim, .heads = heads};
    float *memory = verify_alloc(worker, heads * (2 * f + 1 + scales), sizeof *memory);
    if (!memory)
        return false;
    float *query = memory, *key = query + heads * f, *query_scale = key + heads * f, *key_scale = query_scale + heads;
    bool good = verify_features(worker, &call, false, data->q, 1, weights, query, query_scale) &&
                verify_features(worker, &call, true, data->k, 1, weights, key, key_scale);
    for (size_t h = 0; good && h < heads; ++h)
        for (size_t r = 0; r < f; ++r) {
            double scale = (double)query_scale[h] + (double)key_scale[h * scales + (trig ? 0 : r)];
            products[h * pool->m + r % pool->m] +=
                pool->m * (double)query[h * f + r] * (double)key[h * f + r] * exp(scale);
        }
    free(memory);
    return good;
}

static bool pair_work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)block;
    const pair_data *data = job->data;
    const verify_pool *pool = data->pool;
    uint32_t m = pool->m, d = pool->dim;
    verify_catoni_sums *sums = (verify_catoni_sums *)(void *)record;
    double *x = verify_alloc(worker, (size_t)pool->trials * m, sizeof *x);
    clfavor_estimator *e = x ? verify_estimator(worker, data->e.map, drawn, 0, 0.0) : NULL;
    const clfavor_weights *weights = e ? verify_weights(worker, e) : NULL;
    bool good = weights && row_products(worker, data, weights, x);
    for (uint32_t t = 0; good && t < pool->trials; ++t) {
        const double *own = x + (size_t)t * m;
        const double pairs[PLACES] = {own[0] * own[1], own[d] * own[2 * d - 1], own[m - 2] * own[m - 1],
                                      own[0] * own[d]};
        for (int place = 0; place < PLACES; ++place)
            verify_catoni_add(&data->tests[place], &sums[place], pairs[place]);
    }
    clfavor_estimator_destroy(e);
    free(x);
    return good;
}

static void pair_judge(verify_run *run, const verify_job *job, const double *const *records) {
    const pair_data *data = job->data;
    for (int place = 0; place < PLACES; ++place) {
        verify_catoni_sums sums = {{0, 0}, {0, 0}, {0, 0}};
        for (uint32_t b = 0; b < job->blocks; ++b)
            verify_catoni_merge(&sums, (const verify_catoni_sums *)(const void *)records[b] + place);
        const verify_catoni *test = &data->tests[place];
        char name[160];
        snprintf(name, sizeof name, "%s/%s", job->name, place_names[place]);
        verify_check check =
            verify_check_init(job, "Catoni", verify_catoni_statistic(test, &sums), test->threshold, run->share);
        check.name = name;
        check.samples = test->samples;
        check.estimate = verify_total(&sums.sum) / test->samples;
        check.expected = test->mean;
        check.band = verify_catoni_band(test->variance, test->samples, run->share);
        check.sensitivity = verify_catoni_shift(test->variance, test->samples, run->share, 1e-3) / test->mean;
        verify_add_check(run, &check);
    }
}

static void add_pairs(verify_run *run, const verify_pool *pool, enum verify_estimand_id id) {
    pair_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    uint32_t d = pool->dim;
    data->pool = pool;
    verify_estimand_init(&data->e, id, d);
    double size = 1.0, norms = 0.0, square = 0.0, root = pow((double)d, 0.25);
    bool cosine = verify_estimand_is_cosine(&data->e);
    for (uint32_t l = 0; l < d; ++l) {
        double y = (l % 2 ? -0.5 : 0.5) / sqrt((double)d), z = sqrt(size / d);
        data->k[l] = (float)(y * root);
        data->q[l] = (float)((cosine ? z + y : z - y) * root);
        double kx = (double)data->q[l] / root, ky = (double)data->k[l] / root, v = cosine ? kx - ky : kx + ky;
        norms += kx * kx + ky * ky;
        square += v * v;
    }
    pair_moments(data, exp((cosine ? norms : -norms) / 2.0), cosine ? -square : square);
    verify_job job = {.suite = "variance",
                      .text = "E X1 X2 of two rows of a block, by the features operation",
                      .method = "Catoni, exact variance",
                      .tests = PLACES,
                      .size = PLACES * VERIFY_CATONI_DOUBLES,
                      .group = &pool->group,
                      .data = data,
                      .size_up = pair_size_up,
                      .work = pair_work,
                      .judge = pair_judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "pairs/%s/%s", pool->name, data->e.name);
    verify_add_job(run, &job);
}

void verify_suite_variance(verify_run *run) {
    static const enum verify_estimand_id maps[] = {VERIFY_POSITIVE, VERIFY_HYPERBOLIC, VERIFY_TRIG};
    verify_pool *octaves = verify_pool_get(run, 6, CLFAVOR_PROJECTION_IID, LAST_M, 8);
    for (size_t i = 0; i < 3; ++i)
        add_octaves(run, octaves, maps[i]);
    add_octaves(run, octaves, VERIFY_FITTED);
    if (run->options.level != VERIFY_QUICK)
        for (int id = VERIFY_OPRF; id < VERIFY_FITTED; ++id)
            add_octaves(run, octaves, (enum verify_estimand_id)id);
    const verify_pool *pools[PARTS] = {verify_pool_get(run, 6, CLFAVOR_PROJECTION_ORTHOGONAL, 4, 4096),
                                       verify_pool_get(run, 6, CLFAVOR_PROJECTION_ORTHOGONAL, 14, 2048),
                                       verify_pool_standard(run, 6, CLFAVOR_PROJECTION_ORTHOGONAL),
                                       verify_pool_standard(run, 16, CLFAVOR_PROJECTION_ORTHOGONAL)};
    for (size_t p = 0; p < PARTS; ++p)
        for (size_t i = 0; i < 3; ++i)
            add_blocks(run, pools[p], maps[i]);
    add_blocks(run, pools[2], VERIFY_SHIFT);
    for (size_t i = 0; i < 3; ++i)
        if (i != 1 || run->options.level != VERIFY_QUICK)
            add_pairs(run, pools[2], maps[i]);
}
