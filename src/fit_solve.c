/* Theory section 6, steps 2 to 4, and the special cases of section 1. */
#include "fit_solve.h"

#include <math.h>
#include <stdlib.h>

#include "linalg.h"

#define RIDGE   0.05 /* of the mean eigenvalue: sampled moments know the small ones badly (1e-6 gives .78 for .50) */
#define CLIPPED 1e4  /* balancing by more is noise */

double clfavor_optimal_a(double p) {
    if (!(p > 0.0))
        return 0.0;
    double root = sqrt((2.0 * p + 1.0) * (2.0 * p + 1.0) + 8.0 * p);
    /* two forms, so that neither small nor large p cancel */
    return p > 0.5 ? (1.0 - 2.0 * p - root) / 16.0 : -p / (1.0 - 2.0 * p + root);
}

static void identity(double *m, size_t d) {
    for (size_t i = 0; i < d * d; ++i)
        m[i] = i / d == i % d ? 1.0 : 0.0;
}

static double trace(const double *m, size_t d) {
    double sum = 0.0;
    for (size_t i = 0; i < d; ++i)
        sum += m[i * d + i];
    return sum;
}

/* out = f(A) for symmetric A: the eigenvalues' power, clipped from below and above. A is destroyed. */
static void power(size_t d, double *a, double exponent, double low, double high, double *vectors, double *scaled,
                  double *out) {
    double values[CLFAVOR_MAX_DIM];
    clfavor_eigen(d, a, vectors, values);
    for (size_t l = 0; l < d; ++l) {
        double value = values[l] > low ? values[l] : low;
        value = pow(value < high ? value : high, exponent);
        for (size_t i = 0; i < d; ++i)
            scaled[i * d + l] = vectors[i * d + l] * value;
    }
    clfavor_multiply_bt(d, scaled, vectors, out);
}

/* Scratch of d x d matrices. */
enum { M1, M2, XY, ROOT, INVERSE, BALANCE, UNBALANCE, C, VECTORS, SCALED, PRODUCT, MATRICES };

typedef struct solver {
    size_t d;
    double *m[MATRICES];
} solver;

/* Moments about the centres, which are relative to x0 and y0 as the sums are, per weight. */
static void centre(const solver *s, const clfavor_moments *m, const double *xbar, const double *ybar) {
    size_t d = s->d;
    for (size_t i = 0; i < d; ++i)
        for (size_t l = 0; l < d; ++l) {
            double mx = m->x[i] / m->weight, my = m->y[l] / m->weight, nx = m->x[l] / m->weight,
                   ny = m->y[i] / m->weight;
            s->m[M1][i * d + l] = m->xx[i * d + l] / m->weight - mx * xbar[l] - xbar[i] * nx + xbar[i] * xbar[l];
            s->m[M2][i * d + l] = m->yy[i * d + l] / m->weight - ny * ybar[l] - ybar[i] * my + ybar[i] * ybar[l];
            s->m[XY][i * d + l] = m->xy[i * d + l] / m->weight - mx * ybar[l] - xbar[i] * my + xbar[i] * ybar[l];
        }
}

/* S solves S M1 S = M2; BALANCE = S^1/2, UNBALANCE = S^-1/2. False, and both are I, where a side has no variance. */
static bool balance_fully(const solver *s) {
    size_t d = s->d;
    double tx = trace(s->m[M1], d), ty = trace(s->m[M2], d), *copy = s->m[C], *product = s->m[PRODUCT];
    identity(s->m[BALANCE], d);
    identity(s->m[UNBALANCE], d);
    if (!(tx > 0.0) || !(ty > 0.0))
        return false;
    memcpy(copy, s->m[M1], d * d * sizeof *copy);
    for (size_t i = 0; i < d; ++i)
        copy[i * d + i] += RIDGE * tx / (double)d;
    double floor_x = 1e-12 * tx / (double)d;
    memcpy(product, copy, d * d * sizeof *copy);
    power(d, copy, 0.5, floor_x, INFINITY, s->m[VECTORS], s->m[SCALED], s->m[ROOT]);
    power(d, product, -0.5, floor_x, INFINITY, s->m[VECTORS], s->m[SCALED], s->m[INVERSE]);
    memcpy(copy, s->m[M2], d * d * sizeof *copy);
    for (size_t i = 0; i < d; ++i)
        copy[i * d + i] += RIDGE * ty / (double)d;
    clfavor_multiply(d, s->m[ROOT], copy, product);
    clfavor_multiply(d, product, s->m[ROOT], copy);
    power(d, copy, 0.5, 0.0, INFINITY, s->m[VECTORS], s->m[SCALED], s->m[BALANCE]);
    clfavor_multiply(d, s->m[INVERSE], s->m[BALANCE], product);
    clfavor_multiply(d, product, s->m[INVERSE], copy); /* S */
    memcpy(product, copy, d * d * sizeof *copy);
    power(d, copy, 0.5, 1.0 / CLIPPED, CLIPPED, s->m[VECTORS], s->m[SCALED], s->m[BALANCE]);
    power(d, product, -0.5, 1.0 / CLIPPED, CLIPPED, s->m[VECTORS], s->m[SCALED], s->m[UNBALANCE]);
    return true;
}

/* T = diag((E y_l^2 / E x_l^2)^(1/4)) */
static bool balance_diagonal(const solver *s) {
    size_t d = s->d;
    bool all = true;
    identity(s->m[BALANCE], d);
    identity(s->m[UNBALANCE], d);
    for (size_t i = 0; i < d * d; i += d + 1) {
        double x = s->m[M1][i], y = s->m[M2][i], ratio = x > 0.0 && y > 0.0 ? y / x : 1.0;
        all = all && x > 0.0 && y > 0.0;
        ratio = fmin(fmax(ratio, 1.0 / (CLIPPED * CLIPPED)), CLIPPED * CLIPPED);
        s->m[BALANCE][i] = pow(ratio, 0.25);
        s->m[UNBALANCE][i] = 1.0 / s->m[BALANCE][i];
    }
    return all;
}

/* C = E[z z'], z = BALANCE x0 + UNBALANCE y0 */
static void second_moment(const solver *s) {
    size_t d = s->d;
    double *product = s->m[PRODUCT], *part = s->m[SCALED], *c = s->m[C];
    clfavor_multiply(d, s->m[BALANCE], s->m[M1], product);
    clfavor_multiply(d, product, s->m[BALANCE], c);
    clfavor_multiply(d, s->m[UNBALANCE], s->m[M2], product);
    clfavor_multiply(d, product, s->m[UNBALANCE], part);
    for (size_t i = 0; i < d * d; ++i)
        c[i] += part[i];
    clfavor_multiply(d, s->m[BALANCE], s->m[XY], product);
    clfavor_multiply(d, product, s->m[UNBALANCE], part);
    for (size_t i = 0; i < d; ++i)
        for (size_t l = 0; l < d; ++l)
            c[i * d + l] += part[i * d + l] + part[l * d + i];
}

/* What each method does. */
static const struct {
    bool centres, full, diagonal, axes, a;
} steps[] = {
    [CLFAVOR_FIT_ATTENTION] = {.centres = true, .full = true, .axes = true, .a = true},
    [CLFAVOR_FIT_PLAIN] = {0},
    [CLFAVOR_FIT_OPRF] = {.a = true},
    [CLFAVOR_FIT_SHIFT] = {.centres = true},
    [CLFAVOR_FIT_DIAGONAL] = {.diagonal = true, .a = true},
    [CLFAVOR_FIT_FULL] = {.full = true, .a = true},
    [CLFAVOR_FIT_SDERF] = {.axes = true, .a = true},
};

static void solve(const solver *s, const clfavor_moments *m, clfavor_fit_method method, clfavor_fit_set *out,
                  bool *balanced) {
    size_t d = s->d;
    double values[CLFAVOR_MAX_DIM];
    double x[CLFAVOR_MAX_DIM], y[CLFAVOR_MAX_DIM]; /* the centres less x0 and y0 */
    out->mean_s_plain = (trace(m->xx, d) + trace(m->yy, d) + 2.0 * trace(m->xy, d)) / m->weight;
    out->effective_keys = m->keys / m->rows;
    for (size_t l = 0; l < d; ++l) {
        double mean = (m->x[l] + m->y[l]) / m->weight, origin = m->x0[l] + m->y0[l];
        out->mean_s_plain += origin * (2.0 * mean + origin);
        x[l] = steps[method].centres ? m->x[l] / m->weight : -m->x0[l];
        y[l] = steps[method].centres ? m->y[l] / m->weight : -m->y0[l];
        out->xbar[l] = steps[method].centres ? m->x0[l] + x[l] : 0.0;
        out->ybar[l] = steps[method].centres ? m->y0[l] + y[l] : 0.0;
    }
    centre(s, m, x, y);
    *balanced = true;
    if (steps[method].full)
        *balanced = balance_fully(s);
    else if (steps[method].diagonal)
        *balanced = balance_diagonal(s);
    else {
        identity(s->m[BALANCE], d);
        identity(s->m[UNBALANCE], d);
    }
    second_moment(s);
    out->mean_s = trace(s->m[C], d);
    for (size_t l = 0; l < d; ++l)
        out->a[l] = steps[method].a ? clfavor_optimal_a(out->mean_s / (double)d) : 0.0;
    if (steps[method].axes) {
        clfavor_eigen(d, s->m[C], s->m[VECTORS], values);
        for (size_t l = 0; l < d; ++l)
            out->a[l] = clfavor_optimal_a(values[l]);
        clfavor_multiply_at(d, s->m[VECTORS], s->m[BALANCE], out->tq);
        clfavor_multiply_at(d, s->m[VECTORS], s->m[UNBALANCE], out->tk);
    } else {
        memcpy(out->tq, s->m[BALANCE], d * d * sizeof *out->tq);
        memcpy(out->tk, s->m[UNBALANCE], d * d * sizeof *out->tk);
    }
}

clfavor_status clfavor_fit_solve(const clfavor_moments *moments, clfavor_fit_method method, clfavor_fit_set *out,
                                 bool *balanced) {
    size_t d = moments->dim;
    double *block = malloc(MATRICES * d * d * sizeof *block);
    if (!block)
        return CLFAVOR_OUT_OF_MEMORY;
    solver s = {.d = d};
    for (size_t i = 0; i < MATRICES; ++i)
        s.m[i] = block + i * d * d;
    solve(&s, moments, method, out, balanced);
    free(block);
    return CLFAVOR_SUCCESS;
}
