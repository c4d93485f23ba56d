/* The exact law, as far as it is known, of one row's contribution to an estimate: X = sum_j c_j m phi_r(x) phi_r(y_j)
 * for one row w of W (docs/theory.md, section 1 and 2). An estimate with m rows is the mean of m such X. */
#ifndef VERIFY_MOMENTS_H
#define VERIFY_MOMENTS_H

#include <clfavor/clfavor.h>

#include "blocks.h"

#define VERIFY_MAX_DIM  64u /* of what is verified */
#define VERIFY_MAX_KEYS 8u  /* distinct keys */

/* The general exponential estimator in the form of docs/theory.md, section 6: Tq = Tk^-T, A < 1/8 for each axis. NULL
 * members mean T = I and xbar = ybar = 0. */
typedef struct verify_fitted {
    const double *a;           /* [d] */
    const double *tq, *tk;     /* [d, d] */
    const double *xbar, *ybar; /* [d] */
} verify_fitted;

typedef struct verify_target {
    clfavor_map map;
    clfavor_projection_kind kind; /* not CUSTOM */
    uint32_t dim;
    const double *x;             /* [d], scaled: q sqrt(scale) */
    const double *y;             /* [keys, d], scaled */
    const double *count;         /* [keys]: how often each key occurs; NULL: once */
    uint32_t keys;               /* at most VERIFY_MAX_KEYS; relu: more than one only if all are parallel */
    const verify_fitted *fitted; /* CLFAVOR_MAP_EXPONENTIAL only */
} verify_target;

typedef struct verify_moments {
    double mean;
    double exact;    /* sum_j c_j exp(x.y_j): what softmax has there */
    double second;   /* E X^2 */
    double pair;     /* E X1 X2 for two rows of one orthogonal block; NaN where no closed form is known */
    double opposite; /* E X1 X2 for rows w and -w */
    double fourth;   /* E (X - mean)^4; NaN where unknown (several keys, relu, fixed norms) or infinite */
    /* one key of a map X = factor f(w.v), f = exp, cosh or cos: what blocks' higher moments are made from; else NaN */
    double factor, square; /* |v|^2 */
    verify_function function;
} verify_moments;

/* Fixed norms: one key only; they have no closed mean for CLFAVOR_MAP_EXPONENTIAL, which must not be asked for. */
verify_moments verify_moments_of(const verify_target *target);

/* Variance of the mean of m rows: exact where the pair is known or rows are independent, otherwise the bound that
 * holds for any dependence inside a block, Var(block mean) <= Var(row), or that of w and -w together. A block has d
 * rows, one of pairs 2d. *exact says which (may be NULL). */
double verify_variance(const verify_moments *moments, clfavor_projection_kind kind, uint32_t dim, uint32_t m,
                       int *exact);
/* Variance of (mean of m rows - E)^2; NaN where the fourth moment is unknown. Independent rows: (V/m)^2 (2 + excess
 * kurtosis / m). Blocks: their own fourth moments; trig-phase: the bound E(block mean - E)^4 <= E(row - E)^4. */
double verify_square_variance(const verify_moments *moments, clfavor_projection_kind kind, uint32_t dim, uint32_t m);

#endif
