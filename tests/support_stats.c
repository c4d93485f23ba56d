#include "support_stats.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool stats_law_accepts(double *values, size_t count, stats_cdf cdf, double parameter, double alpha) {
    qsort(values, count, sizeof *values, compare);
    double n = (double)count, distance = 0;
    for (size_t i = 0; i < count; ++i) {
        double expected = cdf(values[i], parameter);
        if (isnan(expected)) /* which fmax would pass over */
            return false;
        double before = (double)i / n, after = (double)(i + 1) / n;
        distance = fmax(distance, fmax(after - expected, expected - before));
    }
    return distance <= sqrt(log(2 / alpha) / (2 * n));
}
