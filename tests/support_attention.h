/* One attention problem, run on a device and by the double reference. */
#ifndef TESTS_SUPPORT_ATTENTION_H
#define TESTS_SUPPORT_ATTENTION_H

#include "support.h"

/* What to run; 0 means the default that clfavor.h gives. */
typedef struct test_case {
    clfavor_map map;
    clfavor_projection_kind projection;
    uint32_t m, d, dv, sets;
    uint64_t batch, heads, heads_kv, n, n_k;
    uint32_t causal, chunk, pieces;
    uint64_t seed;
    double scale;
    double sigma; /* of q and k; 0: 1 */
    size_t workspace_limit;
    bool exact;
    uint64_t max_n;                              /* of the plan; 0: max(n, n_k) */
    const clfavor_exponential_desc *exponential; /* for CLFAVOR_MAP_EXPONENTIAL: what its estimator is made from */
    const uint32_t *exact_keys;                  /* [B, max(H_kv, sets), exact_count] */
    uint32_t exact_count;
    const float *corrections; /* [B, max(H_kv, sets), F + exact_count, dv], F = features of the map */
    uint32_t features;        /* F, for these */
    clfavor_backend backend;
} test_case;

/* Dense inputs [B, H, n, d], [B, H_kv, n_k, d], [B, H_kv, n_k, dv] of a case, normal; free with test_inputs_free. */
typedef struct test_inputs {
    float *q, *k, *v;
    size_t q_count, k_count, v_count;
} test_inputs;

typedef struct test_outputs {
    float *o, *lse, *sign; /* device */
    size_t o_count, rows;
    clfavor_plan_info info;
} test_outputs;

typedef struct test_reference {
    double *o, *lse, *sign, *abs_sum;
} test_reference;

/* Fills the defaults of a case in. */
test_case test_case_resolve(test_case c);
test_inputs test_inputs_create(const test_case *c);
void test_inputs_free(test_inputs *inputs);
/* The estimator of a case; NULL for exact. The caller destroys it. */
clfavor_estimator *test_estimator(const test_case *c);
/* Runs the case with a plan, weights and guarded, poisoned buffers of its own; fails the test on any error. */
test_outputs test_run(test_device *device, clfavor_context *context, const test_case *c, const test_inputs *inputs);
void test_outputs_free(test_outputs *outputs);

/* --- support_call.c: a call ready to be enqueued, for tests that change one thing of it --- */

typedef struct test_call {
    test_case c; /* with its defaults filled in */
    test_device *device;
    clfavor_plan *plan;
    clfavor_weights *weights; /* NULL for exact */
    clfavor_plan_info info;
    test_buffer q, k, v, o, lse, sign, workspace; /* guarded; the outputs and the workspace are poisoned */
    test_buffer exact_keys, corrections;          /* if there are any */
    clfavor_attention_args args;                  /* dense, with lse and sign */
} test_call;

/* The plan of a case that has its defaults. */
clfavor_plan_desc test_plan_desc(const test_case *c);
test_call test_call_create(test_device *device, clfavor_context *context, const test_case *c,
                           const test_inputs *inputs);
/* Enqueues on the device's queue, waits and reads; fails the test on any error. */
test_outputs test_call_run(test_call *call);
/* Finishes both queues, reads and checks the guards. */
test_outputs test_call_read(test_call *call);
/* Fills o, lse and sign with poison again. */
void test_call_poison(test_call *call);
void test_call_release(test_call *call);

/* --- support_attention.c --- */

test_reference test_run_reference(const test_case *c, const test_inputs *inputs);
void test_reference_free(test_reference *reference);
/* Signed maps: rows where eps sum|terms| / |sum| exceeds 0.1 lose all digits of O: the largest relative Frobenius error
 * a head over the other rows (docs/numerics.md). For other maps all rows count. *skipped: rows left out. */
double test_case_error(const test_case *c, const test_outputs *outputs, const test_reference *reference,
                       size_t *skipped);
/* trig, trig-phase, gaussian: their features have signs. */
bool test_is_signed(clfavor_map map);
/* What that error, and that of the features themselves (reference NULL), may be. */
double test_case_tolerance(const test_case *c, const test_reference *reference);
/* One line that identifies a case, in static storage of the calling thread. */
const char *test_case_name(const test_case *c, clfavor_device_class device_class);

#endif
