/* What an estimator holds: everything that the exponents need, in double, for x = q sqrt(scale), y = k sqrt(scale). */
#ifndef CLFAVOR_ESTIMATOR_H
#define CLFAVOR_ESTIMATOR_H

#include "common.h"

/* How one projection row t = w.x + b becomes features; what a kernel is compiled for. */
typedef enum clfavor_family {
    CLFAVOR_FAMILY_EXP = 0,        /* exp(t + scalar): positive, hyperbolic (rows [W, -W]), exponential */
    CLFAVOR_FAMILY_TRIG = 1,       /* cos t, sin t, each times exp(scalar): trig, gaussian */
    CLFAVOR_FAMILY_TRIG_PHASE = 2, /* sqrt(2) cos t exp(scalar) */
    CLFAVOR_FAMILY_RELU = 3,       /* max(t, 0) */
    CLFAVOR_FAMILY_ELU = 4         /* elu(x_l) + 1 */
} clfavor_family;

struct clfavor_estimator {
    clfavor_map map;
    clfavor_family family;
    uint32_t rows;     /* rows the kernels project on: m, 2m for hyperbolic ([W, -W]), d for elu */
    uint32_t m;        /* rows of the projection as the caller counts them */
    uint32_t features; /* F */
    uint32_t dim, sets;
    double scale;
    double quad;     /* the scalar is quad |x|^2 / 2: -1 exponential, +1 trig and trig-phase, else 0 */
    double log_norm; /* log of the factor 1/count on the product of two features (elu: 0) */
    bool general;    /* t*, x0, y0, u*, a* are in use: the scalar is the general one of clfavor.h */
    double *wq, *wk; /* [sets, rows, d]; the same array where they are equal; NULL for elu */
    double *bq, *bk; /* [sets, rows]; the same array where they are equal; the phases for gaussian and trig-phase */
    double *tq, *tk; /* [sets, d, d], general only, as are all below */
    double *x0, *y0; /* [sets, d] */
    double *uq, *uk; /* [sets, d] */
    double *aq, *ak; /* [sets] */
};

#endif
