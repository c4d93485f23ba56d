#include "support_stats.h"

#include <math.h>
#include <stdlib.h>

double stats_uniform_cdf(double x, double upper) {
    return x <= 0 ? 0 : x >= upper ? 1 : x / upper;
}

double stats_normal_cdf(double x, double sigma) {
    return 0.5 * erfc(-x / (sigma * sqrt(2.0)));
}

/* F_k = F_(k-2) - (x/2)^(k/2-1) e^(-x/2) / Gamma(k/2). */
double stats_chi2_cdf(double x, double degrees) {
    if (x <= 0)
        return 0;
    int odd = (int)degrees % 2;
    double term = odd ? sqrt(2 / (acos(-1.0) * x)) * exp(-x / 2) : exp(-x / 2);
    double value = odd ? erf(sqrt(x / 2)) : 1 - term;
    for (double k = odd ? 3 : 4; k <= degrees; k += 2) {
        term *= x / (k - 2);
        value -= term;
    }
    return value;
}

/* u_1 = sin t has density proportional to cos^(d-2) t; I_k = integral of cos^k from 0 to t obeys
 * k I_k = cos^(k-1) t sin t + (k-1) I_(k-2). */
static double cosine_power_integral(double t, int k) {
    double value = k % 2 ? sin(t) : t;
    for (int j = k % 2 ? 3 : 2; j <= k; j += 2)
        value = (pow(cos(t), j - 1) * sin(t) + (j - 1) * value) / j;
    return value;
}

double stats_first_squared_cdf(double x, double d) {
    double t = x >= 1 ? acos(0.0) : asin(sqrt(x));
    return cosine_power_integral(t, (int)d - 2) / cosine_power_integral(acos(0.0), (int)d - 2);
}

bool stats_normal_accepts(double z, double alpha) {
    return erfc(fabs(z) / sqrt(2.0)) >= alpha;
}

bool stats_chi2_accepts(double value, double degrees, double alpha) {
    double t = log(2 / alpha), width = 2 * sqrt(degrees * t);
    return value - degrees <= width + 2 * t && degrees - value <= width;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool stats_law_accepts(double *values, size_t count, stats_cdf cdf, double parameter, double alpha) {
    qsort(values, count, sizeof *values, compare);
    double n = (double)count, distance = 0;
    for (size_t i = 0; i < count; ++i) {
        double expected = cdf(values[i], parameter);
        double before = (double)i / n, after = (double)(i + 1) / n;
        distance = fmax(distance, fmax(after - expected, expected - before));
    }
    return distance <= sqrt(log(2 / alpha) / (2 * n));
}
