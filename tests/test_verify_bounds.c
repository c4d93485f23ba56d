/* The other finite-sample bounds of `clfavor verify`: each keeps its false-alarm rate where that can be computed or
 * simulated, sees what it must see, and would fail here if it did neither. */
#include "support.h"

#include <math.h>

#include "bounds.h"
#include "laws.h"

#define SEED 4002u

/* --- chi-square, normal --- */

/* Whether each tail beyond `value` has at most the probability exp(-statistic). The tails are differences from 1, known
 * to 1e-12 (verify_chi2_cdf keeps that, see test_verify_laws). */
static bool chi2_bounds(double value, double degrees, double statistic) {
    double below = verify_chi2_cdf(value, degrees), tail = value > degrees ? 1 - below : below;
    return tail <= exp(-statistic) + 1e-12;
}

static double chi2_two_sided(double value, double degrees) { /* the lower tail's formula on either side: wrong */
    return (value - degrees) * (value - degrees) / (4 * degrees);
}

START_TEST(chi2_statistic_bounds_both_tails) {
    static const double degrees[] = {1, 2, 3, 6, 15, 36, 100, 511, 4096, 100000};
    double k = degrees[_i];
    int lower_formula = 0, doubled = 0;
    for (int step = -400; step <= 800; ++step) {
        double value = k + step * 0.01 * sqrt(2 * k);
        if (value <= 0)
            continue;
        double t = verify_chi2_statistic(value, k);
        ck_assert_msg(chi2_bounds(value, k, t), "%g with %g degrees: %g", value, k, t);
        lower_formula += !chi2_bounds(value, k, chi2_two_sided(value, k));
        doubled += !chi2_bounds(value, k, 2.5 * t);
    }
    ck_assert(k > 3 || lower_formula > 0); /* at many degrees this one is right: both tails are normal ones */
    ck_assert_int_gt(doubled, 0);
    /* It rejects what is far away: 6 standard deviations. */
    ck_assert_double_gt(verify_chi2_statistic(k + 8 * sqrt(2 * k) + 32, k), verify_two_sided_threshold(1e-6));
    ck_assert(k < 100 || verify_chi2_statistic(k - 6 * sqrt(2 * k), k) > verify_two_sided_threshold(1e-6));
    ck_assert(isnan(verify_chi2_statistic(NAN, k)));
}
END_TEST

START_TEST(thresholds) {
    ck_assert_double_eq_tol(verify_log_threshold(1e-9), 20.7232658369464, 1e-12);
    ck_assert_double_eq_tol(verify_two_sided_threshold(1e-9), 21.4164130175064, 1e-12);
}
END_TEST

/* -log erfc(|z| / sqrt 2), by 40 digits. From 30 on the asymptotic value is below by about 1/z^2, which is safe. */
START_TEST(normal_statistic_is_the_tail) {
    static const double known[][2] = {{1, 1.1478744644493182},    {5, 14.37185121342878},   {29.9, 450.62976527796869},
                                      {30.1, 456.63641723582231}, {37, 688.33743839633065}, {50, 1254.13821395886}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        double z = known[i][0], statistic = verify_normal_statistic(z), below = z < 30 ? 0 : 1.1 / (z * z);
        ck_assert_msg(statistic <= known[i][1] * (1 + 1e-13) && statistic >= known[i][1] * (1 - 1e-13) - below,
                      "%g: %.17g", z, statistic);
        ck_assert_double_eq(verify_normal_statistic(-z), statistic);
    }
    ck_assert_double_eq(verify_normal_statistic(0), 0);
    double last = -1;
    for (int i = 0; i < 10000; ++i) { /* rising, also where the formula changes over */
        double statistic = verify_normal_statistic(0.01 * i);
        ck_assert_double_gt(statistic, last);
        last = statistic;
    }
    /* 1.96: 5 % on both sides together. */
    ck_assert_double_lt(verify_normal_statistic(1.9599639), verify_log_threshold(0.05));
    ck_assert_double_gt(verify_normal_statistic(1.9599640), verify_log_threshold(0.05));
    ck_assert(isnan(verify_normal_statistic(NAN)));
}
END_TEST

/* --- Dvoretzky, Kiefer, Wolfowitz --- */

#define RUNS        4000
#define BINS        64
#define DKW_ALPHA   0.05
#define MOST_DKW    269 /* exceeded by a binomial count of RUNS trials of probability DKW_ALPHA with probability 1e-6 */
#define MOST_MISSES 17  /* the same of probability 1e-3 */

/* RUNS tests of 200 uniform values moved by `shift`; how many reject, at that part of the threshold. */
static int dkw_rejections(double shift, double part) {
    double cdf[BINS];
    for (int i = 0; i < BINS; ++i)
        cdf[i] = (i + 1.0) / BINS;
    int rejections = 0;
    for (uint64_t run = 0; run < RUNS; ++run) {
        double counts[BINS] = {0};
        for (uint64_t i = 0; i < 200; ++i) {
            double u = test_uniform(SEED, run * 200 + i) + shift;
            counts[u >= 1 ? BINS - 1 : (int)(BINS * u)] += 1;
        }
        rejections += !(verify_dkw_statistic(counts, cdf, BINS) <= part * verify_two_sided_threshold(DKW_ALPHA));
    }
    return rejections;
}

START_TEST(dkw_keeps_its_size_and_sees_a_shift) {
    ck_assert_int_le(dkw_rejections(0, 1), MOST_DKW);
    ck_assert_int_gt(dkw_rejections(0, 0.7), MOST_DKW); /* the bound is near: D^2 times 1/0.7 exceeds it */
    /* The distance that rejects is 0.096; the empirical law is within 0.15 of its own with probability 1 - 2.5e-4. */
    ck_assert_int_ge(dkw_rejections(0.096 + 0.15, 1), RUNS - MOST_MISSES);
}
END_TEST

START_TEST(dkw_by_hand) {
    /* D = |3/4 - 1/2| at the edge of the first bin: 2 x 4 / 16. Then two bins in between. */
    ck_assert_double_eq(verify_dkw_statistic((const double[]){3, 1}, (const double[]){0.5, 1}, 2), 0.5);
    ck_assert_double_eq_tol(
        verify_dkw_statistic((const double[]){1, 2, 0, 1}, (const double[]){0.25, 0.5, 0.875, 1}, 4), 0.5, 1e-15);
    ck_assert_double_eq(verify_dkw_statistic((const double[]){2, 2}, (const double[]){0.5, 1}, 2), 0);
}
END_TEST

START_TEST(dkw_is_nan_where_something_is) {
    ck_assert(isnan(verify_dkw_statistic((const double[]){0, 0}, (const double[]){0.5, 1}, 2)));
    ck_assert(isnan(verify_dkw_statistic((const double[]){2, NAN, 2}, (const double[]){0.3, 0.6, 1}, 3)));
    for (int place = 0; place < 3; ++place) {
        double cdf[] = {0.25, 0.5, 0.75, 1};
        cdf[place] = NAN;
        ck_assert_msg(isnan(verify_dkw_statistic((const double[]){1, 1, 1, 1}, cdf, 4)), "place %d", place);
    }
}
END_TEST

/* --- binomial interval --- */

/* Clopper and Pearson's ends are quantiles of Beta laws, here by 30 digits. */
static const struct {
    double hits, trials, alpha, low, high;
} intervals[] = {{0, 2000, 0.05, 0, 0.00184273979340593},
                 {10, 100, 0.05, 0.0490046892215, 0.17622259774},
                 {5, 10, 0.05, 0.187086028447, 0.812913971553},
                 {700, 2000, 0.01, 0.322664146849, 0.378057483073},
                 {30, 2000, 1e-9, 0.0037737371866578, 0.038481717479046},
                 {1, 1000, 1e-7, 5.000000124875e-11, 0.019662593512331},
                 {20, 20, 0.05, 0.83156652901698, 1}};

START_TEST(binomial_interval_is_known) {
    double low, high;
    verify_binomial_interval(intervals[_i].hits, intervals[_i].trials, intervals[_i].alpha, &low, &high);
    /* 12 digits are written above; lgamma(2001), 13206, is known to some 1e-12, and the ends less than that. */
    ck_assert_msg(fabs(low - intervals[_i].low) <= 2e-11 * intervals[_i].low, "low %.15g", low);
    ck_assert_msg(fabs(high - intervals[_i].high) <= 2e-11 * intervals[_i].high, "high %.15g", high);
}
END_TEST

/* Misses a share of the probability p, exactly: the sum over the hits whose interval does not hold p. */
static double missed(double p, int trials, double alpha, bool wald) {
    double sum = 0;
    for (int k = 0; k <= trials; ++k) {
        double low, high, share = (double)k / trials;
        verify_binomial_interval(k, trials, alpha, &low, &high);
        if (wald) { /* the usual normal interval, which is wrong */
            high = share + 1.96 * sqrt(share * (1 - share) / trials);
            low = 2 * share - high;
        }
        if (p < low || p > high)
            sum += exp(lgamma(trials + 1.0) - lgamma(k + 1.0) - lgamma(trials - k + 1.0) + k * log(p) +
                       (trials - k) * log1p(-p));
    }
    return sum;
}

START_TEST(binomial_interval_covers) {
    static const double ps[] = {0.001, 0.02, 0.1, 0.31, 0.5, 0.77, 0.995};
    double worst = 0, wald = 0;
    for (size_t i = 0; i < sizeof ps / sizeof *ps; ++i) {
        worst = fmax(worst, missed(ps[i], 50, 0.05, false));
        wald = fmax(wald, missed(ps[i], 50, 0.05, true));
    }
    ck_assert_double_le(worst, 0.05);
    ck_assert_double_gt(wald, 0.05);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_bounds");
    TCase *tcase = tcase_create("verify_bounds");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, chi2_statistic_bounds_both_tails, 0, 10);
    tcase_add_test(tcase, thresholds);
    tcase_add_test(tcase, normal_statistic_is_the_tail);
    tcase_add_test(tcase, dkw_keeps_its_size_and_sees_a_shift);
    tcase_add_test(tcase, dkw_by_hand);
    tcase_add_test(tcase, dkw_is_nan_where_something_is);
    tcase_add_loop_test(tcase, binomial_interval_is_known, 0, 7);
    tcase_add_test(tcase, binomial_interval_covers);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
