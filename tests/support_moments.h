/* Estimates by their definition in clfavor.h, one row of W at a time, to test verify/moments.h against. */
#ifndef TESTS_SUPPORT_MOMENTS_H
#define TESTS_SUPPORT_MOMENTS_H

#include <stdbool.h>

#include "moments.h"

#define MOST 6u /* largest d */

/* KEY_SHIFT has centres alone, BALANCED T and one A; SHIFTED is OPRF about other means; SDERF has A by axis, of both
 * signs, T and centres; FITTED the same with A < 0, as fits have it. From OPRF on the map is EXPONENTIAL. */
enum {
    POSITIVE,
    HYPERBOLIC,
    TRIG,
    TRIG_PHASE,
    GAUSSIAN,
    RELU,
    OPRF,
    KEY_SHIFT,
    BALANCED,
    SHIFTED,
    SDERF,
    FITTED,
    ESTIMATORS
};
extern const char *const moments_names[ESTIMATORS];
bool moments_is_cosine(int estimator);

/* A target with its own arrays. */
typedef struct problem {
    verify_target target;
    verify_fitted fitted;
    double x[MOST], y[3 * MOST], a[MOST], tq[MOST * MOST], tk[MOST * MOST], xbar[MOST], ybar[MOST];
} problem;

/* |x| = sqrt(s)/2 and keys of about that length near x, or near -x for cosines, so that |x + y|^2, or |x - y|^2, is
 * about s; 3 keys occur 2, 1 and 3 times. relu's keys are parallel. The caller frees it. */
problem *problem_of(int estimator, clfavor_projection_kind kind, uint32_t d, uint32_t keys, double s);

/* X = sum_j c_j m phi_r(x) phi_r(y_j) for the row w with this phase. */
double row_value(const verify_target *target, const double *w, double phase);

#endif
