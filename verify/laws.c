#include "laws.h"

#include <math.h>

double verify_uniform_cdf(double x, double upper) {
    return x <= 0 ? 0 : x >= upper ? 1 : x / upper;
}

double verify_normal_cdf(double x, double sigma) {
    return 0.5 * erfc(-x / (sigma * sqrt(2.0)));
}

/* The regularised incomplete gamma function P(k/2, x/2), by its series below the mean and by Lentz's continued fraction
 * above (Numerical Recipes, 6.2). */
double verify_chi2_cdf(double x, double degrees) {
    double a = degrees / 2.0, t = x / 2.0;
    if (!(x > 0.0))
        return x <= 0.0 ? 0.0 : x;
    double front = exp(a * log(t) - t - lgamma(a));
    if (t < a + 1.0) {
        double term = 1.0 / a, sum = term;
        for (double k = a + 1.0; term > 1e-17 * sum; k += 1.0)
            sum += term *= t / k;
        return front * sum;
    }
    double b = t + 1.0 - a, c = 1e300, d = 1.0 / b, h = d;
    for (double i = 1.0; i < 1e5; i += 1.0) {
        double an = -i * (i - a);
        b += 2.0;
        d = an * d + b;
        c = b + an / c;
        d = 1.0 / (fabs(d) < 1e-300 ? 1e-300 : d);
        c = fabs(c) < 1e-300 ? 1e-300 : c;
        h *= d * c;
        if (fabs(d * c - 1.0) < 1e-15)
            break;
    }
    return 1.0 - front * h;
}

/* u_1 = sin t has density proportional to cos^(d-2) t; I_k = integral of cos^k from 0 to t obeys
 * k I_k = cos^(k-1) t sin t + (k-1) I_(k-2). */
static double cosine_power_integral(double t, int k) {
    double value = k % 2 ? sin(t) : t;
    for (int j = k % 2 ? 3 : 2; j <= k; j += 2)
        value = (pow(cos(t), j - 1) * sin(t) + (j - 1) * value) / j;
    return value;
}

double verify_first_squared_cdf(double x, double dim) {
    double t = x >= 1 ? acos(0.0) : asin(sqrt(x));
    return cosine_power_integral(t, (int)dim - 2) / cosine_power_integral(acos(0.0), (int)dim - 2);
}
