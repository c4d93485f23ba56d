/* Uniform and standard normal numbers from Philox blocks. */
#ifndef CLFAVOR_NORMAL_H
#define CLFAVOR_NORMAL_H

#include "common.h"

/* The last word of every counter: draws for different purposes never share a block. */
typedef enum clfavor_purpose {
    CLFAVOR_PURPOSE_IID = 1,   /* (pair in the row, row, set) */
    CLFAVOR_PURPOSE_BLOCK = 2, /* (pair in the block, block, set): the normals that an orthogonal block is made from */
    CLFAVOR_PURPOSE_PHASE = 3  /* (row, 0, set) */
} clfavor_purpose;

/* count normals from the blocks with counters first, first + 1 (in word 0), ...: two from each, the last one's second
 * dropped when count is odd. */
void clfavor_normal_fill(double *out, uint32_t count, const uint32_t first[4], const uint32_t key[2]);

/* Uniform on the multiples of 2^-53 in [0, 1), from the top 53 of the 64 bits (low, high). */
static inline double clfavor_uniform(uint32_t low, uint32_t high) {
    return ((double)high * 0x1p21 + (double)(low >> 11)) * 0x1p-53;
}

#endif
