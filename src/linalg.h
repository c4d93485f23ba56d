/* The little dense linear algebra that estimators need, in double: matrices of order d <= 256, row-major. Own code: a
 * LAPACK would be the library's only dependency beyond OpenCL, for two short routines whose time does not count. */
#ifndef CLFAVOR_LINALG_H
#define CLFAVOR_LINALG_H

#include "common.h"

/* Replaces T by the lower triangular L with L'L = T'T, so that |L x| = |T x|: half the work for the kernels.
 * Householder reflections from the last column on; T of any rank. */
void clfavor_lower_factor(size_t d, double *t);

/* Symmetric A = V diag(values) V': eigenvalues in descending order, column l of V the l-th vector. Cyclic Jacobi
 * (Golub and Van Loan, Matrix Computations, 4th ed., section 8.5). A is destroyed. */
void clfavor_eigen(size_t d, double *a, double *v, double *values);

/* out = A B, or A' B, or A B'; out is none of them. */
void clfavor_multiply(size_t d, const double *a, const double *b, double *out);
void clfavor_multiply_at(size_t d, const double *a, const double *b, double *out);
void clfavor_multiply_bt(size_t d, const double *a, const double *b, double *out);

/* out [n, n] = A A' of A [n, count]. */
void clfavor_gram(size_t n, size_t count, const double *a, double *out);

/* out [n, n] = A A' of A [n, count]. */
void clfavor_gram(size_t n, size_t count, const double *a, double *out);

/* X = U^-1, upper triangular, for symmetric positive definite A = U'U of any order n, so that A^-1 = X X'. A is
 * destroyed. Returns false where A is not positive definite. */
bool clfavor_cholesky_inverse(size_t n, double *a, double *x);

#endif
