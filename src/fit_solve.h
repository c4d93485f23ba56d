/* From moments to parameters: pass two of a fit. */
#ifndef CLFAVOR_FIT_SOLVE_H
#define CLFAVOR_FIT_SOLVE_H

#include "fit_moments.h"

/* Parameters of one set, as in clfavor_sderf_desc. */
typedef struct clfavor_fit_set {
    double *xbar, *ybar, *tq, *tk, *a;
    double mean_s_plain, mean_s, effective_keys;
} clfavor_fit_set;

/* Returns OUT_OF_MEMORY or SUCCESS. *balanced: false where one side has no variance, so that nothing can be balanced.
 */
clfavor_status clfavor_fit_solve(const clfavor_moments *moments, clfavor_fit_method method, clfavor_fit_set *out,
                                 bool *balanced);

/* The A for which the variance at mean |z|^2 = p a dimension is least (docs/theory.md, section 1; Likhosherstov et al.,
 * "Chefs' random tables", NeurIPS 2022, theorem 4, per dimension). */
double clfavor_optimal_a(double p);

#endif
