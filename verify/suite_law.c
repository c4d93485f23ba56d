/* The law of W, by exact tests of what the library draws; and the lognormal law of a one-row estimate, through the
 * kernels. Rows of one block depend on each other, so a test takes from a block only what is independent in it: lengths
 * (all rows), or one entry, row or pair. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "binned.h"
#include "laws.h"
#include "lognormal.h"
#include "scenario.h"

#define GRAM_TRIALS 16u /* of a block: without chance, so a few do */

/* ------------------------------------------------------------------------------------------------- what is tested */

/* Tests by DKW; each has VERIFY_BINS counts in the record. */
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

enum { SQUARES = DKW_TESTS * VERIFY_BINS, GRAM, REPEATS, NORMS, DIAGONAL };
#define RECORD(dim) (DIAGONAL + 2u * (dim))
/* [DKW counts][sum of squares][largest Gram entry][rows that repeat][largest error of fixed norms][sums of w_ii] */

typedef struct law_data {
    const verify_pool *pool;
    verify_binned normal, chi2, block, beta, uniform;
    bool used[DKW_TESTS];
} law_data;

static double inner(const double *a, const double *b, uint32_t dim) {
    double sum = 0.0;
    for (uint32_t l = 0; l < dim; ++l)
        sum += a[l] * b[l];
    return sum;
}

static const verify_binned *law_of(const law_data *data, int test) {
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

/* How far the cosine of two rows of a block is off at most. */
static void gram_of(const double *rows, uint32_t size, uint32_t d, double expected, double *record) {
    for (uint32_t i = 0; i < size; ++i) {
        const double *a = rows + (size_t)i * d;
        double aa = inner(a, a, d);
        for (uint32_t j = 0; j < i; ++j) {
            const double *b = rows + (size_t)j * d;
            double error = fabs(inner(a, b, d) / sqrt(aa * inner(b, b, d)) - expected);
            if (!(error <= record[GRAM]))
                record[GRAM] = error;
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
    verify_binned_count(&data->block, record + BLOCK_SUMS * VERIFY_BINS, sum);
    verify_binned_count(&data->normal, record + FIRST_ENTRY * VERIFY_BINS, first[0]);
    verify_binned_count(&data->normal, record + CORNER_ENTRY * VERIFY_BINS, first[d - 1]);
    verify_binned_count(&data->normal, record + LAST_ENTRY * VERIFY_BINS, last[d - 1]);
    verify_binned_count(&data->normal, record + LAST_FIRST * VERIFY_BINS, last[0]);
    if (d > 1) {
        verify_binned_count(&data->beta, record + DIRECTION * VERIFY_BINS, first[0] * first[0] / first2);
        verify_binned_count(&data->beta, record + LAST_DIRECTION * VERIFY_BINS, last[0] * last[0] / last2);
        verify_binned_count(&data->normal, record + (first2 > d ? AFTER_LONG : AFTER_SHORT) * VERIFY_BINS, last[0]);
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
            verify_binned_count(&data->chi2, record + LENGTHS * VERIFY_BINS, square);
            /* the same row again in the next block or the next draw */
            record[REPEATS] += r >= d && row[0] == row[-(ptrdiff_t)d * d] && d > 1;
            record[REPEATS] += t > 0 && row[0] == row[-(ptrdiff_t)m * d];
            record[REPEATS] += r > 0 && row[0] == row[-(ptrdiff_t)d];
        }
        for (uint32_t r = 0; r < m; r += d) {
            if (m - r >= d)
                block_of(data, w + (size_t)r * d, record);
            if (pool->kind != CLFAVOR_PROJECTION_IID && t < GRAM_TRIALS)
                gram_of(w + (size_t)r * d, m - r < d ? m - r : d, d,
                        pool->kind == CLFAVOR_PROJECTION_SIMPLEX ? -1.0 / (d - 1.0) : 0.0, record);
        }
        if (m > d) {
            verify_binned_count(&data->normal, record + BETWEEN_BLOCKS * VERIFY_BINS,
                                normal_product(w, w + (size_t)d * d, d));
            verify_binned_count(&data->normal, record + FIRST_TO_LAST * VERIFY_BINS, normal_product(last, w, d));
        }
        if (t % 2)
            verify_binned_count(&data->normal, record + BETWEEN_TRIALS * VERIFY_BINS,
                                normal_product(w, w - (size_t)m * d, d));
    }
    for (size_t i = 0; i < (size_t)pool->trials * m; ++i)
        verify_binned_count(&data->uniform, record + PHASES * VERIFY_BINS, phases[i]);
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
    double counts[VERIFY_BINS], trials = (double)pool->trials * job->blocks, share = run->share;
    bool fixed = pool->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
    bool simplex = pool->kind == CLFAVOR_PROJECTION_SIMPLEX;
    for (int test = 0; test < DKW_TESTS; ++test) {
        double total = 0.0;
        memset(counts, 0, sizeof counts);
        for (uint32_t b = 0; b < job->blocks; ++b)
            for (size_t i = 0; i < VERIFY_BINS; ++i) {
                counts[i] += records[b][(size_t)test * VERIFY_BINS + i];
                total += records[b][(size_t)test * VERIFY_BINS + i];
            }
        if (data->used[test])
            emit(run, job, dkw_names[test], "DKW", verify_dkw_statistic(counts, law_of(data, test)->cdf, VERIFY_BINS),
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
        /* an applied reflection errs by (d + 10) u, a row of Q passes d of them, two rows make a product; the mean of
         * d rows adds d u, and taking it off makes rows longer by at most sqrt(2) */
        emit(run, job, simplex ? "rows of a block have a cosine of -1/(d - 1)" : "rows of a block are orthogonal",
             "bound", gram, (simplex ? 2 * d * (d + 20) : d * (d + 10)) * DBL_EPSILON, 0.0,
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

/* Fixed norms leave directions only. In one dimension all rows and places are the first, and have no direction. */
static bool is_used(int test, const verify_pool *pool) {
    switch (test) {
    case DIRECTION:
    case LAST_DIRECTION:
        return pool->dim > 1;
    case BLOCK_SUMS:
    case CORNER_ENTRY:
    case LAST_ENTRY:
    case LAST_FIRST:
    case AFTER_LONG:
    case AFTER_SHORT:
        return pool->dim > 1 && pool->kind != CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
    case BETWEEN_BLOCKS:
    case FIRST_TO_LAST:
        return pool->m > pool->dim && pool->kind != CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
    default:
        return pool->kind != CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
    }
}

static void add_job(verify_run *run, const verify_pool *pool) {
    law_data *data = pool ? verify_new(run, 1, sizeof *data) : NULL;
    if (!data)
        return;
    uint32_t d = pool->dim;
    bool fixed = pool->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, iid = pool->kind == CLFAVOR_PROJECTION_IID;
    data->pool = pool;
    verify_binned_make(&data->normal, verify_normal_cdf, 1.0, -9.0, 9.0);
    verify_binned_make(&data->chi2, verify_chi2_cdf, d, 0.0, d + 40.0 * sqrt((double)d));
    verify_binned_make(&data->block, verify_chi2_cdf, (double)d * d, 0.0, (double)d * d + 40.0 * d);
    if (d > 1)
        verify_binned_make(&data->beta, verify_first_squared_cdf, d, 0.0, 1.0);
    verify_binned_make(&data->uniform, verify_uniform_cdf, 2.0 * acos(-1.0), 0.0, 7.0);
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
        data->used[test] = is_used(test, pool);
        job.tests += data->used[test];
    }
    snprintf(job.name, sizeof job.name, "%s", pool->name);
    verify_add_job(run, &job);
}

void verify_suite_law(verify_run *run) {
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM,
                                                    CLFAVOR_PROJECTION_SIMPLEX};
    static const uint32_t dims[] = {1, 2, 3, 6, 16, 64};
    for (size_t k = 0; k < 4; ++k)
        for (size_t i = 0; i < 6; ++i) {
            bool fixed = kinds[k] == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM;
            if (kinds[k] == CLFAVOR_PROJECTION_SIMPLEX && dims[i] != 3 && dims[i] != 6 && dims[i] != 16)
                continue; /* at d = 1 and 2 one row gives the others, and 64 tells nothing new */
            if (dims[i] >= 6)
                add_job(run, verify_pool_standard(run, dims[i], kinds[k]));
            else if (!fixed || dims[i] > 1)
                add_job(run, verify_pool_get(run, dims[i], kinds[k], 2 * dims[i] + dims[i] / 2, 2048));
        }
    for (size_t k = 0; k < 2; ++k)
        verify_add_lognormal(run, verify_pool_get(run, 6, kinds[k], 1, 4096));
}
