/* Sums, and Catoni's test of a mean that the verdicts of `clfavor verify` rest on: it keeps its false-alarm rate, sees
 * what it must see, and would fail here if it did neither. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "bounds.h"

#define SEED 4001u

/* --- sums --- */

/* All terms are powers of 2, so that every rounding error is kept whole and the sum is exact. */
START_TEST(small_terms_are_not_lost) {
    verify_sum sum = {0, 0};
    double plain = 1;
    verify_add(&sum, 1);
    for (int i = 0; i < 1000000; ++i) {
        verify_add(&sum, 0x1p-60);
        plain += 0x1p-60;
    }
    ck_assert_double_eq(verify_total(&sum), 1 + 1e6 * 0x1p-60);
    ck_assert_double_eq(plain, 1); /* what it is for */
    verify_add(&sum, -1);
    ck_assert_double_eq(verify_total(&sum), 1e6 * 0x1p-60);
}
END_TEST

#define TERMS 100000u
/* Magnitudes from 1e-8 to 1e8, so that the order matters to a plain sum. */
static double term(uint64_t i) {
    return test_normal(SEED, i) * pow(10, 16 * test_uniform(SEED + 1, i) - 8);
}

/* All terms, and then all of them taken away in another order: 0, but for the errors of `low`, whose 2 TERMS parts are
 * each at most 2^-53 of the magnitude, and so are their sums' roundings 2^-53 of that, 2 TERMS times. */
START_TEST(sums_do_not_depend_on_order) {
    verify_sum sum = {0, 0};
    double plain = 0, magnitude = 0;
    for (uint64_t i = 0; i < TERMS; ++i) {
        verify_add(&sum, term(i));
        plain += term(i);
        magnitude += fabs(term(i));
    }
    for (uint64_t i = 0; i < TERMS; ++i) { /* 77773 is prime to TERMS */
        verify_add(&sum, -term(i * 77773 % TERMS));
        plain -= term(i * 77773 % TERMS);
    }
    double limit = 4.0 * TERMS * TERMS * 0x1p-106 * magnitude;
    ck_assert_double_le(fabs(verify_total(&sum)), limit);
    ck_assert_double_gt(fabs(plain), 1000 * limit);
}
END_TEST

/* Against long double, whose error is TERMS x LDBL_EPSILON / 2 of the sum of magnitudes; the sum's is far below. Parts
 * that are merged keep to the sharper limit above. */
START_TEST(merged_sums_are_the_sum) {
    verify_sum whole = {0, 0}, merged = {0, 0}, part = {0, 0};
    long double exact = 0, magnitude = 0;
    for (uint64_t i = 0; i < TERMS; ++i) {
        double x = term(i);
        verify_add(&whole, x);
        verify_add(&part, x);
        exact += (long double)x;
        magnitude += fabsl((long double)x);
        if (i % 7919 == 0 || i + 1 == TERMS) { /* parts of 1, 7919 and the rest */
            verify_merge(&merged, &part);
            part = (verify_sum){0, 0};
        }
    }
    ck_assert(fabsl((long double)verify_total(&whole) - exact) <= TERMS * LDBL_EPSILON / 2 * magnitude);
    double difference = (whole.high - merged.high) + (whole.low - merged.low);
    ck_assert_double_le(fabs(difference), 4.0 * TERMS * TERMS * 0x1p-106 * (double)magnitude);
}
END_TEST

/* A test rejects NaN: a sum must not turn what is not finite into a number. */
START_TEST(sums_keep_what_is_not_finite) {
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    verify_sum sum = {0, 0}, other = {0, 0};
    verify_add(&other, odd[_i]);
    verify_add(&other, 1);
    verify_merge(&sum, &other);
    ck_assert(!isfinite(verify_total(&other)));
    ck_assert(!isfinite(verify_total(&sum)));
}
END_TEST

/* --- Catoni --- */

#define RUNS    4000
#define SAMPLES 400
#define ALPHA   1e-2
#define MISS    1e-3
/* What a binomial count of RUNS trials exceeds with probability at most 1e-6. */
#define MOST_ALARMS 73 /* of probability ALPHA */
#define MOST_MISSES 17 /* of probability MISS */

/* X = exp(sigma Z - sigma^2/2), of mean 1: the law of the positive map. */
static double lognormal_variance(double sigma) {
    return exp(sigma * sigma) - 1;
}

static double *normals(void) {
    double *z = test_alloc(RUNS * SAMPLES, sizeof *z);
    for (uint64_t i = 0; i < RUNS * SAMPLES; ++i)
        z[i] = test_normal(SEED, i);
    return z;
}

/* How many of RUNS tests of the hypothesis |E X - mean| <= slack reject X + offset. `claim` is the factor by which the
 * test is told the variance. */
static int catoni_rejections(const double *z, double sigma, double offset, double mean, double slack, double claim) {
    verify_catoni test = verify_catoni_plan(mean, slack, claim * lognormal_variance(sigma), SAMPLES, ALPHA);
    int rejections = 0;
    for (int run = 0; run < RUNS; ++run, z += SAMPLES) {
        verify_catoni_sums sums = {{0, 0}, {0, 0}, {0, 0}};
        for (int i = 0; i < SAMPLES; ++i)
            verify_catoni_add(&test, &sums, exp(sigma * z[i] - sigma * sigma / 2) + offset);
        rejections += !(verify_catoni_statistic(&test, &sums) <= test.threshold);
    }
    return rejections;
}

static const double sigmas[] = {0.5, 1, 2};

START_TEST(catoni_keeps_its_size) {
    double *z = normals();
    ck_assert_int_le(catoni_rejections(z, sigmas[_i], 0, 1, 0, 1), MOST_ALARMS);
    /* At the ends of the slack. */
    ck_assert_int_le(catoni_rejections(z, sigmas[_i], 0, 0.7, 0.3, 1), MOST_ALARMS);
    ck_assert_int_le(catoni_rejections(z, sigmas[_i], 0, 1.3, 0.3, 1), MOST_ALARMS);
    free(z);
}
END_TEST

/* The count above would exceed its bound for a test that is told half the standard deviation, and one without slack. */
START_TEST(catoni_size_can_be_missed) {
    double *z = normals();
    ck_assert_int_gt(catoni_rejections(z, 0.5, 0, 1, 0, 0.25), MOST_ALARMS);
    ck_assert_int_gt(catoni_rejections(z, 0.5, 0, 0.9, 0, 1), MOST_ALARMS);
    free(z);
}
END_TEST

START_TEST(catoni_sees_its_shift) {
    double *z = normals();
    double shift = verify_catoni_shift(lognormal_variance(sigmas[_i]), SAMPLES, ALPHA, MISS);
    ck_assert_int_ge(catoni_rejections(z, sigmas[_i], shift, 1, 0, 1), RUNS - MOST_MISSES);
    ck_assert_int_ge(catoni_rejections(z, sigmas[_i], -shift, 1, 0, 1), RUNS - MOST_MISSES);
    ck_assert_int_ge(catoni_rejections(z, sigmas[_i], shift + 0.2, 1, 0.2, 1), RUNS - MOST_MISSES);
    /* The shift is not just any large number: a third of it is missed more often. */
    ck_assert_int_lt(catoni_rejections(z, sigmas[_i], shift / 3, 1, 0, 1), RUNS - MOST_MISSES);
    free(z);
}
END_TEST

START_TEST(catoni_statistic_falls_with_slack) {
    double last = INFINITY;
    for (int step = 0; step < 20; ++step) {
        verify_catoni test = verify_catoni_plan(1, 0.02 * step, 2, SAMPLES, ALPHA);
        verify_catoni_sums sums = {{0, 0}, {0, 0}, {0, 0}};
        for (uint64_t i = 0; i < SAMPLES; ++i)
            verify_catoni_add(&test, &sums, 1.5 + test_normal(SEED, i));
        double statistic = verify_catoni_statistic(&test, &sums);
        ck_assert_double_lt(statistic, last);
        last = statistic;
    }
}
END_TEST

/* Samples a = 1, -1, 1, -1 .. moved by the band, in which psi(u) = u + O(u^3), lambda of size 1e-2: relative 1e-4. Both
 * directions come out alike. */
START_TEST(catoni_band_is_where_it_rejects) {
    const double n = 100000;
    double band = verify_catoni_band(1, n, ALPHA);
    for (int side = -1; side <= 1; side += 2) {
        verify_catoni test = verify_catoni_plan(5, 0, 1, n, ALPHA);
        verify_catoni_sums sums = {{0, 0}, {0, 0}, {0, 0}};
        for (int i = 0; i < (int)n; ++i)
            verify_catoni_add(&test, &sums, 5 + side * band + (i % 2 ? 1 : -1));
        ck_assert_double_eq_tol(verify_catoni_statistic(&test, &sums) / test.threshold, 1, 1e-4);
        ck_assert_double_eq_tol(verify_total(&sums.sum) / n, 5 + side * band, 1e-14);
    }
    ck_assert_double_eq_tol(band, sqrt(2 * log(2 / ALPHA) / n), 1e-15);
}
END_TEST

START_TEST(catoni_samples_and_shift_are_inverse) {
    static const double variances[] = {1e-6, 0.3, 50}, alphas[] = {1e-2, 1e-9};
    for (int v = 0; v < 3; ++v)
        for (int a = 0; a < 2; ++a)
            for (double n = 400; n < 1e9; n *= 7) {
                double shift = verify_catoni_shift(variances[v], n, alphas[a], MISS);
                double samples = verify_catoni_samples(variances[v], shift, alphas[a], MISS);
                /* ceil of a value that is rounded by a few ulps */
                ck_assert_msg(samples >= n - 1 && samples <= n + 1, "%g instead of %g", samples, n);
                ck_assert_double_gt(shift, verify_catoni_band(variances[v], n, alphas[a]));
                ck_assert_double_lt(verify_catoni_shift(variances[v], 4 * n, alphas[a], MISS), shift / 1.9);
            }
    /* 118 vrel/rho^2 at alpha 1e-9, for small rho. */
    ck_assert_double_eq_tol(verify_catoni_samples(1, 1e-3, 1e-9, MISS) * 1e-6, 118, 0.5);
    ck_assert(isinf(verify_catoni_shift(1, 10, 1e-9, MISS))); /* too few for any shift */
}
END_TEST

START_TEST(catoni_streams_merge) {
    verify_catoni test = verify_catoni_plan(1, 1e-3, 2, SAMPLES, ALPHA);
    verify_catoni_sums whole = {{0, 0}, {0, 0}, {0, 0}}, merged = whole, part = whole;
    for (uint64_t i = 0; i < SAMPLES; ++i) {
        double x = 1.1 + test_normal(SEED, i);
        verify_catoni_add(&test, &whole, x);
        verify_catoni_add(&test, &part, x);
        if (i % 90 == 7 || i + 1 == SAMPLES) {
            verify_catoni_merge(&merged, &part);
            part = (verify_catoni_sums){{0, 0}, {0, 0}, {0, 0}};
        }
    }
    /* An ulp each; the three sums differ from each other by much more. */
    ck_assert_double_eq_tol(verify_total(&merged.above), verify_total(&whole.above), 1e-14);
    ck_assert_double_eq_tol(verify_total(&merged.below), verify_total(&whole.below), 1e-14);
    ck_assert_double_eq_tol(verify_total(&merged.sum), verify_total(&whole.sum), 1e-12);
    ck_assert_double_lt(verify_total(&whole.above) + 0.01, verify_total(&whole.below));
}
END_TEST

START_TEST(catoni_rejects_what_is_not_finite) {
    static const double odd[] = {NAN, INFINITY, -INFINITY, 1};
    verify_catoni test = verify_catoni_plan(1, 0, 1, SAMPLES, ALPHA);
    verify_catoni_sums sums = {{0, 0}, {0, 0}, {0, 0}};
    for (int i = 0; i < SAMPLES; ++i)
        verify_catoni_add(&test, &sums, i == 5 ? odd[_i] : 1);
    bool rejected = !(verify_catoni_statistic(&test, &sums) <= test.threshold);
    ck_assert(rejected == (_i < 3));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_catoni");
    TCase *tcase = tcase_create("verify_catoni");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, small_terms_are_not_lost);
    tcase_add_test(tcase, sums_do_not_depend_on_order);
    tcase_add_test(tcase, merged_sums_are_the_sum);
    tcase_add_loop_test(tcase, sums_keep_what_is_not_finite, 0, 3);
    tcase_add_loop_test(tcase, catoni_keeps_its_size, 0, 3);
    tcase_add_test(tcase, catoni_size_can_be_missed);
    tcase_add_loop_test(tcase, catoni_sees_its_shift, 0, 3);
    tcase_add_test(tcase, catoni_statistic_falls_with_slack);
    tcase_add_test(tcase, catoni_band_is_where_it_rejects);
    tcase_add_test(tcase, catoni_samples_and_shift_are_inverse);
    tcase_add_test(tcase, catoni_streams_merge);
    tcase_add_loop_test(tcase, catoni_rejects_what_is_not_finite, 0, 4);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
