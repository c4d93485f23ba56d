#include "job.h"

#include <math.h>
#include <stdlib.h>

#include "inputs.h"

/* A round of short runs takes at least this long, or so many of them, so that one interruption does not spoil it. */
#define ROUND      2e-3 /* s */
#define MOST_SHORT 16

uint32_t bench_columns(const bench_work *work) {
    if (work->operation == CLFAVOR_OP_EXACT)
        return 0;
    switch (work->map) {
    case CLFAVOR_MAP_ELU:
        return work->shape.dim;
    case CLFAVOR_MAP_HYPERBOLIC:
    case CLFAVOR_MAP_TRIG:
    case CLFAVOR_MAP_GAUSSIAN:
        return 2 * work->shape.features;
    default:
        return work->shape.features;
    }
}

/* ------------------------------------------------------------------------------------------------------- memory */

typedef struct sizes {
    uint64_t in, out, scale;
} sizes;

static bool is_features(const bench_work *w) {
    return w->operation == CLFAVOR_OP_FEATURES_QUERY || w->operation == CLFAVOR_OP_FEATURES_KEY;
}

/* Bytes. Heads and tokens are at most 2^31 each, so that nothing here overflows. */
static sizes sizes_of(const bench_work *w) {
    const bench_shape *s = &w->shape;
    uint64_t tokens = s->heads * s->n, columns = bench_columns(w);
    sizes size = {tokens * s->dim * sizeof(float), tokens * s->dim * sizeof(float), 0};
    if (is_features(w)) {
        uint64_t scales = w->operation == CLFAVOR_OP_FEATURES_QUERY ? tokens : s->heads * columns;
        size.out = tokens * columns * sizeof(float);
        size.scale = scales * sizeof(float);
    }
    return size;
}

const char *bench_memory_refuses(const bench_device *d, const bench_work *work, char *text) {
    sizes size = sizes_of(work);
    uint64_t largest = size.in > size.out ? size.in : size.out, total = 3 * size.in + size.out + size.scale;
    if (largest > d->max_allocation)
        snprintf(text, BENCH_TEXT, "an array takes %llu MiB, but the device allocates at most %llu MiB at once",
                 (unsigned long long)(largest >> 20), (unsigned long long)(d->max_allocation >> 20));
    else if (total > d->global_memory / 10 * 8)
        snprintf(text, BENCH_TEXT, "the arrays take %llu MiB, but the device has %llu MiB",
                 (unsigned long long)(total >> 20), (unsigned long long)(d->global_memory >> 20));
    else
        return NULL;
    return text;
}

static bool grow(bench_memory *m, cl_mem *buffer, uint64_t *have, uint64_t need) {
    if (need <= *have)
        return true;
    bench_release(buffer);
    *have = 0;
    if (!bench_buffer(m->device, CL_MEM_READ_WRITE, need, buffer))
        return false;
    *have = need;
    return true;
}

static bool fill(bench_memory *m, cl_mem buffer, uint64_t bytes, uint64_t stream) {
    bench_device *d = m->device;
    cl_int code;
    float *values = clEnqueueMapBuffer(d->queue, buffer, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, (size_t)bytes, 0,
                                       NULL, NULL, &code);
    if (!bench_check_cl(d, code, "clEnqueueMapBuffer"))
        return false;
    bench_inputs_fill(values, (size_t)bytes / sizeof(float), stream);
    return bench_check_cl(d, clEnqueueUnmapMemObject(d->queue, buffer, values, 0, NULL, NULL),
                          "clEnqueueUnmapMemObject") &&
           bench_check_cl(d, clFinish(d->queue), "clFinish");
}

static bool reserve(bench_memory *m, const bench_work *work) {
    char text[BENCH_TEXT], name[BENCH_TEXT];
    if (bench_memory_refuses(m->device, work, text))
        return bench_fail(m->device, "%s: %s; give a smaller --shape", bench_work_name(work, name), text);
    sizes size = sizes_of(work);
    uint64_t have = m->in_bytes;
    bool good = true;
    for (int i = 0; i < 3 && size.in > m->in_bytes && good; ++i) {
        have = m->in_bytes;
        good = grow(m, &m->in[i], &have, size.in) && fill(m, m->in[i], size.in, (uint64_t)i);
    }
    m->in_bytes = good ? have : 0;
    return good && grow(m, &m->out, &m->out_bytes, size.out) && grow(m, &m->scale, &m->scale_bytes, size.scale);
}

void bench_memory_free(bench_memory *m) {
    for (int i = 0; i < 3; ++i)
        bench_release(&m->in[i]);
    bench_release(&m->out);
    bench_release(&m->scale);
    bench_release(&m->workspace);
}

/* ------------------------------------------------------------------------------------------------- plan, weights */

static bool make_plan(bench_job *job, clfavor_plan **plan, double *seconds) {
    const bench_work *w = &job->work;
    bool map = w->operation != CLFAVOR_OP_EXACT;
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = w->operation,
                              .map = w->map,
                              .features = map && w->map != CLFAVOR_MAP_ELU ? w->shape.features - w->exact_keys : 0,
                              .exact_keys = w->exact_keys,
                              .dim = w->shape.dim,
                              .causal = w->causal,
                              .backend = w->backend,
                              .max_heads = w->shape.heads,
                              .max_n = w->shape.n};
    double start = bench_now();
    clfavor_status status = clfavor_plan_create(plan, job->device->context, &desc);
    *seconds = bench_now() - start;
    return bench_check(job->device, status, "making the plan");
}

/* As a fit makes one: all fields in use, T dense. Its time does not depend on what is in them, so T is a reflection,
 * which is its own inverse. */
static clfavor_status make_fitted(clfavor_estimator **out, const clfavor_projection *projection, uint32_t dim) {
    double *t = malloc((size_t)dim * dim * sizeof *t), centre[CLFAVOR_MAX_DIM], a[CLFAVOR_MAX_DIM];
    *out = NULL;
    if (!t)
        return CLFAVOR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < dim; ++i) {
        centre[i] = 0.1;
        a[i] = -0.1;
        for (uint32_t l = 0; l < dim; ++l)
            t[i * dim + l] = (i == l ? 1.0 : 0.0) - 2.0 / dim;
    }
    clfavor_sderf_desc desc = {
        .struct_size = sizeof desc, .projection = projection, .xbar = centre, .ybar = centre, .tq = t, .tk = t, .a = a};
    clfavor_status status = clfavor_estimator_create_sderf(out, &desc);
    free(t);
    return status;
}

/* Keys spread over the sequence, for each head. */
static bool make_exact_keys(bench_job *job) {
    const bench_work *w = &job->work;
    uint64_t count = w->exact_keys, bytes = w->shape.heads * count * sizeof(uint32_t);
    if (!count)
        return true;
    uint32_t *keys = malloc((size_t)bytes);
    if (!keys)
        return bench_fail(job->device, "host memory is exhausted");
    for (uint64_t i = 0; i < w->shape.heads * count; ++i)
        keys[i] = (uint32_t)(i % count * w->shape.n / count);
    cl_int code = CL_SUCCESS;
    bool good = bench_buffer(job->device, CL_MEM_READ_ONLY, bytes, &job->exact_keys);
    if (good)
        code =
            clEnqueueWriteBuffer(job->device->queue, job->exact_keys, CL_TRUE, 0, (size_t)bytes, keys, 0, NULL, NULL);
    free(keys);
    return good && bench_check_cl(job->device, code, "clEnqueueWriteBuffer");
}

static bool make_weights(bench_job *job) {
    const bench_work *w = &job->work;
    if (w->operation == CLFAVOR_OP_EXACT)
        return true;
    clfavor_projection_desc desc = {
        .struct_size = sizeof desc, .features = w->shape.features - w->exact_keys, .dim = w->shape.dim};
    if (w->map != CLFAVOR_MAP_ELU &&
        !bench_check(job->device, clfavor_projection_create(&job->projection, &desc), "drawing the projection"))
        return false;
    clfavor_estimator_desc estimator_desc = {
        .struct_size = sizeof estimator_desc, .map = w->map, .projection = job->projection, .dim = w->shape.dim};
    clfavor_estimator *estimator;
    clfavor_status made = w->map == CLFAVOR_MAP_EXPONENTIAL ? make_fitted(&estimator, job->projection, w->shape.dim)
                                                            : clfavor_estimator_create(&estimator, &estimator_desc);
    if (!bench_check(job->device, made, "making the estimator"))
        return false;
    clfavor_status status = clfavor_weights_create(&job->weights, job->device->context, estimator);
    clfavor_estimator_destroy(estimator);
    return bench_check(job->device, status, "copying the weights to the device");
}

bool bench_job_open(bench_job *job, bench_memory *memory, const bench_work *work) {
    *job = (bench_job){.device = memory->device,
                       .memory = memory,
                       .work = *work,
                       .columns = bench_columns(work),
                       .info.struct_size = sizeof job->info};
    clfavor_plan *second = NULL;
    bool good = make_plan(job, &job->plan, &job->plan_cold) && make_plan(job, &second, &job->plan_second) &&
                bench_check(job->device, clfavor_plan_get_info(job->plan, &job->info), "making the plan");
    clfavor_plan_destroy(second);
    return good && make_weights(job) && make_exact_keys(job) && reserve(memory, work) &&
           grow(memory, &memory->workspace, &memory->workspace_bytes, job->info.workspace_size) &&
           bench_job_run(job, &job->first_run);
}

/* -------------------------------------------------------------------------------------------------------- runs */

static clfavor_status enqueue(bench_job *job) {
    const bench_shape *s = &job->work.shape;
    const bench_memory *m = job->memory;
    if (!is_features(&job->work)) {
        clfavor_attention_args args = {.struct_size = sizeof args,
                                       .weights = job->weights,
                                       .heads = s->heads,
                                       .n = s->n,
                                       .q = clfavor_tensor_dense(m->in[0], s->heads, s->n, s->dim),
                                       .k = clfavor_tensor_dense(m->in[1], s->heads, s->n, s->dim),
                                       .v = clfavor_tensor_dense(m->in[2], s->heads, s->n, s->dim),
                                       .o = clfavor_tensor_dense(m->out, s->heads, s->n, s->dim),
                                       .workspace = m->workspace};
        if (job->exact_keys)
            args.exact_keys = clfavor_tensor_dense(job->exact_keys, s->heads, job->work.exact_keys, 1);
        return clfavor_enqueue_attention(job->plan, &args, job->device->queue, 0, NULL, NULL);
    }
    bool query = job->work.operation == CLFAVOR_OP_FEATURES_QUERY;
    bool one = job->work.map == CLFAVOR_MAP_TRIG || job->work.map == CLFAVOR_MAP_TRIG_PHASE ||
               job->work.map == CLFAVOR_MAP_GAUSSIAN; /* scale of a head's keys */
    uint64_t scales = query ? s->n : one ? 1 : job->columns;
    clfavor_features_args args = {.struct_size = sizeof args,
                                  .weights = job->weights,
                                  .heads = s->heads,
                                  .n = s->n,
                                  .x = clfavor_tensor_dense(m->in[query ? 0 : 1], s->heads, s->n, s->dim),
                                  .features = clfavor_tensor_dense(m->out, s->heads, s->n, job->columns),
                                  .log_scale = clfavor_tensor_dense(m->scale, s->heads, scales, 1),
                                  .workspace = m->workspace};
    return clfavor_enqueue_features(job->plan, &args, job->device->queue, 0, NULL, NULL);
}

bool bench_job_run(bench_job *job, double *seconds) {
    double cpu = bench_cpu_seconds(), start = bench_now();
    bool good = bench_check(job->device, enqueue(job), "enqueueing") &&
                bench_check_cl(job->device, clFinish(job->device->queue), "clFinish");
    *seconds = bench_now() - start;
    job->cpu += bench_cpu_seconds() - cpu;
    job->wall += *seconds;
    return good;
}

bool bench_job_round(bench_job *job) {
    double seconds, sum = 0.0;
    if (job->samples.count == 0)
        job->cpu = job->wall = 0.0; /* the first run, which is not counted, may have compiled */
    for (int i = 0; i < MOST_SHORT && sum < ROUND; ++i, sum += seconds)
        if (!bench_job_run(job, &seconds) || !bench_samples_add(job->device, &job->samples, seconds))
            return false;
    return true;
}

void bench_job_figures(bench_job *job, bench_figures *out) {
    *out = (bench_figures){.work = job->work,
                           .samples = (uint32_t)job->samples.count,
                           .seconds = bench_times(&job->samples),
                           .over_plain = {NAN, NAN},
                           .plan_cold = job->plan_cold,
                           .plan_second = job->plan_second,
                           .first_run = job->first_run,
                           .cpu_over_wall = job->cpu / job->wall,
                           .workspace = job->info.workspace_size,
                           .chunk = job->info.chunk,
                           .pieces = job->info.pieces,
                           .backend = job->info.backend,
                           .programs = job->info.programs_built,
                           .build_seconds = job->info.build_seconds};
}

void bench_job_close(bench_job *job) {
    bench_release(&job->exact_keys);
    clfavor_weights_destroy(job->weights);
    clfavor_projection_destroy(job->projection);
    clfavor_plan_destroy(job->plan);
    bench_samples_free(&job->samples);
}
