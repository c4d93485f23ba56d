/* The error that an estimator will have, from runs on sampled query rows against their exact rows. The delta method is
 * off by up to 8 times on real data, so the estimator itself is run. */
#ifndef CLI_PREDICT_H
#define CLI_PREDICT_H

#include "compare.h"
#include "fitting.h"

#define PREDICT_ROWS  64u
#define PREDICT_DRAWS 3u
#define CHOOSE_ROWS   256u /* where a draw is chosen by them */

/* The M that are tried, ascending. */
#define PREDICT_LADDER 13u
extern const uint32_t predict_ladder[PREDICT_LADDER];

typedef struct predictor {
    const run_shape *shape;
    const npy_array *arrays;     /* q, k, v */
    clfavor_attention_args args; /* the whole input, dense */
    comparison comparison;
    cl_mem o;   /* of the rows */
    bool quiet; /* warnings of fits are not printed: once is enough */
} predictor;

/* buffers: q, k and v on the device. Returns CLI_OK or an error that was printed, as predict_error does. */
int predictor_open(predictor *p, const session *s, const run_shape *shape, const npy_array arrays[3],
                   const cl_mem buffers[3], double scale, uint64_t rows);
/* What a run with these options would err (where nobody says how many keys are exact: with the better of the rule's
 * number and none), the mean over `draws` seeds from o->seed on: errors [B H]. info: of the fit; its arrays are copied
 * to [H_kv] each where not NULL. */
typedef struct predicted {
    double *errors;                            /* [B H], the caller's */
    double *mean_s_plain, *mean_s, *effective; /* [H_kv], the caller's, or NULL */
    uint32_t total, exact;
    bool usual; /* nobody said T: of the rule's and none the better one was taken */
    double fit_seconds;
} predicted;
int predict_error(predictor *p, const options *o, uint32_t draws, predicted *out);
/* The seed of o->seed .. + o->best_of - 1 with which each K/V head errs least: seeds [H_kv]. */
int predict_best(predictor *p, const options *o, uint64_t *seeds);
void predictor_close(predictor *p);

#endif
