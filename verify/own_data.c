#include "own_work.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP_ROWS 8192 /* whose features are held at once, about: 128 MiB */

bool own_fail(own_work *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(w->error, 512, format, args);
    va_end(args);
    return false;
}

bool own_check(own_work *w, clfavor_status status, const char *doing) {
    return status == CLFAVOR_SUCCESS ||
           own_fail(w, "%s failed: %s (%s)", doing, clfavor_status_message(status), clfavor_status_name(status));
}

bool own_check_cl(own_work *w, cl_int code, const char *call) {
    return code == CL_SUCCESS || own_fail(w, "%s failed with OpenCL error %d", call, (int)code);
}

void own_advance(own_work *w, double work) {
    w->done += work;
    if (w->o->progress)
        w->o->progress(w->o->user, w->done, w->total);
}

void *own_alloc(own_work *w, uint64_t count, size_t size) {
    void *memory = count <= SIZE_MAX / size ? calloc((size_t)count, size) : NULL;
    if (!memory)
        own_fail(w, "host memory is exhausted");
    return memory;
}

bool own_buffer(own_work *w, uint64_t floats, cl_mem *out) {
    cl_int code;
    *out = clCreateBuffer(w->o->cl, CL_MEM_READ_WRITE, (size_t)floats * sizeof(float), NULL, &code);
    return own_check_cl(w, code, "clCreateBuffer");
}

bool own_plan_open(own_work *w, const clfavor_plan_desc *desc, own_plan *out) {
    clfavor_plan_info info = {.struct_size = sizeof info};
    return own_check(w, clfavor_plan_create(&out->plan, w->o->context, desc), "making a plan") &&
           own_check(w, clfavor_plan_get_info(out->plan, &info), "making a plan") &&
           (!info.workspace_size || own_buffer(w, info.workspace_size / sizeof(float) + 1, &out->workspace));
}

void own_plan_close(own_plan *plan) {
    clfavor_plan_destroy(plan->plan);
    if (plan->workspace)
        clReleaseMemObject(plan->workspace);
    *plan = (own_plan){0};
}

clfavor_weights *own_weights(own_work *w, uint32_t features, uint64_t seed) {
    clfavor_projection_desc draw = {
        .struct_size = sizeof draw, .features = features, .dim = w->o->dim, .seed = seed}; /* orthogonal, one set */
    clfavor_projection *projection = NULL;
    clfavor_estimator *estimator = NULL;
    clfavor_weights *weights = NULL;
    if (own_check(w, clfavor_projection_create(&projection, &draw), "drawing a projection")) {
        clfavor_estimator_desc desc = {.struct_size = sizeof desc, .projection = projection}; /* positive */
        if (own_check(w, clfavor_estimator_create(&estimator, &desc), "making an estimator"))
            own_check(w, clfavor_weights_create(&weights, w->o->context, estimator), "copying a draw to the device");
    }
    clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    return weights;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

double own_median(double *values, size_t count) {
    if (!count)
        return NAN;
    qsort(values, count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static uint64_t step_for(uint64_t count, uint64_t most) {
    return count ? (count - 1) / most + 1 : 1;
}

/* Evenly spaced rows and keys, from the first one on. Sampled rows are some of the compared ones, from the middle of
 * the first step on: where attention is causal the very first row sees one key, and would count as much as all others.
 */
static void choose(own_work *w) {
    const verify_own_options *o = w->o;
    verify_own_result *r = w->r;
    w->row_step = step_for(o->n, VERIFY_OWN_ROWS);
    r->rows = (o->n - 1) / w->row_step + 1;
    w->sample_step = step_for(r->rows, VERIFY_OWN_SAMPLES);
    w->sample_first = w->sample_step / 2;
    r->samples = (r->rows - 1 - w->sample_first) / w->sample_step + 1;
    w->key_step = step_for(o->n_k, VERIFY_OWN_KEYS);
    r->keys = (o->n_k - 1) / w->key_step + 1;
    uint64_t most = VERIFY_OWN_SCORES / r->keys; /* at least 256 */
    most = most < VERIFY_OWN_KERNEL_ROWS ? most : VERIFY_OWN_KERNEL_ROWS;
    while (most > VERIFY_OWN_SAMPLES && most * w->group > GROUP_ROWS)
        most /= 2;
    w->kernel_step = step_for(o->n, most);
    w->kernel_first = w->kernel_step / 2;
    r->kernel_rows = (o->n - 1 - w->kernel_first) / w->kernel_step + 1;
}

bool verify_own_run(const verify_own_options *options, verify_own_result *result, char error[512], bool *bad_input) {
    own_work w = {.o = options,
                  .r = result,
                  .error = error,
                  .heads = options->batch * options->heads,
                  .heads_kv = options->batch * options->heads_kv,
                  .group = options->heads / options->heads_kv,
                  .v = options->v};
    *result = (verify_own_result){.head_count = w.heads};
    error[0] = '\0';
    choose(&w);
    w.total = own_scan_work(&w) + own_features_work(&w) + own_output_work(&w);
    bool good = (result->heads = own_alloc(&w, w.heads, sizeof *result->heads)) != NULL;
    for (uint64_t h = 0; good && h < w.heads; ++h)
        for (int i = 0; i < VERIFY_OWN_SIZES; ++i)
            result->heads[h].points[i].features = 64U << i;
    good = good && own_scan(&w) && own_features(&w) && own_output(&w);
    if (w.signs)
        clReleaseMemObject(w.signs);
    *bad_input = w.bad_input;
    return good;
}

void verify_own_free(verify_own_result *result) {
    free(result->heads);
    *result = (verify_own_result){0};
}
