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

/* Gauss-Legendre nodes and weights on [0, 1], by Newton's method on the Legendre polynomial. So many are exact to
 * degree 63: enough for v^(d-3), d <= 64, times what varies slowly. */
enum { NODES = 32 };
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

/* Given the direction u of w1, w2 is N(0, I)-like on the complement of u, so that E[f(w2) | u] is d/(d-1) times the
 * mean above for the parts of x and y across u. With u = r p + ..., p at the angle phi from x in the plane of x and y,
 * f(w1) is not 0 between theta - pi/2 and pi/2, and smooth between the angles where u can come to lie along x or y. */
double verify_relu_pair(uint32_t dim, double theta) {
    double d = dim, node[NODES], weight[NODES], sum = 0.0;
    double low = theta - PI / 2.0, high = PI / 2.0;
    double edges[4] = {low, fmax(low, 0.0), fmin(theta, high), high};
    gauss_legendre(node, weight);
    for (int i = 0; i < NODES; ++i)
        for (int j = 0; j < 3 * NODES; ++j) {
            double v = node[i], start = edges[j / NODES], width = edges[j / NODES + 1] - start;
            double phi = start + width * node[j % NODES], r = sqrt(1.0 - v * v); /* v has density (d-2) v^(d-3) */
            double a = r * cos(phi), b = r * cos(phi - theta);
            double across = sqrt((1.0 - a * a) * (1.0 - b * b)), cosine = (cos(theta) - a * b) / across;
            double other = across * verify_relu_mean(acos(fmax(-1.0, fmin(1.0, cosine))));
            sum += weight[i] * (d - 2.0) * pow(v, d - 3.0) * weight[j % NODES] * width / (2.0 * PI) * a * b * other;
        }
    return d * d / (d - 1.0) * sum;
}
