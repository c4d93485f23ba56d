/* The law of W, by exact tests of what the library draws; and the lognormal law of a one-row estimate, through the
 * kernels. Rows of one block depend on each other, so a test takes from a block only what is independent in it: lengths
 * (all rows), or one entry, row or pair. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "laws.h"
#include "scenario.h"

#define BINS        64u
#define GRAM_TRIALS 16u /* of a block: without chance, so a few do */

typedef double (*cdf_fn)(double x, double parameter);

/* A law in bins of about equal probability. */
typedef struct binned {
    double edge[BINS], cdf[BINS]; /* upper edges; the last is infinite */
} binned;

static void make_bins(binned *b, cdf_fn cdf, double parameter, double low, double high) {
    for (size_t i = 0; i + 1 < BINS; ++i) {
        double from = low, to = high, want = (double)(i + 1) / BINS;
        for (int step = 0; step < 60; ++step) {
            double middle = 0.5 * (from + to);
            *(cdf(middle, parameter) < want ? &from : &to) = middle;
        }
        b->edge[i] = to;
        b->cdf[i] = cdf(to, parameter);
    }
    b->edge[BINS - 1] = INFINITY;
    b->cdf[BINS - 1] = 1.0;
}

/* A NaN goes nowhere, which the judge sees in the total. */
static void count(const binned *b, double *counts, double x) {
    size_t low = 0, high = BINS - 1;
    if (isnan(x))
        return;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (x <= b->edge[middle])
            high = middle;
        else
            low = middle + 1;
    }
    counts[low] += 1.0;
}

/* ------------------------------------------------------------------------------------------------- what is tested */

/* Tests by DKW; each has BINS counts in the record. */
enum {
    LENGTHS,        /* |row|^2 ~ chi2(d), all rows */
    BLOCK_SUMS,     /* sum of squares of a block ~ chi2(d^2): lengths in a block are independent */
    FIRST_ENTRY,    /* entries of one place, one a block: N(0, 1) */
    CORNER_ENTRY,   /* first row, last column */
    LAST_ENTRY,     /* last row, last column */
    LAST_FIRST,     /* last row, first column */
    BETWEEN_BLOCKS, /* a.b / |a| of the first rows of neighbouring blocks ~ N(0, 1) */
    BETWEEN_TRIALS, /* the same for draws 2 t and 2 t + 1: parameter sets */
    FIRST_TO_LAST,  /* first and last row of a draw, when they are of different blocks or iid */
    DIRECTION,      /* squared first coordinate of the direction of the first row ~ Beta(1/2, (d-1)/2) */
    LAST_DIRECTION,
    AFTER_LONG, /* last row's first entry where the block's first row is long; where it is short */
    AFTER_SHORT,
    PHASES, /* uniform on [0, 2 pi) */
    DKW_TESTS
};
static const char *const dkw_names[DKW_TESTS] = {"squared lengths",
                                                 "squared lengths of whole blocks",
                                                 "entry of first row and column",
                                                 "entry of first row, last column",
                                                 "entry of last row and column",
                                                 "entry of last row, first column",
                                                 "independence between blocks",
                                                 "independence between parameter sets",
                                                 "independence of first and last row",
                                                 "direction of the first row",
                                                 "direction of the last row",
                                                 "last row after a long first one",
                                                 "last row after a short first one",
                                                 "phases"};

enum { SQUARES = DKW_TESTS * BINS, GRAM, REPEATS, NORMS, DIAGONAL };
#define RECORD(dim) (DIAGONAL + 2u * (dim))
/* [DKW counts][sum of squares][largest Gram entry][rows that repeat][largest error of fixed norms][sums of w_ii] */

typedef struct law_data {
    const verify_pool *pool;
    binned normal, chi2, block, beta, uniform;
    bool used[DKW_TESTS];
} law_data;

static double inner(const double *a, const double *b, uint32_t dim) {
    double sum = 0.0;
    for (uint32_t l = 0; l < dim; ++l)
        sum += a[l] * b[l];
    return sum;
}

static const binned *law_of(const law_data *data, int test) {
    switch (test) {
    case LENGTHS:
        return &data->chi2;
    case BLOCK_SUMS:
        return &data->block;
    case DIRECTION:
    case LAST_DIRECTION:
        return &data->beta;
    case PHASES:
        return &data->uniform;
    default:
        return &data->normal;
    }
}

/* The largest cosine of two rows of a block. */
static void gram_of(const double *rows, uint32_t size, uint32_t d, double *record) {
    for (uint32_t i = 0; i < size; ++i) {
        const double *a = rows + (size_t)i * d;
        double aa = inner(a, a, d);
        for (uint32_t j = 0; j < i; ++j) {
            const double *b = rows + (size_t)j * d;
            double cosine = fabs(inner(a, b, d)) / sqrt(aa * inner(b, b, d));
            if (!(cosine <= record[GRAM]))
                record[GRAM] = cosine;
        }
    }
}

/* What is counted of a whole block. */
static void block_of(const law_data *data, const double *rows, double *record) {
    uint32_t d = data->pool->dim;
    const double *first = rows, *last = rows + (size_t)(d - 1) * d;
    double first2 = inner(first, first, d), last2 = inner(last, last, d), sum = 0.0;
    for (uint32_t i = 0; i < d; ++i) {
        sum += inner(rows + (size_t)i * d, rows + (size_t)i * d, d);
        verify_add((verify_sum *)(void *)(record + DIAGONAL) + i, rows[(size_t)i * d + i]);
    }
    count(&data->block, record + BLOCK_SUMS * BINS, sum);
    count(&data->normal, record + FIRST_ENTRY * BINS, first[0]);
    count(&data->normal, record + CORNER_ENTRY * BINS, first[d - 1]);
    count(&data->normal, record + LAST_ENTRY * BINS, last[d - 1]);
    count(&data->normal, record + LAST_FIRST * BINS, last[0]);
    if (d > 1) {
        count(&data->beta, record + DIRECTION * BINS, first[0] * first[0] / first2);
        count(&data->beta, record + LAST_DIRECTION * BINS, last[0] * last[0] / last2);
        count(&data->normal, record + (first2 > d ? AFTER_LONG : AFTER_SHORT) * BINS, last[0]);
    }
}

static double normal_product(const double *a, const double *b, uint32_t dim) {
    return inner(a, b, dim) / sqrt(inner(a, a, dim));
}

static bool work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)worker;
    (void)block;
    const law_data *data = job->data;
    const verify_pool *pool = data->pool;
    uint32_t d = pool->dim, m = pool->m;
    const double *w = clfavor_projection_data(drawn), *phases = clfavor_projection_phases(drawn);
    for (uint32_t t = 0; t < pool->trials; ++t, w += (size_t)m * d) {
        const double *last = w + (size_t)(m - 1) * d;
        for (uint32_t r = 0; r < m; ++r) {
            const double *row = w + (size_t)r * d;
            double square = inner(row, row, d);
            record[SQUARES] += square;
            record[NORMS] = fmax(record[NORMS], fabs(sqrt(square / d) - 1.0));
            count(&data->chi2, record + LENGTHS * BINS, square);
            /* the same row again in the next block or the next draw */
            record[REPEATS] += r >= d && row[0] == row[-(ptrdiff_t)d * d] && d > 1;
            record[REPEATS] += t > 0 && row[0] == row[-(ptrdiff_t)m * d];
            record[REPEATS] += r > 0 && row[0] == row[-(ptrdiff_t)d];
        }
        for (uint32_t r = 0; r < m; r += d) {
            if (m - r >= d)
                block_of(data, w + (size_t)r * d, record);
            if (pool->kind != CLFAVOR_PROJECTION_IID && t < GRAM_TRIALS)
                gram_of(w + (size_t)r * d, m - r < d ? m - r : d, d, record);
        }
        if (m > d) {
            count(&data->normal, record + BETWEEN_BLOCKS * BINS, normal_product(w, w + (size_t)d * d, d));
            count(&data->normal, record + FIRST_TO_LAST * BINS, normal_product(last, w, d));
        }
        if (t % 2)
            count(&data->normal, record + BETWEEN_TRIALS * BINS, normal_product(w, w - (size_t)m * d, d));
    }
    for (size_t i = 0; i < (size_t)pool->trials * m; ++i)
        count(&data->uniform, record + PHASES * BINS, phases[i]);
    return true;
}

static void emit(verify_run *run, const verify_job *job, const char *name, const char *test, double statistic,
                 double threshold, double alpha, double samples) {
    char full[128];
    snprintf(full, sizeof full, "%s/%s", job->name, name);
    verify_check check = verify_check_init(job, test, statistic, threshold, alpha);
    check.name = full;
    check.samples = samples;
    verify_add_check(run, &check);
}

static void judge(verify_run *run, const verify_job *job, const double *const *records) {
    const law_data *data = job->data;
    const verify_pool *pool = data->pool;
    uint32_t d = pool->dim, full_blocks = pool->m / d;
    double counts[BINS], trials = (double)pool->trials * job->blocks, share = run->share;
    bool fixed = pool->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
    for (int test = 0; test < DKW_TESTS; ++test) {
        double total = 0.0;
        memset(counts, 0, sizeof counts);
        for (uint32_t b = 0; b < job->blocks; ++b)
            for (size_t i = 0; i < BINS; ++i) {
                counts[i] += records[b][(size_t)test * BINS + i];
                total += records[b][(size_t)test * BINS + i];
            }
        if (data->used[test])
            emit(run, job, dkw_names[test], "DKW", verify_dkw_statistic(counts, law_of(data, test)->cdf, BINS),
                 verify_two_sided_threshold(share), share, total);
    }
    verify_sum squares = {0, 0}, repeats = {0, 0};
    double gram = 0.0, norms = 0.0, worst = 0.0;
    for (uint32_t b = 0; b < job->blocks; ++b) {
        verify_add(&squares, records[b][SQUARES]);
        verify_add(&repeats, records[b][REPEATS]);
        gram = records[b][GRAM] > gram || isnan(records[b][GRAM]) ? records[b][GRAM] : gram;
        norms = fmax(norms, records[b][NORMS]);
    }
    if (!fixed) {
        double degrees = trials * pool->m * d;
        emit(run, job, "sum of squares", "chi-square bound", verify_chi2_statistic(verify_total(&squares), degrees),
             verify_two_sided_threshold(share), share, degrees);
        for (uint32_t i = 0; i < d; ++i) {
            verify_sum sum = {0, 0};
            for (uint32_t b = 0; b < job->blocks; ++b)
                verify_merge(&sum, (const verify_sum *)(const void *)(records[b] + DIAGONAL) + i);
            double statistic = verify_normal_statistic(verify_total(&sum) / sqrt(trials * full_blocks));
            if (!(statistic <= worst))
                worst = statistic;
        }
        emit(run, job, "mean of w_ii, worst i", "normal", worst, verify_log_threshold(share / d), share,
             trials * full_blocks);
    } else {
        /* a length is a root of a sum of d squares times a unit vector: 4 roundings and d/2 more */
        emit(run, job, "lengths are sqrt(d)", "bound", norms, (d + 8) * DBL_EPSILON, 0.0, trials * pool->m);
    }
    if (pool->kind != CLFAVOR_PROJECTION_IID)
        /* an applied reflection errs by (d + 10) u, a row of Q passes d of them, two rows make a product */
        emit(run, job, "rows of a block are orthogonal", "bound", gram, d * (d + 10) * DBL_EPSILON, 0.0,
             (double)GRAM_TRIALS * job->blocks * pool->m);
    emit(run, job, "no row comes twice", "count", verify_total(&repeats), 0.0, 0.0, trials * pool->m);
}

static void size_up(verify_job *job, const verify_options *options, double share) {
    (void)share;
    static const double factors[] = {1.0, 12.5, 100.0}; /* of blocks that grow by 1, 2, 4 */
    const law_data *data = job->data;
    const verify_pool *pool = data->pool;
    job->blocks = verify_pool_blocks(pool, options, 16.0 * factors[options->level] * pool->trials);
    job->cost = 1.0 + (double)pool->trials * pool->m * pool->dim * 2e-6;
}

static double normal_law(double x, double unused) {
    (void)unused;
    return verify_normal_cdf(x, 1.0);
}

static void add_job(verify_run *run, const verify_pool *pool) {
    law_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    uint32_t d = pool->dim;
    bool fixed = pool->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, iid = pool->kind == CLFAVOR_PROJECTION_IID;
    data->pool = pool;
    make_bins(&data->normal, normal_law, 1.0, -9.0, 9.0);
    make_bins(&data->chi2, verify_chi2_cdf, d, 0.0, d + 40.0 * sqrt((double)d));
    make_bins(&data->block, verify_chi2_cdf, (double)d * d, 0.0, (double)d * d + 40.0 * d);
    if (d > 1)
        make_bins(&data->beta, verify_first_squared_cdf, d, 0.0, 1.0);
    make_bins(&data->uniform, verify_uniform_cdf, 2.0 * acos(-1.0), 0.0, 7.0);
    verify_job job = {.suite = "law",
                      .text = "lengths, entries, directions, independence, orthogonality and phases",
                      .method = "exact tests",
                      .exact = 2u + (iid ? 0u : 1u),
                      .size = RECORD(d),
                      .group = &pool->group,
                      .data = data,
                      .size_up = size_up,
                      .work = work,
                      .judge = judge,
                      .release = free};
    if (!fixed)
        job.exact -= 1;
    job.tests = fixed ? 0 : 2;
    for (int test = 0; test < DKW_TESTS; ++test) {
        bool by_direction = test == DIRECTION || test == LAST_DIRECTION;
        data->used[test] = fixed ? (by_direction && d > 1)
                                 : !((by_direction || test == AFTER_LONG || test == AFTER_SHORT) && d == 1) &&
                                       !((test == BETWEEN_BLOCKS || test == FIRST_TO_LAST) && pool->m <= d);
        job.tests += data->used[test];
    }
    snprintf(job.name, sizeof job.name, "%s", pool->name);
    verify_add_job(run, &job);
}

/* ------------------------------------------------------------------------------------------------ the lognormal law */

typedef struct lognormal_data {
    const verify_pool *pool; /* m = 1 */
    float q[6], k[6];
    double mean, sigma;
    binned law;
} lognormal_data;

/* log of the estimate with m = 1 is w.z - (|x|^2 + |y|^2)/2. */
static bool lognormal_work(verify_worker *worker, const verify_job *job, void *drawn, uint32_t block, double *record) {
    (void)block;
    const lognormal_data *data = job->data;
    uint32_t trials = data->pool->trials;
    float *lse = verify_alloc(worker, trials, sizeof *lse);
    verify_call call = {.map = CLFAVOR_MAP_POSITIVE,
                        .m = 1,
                        .dim = 6,
                        .chunk = 32,
                        .heads = trials,
                        .n = 1,
                        .shared = true,
                        .q = data->q,
                        .k = data->k,
                        .lse = lse};
    clfavor_estimator *e = lse ? verify_estimator(worker, CLFAVOR_MAP_POSITIVE, drawn, 0, 0.0) : NULL;
    const clfavor_weights *weights = e ? verify_weights(worker, e) : NULL;
    bool good = weights && verify_attention(worker, &call, weights);
    for (uint32_t t = 0; good && t < trials; ++t)
        count(&data->law, record, ((double)lse[t] - data->mean) / data->sigma);
    clfavor_estimator_destroy(e);
    free(lse);
    return good;
}

static void lognormal_judge(verify_run *run, const verify_job *job, const double *const *records) {
    const lognormal_data *data = job->data;
    double counts[BINS] = {0}, x[BINS - 2], y[BINS - 2], truth[BINS - 2], total = 0.0;
    for (uint32_t b = 0; b < job->blocks; ++b)
        for (size_t i = 0; i < BINS; ++i)
            total += records[b][i], counts[i] += records[b][i];
    emit(run, job, "log of the estimate", "DKW", verify_dkw_statistic(counts, data->law.cdf, BINS),
         verify_two_sided_threshold(run->share), run->share, total);
    for (size_t i = 1; i + 1 < BINS; ++i) {
        double low = data->law.edge[i - 1], high = data->law.edge[i], middle = 0.5 * (low + high);
        x[i - 1] = data->mean + data->sigma * middle;
        y[i - 1] = counts[i] / total / ((high - low) * data->sigma);
        truth[i - 1] = exp(-middle * middle / 2.0) / (data->sigma * sqrt(2.0 * acos(-1.0)));
    }
    char *title = verify_format("Log of the estimate with one row, positive map, %s", data->pool->name);
    verify_plot *plot =
        verify_add_plot(run, job->suite, title, "log of the estimate", "density", false, false,
                        "What the kernels give for one query, one key and one row of W, drawn anew each "
                        "time, against the exact law: normal with mean -(|x|^2+|y|^2)/2 and variance "
                        "|x+y|^2.");
    verify_add_series(run, plot, "measured", VERIFY_BARS, BINS - 2, x, y, NULL, NULL);
    verify_add_series(run, plot, "exact", VERIFY_THEORY, BINS - 2, x, truth, NULL, NULL);
    free(title);
}

static void lognormal_size_up(verify_job *job, const verify_options *options, double share) {
    (void)share;
    static const double factors[] = {1.0, 12.5, 100.0};
    const lognormal_data *data = job->data;
    job->blocks = verify_pool_blocks(data->pool, options, 8.0 * factors[options->level] * data->pool->trials);
    job->cost = data->pool->trials * 2e-3;
}

static void add_lognormal(verify_run *run, const verify_pool *pool) {
    lognormal_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    data->pool = pool;
    double z = 0.0, norms = 0.0, root = pow(6.0, 0.25);
    for (int l = 0; l < 6; ++l) {
        data->q[l] = 0.4F - 0.1F * (float)l;
        data->k[l] = 0.3F + 0.15F * (float)l;
        double x = (double)data->q[l] / root, y = (double)data->k[l] / root;
        z += (x + y) * (x + y);
        norms += x * x + y * y;
    }
    data->mean = -norms / 2.0;
    data->sigma = sqrt(z);
    make_bins(&data->law, normal_law, 1.0, -9.0, 9.0);
    verify_job job = {.suite = "law",
                      .text = "the estimate with one row is lognormal, through the kernels",
                      .method = "DKW",
                      .tests = 1,
                      .size = BINS,
                      .group = &pool->group,
                      .data = data,
                      .size_up = lognormal_size_up,
                      .work = lognormal_work,
                      .judge = lognormal_judge,
                      .release = free};
    snprintf(job.name, sizeof job.name, "lognormal/%s", pool->name);
    verify_add_job(run, &job);
}

void verify_suite_law(verify_run *run) {
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM};
    static const uint32_t dims[] = {1, 2, 3, 6, 16, 64};
    for (size_t k = 0; k < 3; ++k)
        for (size_t i = 0; i < 6; ++i) {
            bool fixed = kinds[k] == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
            if (dims[i] >= 6)
                add_job(run, verify_pool_standard(run, dims[i], kinds[k]));
            else if (!fixed || dims[i] > 1)
                add_job(run, verify_pool_get(run, dims[i], kinds[k], 2 * dims[i] + dims[i] / 2, 2048));
        }
    for (size_t k = 0; k < 2; ++k)
        add_lognormal(run, verify_pool_get(run, 6, kinds[k], 1, 4096));
}
