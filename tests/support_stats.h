/* An exact finite-sample test of a law, without bins: verify/bounds.h has the others, verify/laws.h the laws. */
#ifndef TESTS_SUPPORT_STATS_H
#define TESTS_SUPPORT_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* A distribution function with one parameter. */
typedef double (*stats_cdf)(double x, double parameter);

/* Independent values with this law, by the inequality of Dvoretzky, Kiefer and Wolfowitz with the constant of
 * P. Massart, Ann. Prob. 18, 1990: accepts the true law with probability at least 1 - alpha for any count. Sorts the
 * values. */
bool stats_law_accepts(double *values, size_t count, stats_cdf cdf, double parameter, double alpha);

#endif
