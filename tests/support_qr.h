/* Orthogonalisation by other means than the library's, to test it against. */
#ifndef TESTS_SUPPORT_QR_H
#define TESTS_SUPPORT_QR_H

#include <stdint.h>

/* The d x d normals that block `block` of parameter set `set` is made from, drawn through the public functions by the
 * counter that the library promises: (pair, block, set, 2), each row beginning with a new pair. Freed by the caller. */
double *qr_block_normals(uint64_t seed, uint32_t set, uint32_t block, uint32_t dim);
/* Replaces the rows by their Gram-Schmidt orthogonalisation, each with its former length. Modified Gram-Schmidt in long
 * double, twice. Returns the condition number (Frobenius) of the rows. */
double qr_gram_schmidt(double *rows, uint32_t dim);
/* The mistake to be caught: Q of a Householder QR as libraries return it, its signs left as they are. */
void qr_without_sign_fix(double *rows, uint32_t dim);

#endif
