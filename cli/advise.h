/* What `clfavor advise' finds out: errors and times of estimators over M, beside exact attention. */
#ifndef CLI_ADVISE_H
#define CLI_ADVISE_H

#include <jansson.h>
#include <stdio.h>

#include "predict.h"

#define ADVISE_STEPS 7u            /* M = 64, 128, .. 4096 */
#define ADVISE_LINES 10u           /* estimators at most */
enum { PLAIN, FITTED, CORRECTED }; /* those that are always there */

typedef struct advise_line {
    const char *name;
    double median[ADVISE_STEPS]; /* over heads; NaN where it was not run */
} advise_line;

typedef struct advice {
    const run_shape *shape;
    const char *device, *device_class;
    uint32_t features[ADVISE_STEPS], exact[ADVISE_STEPS]; /* M and T */
    size_t steps, line_count;
    advise_line lines[ADVISE_LINES];
    double *errors;                            /* [steps][B H] of the fitted one */
    double *mean_s_plain, *mean_s, *effective; /* [H_kv] */
    double seconds[ADVISE_STEPS];              /* of the fitted one for all tokens */
    double exact_seconds, fit_seconds, mean_value_error, target;
    uint64_t rows;
    uint32_t draws;
} advice;

/* Fills everything but the device's names. Returns CLI_OK or an error that was printed. */
int advise(advice *a, const session *s, const options *o, const run_shape *shape, const npy_array arrays[3],
           const cl_mem buffers[3]);
void advice_free(advice *a);

/* One plain sentence. */
void advice_sentence(const advice *a, char *text, size_t size);
json_t *advice_json(const advice *a);
/* A table for a person. */
void advice_print(const advice *a);
/* The plot of errors against M; false where memory is exhausted. */
bool advice_plot(const void *a, FILE *to);

#endif
