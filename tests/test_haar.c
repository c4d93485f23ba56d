/* Orthogonal blocks against an independent orthogonalisation of the same normals. The sign-fixed Q of a QR is unique,
 * so this sees a missing sign fix, one on the wrong side and a transposed Q, which no test of the law of the rows does.
 */
#include "support.h"

#include "haar.h"
#include "oracle.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7u

static const uint32_t dims[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 64, 96, 255, 256};
#define DIMS       (int)(sizeof dims / sizeof *dims)
#define MANY_SIGNS 7 /* from here on, d >= 15, all signs are not right by chance */

/* Freed by the caller. */
static double *block_normals(uint64_t seed, uint32_t set, uint32_t block, uint32_t dim) {
    double *normals = test_alloc((size_t)dim * dim, sizeof *normals);
    verify_block_normals(seed, set, block, dim, normals);
    return normals;
}

static void orthogonalise(double *rows, uint32_t count, uint32_t dim, double length) {
    void *scratch = test_alloc(1, clfavor_haar_scratch(dim));
    memset(scratch, 0xff, clfavor_haar_scratch(dim)); /* NaNs: what is read must have been written */
    clfavor_haar_rows(rows, count, dim, length, scratch);
    free(scratch);
}

static double norm(const double *row, uint32_t dim) {
    double value = 0;
    for (uint32_t l = 0; l < dim; ++l)
        value += row[l] * row[l];
    return sqrt(value);
}

static double *copy(const double *rows, uint32_t dim) {
    size_t count = (size_t)dim * dim;
    return memcpy(test_alloc(count, sizeof *rows), rows, count * sizeof *rows);
}

/* The largest |a - b| in units of what is allowed. Householder's Q is that of a matrix within 4 d eps |G| of G, which
 * moves the unit rows of Q by up to that times the condition number. */
static double distance(const double *a, const double *b, uint32_t dim, double condition) {
    double worst = 0;
    for (uint32_t i = 0; i < dim; ++i) {
        double allowed = 4 * dim * DBL_EPSILON * condition * norm(b + (size_t)i * dim, dim);
        for (uint32_t l = 0; l < dim; ++l)
            worst = fmax(worst, fabs(a[(size_t)i * dim + l] - b[(size_t)i * dim + l]) / allowed);
    }
    return worst;
}

START_TEST(equals_gram_schmidt) {
    uint32_t dim = dims[_i];
    for (uint32_t block = 0; block < (dim < 100 ? 20 : 1); ++block) {
        double *normals = block_normals(SEED, 0, block, dim);
        double *oracle = copy(normals, dim), *own = copy(normals, dim);
        double condition = verify_gram_schmidt(oracle, dim);
        orthogonalise(own, dim, dim, 0);
        ck_assert_double_le(distance(own, oracle, dim, condition), 1);
        free(normals);
        free(oracle);
        free(own);
    }
}
END_TEST

/* The same of a whole projection, its normals drawn by the promised counters: every block and set has its own. */
START_TEST(projection_is_gram_schmidt_of_its_normals) {
    enum { D = 5, BLOCKS = 3, SETS = 2 };
    const clfavor_projection_desc desc = {.struct_size = sizeof desc,
                                          .kind = CLFAVOR_PROJECTION_ORTHOGONAL,
                                          .features = D * BLOCKS,
                                          .dim = D,
                                          .sets = SETS,
                                          .seed = 0x0123456789abcdefu};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    const double *w = clfavor_projection_data(projection);
    for (uint32_t set = 0; set < SETS; ++set)
        for (uint32_t block = 0; block < BLOCKS; ++block, w += D * D) {
            double *oracle = block_normals(desc.seed, set, block, D);
            double condition = verify_gram_schmidt(oracle, D);
            ck_assert_double_le(distance(w, oracle, D, condition), 1);
            free(oracle);
        }
    clfavor_projection_destroy(projection);
}
END_TEST

/* The mistakes that the oracle is there for. */
START_TEST(oracle_sees_wrong_signs_and_a_transpose) {
    uint32_t dim = dims[_i];
    double *normals = block_normals(SEED, 0, 0, dim);
    double *oracle = copy(normals, dim), *unfixed = copy(normals, dim);
    double condition = verify_gram_schmidt(oracle, dim);
    ck_assert(verify_qr_without_sign_fix(unfixed, dim));
    ck_assert_double_gt(distance(unfixed, oracle, dim, condition), 1e3);
    /* Apart from the signs it is the same. */
    for (size_t i = 0; i < (size_t)dim * dim; ++i)
        unfixed[i] = copysign(unfixed[i], oracle[i]);
    ck_assert_double_le(distance(unfixed, oracle, dim, condition), 1);
    if (dim > 1) {
        double *unit = copy(normals, dim), *transposed = copy(normals, dim);
        orthogonalise(unit, dim, dim, 1);
        for (uint32_t i = 0; i < dim; ++i)
            for (uint32_t l = 0; l < dim; ++l)
                transposed[(size_t)i * dim + l] = unit[(size_t)l * dim + i] * norm(normals + (size_t)i * dim, dim);
        ck_assert_double_gt(distance(transposed, oracle, dim, condition), 1e3);
        free(unit);
        free(transposed);
    }
    free(normals);
    free(oracle);
    free(unfixed);
}
END_TEST

/* An applied reflection errs by at most (d + 10) u, a row of Q passes through d of them, and two rows make a product:
 * 2 d (d + 10) u, u = eps / 2. */
START_TEST(rows_are_orthonormal) {
    uint32_t dim = dims[_i];
    double bound = dim * (dim + 10) * DBL_EPSILON;
    double *rows = block_normals(SEED, 3, 1, dim);
    orthogonalise(rows, dim, dim, 1);
    for (uint32_t i = 0; i < dim; ++i)
        for (uint32_t j = 0; j <= i; ++j) {
            double product = 0;
            for (uint32_t l = 0; l < dim; ++l)
                product += rows[(size_t)i * dim + l] * rows[(size_t)j * dim + l];
            ck_assert_double_le(fabs(product - (i == j)), bound);
        }
    free(rows);
}
END_TEST

START_TEST(row_depends_on_those_before_only) {
    uint32_t dim = dims[_i];
    double *normals = block_normals(SEED, 0, 0, dim), *whole = copy(normals, dim);
    orthogonalise(whole, dim, dim, 0);
    for (uint32_t count = 1; count < dim; count += 1 + dim / 9) {
        double *part = copy(normals, dim);
        for (size_t i = (size_t)count * dim; i < (size_t)dim * dim; ++i)
            part[i] = NAN;
        orthogonalise(part, count, dim, 0);
        ck_assert_mem_eq(part, whole, count * dim * sizeof *part);
        free(part);
    }
    free(normals);
    free(whole);
}
END_TEST

/* Probability zero, but no NaN should come of it. */
START_TEST(dependent_rows_stay_finite) {
    enum { DIM = 6 };
    double rows[DIM * DIM] = {0};
    for (int i = 0; i < DIM; ++i)
        rows[i * DIM] = i % 2; /* zero rows and equal rows */
    orthogonalise(rows, DIM, DIM, 2);
    for (int i = 0; i < DIM; ++i)
        ck_assert_double_eq_tol(norm(rows + (ptrdiff_t)i * DIM, DIM), 2, 1e-14);
    double zero = 0;
    orthogonalise(&zero, 1, 1, 0);
    ck_assert_double_eq(zero, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("haar");
    TCase *tcase = tcase_create("haar");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, equals_gram_schmidt, 0, DIMS);
    tcase_add_test(tcase, projection_is_gram_schmidt_of_its_normals);
    tcase_add_loop_test(tcase, oracle_sees_wrong_signs_and_a_transpose, MANY_SIGNS, DIMS);
    tcase_add_loop_test(tcase, rows_are_orthonormal, 0, DIMS);
    tcase_add_loop_test(tcase, row_depends_on_those_before_only, 0, DIMS);
    tcase_add_test(tcase, dependent_rows_stay_finite);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
