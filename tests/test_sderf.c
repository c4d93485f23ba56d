/* The estimator of clfavor_sderf_desc: its special cases, its mean, what it refuses. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "linalg.h"

#define D 6

static clfavor_projection *projection_of(clfavor_projection_kind kind, uint32_t m, uint32_t d, uint32_t sets) {
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .kind = kind, .features = m, .dim = d, .sets = sets, .seed = 41};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create(&projection, &desc), CLFAVOR_SUCCESS);
    return projection;
}

/* Parameters of `sets` sets: T upper triangular and its inverse transposed, which is found column by column. */
typedef struct parameters {
    double xbar[3 * D], ybar[3 * D], tq[3 * D * D], tk[3 * D * D], a[3 * D];
} parameters;

static void fill(parameters *p, uint64_t seed, double low_a, double high_a) {
    for (size_t i = 0; i < 3 * D; ++i) {
        p->xbar[i] = 0.3 * test_normal(seed, i);
        p->ybar[i] = 0.3 * test_normal(seed + 1, i);
        p->a[i] = low_a + (high_a - low_a) * test_uniform(seed + 2, i);
    }
    for (size_t set = 0; set < 3; ++set) {
        double *t = p->tq + set * D * D, *inverse = p->tk + set * D * D;
        for (size_t i = 0; i < D; ++i)
            for (size_t j = 0; j < D; ++j)
                t[i * D + j] = i == j  ? 0.8 + 0.4 * test_uniform(seed + 3, set * D + i)
                               : j > i ? 0.2 * test_normal(seed + 4, (set * D + i) * D + j)
                                       : 0;
        /* K' T = I with K lower triangular: solve T' K = I forwards */
        for (size_t column = 0; column < D; ++column)
            for (size_t i = 0; i < D; ++i) {
                double sum = i == column;
                for (size_t j = 0; j < i; ++j)
                    sum -= t[j * D + i] * inverse[j * D + column];
                inverse[i * D + column] = sum / t[i * D + i];
            }
    }
}

static clfavor_sderf_desc desc_of(const parameters *p, const clfavor_projection *projection, uint32_t sets) {
    return (clfavor_sderf_desc){.struct_size = sizeof(clfavor_sderf_desc),
                                .projection = projection,
                                .sets = sets,
                                .scale = 0.4,
                                .xbar = p->xbar,
                                .ybar = p->ybar,
                                .tq = p->tq,
                                .tk = p->tk,
                                .a = p->a};
}

static clfavor_estimator *make(const clfavor_sderf_desc *desc) {
    clfavor_estimator *estimator;
    ck_assert_int_eq(clfavor_estimator_create_sderf(&estimator, desc), CLFAVOR_SUCCESS);
    return estimator;
}

/* The mean of the product of features over the rows is exp(q.k scale), within 5 standard errors, in every set. A far
 * heavier tail than A < 1/8 allows would make the error estimate useless: A from -0.3 to 0.02. */
START_TEST(estimates_the_softmax_kernel) {
    enum { M = 65536 };
    parameters p;
    fill(&p, 100 + 10 * (uint64_t)_i, -0.3, 0.02);
    clfavor_projection *projection = projection_of(CLFAVOR_PROJECTION_IID, M, D, _i % 2 ? 3 : 1);
    clfavor_sderf_desc desc = desc_of(&p, projection, 3);
    clfavor_estimator *estimator = make(&desc);
    double *logs[2] = {test_alloc(M, sizeof(double)), test_alloc(M, sizeof(double))},
           *sign = test_alloc(M, sizeof(double)), x[2][D], exponent = 0;
    for (size_t l = 0; l < D; ++l) {
        x[0][l] = 0.5 * test_normal(201 + (uint64_t)_i, l);
        x[1][l] = 0.5 * test_normal(301 + (uint64_t)_i, l);
        exponent += 0.4 * x[0][l] * x[1][l];
    }
    for (uint32_t set = 0; set < 3; ++set) {
        for (int side = 0; side < 2; ++side)
            ck_assert_int_eq(clfavor_reference_features(estimator, set, side, x[side], logs[side], sign),
                             CLFAVOR_SUCCESS);
        double sum = 0, squares = 0;
        for (size_t r = 0; r < M; ++r) {
            double product = M * exp(logs[0][r] + logs[1][r]); /* phi includes 1/sqrt(m) */
            sum += product;
            squares += product * product;
        }
        double mean = sum / M, error = sqrt((squares / M - mean * mean) / M);
        ck_assert_msg(fabs(mean - exp(exponent)) <= 5 * error, "set %u: the mean is %g +- %g, not %g", set, mean, error,
                      exp(exponent));
        ck_assert_double_lt(error, 0.05 * mean); /* or the test would say nothing */
    }
    clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    free(logs[0]);
    free(logs[1]);
    free(sign);
}
END_TEST

static void expect_features(const clfavor_estimator *estimator, int key, const double *x, const double *expected,
                            size_t m) {
    double *logs = test_alloc(m, sizeof *logs), *sign = test_alloc(m, sizeof *sign);
    ck_assert_int_eq(clfavor_reference_features(estimator, 0, key, x, logs, sign), CLFAVOR_SUCCESS);
    for (size_t r = 0; r < m; ++r)
        ck_assert_msg(fabs(logs[r] - expected[r]) <= 1e-13 * (1 + fabs(expected[r])), "row %zu: %.17g, not %.17g", r,
                      logs[r], expected[r]);
    free(logs);
    free(sign);
}

/* The published formulas, feature by feature. */
START_TEST(special_cases) {
    enum { M = 40 };
    clfavor_projection *projection = projection_of(CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, M, D, 1);
    const double *w = clfavor_projection_data(projection);
    double xbar[D], ybar[D], a[D], x[2][D], expected[M], root = pow(D, -0.25), norm = -0.5 * log(M);
    for (size_t l = 0; l < D; ++l) {
        xbar[l] = test_normal(1, l);
        ybar[l] = test_normal(2, l);
        x[0][l] = test_normal(3, l);
        x[1][l] = test_normal(4, l);
        a[l] = -0.7;
    }
    for (int side = 0; side < 2; ++side) {
        double square = 0, centred = 0, linear = 0;
        for (size_t l = 0; l < D; ++l) {
            double y = x[side][l] * root, own = side ? ybar[l] : xbar[l], other = side ? xbar[l] : ybar[l];
            square += y * y;
            centred += (y - own) * (y - own);
            linear += (y - own) * other + (side ? 0 : xbar[l] * ybar[l]);
        }
        clfavor_sderf_desc plain = {.struct_size = sizeof plain, .projection = projection}, oprf = plain, shift = plain;
        oprf.a = a;
        shift.xbar = xbar;
        shift.ybar = ybar;
        clfavor_estimator *estimators[] = {make(&plain), make(&oprf), make(&shift)};
        for (int which = 0; which < 3; ++which) {
            for (size_t r = 0; r < M; ++r) {
                double dot = 0, length = 0, at_centre = 0;
                for (size_t l = 0; l < D; ++l) {
                    dot += w[r * D + l] * x[side][l] * root;
                    length += w[r * D + l] * w[r * D + l];
                    at_centre += w[r * D + l] * (side ? ybar[l] : xbar[l]);
                }
                const double formulas[] = {dot - square / 2,
                                           /* (1 - 4A)^(d/4) exp(A |w|^2 + sqrt(1 - 4A) w.x - |x|^2/2) */
                                           D / 4.0 * log(1 + 2.8) - 0.7 * length + sqrt(1 + 2.8) * dot - square / 2,
                                           dot - at_centre - centred / 2 + linear};
                expected[r] = formulas[which] + norm;
            }
            expect_features(estimators[which], side, x[side], expected, M);
            clfavor_estimator_destroy(estimators[which]);
        }
    }
    clfavor_projection_destroy(projection);
}
END_TEST

START_TEST(refusals) {
    parameters p;
    fill(&p, 7, -0.3, 0.1);
    clfavor_projection *projection = projection_of(CLFAVOR_PROJECTION_ORTHOGONAL, 8, D, 2),
                       *fixed = projection_of(CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM, 8, D, 1);
    clfavor_estimator *estimator = (clfavor_estimator *)&p;
    ck_assert_int_eq(clfavor_estimator_create_sderf(NULL, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_estimator_create_sderf(&estimator, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(estimator);
#define REFUSED(change, status)                                                                                        \
    do {                                                                                                               \
        fill(&p, 7, -0.3, 0.1);                                                                                        \
        clfavor_sderf_desc desc = desc_of(&p, projection, 2);                                                          \
        change;                                                                                                        \
        ck_assert_int_eq(clfavor_estimator_create_sderf(&estimator, &desc), status);                                   \
        ck_assert_ptr_null(estimator);                                                                                 \
    } while (0)
    REFUSED(desc.projection = NULL, CLFAVOR_INVALID_ARGUMENT);
    REFUSED(desc.projection = fixed, CLFAVOR_UNSUPPORTED);
    REFUSED(desc.tk = NULL, CLFAVOR_INVALID_ARGUMENT);
    REFUSED(desc.sets = 3, CLFAVOR_INVALID_SHAPE);
    REFUSED(desc.scale = -1, CLFAVOR_INVALID_ARGUMENT);
    REFUSED(desc.scale = NAN, CLFAVOR_NOT_FINITE);
    REFUSED(p.a[D + 1] = 0.125, CLFAVOR_INVALID_ARGUMENT);
    REFUSED(p.a[D + 1] = NAN, CLFAVOR_NOT_FINITE);
    REFUSED(p.a[D + 1] = -INFINITY, CLFAVOR_NOT_FINITE);
    REFUSED(p.tk[D * D] += 1e-5, CLFAVOR_INVALID_ARGUMENT);
    REFUSED(p.tq[3] = INFINITY, CLFAVOR_NOT_FINITE);
    REFUSED(p.xbar[2] = NAN, CLFAVOR_NOT_FINITE);
    clfavor_projection_destroy(projection);
    clfavor_projection_destroy(fixed);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sderf");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, estimates_the_softmax_kernel, 0, 4);
    tcase_add_test(tcase, special_cases);
    tcase_add_test(tcase, refusals);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
