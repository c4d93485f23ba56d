/* How far an output is from exact attention, on evenly spaced query rows. */
#ifndef CLI_COMPARE_H
#define CLI_COMPARE_H

#include "inputs.h"

typedef struct comparison {
    uint64_t rows;    /* compared of each head */
    uint64_t heads;   /* batch x heads */
    double *error;    /* |O - E| / |E| of each, batch outermost */
    double *baseline; /* the same of answering the mean of the values that a row sees */
} comparison;

/* args: of the run whose output args->o is, with its inputs; v: the values' file; limit: rows of a head at most; scale:
 * 0 for 1/sqrt(d). Returns CLI_OK or an error that was printed. */
int compare(comparison *c, const session *s, const clfavor_attention_args *args, const run_shape *shape,
            const npy_array *v, bool causal, double scale, uint64_t limit);
void comparison_free(comparison *c);

/* The middle one, or the mean of the two middle ones; NaN counts as larger than every number. */
double compare_median(const double *values, size_t count);

#endif
