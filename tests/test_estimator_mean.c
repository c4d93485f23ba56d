/* What estimators estimate, without chance: the general one filled with plain values, its mean by quadrature, and the
 * cases where the product does not depend on W. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925286766559

enum { M = 3, D = 4, SETS = 2 };

static clfavor_projection *make_projection(double *w, double *phases) {
    for (size_t i = 0; i < SETS * M * D; ++i)
        w[i] = test_normal(1, i);
    for (size_t i = 0; i < SETS * M; ++i)
        phases[i] = TWO_PI * test_uniform(2, i);
    clfavor_projection_desc desc = {.struct_size = sizeof desc, .features = M, .dim = D, .sets = SETS};
    clfavor_projection *projection;
    ck_assert_int_eq(clfavor_projection_create_from_data(&projection, &desc, w, phases), CLFAVOR_SUCCESS);
    return projection;
}

/* log |phi| of both, within eps times the d additions of a projection row, the d of a square and a handful of other
 * roundings, at most at the magnitude |w||x| + |x|^2 + log m < 32. */
START_TEST(general_filled_with_plain_values_is_plain) {
    double w[SETS * M * D], phases[SETS * M], x[D], identity[SETS * D * D] = {0}, zeros[SETS * M * D] = {0};
    double plain[M], filled[M], sign[M];
    clfavor_projection *projection = make_projection(w, phases);
    for (size_t i = 0; i < SETS * D; ++i)
        identity[i * D + i % D] = 1;
    clfavor_estimator_desc desc = {.struct_size = sizeof desc, .projection = projection};
    clfavor_exponential_desc all = {.struct_size = sizeof all,
                                    .features = M,
                                    .dim = D,
                                    .sets = SETS,
                                    .wq = w,
                                    .wk = w,
                                    .bq = zeros,
                                    .bk = zeros,
                                    .tq = identity,
                                    .tk = identity,
                                    .x0 = zeros,
                                    .y0 = zeros,
                                    .uq = zeros,
                                    .uk = zeros,
                                    .aq = zeros,
                                    .ak = zeros};
    clfavor_exponential_desc few = {.struct_size = sizeof few, .features = M, .dim = D, .sets = SETS, .wq = w};
    clfavor_estimator *named, *filled_in[2];
    ck_assert_int_eq(clfavor_estimator_create(&named, &desc), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_estimator_create_exponential(&filled_in[0], &all), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_estimator_create_exponential(&filled_in[1], &few), CLFAVOR_SUCCESS);
    for (size_t l = 0; l < D; ++l)
        x[l] = test_normal(3, l);
    for (uint32_t set = 0; set < SETS; ++set)
        for (int key = 0; key < 2; ++key)
            for (size_t g = 0; g < 2; ++g) {
                ck_assert_int_eq(clfavor_reference_features(named, set, key, x, plain, sign), CLFAVOR_SUCCESS);
                ck_assert_int_eq(clfavor_reference_features(filled_in[g], set, key, x, filled, sign), CLFAVOR_SUCCESS);
                for (size_t r = 0; r < M; ++r) {
                    ck_assert_double_eq_tol(filled[r], plain[r], (2 * D + 8) * 32 * DBL_EPSILON);
                    ck_assert_double_eq(sign[r], 1);
                }
            }
    clfavor_estimator_destroy(named);
    clfavor_estimator_destroy(filled_in[0]);
    clfavor_estimator_destroy(filled_in[1]);
    clfavor_projection_destroy(projection);
}
END_TEST

/* The mean of the general estimator in two dimensions, without chance: the rows of W are a grid of step H on
 * [-LIMIT, LIMIT]^2 and the weights H^2 exp(-|w|^2/2)/2 pi go into b, so that A is the trapezoid rule for E A. Its
 * integrand is a Gaussian of variance s2 = 1/(1 - 4A), from 0.38 to 1.32, with its peak within 4 of 0: the rule's
 * relative error is below 4 exp(-2 pi^2 s2/H^2) = 1e-51 and the tail beyond LIMIT below exp(-12^2/2 s2) = 1e-23.
 * Rounding remains: exponents up to LIMIT^2, each rounded some 16 times, and a sum of GRID features. */
enum { STEPS = 64, SIDE = 2 * STEPS + 1, GRID = SIDE * SIDE };
static const double LIMIT = 16.0;

typedef struct fitted {
    double wq[GRID * 2], wk[GRID * 2], bq[GRID], bk[GRID], tq[4], tk[4], x0[2], y0[2], u[2], v[2], a[1];
} fitted;

/* Theory section 6, step 5: OPRF with a different A for each axis, key shift and balancing by Tq = P, Tk = P^-T. */
static void fit(fitted *f) {
    static const double A[2] = {-0.4, 0.06}, p[4] = {1.2, 0.3, -0.5, 0.9}, xbar[2] = {0.3, -0.2}, ybar[2] = {-0.5, 0.4};
    double det = p[0] * p[3] - p[1] * p[2], h = LIMIT / STEPS;
    memcpy(f->tq, p, sizeof p);
    memcpy(f->tk, (double[]){p[3] / det, -p[2] / det, -p[1] / det, p[0] / det}, sizeof f->tk);
    memcpy(f->x0, xbar, sizeof xbar);
    memcpy(f->y0, ybar, sizeof ybar);
    memcpy(f->u, ybar, sizeof ybar);
    memcpy(f->v, xbar, sizeof xbar);
    f->a[0] = xbar[0] * ybar[0] + xbar[1] * ybar[1];
    for (size_t r = 0; r < GRID; ++r) {
        const double w[2] = {h * ((double)(r / SIDE) - STEPS), h * ((double)(r % SIDE) - STEPS)};
        double weight = log((double)GRID * h * h / TWO_PI) - (w[0] * w[0] + w[1] * w[1]) / 2;
        f->bq[r] = f->bk[r] = weight / 2;
        for (size_t l = 0; l < 2; ++l) {
            double log_weight = A[l] * w[l] * w[l] + log(1 - 4 * A[l]) / 4;
            f->bq[r] += log_weight;
            f->bk[r] += log_weight;
        }
        for (size_t j = 0; j < 2; ++j) {
            f->wq[2 * r + j] = w[0] * sqrt(1 - 4 * A[0]) * f->tq[j] + w[1] * sqrt(1 - 4 * A[1]) * f->tq[2 + j];
            f->wk[2 * r + j] = w[0] * sqrt(1 - 4 * A[0]) * f->tk[j] + w[1] * sqrt(1 - 4 * A[1]) * f->tk[2 + j];
            f->bq[r] -= f->wq[2 * r + j] * xbar[j];
            f->bk[r] -= f->wk[2 * r + j] * ybar[j];
        }
    }
}

static double log_mean(const fitted *f, const double *q, const double *k, double scale) {
    clfavor_exponential_desc desc = {.struct_size = sizeof desc,
                                     .features = GRID,
                                     .dim = 2,
                                     .scale = scale,
                                     .wq = f->wq,
                                     .wk = f->wk,
                                     .bq = f->bq,
                                     .bk = f->bk,
                                     .tq = f->tq,
                                     .tk = f->tk,
                                     .x0 = f->x0,
                                     .y0 = f->y0,
                                     .uq = f->u,
                                     .uk = f->v,
                                     .aq = f->a};
    double lse;
    clfavor_reference_args args = {.struct_size = sizeof args, .n = 1, .dim = 2, .q = q, .k = k, .v = k, .lse = &lse};
    clfavor_estimator *e;
    ck_assert_int_eq(clfavor_estimator_create_exponential(&e, &desc), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(e);
    return lse;
}

START_TEST(general_estimator_keeps_the_mean) {
    static const double q[][2] = {{1, 0.5}, {-0.7, 1.1}, {0, 0}}, k[][2] = {{0.8, -1.2}, {0.2, 0.9}, {1, 1}};
    const double tolerance = (16 * LIMIT * LIMIT + GRID) * DBL_EPSILON, scale = 0.8;
    fitted *f = test_alloc(1, sizeof *f);
    fit(f);
    for (size_t i = 0; i < 3; ++i)
        ck_assert_double_eq_tol(log_mean(f, q[i], k[i], scale), scale * (q[i][0] * k[i][0] + q[i][1] * k[i][1]),
                                tolerance);
    /* the check sees a transposed T, a shift of one side only and a lost constant */
    const double right = log_mean(f, q[0], k[0], scale);
    double t = f->tq[1];
    f->tq[1] = f->tq[2];
    f->tq[2] = t;
    ck_assert_double_ge(fabs(log_mean(f, q[0], k[0], scale) - right), 1e-3);
    fit(f);
    f->u[0] = 0;
    ck_assert_double_ge(fabs(log_mean(f, q[0], k[0], scale) - right), 1e-3);
    fit(f);
    f->a[0] = 0;
    ck_assert_double_ge(fabs(log_mean(f, q[0], k[0], scale) - right), 1e-3);
    free(f);
}
END_TEST

/* At y = -x the positive product is exp(-|x|^2) for every w (docs/theory.md, section 1), so a wrong scale, a missing
 * half or a missing 1/m shows with any W. Hyperbolic is the same, twice. */
START_TEST(opposite_tokens_are_deterministic) {
    double w[SETS * M * D], phases[SETS * M], q[SETS * D], k[D], lse[SETS], square = 0;
    clfavor_projection *projection = make_projection(w, phases);
    for (size_t l = 0; l < D; ++l) {
        q[l] = q[D + l] = test_normal(4, l); /* one head for each parameter set */
        k[l] = -q[l];
        square += q[l] * q[l];
    }
    static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE, CLFAVOR_MAP_HYPERBOLIC};
    for (size_t i = 0; i < 2; ++i) {
        clfavor_estimator_desc desc = {
            .struct_size = sizeof desc, .map = maps[i], .projection = projection, .scale = 0.3};
        clfavor_estimator *e;
        ck_assert_int_eq(clfavor_estimator_create(&e, &desc), CLFAVOR_SUCCESS);
        clfavor_reference_args args = {.struct_size = sizeof args,
                                       .heads = SETS,
                                       .heads_kv = 1,
                                       .n = 1,
                                       .dim = D,
                                       .q = q,
                                       .k = k,
                                       .v = k,
                                       .lse = lse};
        ck_assert_int_eq(clfavor_reference_attention(e, &args), CLFAVOR_SUCCESS);
        for (size_t s = 0; s < SETS; ++s)
            ck_assert_double_eq_tol(lse[s], -0.3 * square, (2 * D + 8) * 32 * DBL_EPSILON);
        clfavor_estimator_destroy(e);
    }
    clfavor_projection_destroy(projection);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("estimator_mean");
    TCase *tcase = tcase_create("estimator_mean");
    tcase_add_test(tcase, general_filled_with_plain_values_is_plain);
    tcase_add_test(tcase, general_estimator_keeps_the_mean);
    tcase_add_test(tcase, opposite_tokens_are_deterministic);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
