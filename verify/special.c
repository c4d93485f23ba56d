#include "special.h"

#include <math.h>

#define PI 3.14159265358979323846

double verify_0f1(double b, double x) {
    double term = 1.0, sum = 1.0;
    for (double k = 0.0; k < 2000.0; k += 1.0) {
        term *= x / ((b + k) * (k + 1.0));
        sum += term;
        if (fabs(term) < 1e-17 * fabs(sum) && (b + k) * (k + 1.0) > fabs(x))
            break;
    }
    return sum;
}

double verify_1f1(double a, double b, double x) {
    if (x < 0.0)
        return exp(x) * verify_1f1(b - a, b, -x);
    double term = 1.0, sum = 1.0;
    for (double k = 0.0; k < 5000.0; k += 1.0) {
        term *= (a + k) * x / ((b + k) * (k + 1.0));
        sum += term;
        if (fabs(term) < 1e-17 * fabs(sum) && k > x)
            break;
    }
    return sum;
}

/* Gauss-Legendre nodes and weights on [0, 1], by Newton's method on the Legendre polynomial. */
enum { NODES = 16 };
static void gauss_legendre(double node[NODES], double weight[NODES]) {
    for (int i = 0; i < NODES; ++i) {
        double x = cos(PI * (i + 0.75) / (NODES + 0.5)), slope = 1.0;
        for (int iteration = 0; iteration < 50; ++iteration) {
            double p0 = 1.0, p1 = x;
            for (int k = 2; k <= NODES; ++k) {
                double p2 = ((2.0 * k - 1.0) * x * p1 - (k - 1.0) * p0) / k;
                p0 = p1;
                p1 = p2;
            }
            slope = NODES * (x * p1 - p0) / (x * x - 1.0);
            double step = p1 / slope;
            x -= step;
            if (fabs(step) < 1e-15)
                break;
        }
        node[i] = 0.5 * (x + 1.0);
        weight[i] = 1.0 / ((1.0 - x * x) * slope * slope);
    }
}

/* Given the direction u of w1, w2 is N(0, I)-like on the complement of u: its direction is uniform there and its length
 * chi(d). So E[exp(w2.b) | u] = 1F1(d/2; (d-1)/2; (|b|^2 - (u.b)^2)/2), and over the length and sign of w1 E
 * exp(w1.a) = 1F1(d/2; 1/2; (u.a)^2/2). What remains is u's projection onto the plane of a and b, whose squared length
 * t has density (d-2)/2 (1-t)^((d-4)/2). With t = 1 - v^2 this is (d-2) v^(d-3) dv, smooth for every d >= 3. */
double verify_pair_moment(uint32_t dim, double aa, double bb, double ab, int sign) {
    enum { ANGLES = 24 };
    double d = dim, node[NODES], weight[NODES], sum = 0.0;
    double along = aa > 0.0 ? ab / sqrt(aa) : 0.0, across2 = bb - along * along;
    double across = across2 > 0.0 ? sqrt(across2) : 0.0, a = sqrt(aa);
    gauss_legendre(node, weight);
    for (int i = 0; i < NODES; ++i) {
        double v = node[i], r = sqrt(1.0 - v * v), inner = 0.0;
        for (int j = 0; j < ANGLES; ++j) { /* by symmetry u and -u are alike: half a turn */
            double phi = PI * (j + 0.5) / ANGLES, ua = r * cos(phi) * a;
            double ub = r * (cos(phi) * along + sin(phi) * across);
            inner += verify_1f1(d / 2.0, 0.5, sign * ua * ua / 2.0) *
                     verify_1f1(d / 2.0, (d - 1.0) / 2.0, sign * (bb - ub * ub) / 2.0);
        }
        sum += weight[i] * (d - 2.0) * pow(v, d - 3.0) * inner / ANGLES;
    }
    return sum;
}

double verify_relu_mean(double theta) {
    return (sin(theta) + (PI - theta) * cos(theta)) / (2.0 * PI);
}

double verify_relu_square(double theta) {
    double c = cos(theta);
    return (3.0 * sin(theta) * c + (PI - theta) * (1.0 + 2.0 * c * c)) / (2.0 * PI);
}

static double relu(double x) {
    return x > 0.0 ? x : 0.0;
}

/* With u1 = r p + sqrt(1-r^2) e, p in the plane of x and y, e orthogonal to it: the projection of u2 onto the plane is
 * rho (cos psi p' + sin psi sqrt(1-r^2) p), p' orthogonal to p, psi uniform, E rho^2 = 2/(d-1), independent of u1. The
 * product is of degree 2 in r and in rho; lengths give E|w|^2 = d each. */
double verify_relu_pair(uint32_t dim, double theta) {
    enum { ANGLES = 256 };
    double d = dim, node[NODES], weight[NODES], sum = 0.0, cx = cos(theta), sx = sin(theta);
    gauss_legendre(node, weight);
    for (int i = 0; i < NODES; ++i) {
        double v = node[i], inner = 0.0; /* v^2 = 1 - r^2, density (d-2) v^(d-3) */
        for (int j = 0; j < ANGLES; ++j) {
            double phi = 2.0 * PI * (j + 0.5) / ANGLES, px = cos(phi), py = sin(phi);
            double own = relu(px) * relu(cx * px + sx * py), other = 0.0;
            if (own == 0.0)
                continue;
            for (int k = 0; k < ANGLES; ++k) {
                double psi = 2.0 * PI * (k + 0.5) / ANGLES, c = cos(psi), s = sin(psi) * v;
                double qx = s * px - c * py, qy = s * py + c * px;
                other += relu(qx) * relu(cx * qx + sx * qy);
            }
            inner += own * other;
        }
        sum += weight[i] * (d - 2.0) * pow(v, d - 3.0) * (1.0 - v * v) * inner;
    }
    return d * d * 2.0 / (d - 1.0) * sum / ((double)ANGLES * ANGLES);
}
