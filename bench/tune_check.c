#include "tune_check.h"

#include <math.h>
#include <stdlib.h>

#include "inputs.h"

/* One head of the inputs that every job sees, in double. */
static bool head_inputs(bench_device *d, const bench_work *w, uint64_t head, double *out[3]) {
    size_t size = (size_t)(w->shape.n * w->shape.dim), end = (size_t)(head + 1) * size;
    float *values = bench_alloc(d, end, sizeof *values);
    for (uint64_t i = 0; values && i < 3; ++i) {
        bench_inputs_fill(values, end, i);
        for (size_t at = 0; at < size; ++at)
            out[i][at] = (double)values[end - size + at];
    }
    free(values);
    return values != NULL;
}

static clfavor_status make_estimator(const bench_work *w, clfavor_estimator **out) {
    clfavor_projection *projection;
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .features = w->shape.features, .dim = w->shape.dim}; /* as a job draws it */
    *out = NULL;
    clfavor_status status = clfavor_projection_create(&projection, &desc);
    clfavor_estimator_desc estimator = {.struct_size = sizeof estimator, .map = w->map, .projection = projection};
    if (!status)
        status = clfavor_estimator_create(out, &estimator);
    clfavor_projection_destroy(projection);
    return status;
}

bool bench_expect(bench_device *d, const bench_work *work, bench_expected *out) {
    const bench_shape *s = &work->shape;
    size_t size = (size_t)(s->n * s->dim);
    double *in[3] = {NULL, NULL, NULL};
    clfavor_estimator *estimator = NULL;
    *out = (bench_expected){{NULL, NULL}};
    bool good = bench_check(d, make_estimator(work, &estimator), "making the estimator");
    for (int i = 0; i < 3 && good; ++i)
        good = (in[i] = bench_alloc(d, size, sizeof *in[i])) != NULL;
    for (uint64_t i = 0; i < 2 && good; ++i) {
        out->o[i] = bench_alloc(d, size, sizeof *out->o[i]);
        good = out->o[i] && head_inputs(d, work, i ? s->heads - 1 : 0, in);
        clfavor_reference_args args = {.struct_size = sizeof args,
                                       .n = s->n,
                                       .dim = s->dim,
                                       .causal = work->causal,
                                       .q = in[0],
                                       .k = in[1],
                                       .v = in[2],
                                       .o = out->o[i]};
        good = good && bench_check(d, clfavor_reference_attention(estimator, &args), "computing the reference");
    }
    for (int i = 0; i < 3; ++i)
        free(in[i]);
    clfavor_estimator_destroy(estimator);
    return good;
}

void bench_expected_free(bench_expected *expected) {
    free(expected->o[0]);
    free(expected->o[1]);
    *expected = (bench_expected){{NULL, NULL}};
}

static double error_of(const float *actual, const double *expected, size_t count) {
    double difference = 0.0, norm = 0.0;
    for (size_t i = 0; i < count; ++i) {
        double error = (double)actual[i] - expected[i];
        difference += error * error;
        norm += expected[i] * expected[i];
    }
    return isfinite(difference) ? sqrt(difference / norm) : (double)INFINITY;
}

bool bench_compare_job(bench_job *job, const bench_expected *expected, double *error) {
    bench_device *d = job->device;
    const bench_shape *s = &job->work.shape;
    size_t size = (size_t)(s->n * s->dim), bytes = size * sizeof(float);
    const float nothing = NAN;
    double seconds;
    float *values = bench_alloc(d, size, sizeof *values);
    bool good = values &&
                bench_check_cl(d,
                               clEnqueueFillBuffer(d->queue, job->memory->out, &nothing, sizeof nothing, 0,
                                                   (size_t)s->heads * bytes, 0, NULL, NULL),
                               "clEnqueueFillBuffer") &&
                bench_job_run(job, &seconds);
    *error = 0.0;
    for (size_t i = 0; i < 2 && good; ++i) {
        size_t offset = i ? (size_t)(s->heads - 1) * bytes : 0;
        good = bench_check_cl(
            d, clEnqueueReadBuffer(d->queue, job->memory->out, CL_TRUE, offset, bytes, values, 0, NULL, NULL),
            "clEnqueueReadBuffer");
        if (good)
            *error = fmax(*error, error_of(values, expected->o[i], size));
    }
    free(values);
    return good;
}
