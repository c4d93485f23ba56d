/* The distribution functions that `clfavor verify` compares with: known values, other formulas, ends. */
#include "support.h"

#include <math.h>

#include "laws.h"

/* F_k = F_(k-2) - (x/2)^(k/2-1) e^(-x/2) / Gamma(k/2): another way than the series and the continued fraction. Loses
 * about k ulps of 1, and is no use where e^(-x/2) underflows. */
static double chi2_by_recursion(double x, int degrees) {
    int odd = degrees % 2;
    double term = odd ? sqrt(2 / (acos(-1.0) * x)) * exp(-x / 2) : exp(-x / 2);
    double value = odd ? erf(sqrt(x / 2)) : 1 - term;
    for (int k = odd ? 3 : 4; k <= degrees; k += 2) {
        term *= x / (k - 2);
        value -= term;
    }
    return value;
}

START_TEST(chi2_is_its_recursion) {
    for (int k = 1; k <= 225; ++k)
        for (double x = 0.01; x < 500; x *= 1.07) {
            double value = verify_chi2_cdf(x, k);
            ck_assert_msg(fabs(value - chi2_by_recursion(x, k)) <= 1e-13 * (1 + 0.01 * k), "%g with %d: %.17g", x, k,
                          value);
        }
}
END_TEST

/* By 40 digits. The logarithm of the front factor is a difference of numbers of size k/2 ln(k/2), so that its relative
 * error is k ln k ulps. */
START_TEST(chi2_is_known) {
    static const struct {
        double x, degrees, value;
    } known[] = {{3.841458820694124, 1, 0.95},
                 {5.991464547107979, 2, 0.95},
                 {7.814727903251179, 3, 0.95},
                 {18.307038053275146, 10, 0.95},
                 {3.940299136, 10, 0.049999999994789302},
                 {124.34211340400407, 100, 0.95},
                 {36, 36, 0.53135233044466416},
                 {4096, 4096, 0.50293849537677996},
                 {3686.4, 4096, 1.4458533698197415e-6},
                 {4505.6, 4096, 0.99999433692192632},
                 {3888.2, 4096, 0.0099426159065856302},
                 {100000, 100000, 0.50059470810479331}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        double k = known[i].degrees, value = verify_chi2_cdf(known[i].x, k);
        ck_assert_msg(fabs(value - known[i].value) <= 0x1p-53 * (10 + k * log(k)) * known[i].value, "%g with %g: %.17g",
                      known[i].x, k, value);
    }
}
END_TEST

/* The median is near k (1 - 2/(9k))^3 (Wilson and Hilferty), where the density is at most 1/sqrt(4 pi k), about: off by
 * less than 1e-3 / sqrt k. Rising from 0 to 1 without a step where the formula changes over. */
START_TEST(chi2_of_many_degrees) {
    static const double degrees[] = {256, 4096, 65536, 1e6};
    double k = degrees[_i], median = k * pow(1 - 2 / (9 * k), 3);
    ck_assert_double_eq_tol(verify_chi2_cdf(median, k), 0.5, 1e-3 / sqrt(k));
    double last = 0;
    for (int step = -600; step <= 600; ++step) {
        double x = k + 0.01 * step * sqrt(2 * k), value = verify_chi2_cdf(x, k);
        ck_assert(value >= last && value - last < 0.0045 && value <= 1); /* 0.01 of the density, 0.4 / sd */
        last = value;
    }
    ck_assert_double_gt(last, 1 - 1e-7);
    ck_assert_double_lt(verify_chi2_cdf(k / 2, k), 1e-10);
    ck_assert_double_eq_tol(verify_chi2_cdf(2 * k, k), 1, 1e-10);
    ck_assert_double_eq(verify_chi2_cdf(1e300, k), 1);
}
END_TEST

START_TEST(chi2_at_its_ends) {
    ck_assert_double_eq(verify_chi2_cdf(0, 3), 0);
    ck_assert_double_eq(verify_chi2_cdf(-1, 3), 0);
    ck_assert_double_eq_tol(verify_chi2_cdf(1e-300, 2) * 1e300, 0.5, 1e-12); /* log 1e-300 = -691 */
    ck_assert(isnan(verify_chi2_cdf(NAN, 3)));
}
END_TEST

START_TEST(uniform_is_known) {
    ck_assert_double_eq(verify_uniform_cdf(-0.5, 2), 0);
    ck_assert_double_eq(verify_uniform_cdf(0.5, 2), 0.25);
    ck_assert_double_eq(verify_uniform_cdf(3, 2), 1);
    ck_assert(isnan(verify_uniform_cdf(NAN, 2)));
}
END_TEST

START_TEST(normal_is_known) {
    static const double known[][2] = {{0, 0.5},
                                      {1, 0.84134474606854293},
                                      {1.6448536269514722, 0.95},
                                      {-2.3263478740408408, 0.01},
                                      {-10, 7.6198530241605261e-24}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        for (double sigma = 0.25; sigma < 5; sigma *= 4) {
            /* erfc's relative error is z^2 times that of its argument */
            double z = known[i][0], limit = 0x1p-52 * (2 + 2 * z * z) * known[i][1];
            ck_assert_double_eq_tol(verify_normal_cdf(z * sigma, sigma), known[i][1], limit);
        }
    ck_assert(isnan(verify_normal_cdf(NAN, 1)));
}
END_TEST

/* Arcsine law, uniform law of u_1 in three dimensions, and Beta values by 40 digits. */
START_TEST(first_squared_is_known) {
    static const double known[][3] = {{2, 0.25, 1.0 / 3},
                                      {3, 0.25, 0.5},
                                      {5, 0.3, 0.73942545263197424},
                                      {6, 0.1, 0.51041025543557251},
                                      {15, 0.02, 0.39863362384560365},
                                      {64, 0.01, 0.5719727436737983},
                                      {64, 0.05, 0.92663328702518952}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        ck_assert_double_eq_tol(verify_first_squared_cdf(known[i][1], known[i][0]), known[i][2], 1e-14);
    for (int d = 2; d <= 64; ++d) {
        double last = 0;
        for (int step = 1; step <= 100; ++step) {
            double value = verify_first_squared_cdf(0.01 * step, d);
            ck_assert(value >= last - 1e-14 && value <= 1 + 1e-14); /* rounding, as above */
            last = value;
        }
        ck_assert_double_eq(verify_first_squared_cdf(0, d), 0);
        ck_assert_double_eq_tol(last, 1, 1e-14);
        ck_assert_double_eq_tol(verify_first_squared_cdf(1 + 1e-15, d), 1, 1e-15); /* a length that was rounded */
    }
    ck_assert(isnan(verify_first_squared_cdf(NAN, 3)));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_laws");
    TCase *tcase = tcase_create("verify_laws");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, chi2_is_its_recursion);
    tcase_add_test(tcase, chi2_is_known);
    tcase_add_loop_test(tcase, chi2_of_many_degrees, 0, 4);
    tcase_add_test(tcase, chi2_at_its_ends);
    tcase_add_test(tcase, uniform_is_known);
    tcase_add_test(tcase, normal_is_known);
    tcase_add_test(tcase, first_squared_is_known);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
