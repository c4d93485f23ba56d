/* Orthogonalisation by other means than the library's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

void verify_block_normals(uint64_t seed, uint32_t set, uint32_t block, uint32_t dim, double *normals) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (uint32_t i = 0; i < dim; ++i)
        for (uint32_t l = 0; l < dim; ++l) {
            const uint32_t counter[4] = {i * ((dim + 1) / 2) + l / 2, block, set, 2};
            uint32_t bits[4];
            double pair[2];
            clfavor_philox4x32(counter, key, bits);
            clfavor_normal_pair(bits, pair);
            normals[(size_t)i * dim + l] = pair[l % 2];
        }
}

static long double inner(const long double *a, const long double *b, uint32_t dim) {
    long double value = 0;
    for (uint32_t l = 0; l < dim; ++l)
        value += a[l] * b[l];
    return value;
}

/* |G|_F |R^-1|_F for the triangular R, r[k * dim + i] = q_k.g_i, by back substitution into `inverse`. */
static double condition(const long double *r, uint32_t dim, long double frobenius2, long double *inverse) {
    long double inverse2 = 0;
    for (uint32_t j = 0; j < dim; ++j)
        for (uint32_t i = j + 1; i-- > 0;) {
            long double value = i == j;
            for (uint32_t k = i + 1; k <= j; ++k)
                value -= r[(size_t)i * dim + k] * inverse[(size_t)k * dim + j];
            value /= r[(size_t)i * dim + i];
            inverse[(size_t)i * dim + j] = value;
            inverse2 += value * value;
        }
    return (double)sqrtl(frobenius2 * inverse2);
}

double verify_gram_schmidt(double *rows, uint32_t dim) {
    const size_t count = (size_t)dim * dim;
    long double *q = calloc(3 * count, sizeof *q), frobenius2 = 0;
    if (!q)
        return NAN;
    long double *r = q + count;
    for (uint32_t i = 0; i < dim; ++i) {
        long double *qi = q + (size_t)i * dim;
        for (uint32_t l = 0; l < dim; ++l)
            qi[l] = (long double)rows[(size_t)i * dim + l];
        long double length2 = inner(qi, qi, dim);
        frobenius2 += length2;
        for (int pass = 0; pass < 2; ++pass)
            for (uint32_t k = 0; k < i; ++k) {
                const long double *qk = q + (size_t)k * dim;
                long double part = inner(qk, qi, dim);
                r[(size_t)k * dim + i] += part;
                for (uint32_t l = 0; l < dim; ++l)
                    qi[l] -= part * qk[l];
            }
        long double rest = sqrtl(inner(qi, qi, dim));
        r[(size_t)i * dim + i] = rest;
        for (uint32_t l = 0; l < dim; ++l) {
            qi[l] /= rest;
            rows[(size_t)i * dim + l] = (double)(sqrtl(length2) * qi[l]);
        }
    }
    double kappa = condition(r, dim, frobenius2, q + 2 * count);
    free(q);
    return kappa;
}

/* x -= 2 v (v.x) / (v.v) */
static void reflect(const double *v, double *x, uint32_t dim) {
    double vv = 0, vx = 0;
    for (uint32_t l = 0; l < dim; ++l) {
        vv += v[l] * v[l];
        vx += v[l] * x[l];
    }
    for (uint32_t l = 0; l < dim; ++l)
        x[l] -= 2 * vx / vv * v[l];
}

bool verify_qr_without_sign_fix(double *rows, uint32_t dim) {
    const size_t count = (size_t)dim * dim;
    double *v = calloc(count + dim, sizeof *v);
    if (!v)
        return false;
    double *lengths = v + count;
    for (uint32_t i = 0; i < dim; ++i) {
        double *x = rows + (size_t)i * dim, *vi = v + (size_t)i * dim, tail = 0;
        for (uint32_t l = 0; l < dim; ++l)
            lengths[i] = hypot(lengths[i], x[l]);
        for (uint32_t k = 0; k < i; ++k)
            reflect(v + (size_t)k * dim, x, dim);
        for (uint32_t l = i; l < dim; ++l)
            tail = hypot(tail, vi[l] = x[l]);
        vi[i] += copysign(tail, x[i]);
    }
    memset(rows, 0, count * sizeof *rows);
    for (uint32_t i = 0; i < dim; ++i) {
        double *x = rows + (size_t)i * dim;
        x[i] = lengths[i];
        for (uint32_t k = i + 1; k-- > 0;)
            reflect(v + (size_t)k * dim, x, dim);
    }
    free(v);
    return true;
}
