/* Taylor series after an exact reduction. Error bounds below count u = 2^-53, the relative error of one operation. */
#include "detmath.h"

#include <stdint.h>
#include <string.h>

/* x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), s = f / (2 + f), |s| <= 0.1716:
 * log(1 + f) = 2 atanh(s) = f - s (f - R), R = 2 (s^2/3 + s^4/5 + ...). The first term left out is below 2^-60 of the
 * result. s carries 2 u, f - R 1.4 u, so s (f - R) 4.4 u, and it is at most 0.2 of log(1 + f): 0.9 u. The subtractions
 * add u for k = 0. For k != 0, |log x| >= 0.34 and k LN2_HIGH is exact; the three subtractions then add 2.3 u. */
double clfavor_det_log(double x) {
    static const double LN2_HIGH = 0x1.62e42feep-1; /* 32 bits, so that k times it is exact */
    static const double LN2_LOW = 0x1.a39ef35793c76p-33;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* Adding 1 - sqrt(1/2) in units of the representation carries into the exponent at sqrt(2). */
    uint64_t exponent = (bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu)) >> 52;
    bits -= (exponent - 1023u) << 52;
    double k = (double)((int)exponent - 1023);
    double f;
    memcpy(&f, &bits, sizeof f);
    f -= 1.0;
    double s = f / (2.0 + f);
    double z = s * s;
    double z2 = z * z;
    double z4 = z2 * z2;
    /* Estrin's scheme: half the latency of Horner's. */
    double low = (2.0 / 3 + z * (2.0 / 5)) + z2 * (2.0 / 7 + z * (2.0 / 9));
    double middle = (2.0 / 11 + z * (2.0 / 13)) + z2 * (2.0 / 15 + z * (2.0 / 17));
    double high = (2.0 / 19 + z * (2.0 / 21)) + z2 * (2.0 / 23);
    double r = z * (low + z4 * (middle + z4 * high));
    return k * LN2_HIGH - ((s * (f - r) - k * LN2_LOW) - f);
}

/* u = q/4 + r with r in [-1/8, 1/8] exactly, x = 2 pi r, |x| <= pi/4: x carries u and 0.4 u of the constant, which sin
 * passes on at most once and cos at most 0.8 times. sin = x + x (z P) with |z P| < 0.11 adds 0.5 u and the sum u.
 * cos = 1 - (z/2 - z^2 Q) >= 0.7 takes z's u times 0.45, the inner difference's 0.5 and the outer's 1. The first terms
 * left out are below 2^-58 of the results. */
void clfavor_det_sincos_turn(double u, double *sine, double *cosine) {
    int quadrant = (int)(4.0 * u + 0.5);
    double x = (u - 0.25 * quadrant) * 6.283185307179586;
    double z = x * x;
    double z2 = z * z;
    double z4 = z2 * z2;
    double p =
        ((-1.0 / 6 + z * (1.0 / 120)) + z2 * (-1.0 / 5040 + z * (1.0 / 362880))) +
        z4 * ((-1.0 / 39916800 + z * (1.0 / 6227020800)) + z2 * (-1.0 / 1307674368000 + z * (1.0 / 355687428096000)));
    double q = ((1.0 / 24 + z * (-1.0 / 720)) + z2 * (1.0 / 40320 + z * (-1.0 / 3628800))) +
               z4 * ((1.0 / 479001600 + z * (-1.0 / 87178291200)) + z2 * (1.0 / 20922789888000));
    double s = x + x * (z * p);
    double c = 1.0 - (0.5 * z - z2 * q);
    switch (quadrant & 3) {
    case 0:
        *sine = s;
        *cosine = c;
        break;
    case 1:
        *sine = c;
        *cosine = -s;
        break;
    case 2:
        *sine = -s;
        *cosine = -c;
        break;
    default:
        *sine = -c;
        *cosine = s;
        break;
    }
}
