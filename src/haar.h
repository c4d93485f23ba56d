/* Random orthogonal blocks with the Haar distribution. */
#ifndef CLFAVOR_HAAR_H
#define CLFAVOR_HAAR_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of scratch (aligned as malloc's) for a block of this dimension. */
size_t clfavor_haar_scratch(uint32_t dim);

/* Replaces the count <= dim rows [count, dim] by an orthogonal set: what Gram-Schmidt makes of them in order, each row
 * with the given length, or with the length that it had when length is 0.
 *
 * For rows that are N(0, I) the result is the first count rows of a Haar matrix: turning all rows by U turns the result
 * by U. The same argument makes the directions independent of all inner products of the rows, so of their lengths,
 * which are independent chi(dim): with length 0 every row is again N(0, I), at no extra draw. (This is the sign fix of
 * F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices AMS 54, 2007: Gram-Schmidt
 * is the QR factorisation with a positive diagonal of R. Householder's choice of signs is not Haar.)
 *
 * Row i depends on rows 0..i and dim only, to the last bit. */
void clfavor_haar_rows(double *rows, uint32_t count, uint32_t dim, double length, void *scratch);

#endif
