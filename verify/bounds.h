/* Finite-sample bounds: each test rejects a true hypothesis with probability at most alpha, at any sample size and
 * without assuming that anything is nearly normal. A test is a statistic and a threshold; it rejects when the statistic
 * exceeds the threshold or is NaN. */
#ifndef VERIFY_BOUNDS_H
#define VERIFY_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sum.h"

/* Catoni's test of a mean when (an upper bound of) the variance is known: O. Catoni, Ann. Inst. H. Poincare 48, 2012.
 * T = sum psi(lambda (X - mean)) exceeds 2 ln(2/alpha) with probability at most alpha/2 on either side, whatever the
 * law. The hypothesis is |E X - mean| <= slack, which leaves room for rounding in X. */
typedef struct verify_catoni {
    double mean, slack, variance, samples;
    double lambda, threshold; /* derived by verify_catoni_plan */
} verify_catoni;

/* What one stream of samples leaves behind. */
typedef struct verify_catoni_sums {
    verify_sum above, below; /* of psi, at mean + slack and mean - slack */
    verify_sum sum;          /* of X */
} verify_catoni_sums;
#define VERIFY_CATONI_DOUBLES (sizeof(verify_catoni_sums) / sizeof(double))

/* variance: of one X. samples: how many will be taken, at least 1. */
verify_catoni verify_catoni_plan(double mean, double slack, double variance, double samples, double alpha);
void verify_catoni_add(const verify_catoni *test, verify_catoni_sums *sums, double x);
void verify_catoni_merge(verify_catoni_sums *sums, const verify_catoni_sums *other);
/* The statistic to compare with test->threshold. */
double verify_catoni_statistic(const verify_catoni *test, const verify_catoni_sums *sums);
/* About how far the mean of `samples` X may be from the hypothesis before the test rejects: sqrt(2 L v / n), L =
 * ln(2/alpha). For plots and tables. */
double verify_catoni_band(double variance, double samples, double alpha);
/* The shift of the mean that is missed with probability at most `miss`, and the samples for a given shift; for laws
 * whose second moment about the tested mean is at most variance + shift^2. Theory section 3. */
double verify_catoni_shift(double variance, double samples, double alpha, double miss);
double verify_catoni_samples(double variance, double shift, double alpha, double miss);

/* P(|Z| > |z|) for a standard normal Z, to compare: rejects when log(1/p) > log(1/alpha). */
double verify_normal_statistic(double z);
double verify_log_threshold(double alpha); /* log(1/alpha) */

/* A chi-square value with so many degrees: B. Laurent, P. Massart, Ann. Stat. 28, 2000, lemma 1. The statistic is t
 * such that each tail has probability at most exp(-t); compare with ln(2/alpha). */
double verify_chi2_statistic(double value, double degrees);
double verify_two_sided_threshold(double alpha); /* ln(2/alpha) */

/* Dvoretzky-Kiefer-Wolfowitz with the constant of P. Massart, Ann. Prob. 18, 1990: 2 n D^2 against ln(2/alpha). The
 * counts are of n values in bins between the given values of the distribution function; D is the largest distance at
 * the bins' edges, which is at most that over all values. cdf[i] is the function at the upper edge of bin i. */
double verify_dkw_statistic(const double *counts, const double *cdf, size_t bins);

/* The two-sided Clopper-Pearson interval of a probability after `hits` of `trials`, at confidence 1 - alpha. */
void verify_binomial_interval(double hits, double trials, double alpha, double *low, double *high);

#endif
