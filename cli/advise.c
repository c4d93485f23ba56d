#include "advise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "message.h"
#include "progress.h"

#define TIMED_TOKENS 8192u /* times are taken on so many tokens, and grow in proportion */
#define TIMED_ROWS   256u  /* the same for query rows of exact attention */
#define TIMES        3

/* The estimators in the order of advice.lines. */
static const struct {
    const char *name;
    bool fit, exact_keys;
    clfavor_fit_method method;
} lines[ADVISE_LINES] = {
    {"plain", false, false, CLFAVOR_FIT_PLAIN},
    {"fitted", true, true, CLFAVOR_FIT_ATTENTION},
    {"fitted, values corrected (biased)", true, true, CLFAVOR_FIT_ATTENTION},
    {"plain with exact keys", false, true, CLFAVOR_FIT_PLAIN},
    {"fitted, no exact keys", true, false, CLFAVOR_FIT_ATTENTION},
    {"key shift", true, false, CLFAVOR_FIT_SHIFT},
    {"OPRF", true, false, CLFAVOR_FIT_OPRF},
    {"diagonal balancing (SADERF)", true, false, CLFAVOR_FIT_DIAGONAL},
    {"full balancing (ADERF)", true, false, CLFAVOR_FIT_FULL},
    {"SDERF", true, false, CLFAVOR_FIT_SDERF},
};
#define ALL_LINES   10u
#define USUAL_LINES 3u

/* The best of some warm runs. */
static int time_attention(const session *s, const clfavor_plan_desc *desc, const clfavor_attention_args *args,
                          uint32_t sets, double *seconds) {
    attention a;
    double own, wall;
    int status = attention_create(&a, s, desc, args, sets);
    if (status)
        return status;
    *seconds = INFINITY;
    for (int i = 0; i <= TIMES && !status; ++i) {
        status = attention_run(&a, "timing", &own, &wall);
        if (i)
            *seconds = fmin(*seconds, isnan(own) ? wall : own);
    }
    attention_destroy(&a);
    return status;
}

/* The general estimator's time depends on sizes alone, so the parameters are those of FAVOR+. */
static int time_fitted(advice *a, predictor *p, size_t step) {
    const run_shape *shape = a->shape;
    const session *s = p->comparison.session;
    uint32_t exact = a->exact[step], features = exact == shape->n_k ? 1 : a->features[step] - exact;
    uint64_t n = shape->n < TIMED_TOKENS ? shape->n : TIMED_TOKENS;
    uint64_t n_k = shape->n_k < TIMED_TOKENS ? shape->n_k : TIMED_TOKENS, rows = shape->batch * shape->heads_kv;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = features, .dim = shape->d};
    clfavor_projection *projection = NULL;
    clfavor_estimator *estimator = NULL;
    clfavor_weights *weights = NULL;
    cl_mem keys = NULL, o = NULL;
    uint32_t *indices = exact ? malloc((size_t)rows * exact * sizeof *indices) : NULL;
    int status = exact && !indices ? cli_error(CLI_FAILED, "host memory is exhausted")
                                   : session_check(s, clfavor_projection_create(&projection, &w), "timing");
    clfavor_sderf_desc desc = {.struct_size = sizeof desc, .projection = projection};
    if (!status && !(status = session_check(s, clfavor_estimator_create_sderf(&estimator, &desc), "timing")))
        status = session_check(s, clfavor_weights_create(&weights, s->context, estimator), "timing");
    for (size_t i = 0; indices && i < rows * exact; ++i)
        indices[i] = (uint32_t)(i % exact);
    if (!status && exact)
        status = session_buffer(s, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, rows * exact * sizeof *indices, indices,
                                "the exact keys", &keys);
    if (!status)
        status = session_buffer(s, CL_MEM_READ_WRITE, shape->batch * shape->heads * n * shape->dv * sizeof(float), NULL,
                                "the output", &o);
    if (!status) {
        clfavor_plan_desc plan = {.struct_size = sizeof plan,
                                  .map = CLFAVOR_MAP_EXPONENTIAL,
                                  .features = features,
                                  .dim = shape->d,
                                  .value_dim = shape->dv,
                                  .exact_keys = exact};
        clfavor_attention_args args = p->args;
        args.weights = weights;
        args.n = n;
        args.n_k = n_k;
        args.o = clfavor_tensor_dense(o, shape->heads, n, shape->dv);
        if (keys)
            args.exact_keys = clfavor_tensor_dense(keys, shape->heads_kv, exact, 1);
        status = time_attention(s, &plan, &args, 1, &a->seconds[step]);
        a->seconds[step] *= (double)(shape->n + shape->n_k) / (double)(n + n_k);
    }
    if (keys)
        clReleaseMemObject(keys);
    if (o)
        clReleaseMemObject(o);
    free(indices);
    clfavor_weights_destroy(weights);
    clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    return status;
}

static int time_exact(advice *a, predictor *p) {
    const run_shape *shape = a->shape;
    const session *s = p->comparison.session;
    uint64_t rows = shape->n < TIMED_ROWS ? shape->n : TIMED_ROWS;
    cl_mem o;
    int status = session_buffer(s, CL_MEM_READ_WRITE, shape->batch * shape->heads * rows * shape->dv * sizeof(float),
                                NULL, "the output", &o);
    clfavor_plan_desc plan = {
        .struct_size = sizeof plan, .operation = CLFAVOR_OP_EXACT, .dim = shape->d, .value_dim = shape->dv};
    clfavor_attention_args args = p->args;
    args.n = rows;
    args.o = clfavor_tensor_dense(o, shape->heads, rows, shape->dv);
    if (!status)
        status = time_attention(s, &plan, &args, 1, &a->exact_seconds);
    a->exact_seconds *= (double)shape->n / (double)rows;
    if (o)
        clReleaseMemObject(o);
    return status;
}

/* Corrections are made on the host, in time proportional to this. */
static bool costs_too_much(const advice *a, size_t step) {
    const run_shape *s = a->shape;
    double keys = (double)(s->n_k < 16384 ? s->n_k : 16384);
    return keys * a->features[step] * s->d * (double)(s->batch * s->heads_kv) * a->draws > 4e9;
}

/* One estimator at one M. */
static int predict_step(advice *a, predictor *p, const options *user, size_t line, size_t step, double *errors) {
    uint64_t heads = a->shape->batch * a->shape->heads;
    options o = *user;
    o.features = a->features[step];
    o.fit = lines[line].fit;
    o.fit_method = lines[line].method;
    o.correct = line == CORRECTED;
    if (line == CORRECTED) {
        o.exact_keys = a->exact[step];
        o.exact_keys_given = true;
    }
    o.exact_keys_given = !lines[line].exact_keys || !o.fit;
    o.exact_keys = lines[line].exact_keys ? fitting_exact_keys(o.features, a->shape->n_k) : 0;
    if (o.fit && lines[line].method != CLFAVOR_FIT_ATTENTION)
        o.projection = CLFAVOR_PROJECTION_ORTHOGONAL, o.projection_given = true; /* as published */
    predicted found = {.errors = errors};
    if (line == FITTED) {
        found.errors = a->errors + step * heads;
        found.mean_s_plain = a->mean_s_plain;
        found.mean_s = a->mean_s;
        found.effective = a->effective;
    }
    int status = predict_error(p, &o, a->draws, &found);
    p->quiet |= o.fit;
    if (line == FITTED) {
        a->exact[step] = found.exact;
        a->fit_seconds = fmax(a->fit_seconds, found.fit_seconds);
    }
    a->lines[line].median[step] = compare_median(found.errors, (size_t)heads);
    return status;
}

int advise(advice *a, const session *s, const options *o, const run_shape *shape, const npy_array arrays[3],
           const cl_mem buffers[3]) {
    size_t heads = (size_t)(shape->batch * shape->heads), sets = (size_t)shape->heads_kv;
    *a = (advice){.shape = shape,
                  .line_count = o->methods ? ALL_LINES : USUAL_LINES,
                  .target = o->target_error != 0 ? o->target_error : 0.1,
                  .draws = o->repeat ? o->repeat : PREDICT_DRAWS};
    for (uint32_t m = 64; a->steps < ADVISE_STEPS && m / 2 < shape->n_k; m *= 2)
        a->features[a->steps++] = m;
    if (!a->steps) /* very few keys */
        a->features[a->steps++] = 64;
    a->errors = calloc((ADVISE_STEPS + 1) * heads + 3 * sets, sizeof *a->errors);
    if (!a->errors)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    double *scratch = a->errors + ADVISE_STEPS * heads;
    a->mean_s_plain = scratch + heads;
    a->mean_s = a->mean_s_plain + sets;
    a->effective = a->mean_s + sets;
    predictor p;
    int status =
        predictor_open(&p, s, shape, arrays, buffers, o->scale, o->compare_rows ? o->compare_rows : PREDICT_ROWS);
    if (status)
        return status;
    a->rows = p.comparison.rows;
    /* of any result: only the baseline is of interest */
    cl_mem o_rows = p.o;
    const float zero = 0;
    cl_int code = clEnqueueFillBuffer(s->queue, o_rows, &zero, sizeof zero, 0,
                                      heads * a->rows * shape->dv * sizeof zero, 0, NULL, NULL);
    status = session_check_cl(code, "clearing the rows");
    if (!status && !(status = comparison_measure(&p.comparison, o_rows, a->rows, 1, true)))
        a->mean_value_error = compare_median(p.comparison.baseline, heads);
    progress bar;
    progress_start(&bar, "advise", "estimators", a->line_count * a->steps);
    for (size_t line = 0; line < a->line_count && !status; ++line) {
        a->lines[line].name = lines[line].name;
        for (size_t step = 0; step < a->steps && !status; ++step) {
            if (line == CORRECTED && costs_too_much(a, step))
                a->lines[line].median[step] = NAN;
            else
                status = predict_step(a, &p, o, line, step, scratch);
            if (!status && line == FITTED)
                status = time_fitted(a, &p, step);
            progress_add(&bar, 1);
        }
    }
    progress_stop(&bar);
    if (!status)
        status = time_exact(a, &p);
    predictor_close(&p);
    return status;
}

void advice_free(advice *a) {
    free(a->errors);
    *a = (advice){0};
}
