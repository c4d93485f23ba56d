/* How far a result is from exact softmax attention, which the device computes too, on evenly spaced query rows. */
#ifndef CLI_COMPARE_H
#define CLI_COMPARE_H

#include "inputs.h"

typedef struct comparison {
    const session *session;
    const run_shape *shape;
    const npy_array *v;
    bool causal;
    uint64_t heads, rows, step; /* batch * H, batch outermost; rows compared in each, `step` apart */
    cl_mem exact;               /* [heads, rows, dv] */
    double seconds;             /* that exact attention took for these rows */
    double *error;              /* [heads] |O-E|/|E|, Frobenius */
    double *baseline;           /* [heads] the same for the mean of the values that a row sees */
} comparison;

/* Computes at most `limit` exact rows a head. args: dense; what is not q, k or v is ignored. scale: 0 for 1/sqrt(d).
 * Returns CLI_OK or an error that was printed, as comparison_measure does. */
int comparison_open(comparison *c, const session *s, const clfavor_attention_args *args, const run_shape *shape,
                    const npy_array *v, bool causal, double scale, uint64_t limit);
/* The arguments with the queries of these rows alone, and without lse and sign. */
clfavor_attention_args comparison_rows(const comparison *c, const clfavor_attention_args *args);
/* Fills error from o, [heads, o_rows, dv], whose rows 0, o_step, .. are those of the comparison; with mean_too fills
 * baseline. */
int comparison_measure(comparison *c, cl_mem o, uint64_t o_rows, uint64_t o_step, bool mean_too);
void comparison_close(comparison *c);

/* The middle one, or the mean of the two middle ones; NaN counts as larger than every number. */
double compare_median(const double *values, size_t count);

#endif
