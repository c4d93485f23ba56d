#include "bounds.h"

#include <math.h>

static double log_term(double alpha) {
    return log(2.0 / alpha);
}

verify_catoni verify_catoni_plan(double mean, double slack, double variance, double samples, double alpha) {
    verify_catoni test = {.mean = mean, .slack = slack, .variance = variance, .samples = samples};
    test.lambda = variance > 0.0 ? sqrt(2.0 * log_term(alpha) / (samples * variance)) : 0.0;
    test.threshold = 2.0 * log_term(alpha);
    return test;
}

static double psi(double u) {
    double a = fabs(u);
    return copysign(log1p(a + 0.5 * a * a), u);
}

void verify_catoni_add(const verify_catoni *test, verify_catoni_sums *sums, double x) {
    if (test->variance == 0.0 && fabs(x - test->mean) > test->slack) { /* a constant that is not the one it should be */
        sums->above.high = INFINITY;
        sums->below.high = -INFINITY;
    }
    verify_add(&sums->above, psi(test->lambda * (x - (test->mean + test->slack))));
    verify_add(&sums->below, psi(test->lambda * (x - (test->mean - test->slack))));
    verify_add(&sums->sum, x);
}

void verify_catoni_merge(verify_catoni_sums *sums, const verify_catoni_sums *other) {
    verify_merge(&sums->above, &other->above);
    verify_merge(&sums->below, &other->below);
    verify_merge(&sums->sum, &other->sum);
}

double verify_catoni_statistic(const verify_catoni *test, const verify_catoni_sums *sums) {
    (void)test;
    double above = verify_total(&sums->above), below = -verify_total(&sums->below);
    if (isnan(above) || isnan(below))
        return NAN;
    return above > below ? above : below;
}

double verify_catoni_band(double variance, double samples, double alpha) {
    return sqrt(2.0 * log_term(alpha) * variance / samples);
}

double verify_catoni_shift(double variance, double samples, double alpha, double miss) {
    double l = log_term(alpha), need = 3.0 * l - log(miss), factor = need * need / (2.0 * l * samples);
    /* shift^2 = factor (variance + shift^2) */
    return factor < 1.0 ? sqrt(factor * variance / (1.0 - factor)) : INFINITY;
}

double verify_catoni_samples(double variance, double shift, double alpha, double miss) {
    double l = log_term(alpha), need = 3.0 * l - log(miss);
    return ceil(need * need * (variance + shift * shift) / (2.0 * l * shift * shift));
}

double verify_normal_statistic(double z) {
    double a = fabs(z);
    if (a < 30.0)
        return -log(erfc(a / sqrt(2.0)));
    return 0.5 * a * a + log(a) + 0.5 * log(acos(-1.0) / 2.0); /* erfc underflows from 38 on; NaN passes through */
}

double verify_log_threshold(double alpha) {
    return -log(alpha);
}

/* value - k >= 2 sqrt(k t) + 2 t above, k - value >= 2 sqrt(k t) below, solved for t. */
double verify_chi2_statistic(double value, double degrees) {
    double excess = value - degrees;
    if (excess <= 0.0)
        return excess * excess / (4.0 * degrees);
    double root = (sqrt(degrees + 2.0 * excess) - sqrt(degrees)) / 2.0;
    return root * root;
}

double verify_two_sided_threshold(double alpha) {
    return log_term(alpha);
}

double verify_dkw_statistic(const double *counts, const double *cdf, size_t bins) {
    double total = 0.0, before = 0.0, distance = 0.0;
    for (size_t i = 0; i < bins; ++i)
        total += counts[i];
    for (size_t i = 0; i + 1 < bins; ++i) {
        before += counts[i];
        double d = fabs(before / total - cdf[i]);
        if (isnan(d))
            return NAN;
        distance = d > distance ? d : distance;
    }
    return 2.0 * total * distance * distance;
}

/* P(Binomial(n, p) <= k) through the terms from k downwards; n is some thousands at most. log_q: of 1 - p. */
static double binomial_tail(double k, double n, double log_p, double log_q) {
    double sum = 0.0;
    for (double i = k; i >= 0.0; i -= 1.0) {
        double term = exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log_p + (n - i) * log_q);
        sum += term;
        if (term < 1e-17 * sum)
            break;
    }
    return sum;
}

void verify_binomial_interval(double hits, double trials, double alpha, double *low, double *high) {
    *low = 0.0;
    *high = 1.0;
    double a = 0.0, b = 1.0;
    for (int i = 0; hits < trials && i < 100; ++i) { /* upper end: P(X <= hits) = alpha/2 */
        double p = 0.5 * (a + b);
        *(binomial_tail(hits, trials, log(p), log1p(-p)) > alpha / 2.0 ? &a : &b) = p;
    }
    if (hits < trials)
        *high = b;
    a = 0.0, b = 1.0;
    for (int i = 0; hits > 0.0 && i < 100; ++i) { /* lower end: P(X >= hits), or as many misses at most, = alpha/2 */
        double p = 0.5 * (a + b);
        *(binomial_tail(trials - hits, trials, log1p(-p), log(p)) < alpha / 2.0 ? &a : &b) = p;
    }
    if (hits > 0.0)
        *low = a;
}
