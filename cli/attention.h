/* One attention of a whole input, timed. Work that may take seconds is cut into several calls, so that there is
 * progress to show: by batch, by K/V head, and for exact attention by query rows. The cut depends on the shape and the
 * device only, and the plan is made for one part, which therefore feeds the device by itself. */
#ifndef CLI_ATTENTION_H
#define CLI_ATTENTION_H

#include "inputs.h"

typedef struct attention {
    const session *session;
    clfavor_plan *plan;
    clfavor_plan_info info;
    clfavor_attention_args args;              /* of the whole input */
    uint64_t batch_step, head_step, row_step; /* of one part; head_step counts K/V heads */
    size_t parts;
} attention;

/* desc: without the maxima; args: dense outputs, no workspace; sets: of the weights, 1 for exact attention. Returns
 * CLI_OK or an error that was printed, as does attention_run. */
int attention_create(attention *a, const session *s, const clfavor_plan_desc *desc, const clfavor_attention_args *args,
                     uint32_t sets);
/* Runs it once. seconds: between the ENDs of markers on the device (NaN if the device does not say); wall: the host's
 * clock around clFinish. label: for the progress. */
int attention_run(const attention *a, const char *label, double *seconds, double *wall);
void attention_destroy(attention *a);

/* Seconds between the ENDs of two events, which are released; NaN where one is NULL or the device does not say. */
double attention_seconds(cl_event before, cl_event after);

#endif
