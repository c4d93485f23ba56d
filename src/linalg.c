#include "linalg.h"

#include <math.h>

#define SWEEPS 30 /* Jacobi converges quadratically: 6 to 10 do for any matrix of double */

void clfavor_lower_factor(size_t d, double *t) {
    /* Column l is reflected into rows 0 .. l: all that lies above its diagonal goes into t[l, l]. */
    for (size_t l = d; l-- > 0;) {
        double largest = 0.0, square = 0.0, dot[CLFAVOR_MAX_DIM] = {0};
        for (size_t i = 0; i < l; ++i)
            largest = fmax(largest, fabs(t[i * d + l]));
        if (largest == 0.0)
            continue;
        largest = fmax(largest, fabs(t[l * d + l]));
        for (size_t i = 0; i <= l; ++i) /* scaled, so that no square under- or overflows */
            square += (t[i * d + l] / largest) * (t[i * d + l] / largest);
        double norm = largest * sqrt(square), pivot = t[l * d + l];
        double alpha = pivot > 0.0 ? -norm : norm, head = pivot - alpha;
        /* v = column - alpha e_l, beta = 2 / |v|^2 = 1 / (-alpha head) = 1 / (norm |head|) */
        double v[CLFAVOR_MAX_DIM];
        for (size_t i = 0; i < l; ++i)
            v[i] = t[i * d + l] / head;
        v[l] = 1.0;
        double beta = fabs(head) / norm;
        for (size_t i = 0; i <= l; ++i)
            for (size_t c = 0; c < l; ++c)
                dot[c] += v[i] * t[i * d + c];
        for (size_t i = 0; i <= l; ++i) {
            double factor = beta * v[i];
            for (size_t c = 0; c < l; ++c)
                t[i * d + c] -= factor * dot[c];
            t[i * d + l] = i == l ? alpha : 0.0;
        }
    }
}

/* The rotation of rows and columns p and q that makes a[p, q] zero. Rows only are touched where it can be avoided: they
 * lie together. */
static void rotate(size_t d, double *a, double *vt, size_t p, size_t q) {
    double apq = a[p * d + q];
    double theta = (a[q * d + q] - a[p * d + p]) / (2.0 * apq);
    double t = copysign(1.0, theta) / (fabs(theta) + hypot(1.0, theta));
    double c = 1.0 / sqrt(1.0 + t * t), s = t * c;
    double *ap = a + p * d, *aq = a + q * d, *vp = vt + p * d, *vq = vt + q * d;
    double app = ap[p] - t * apq, aqq = aq[q] + t * apq;
    for (size_t k = 0; k < d; ++k) {
        double x = ap[k], y = aq[k], u = vp[k], w = vq[k];
        ap[k] = c * x - s * y;
        aq[k] = s * x + c * y;
        vp[k] = c * u - s * w;
        vq[k] = s * u + c * w;
    }
    for (size_t k = 0; k < d; ++k) { /* symmetric */
        a[k * d + p] = ap[k];
        a[k * d + q] = aq[k];
    }
    ap[p] = app;
    aq[q] = aqq;
    ap[q] = aq[p] = 0.0;
}

void clfavor_eigen(size_t d, double *a, double *v, double *values) {
    /* v holds V' until the end: its rows are rotated */
    for (size_t i = 0; i < d * d; ++i)
        v[i] = i / d == i % d ? 1.0 : 0.0;
    for (int sweep = 0; sweep < SWEEPS; ++sweep) {
        bool rotated = false;
        for (size_t p = 0; p + 1 < d; ++p)
            for (size_t q = p + 1; q < d; ++q)
                /* below the rounding of both diagonal entries it is zero */
                if (fabs(a[p * d + q]) > 0x1p-54 * sqrt(fabs(a[p * d + p])) * sqrt(fabs(a[q * d + q])) &&
                    fabs(a[p * d + q]) > 0x1p-1000) {
                    rotate(d, a, v, p, q);
                    rotated = true;
                }
        if (!rotated)
            break;
    }
    for (size_t i = 0; i < d; ++i) { /* selection sort: descending */
        size_t best = i;
        for (size_t j = i + 1; j < d; ++j)
            if (a[j * d + j] > a[best * d + best])
                best = j;
        values[i] = a[best * d + best];
        a[best * d + best] = a[i * d + i];
        for (size_t k = 0; best != i && k < d; ++k) {
            double swap = v[i * d + k];
            v[i * d + k] = v[best * d + k];
            v[best * d + k] = swap;
        }
    }
    for (size_t i = 0; i < d; ++i)
        for (size_t j = 0; j < i; ++j) {
            double swap = v[i * d + j];
            v[i * d + j] = v[j * d + i];
            v[j * d + i] = swap;
        }
}

void clfavor_multiply(size_t d, const double *a, const double *b, double *out) {
    for (size_t i = 0; i < d; ++i) {
        memset(out + i * d, 0, d * sizeof *out);
        for (size_t k = 0; k < d; ++k)
            for (size_t j = 0; j < d; ++j)
                out[i * d + j] += a[i * d + k] * b[k * d + j];
    }
}

void clfavor_multiply_at(size_t d, const double *a, const double *b, double *out) {
    memset(out, 0, d * d * sizeof *out);
    for (size_t k = 0; k < d; ++k)
        for (size_t i = 0; i < d; ++i)
            for (size_t j = 0; j < d; ++j)
                out[i * d + j] += a[k * d + i] * b[k * d + j];
}

void clfavor_multiply_bt(size_t d, const double *a, const double *b, double *out) {
    for (size_t i = 0; i < d; ++i)
        for (size_t j = 0; j < d; ++j) {
            double sum = 0.0;
            for (size_t k = 0; k < d; ++k)
                sum += a[i * d + k] * b[j * d + k];
            out[i * d + j] = sum;
        }
}

bool clfavor_cholesky_inverse(size_t n, double *a, double *x) {
    /* U in the upper half of A, row by row: rows lie together */
    for (size_t k = 0; k < n; ++k) {
        double *row = a + k * n, pivot = row[k];
        if (!(pivot > 0.0))
            return false;
        pivot = sqrt(pivot);
        for (size_t j = k; j < n; ++j)
            row[j] /= pivot;
        for (size_t i = k + 1; i < n; ++i) {
            double factor = row[i], *to = a + i * n;
            for (size_t j = i; j < n; ++j)
                to[j] -= factor * row[j];
        }
    }
    memset(x, 0, n * n * sizeof *x);
    for (size_t i = 0; i < n; ++i) { /* X U = I */
        double *row = x + i * n;
        row[i] = 1.0;
        for (size_t k = i; k < n; ++k) {
            const double *u = a + k * n;
            double value = row[k] / u[k];
            row[k] = value;
            for (size_t j = k + 1; j < n; ++j)
                row[j] -= value * u[j];
        }
    }
    return true;
}

void clfavor_gram(size_t n, size_t count, const double *a, double *out) {
    for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j <= i; ++j) {
            double sum[4] = {0}; /* partial sums, so that they overlap */
            const double *x = a + i * count, *y = a + j * count;
            for (size_t k = 0; k < count; ++k)
                sum[k % 4] += x[k] * y[k];
            out[i * n + j] = out[j * n + i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
}
