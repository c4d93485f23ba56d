/* Exact finite-sample tests: each accepts a true hypothesis with probability at least 1 - alpha for any sample size. */
#ifndef TESTS_SUPPORT_STATS_H
#define TESTS_SUPPORT_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* A distribution function with one parameter. */
typedef double (*stats_cdf)(double x, double parameter);

double stats_uniform_cdf(double x, double upper); /* on [0, upper] */
double stats_normal_cdf(double x, double sigma);
double stats_chi2_cdf(double x, double degrees); /* degrees: a whole number */
double stats_first_squared_cdf(double x,
                               double d); /* of u_1^2, u uniform on the sphere in d >= 2: Beta(1/2, (d-1)/2) */

/* A standard normal value. */
bool stats_normal_accepts(double z, double alpha);
/* A chi-square value, by the bounds of B. Laurent, P. Massart, Ann. Stat. 28, 2000 (lemma 1). */
bool stats_chi2_accepts(double value, double degrees, double alpha);
/* Independent values with this law, by the inequality of Dvoretzky, Kiefer and Wolfowitz with the constant of
 * P. Massart, Ann. Prob. 18, 1990. Sorts the values. */
bool stats_law_accepts(double *values, size_t count, stats_cdf cdf, double parameter, double alpha);

#endif
