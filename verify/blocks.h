/* Moments of several rows of one Haar block with chi(d) lengths. */
#ifndef VERIFY_BLOCKS_H
#define VERIFY_BLOCKS_H

#include <stdint.h>

/* f(t) = exp(t), cosh(t) or cos(t) of t = w.v for the rows w of a block, from |v|^2. */
typedef enum verify_function { VERIFY_EXP, VERIFY_COSH, VERIFY_COS } verify_function;

/* E (sum of f over `rows` <= d rows of one block - rows E f)^4, exactly: no bound. |v|^2 of 2 at most for cos, whose
 * series alternates. */
double verify_block_fourth(verify_function f, uint32_t dim, uint32_t rows, double square);

#endif
