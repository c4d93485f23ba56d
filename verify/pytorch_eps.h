/* The softmax kernel of performer-pytorch, with the constant that it adds to every feature: for comparison, on the host
 * in double. */
#ifndef VERIFY_PYTORCH_EPS_H
#define VERIFY_PYTORCH_EPS_H

#include "engine.h"

/* The features of n tokens x [n, d] with W [m, d], as performer_pytorch.softmax_kernel makes them: ratio (exp(w.x' -
 * |x'|^2/2 - max) + eps), x' = x d^-1/4, ratio = m^-1/2, max over a query's features, or over all of the keys'. max [n]
 * (keys: all alike) gets what was taken off the exponents. phi [n, m]. */
void verify_pytorch_features(const double *w, uint32_t m, uint32_t dim, const float *x, size_t n, bool query,
                             double eps, double *phi, double *max);

#endif
