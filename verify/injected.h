/* One problem of attention with W injected: inputs, what the kernels make of them and what is right, in double. */
#ifndef VERIFY_INJECTED_H
#define VERIFY_INJECTED_H

#include "exact.h"
#include "scenario.h"

enum { VERIFY_INJECTED_DIM = 6, VERIFY_INJECTED_M = 150 };

typedef struct verify_problem {
    verify_call call;                 /* map and sizes are the caller's; m 0: VERIFY_INJECTED_M */
    enum verify_estimand_id estimand; /* for CLFAVOR_MAP_EXPONENTIAL */
    uint32_t sets;
    uint64_t draw; /* of W: what was on the device before must not be used */
    /* filled in by verify_problem_open */
    float *q, *k, *v, *o, *lse, *sign;
    double *truth;      /* o, lse, sign, cancellation */
    verify_estimand *e; /* of EXPONENTIAL */
    uint32_t *exact;    /* lists of exact keys; NULL, or the caller's from malloc */
    clfavor_projection *projection;
    clfavor_estimator *estimator;
} verify_problem;

/* Inputs, normal with this deviation (values: 1), outputs and the estimator of a call whose sizes are set. Close it in
 * any case. */
bool verify_problem_open(verify_problem *p, verify_worker *worker, double sigma);
void verify_problem_close(verify_problem *p);
/* By the kernels. */
bool verify_problem_run(verify_problem *p, verify_worker *worker);
/* By oracle.h. */
bool verify_problem_truth(verify_problem *p, verify_worker *worker);
/* values: O, lse, sign. */
void verify_problem_compare(const verify_problem *p, verify_exact_value *values);

#endif
