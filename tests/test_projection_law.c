/* The law of W by exact finite-sample tests, each shown to fail on a projection with the mistake it is there for. */
#include "support.h"
#include "oracle.h"
#include "support_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "laws.h"

#define SEED   11u
#define ALPHA  1e-7 /* of each check: about 520 checks, so 6e-5 over all seeds; this seed is fixed */
#define BLOCKS 4000u

static const uint32_t dims[] = {1, 2, 3, 6, 15};
#define DIMS (int)(sizeof dims / sizeof *dims)

/* W of many blocks: [BLOCKS, d, d]. */
typedef struct pool {
    uint32_t dim;
    double *w;
} pool;

static pool draw(clfavor_projection_kind kind, uint32_t dim) {
    const clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .kind = kind, .features = BLOCKS / 4 * dim, .dim = dim, .sets = 4, .seed = SEED};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    pool p = {dim, test_alloc((size_t)BLOCKS * dim * dim, sizeof(double))};
    memcpy(p.w, clfavor_projection_data(projection), (size_t)BLOCKS * dim * dim * sizeof(double));
    clfavor_projection_destroy(projection);
    return p;
}

static const double *row(const pool *p, uint32_t block, uint32_t i) {
    return p->w + ((size_t)block * p->dim + i) * p->dim;
}

static double inner(const double *a, const double *b, uint32_t dim) {
    double value = 0;
    for (uint32_t l = 0; l < dim; ++l)
        value += a[l] * b[l];
    return value;
}

/* The sum of all w^2: the scale of W. */
static bool scale_accepts(const pool *p) {
    size_t count = (size_t)BLOCKS * p->dim * p->dim;
    double sum = 0;
    for (size_t i = 0; i < count; ++i)
        sum += p->w[i] * p->w[i];
    return verify_chi2_statistic(sum, (double)count) <= verify_two_sided_threshold(ALPHA);
}

/* |row|^2 over all rows, which have independent lengths. */
static bool lengths_accept(const pool *p) {
    size_t count = (size_t)BLOCKS * p->dim;
    double *values = test_alloc(count, sizeof *values);
    for (size_t i = 0; i < count; ++i)
        values[i] = inner(p->w + i * p->dim, p->w + i * p->dim, p->dim);
    bool accepted = stats_law_accepts(values, count, verify_chi2_cdf, p->dim, ALPHA);
    free(values);
    return accepted;
}

/* The sum of squares of a block: lengths within a block are independent of each other. */
static bool block_sums_accept(const pool *p) {
    double *values = test_alloc(BLOCKS, sizeof *values);
    for (uint32_t b = 0; b < BLOCKS; ++b)
        values[b] = inner(row(p, b, 0), row(p, b, 0), p->dim * p->dim);
    bool accepted = stats_law_accepts(values, BLOCKS, verify_chi2_cdf, (double)p->dim * p->dim, ALPHA);
    free(values);
    return accepted;
}

/* One entry per block: for a fixed place they are independent. */
static bool entries_accept(const pool *p, uint32_t i, uint32_t l) {
    double *values = test_alloc(BLOCKS, sizeof *values);
    for (uint32_t b = 0; b < BLOCKS; ++b)
        values[b] = row(p, b, i)[l];
    bool accepted = stats_law_accepts(values, BLOCKS, verify_normal_cdf, 1, ALPHA);
    free(values);
    return accepted;
}

/* E w_ii = 0 for every i: the mean of BLOCKS independent normals. */
static bool diagonal_accepts(const pool *p) {
    for (uint32_t i = 0; i < p->dim; ++i) {
        double sum = 0;
        for (uint32_t b = 0; b < BLOCKS; ++b)
            sum += row(p, b, i)[i];
        if (!(verify_normal_statistic(sum / sqrt(BLOCKS)) <= verify_log_threshold(ALPHA / p->dim)))
            return false;
    }
    return true;
}

/* a.b / |a| is standard normal for independent rows: row i of blocks 2k and 2k + 1. */
static bool independence_accepts(const pool *p, uint32_t i) {
    double *values = test_alloc(BLOCKS / 2, sizeof *values);
    for (uint32_t b = 0; b < BLOCKS / 2; ++b) {
        const double *x = row(p, 2 * b, i), *y = row(p, 2 * b + 1, i);
        values[b] = inner(x, y, p->dim) / sqrt(inner(x, x, p->dim));
    }
    bool accepted = stats_law_accepts(values, BLOCKS / 2, verify_normal_cdf, 1, ALPHA);
    free(values);
    return accepted;
}

/* The squared first coordinate of the direction of row i. */
static bool directions_accept(const pool *p, uint32_t i) {
    double *values = test_alloc(BLOCKS, sizeof *values);
    for (uint32_t b = 0; b < BLOCKS; ++b) {
        const double *x = row(p, b, i);
        values[b] = x[0] * x[0] / inner(x, x, p->dim);
    }
    bool accepted = stats_law_accepts(values, BLOCKS, verify_first_squared_cdf, p->dim, ALPHA);
    free(values);
    return accepted;
}

/* The last row stays N(0, I) among the blocks whose first row is long, and among the others: lengths tell nothing about
 * directions, though both come from the same normals. */
static bool strata_accept(const pool *p, bool longer) {
    double *values = test_alloc(BLOCKS, sizeof *values);
    size_t count = 0;
    for (uint32_t b = 0; b < BLOCKS; ++b)
        if ((inner(row(p, b, 0), row(p, b, 0), p->dim) > p->dim) == longer)
            values[count++] = row(p, b, p->dim - 1)[0];
    bool accepted = stats_law_accepts(values, count, verify_normal_cdf, 1, ALPHA);
    free(values);
    return accepted;
}

static void check_law(clfavor_projection_kind kind, uint32_t dim) {
    pool p = draw(kind, dim);
    uint32_t last = dim - 1;
    ck_assert(scale_accepts(&p));
    ck_assert(lengths_accept(&p));
    ck_assert(block_sums_accept(&p));
    ck_assert(diagonal_accepts(&p));
    for (uint32_t i = 0; i < dim; ++i) {
        ck_assert(entries_accept(&p, i, 0));
        ck_assert(entries_accept(&p, i, last - i));
        ck_assert(entries_accept(&p, i, last));
        ck_assert(independence_accepts(&p, i));
        ck_assert(dim == 1 || directions_accept(&p, i));
    }
    ck_assert(dim == 1 || strata_accept(&p, false));
    ck_assert(dim == 1 || strata_accept(&p, true));
    free(p.w);
}

START_TEST(iid_rows_are_normal) {
    check_law(CLFAVOR_PROJECTION_IID, dims[_i]);
}
END_TEST

START_TEST(orthogonal_rows_are_normal) {
    check_law(CLFAVOR_PROJECTION_ORTHOGONAL, dims[_i]);
}
END_TEST

START_TEST(simplex_rows_are_normal) {
    check_law(CLFAVOR_PROJECTION_SIMPLEX, dims[_i]);
}
END_TEST

START_TEST(fixed_norm_directions_are_uniform) {
    uint32_t dim = dims[_i + 1];
    pool p = draw(CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, dim);
    for (uint32_t i = 0; i < dim; ++i)
        ck_assert(directions_accept(&p, i));
    ck_assert(!lengths_accept(&p)); /* the bias that its name warns of */
    ck_assert(!block_sums_accept(&p));
    free(p.w);
}
END_TEST

/* --- mistakes that must be seen --- */

START_TEST(missing_sign_fix_is_seen) {
    pool p = draw(CLFAVOR_PROJECTION_IID, 6);
    for (uint32_t b = 0; b < BLOCKS; ++b)
        ck_assert(verify_qr_without_sign_fix(p.w + (size_t)b * 36, 6));
    ck_assert(!diagonal_accepts(&p));
    ck_assert(!entries_accept(&p, 0, 0));
    ck_assert(lengths_accept(&p)); /* nothing but the signs is wrong */
    ck_assert(directions_accept(&p, 3));
    free(p.w);
}
END_TEST

START_TEST(wrong_scale_is_seen) {
    pool p = draw(CLFAVOR_PROJECTION_IID, 6);
    for (size_t i = 0; i < (size_t)BLOCKS * 36; ++i)
        p.w[i] *= 1.02;
    ck_assert(!scale_accepts(&p));
    ck_assert(!lengths_accept(&p));
    free(p.w);
}
END_TEST

START_TEST(blocks_of_one_seed_are_seen) {
    pool p = draw(CLFAVOR_PROJECTION_ORTHOGONAL, 6);
    for (uint32_t b = 0; b < BLOCKS; b += 2)
        memcpy(p.w + (size_t)(b + 1) * 36, p.w + (size_t)b * 36, 36 * sizeof *p.w);
    ck_assert(!independence_accepts(&p, 0));
    free(p.w);
}
END_TEST

/* A row that knows the length of another; and directions that prefer an axis. */
START_TEST(dependence_on_length_is_seen) {
    pool p = draw(CLFAVOR_PROJECTION_ORTHOGONAL, 6);
    for (uint32_t b = 0; b < BLOCKS; ++b) {
        double *first = p.w + (size_t)b * 36, *last = first + 30;
        last[0] = copysign(last[0], inner(first, first, 6) - 6);
        first[1] *= 1.5;
    }
    ck_assert(!strata_accept(&p, false));
    ck_assert(!strata_accept(&p, true));
    ck_assert(!directions_accept(&p, 0));
    free(p.w);
}
END_TEST

START_TEST(phases_are_uniform) {
    const clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .features = 65536, .dim = 1, .sets = 3, .seed = SEED};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    const size_t count = 3 * 65536;
    const double *phases = clfavor_projection_phases(projection);
    const double two_pi = 6.283185307179586;
    double *values = memcpy(test_alloc(count, sizeof *values), phases, count * sizeof *values);
    ck_assert(stats_law_accepts(values, count, verify_uniform_cdf, two_pi, ALPHA));
    ck_assert_double_ge(values[0], 0); /* sorted now */
    ck_assert_double_lt(values[count - 1], two_pi);
    ck_assert(!stats_law_accepts(values, count, verify_uniform_cdf, 1.02 * two_pi, ALPHA));
    free(values);
    clfavor_projection_destroy(projection);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("projection_law");
    TCase *tcase = tcase_create("projection_law");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, iid_rows_are_normal, 0, DIMS);
    tcase_add_loop_test(tcase, orthogonal_rows_are_normal, 0, DIMS);
    tcase_add_loop_test(tcase, simplex_rows_are_normal, 0, DIMS);
    tcase_add_loop_test(tcase, fixed_norm_directions_are_uniform, 0, DIMS - 1);
    tcase_add_test(tcase, missing_sign_fix_is_seen);
    tcase_add_test(tcase, wrong_scale_is_seen);
    tcase_add_test(tcase, blocks_of_one_seed_are_seen);
    tcase_add_test(tcase, dependence_on_length_is_seen);
    tcase_add_test(tcase, phases_are_uniform);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
