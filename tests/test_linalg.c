/* The small dense linear algebra. Tolerances: eigenvalues and reflections of order d are backward stable, with errors
 * of a small multiple of d eps |A|; 16 is that multiple here (a Jacobi takes up to 10 sweeps). */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linalg.h"

static const size_t orders[] = {1, 2, 3, 7, 32, 65};

static double frobenius(const double *a, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i)
        sum += a[i] * a[i];
    return sqrt(sum);
}

/* kind: 0 random, 1 of rank 1, 2 repeated eigenvalues (a multiple of I plus rank 1), 3 graded over 16 decades, 4 zero
 */
static double *symmetric(size_t d, int kind, double scale) {
    double *a = test_alloc(d * d, sizeof *a);
    for (size_t i = 0; i < d; ++i)
        for (size_t j = 0; j < d; ++j) {
            double u = test_normal(1, i), v = test_normal(1, j);
            double random = i < j ? test_normal(2, i * d + j) : test_normal(2, j * d + i);
            double grade = pow(10, -16.0 * (double)(i + j) / (2.0 * (double)d));
            const double values[] = {random, u * v, (i == j ? 3.0 : 0.0) + u * v, random * grade, 0};
            a[i * d + j] = scale * values[kind];
        }
    return a;
}

START_TEST(eigenvectors) {
    static const double scales[] = {1, 1e140, 1e-140};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; ++o)
        for (int kind = 0; kind < 5; ++kind) {
            size_t d = orders[o];
            double *a = symmetric(d, kind, scales[_i]), *work = test_alloc(d * d, sizeof *work);
            double *v = test_alloc(d * d, sizeof *v), *values = test_alloc(d, sizeof *values);
            double bound = 16 * (double)d * 0x1p-53, size = frobenius(a, d * d) / scales[_i];
            memcpy(work, a, d * d * sizeof *a);
            clfavor_eigen(d, work, v, values);
            for (size_t l = 0; l < d; ++l) {
                ck_assert_msg(l == 0 || values[l] <= values[l - 1], "order %zu kind %d: not sorted", d, kind);
                for (size_t i = 0; i < d; ++i) {
                    double residual = -values[l] * v[i * d + l], dot = 0;
                    for (size_t j = 0; j < d; ++j) {
                        residual += a[i * d + j] * v[j * d + l];
                        dot += v[j * d + i] * v[j * d + l];
                    }
                    ck_assert_msg(fabs(residual) <= bound * size * scales[_i], "order %zu kind %d: residual %g", d,
                                  kind, residual);
                    ck_assert_msg(fabs(dot - (i == l)) <= bound, "order %zu kind %d: not orthogonal, %g", d, kind, dot);
                }
            }
            free(a);
            free(work);
            free(v);
            free(values);
        }
}
END_TEST

START_TEST(known_eigenvalues) {
    double a[] = {2, 1, 0, 1, 2, 0, 0, 0, 7}, v[9], values[3];
    clfavor_eigen(3, a, v, values);
    ck_assert_double_eq(values[0], 7);
    ck_assert_double_eq_tol(values[1], 3, 1e-15);
    ck_assert_double_eq_tol(values[2], 1, 1e-15);
}
END_TEST

/* L'L = T'T and L is lower triangular, for any T. */
START_TEST(lower_factor) {
    static const double scales[] = {1, 1e150, 1e-150}; /* whose squares are no numbers */
    for (size_t o = 0; o < sizeof orders / sizeof *orders; ++o)
        for (int kind = 0; kind < 5; ++kind) {
            size_t d = orders[o];
            double *t = symmetric(d, kind, scales[_i]), *l = test_alloc(d * d, sizeof *l);
            for (size_t i = 0; kind == 0 && i < d * d; ++i)
                t[i] += 0.5 * scales[_i] * test_normal(3, i); /* not symmetric */
            double size = frobenius(t, d * d) / scales[_i], bound = 16 * (double)d * 0x1p-53 * size * size;
            memcpy(l, t, d * d * sizeof *t);
            clfavor_lower_factor(d, l);
            for (size_t i = 0; i < d; ++i)
                for (size_t j = 0; j < d; ++j) {
                    double difference = 0;
                    if (j > i)
                        ck_assert_double_eq(l[i * d + j], 0);
                    for (size_t k = 0; k < d; ++k)
                        difference += l[k * d + i] / scales[_i] * (l[k * d + j] / scales[_i]) -
                                      t[k * d + i] / scales[_i] * (t[k * d + j] / scales[_i]);
                    ck_assert_msg(fabs(difference) <= bound, "order %zu kind %d: off by %g", d, kind, difference);
                }
            free(t);
            free(l);
        }
}
END_TEST

START_TEST(products) {
    enum { D = 5 };
    double a[D * D], b[D * D], out[3][D * D];
    for (size_t i = 0; i < D * D; ++i) {
        a[i] = test_normal(4, i);
        b[i] = test_normal(5, i);
    }
    clfavor_multiply(D, a, b, out[0]);
    clfavor_multiply_at(D, a, b, out[1]);
    clfavor_multiply_bt(D, a, b, out[2]);
    for (size_t i = 0; i < D; ++i)
        for (size_t j = 0; j < D; ++j) {
            double expected[3] = {0};
            for (size_t k = 0; k < D; ++k) {
                expected[0] += a[i * D + k] * b[k * D + j];
                expected[1] += a[k * D + i] * b[k * D + j];
                expected[2] += a[i * D + k] * b[j * D + k];
            }
            for (int w = 0; w < 3; ++w)
                ck_assert_double_eq_tol(out[w][i * D + j], expected[w], 1e-14);
        }
}
END_TEST

/* X X' A = I, for a Gram matrix with a ridge; a matrix that is not positive definite is refused. */
START_TEST(cholesky_inverse) {
    for (size_t o = 0; o < sizeof orders / sizeof *orders; ++o) {
        size_t n = orders[o], count = 3 * n + 1;
        double *rows = test_alloc(n * count, sizeof *rows), *a = test_alloc(n * n, sizeof *a);
        double *copy = test_alloc(n * n, sizeof *copy), *x = test_alloc(n * n, sizeof *x);
        for (size_t i = 0; i < n * count; ++i)
            rows[i] = test_normal(6, i);
        clfavor_gram(n, count, rows, a);
        for (size_t i = 0; i < n; ++i)
            for (size_t j = 0; j < n; ++j) {
                double sum = 0;
                for (size_t k = 0; k < count; ++k)
                    sum += rows[i * count + k] * rows[j * count + k];
                ck_assert_double_eq_tol(a[i * n + j], sum, 1e-12 * (double)count);
            }
        memcpy(copy, a, n * n * sizeof *a);
        ck_assert(clfavor_cholesky_inverse(n, copy, x));
        for (size_t i = 0; i < n; ++i)
            for (size_t j = 0; j < n; ++j) {
                double product = 0;
                for (size_t k = 0; k < n; ++k) {
                    double inverse = 0;
                    for (size_t l = 0; l < n; ++l)
                        inverse += x[i * n + l] * x[k * n + l];
                    product += inverse * a[k * n + j];
                }
                ck_assert_double_eq_tol(product, i == j, 1e-9);
            }
        a[n * n - 1] = -1;
        ck_assert(!clfavor_cholesky_inverse(n, a, x));
        free(rows);
        free(a);
        free(copy);
        free(x);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("linalg");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, eigenvectors, 0, 3);
    tcase_add_test(tcase, known_eigenvalues);
    tcase_add_loop_test(tcase, lower_factor, 0, 3);
    tcase_add_test(tcase, products);
    tcase_add_test(tcase, cholesky_inverse);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
