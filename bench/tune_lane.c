#include "tune_lane.h"

#include <math.h>
#include <stdlib.h>

static void on_log(void *user, clfavor_log_level level, const char *message) {
    lane *l = user;
    if (level == CLFAVOR_LOG_ERROR)
        snprintf(l->log, sizeof l->log, "%s", message);
}

void bench_lane_close(tuner *t, lane *l) {
    for (size_t i = 0; l->jobs && i < t->work_count; ++i)
        bench_job_close(&l->jobs[i]);
    free(l->jobs);
    l->jobs = NULL;
    clfavor_context_destroy(l->context);
    l->context = NULL;
}

clfavor_status bench_tune_context(tuner *t, const clfavor_tuning *row, clfavor_log_fn log, void *user,
                                  clfavor_context **out) {
    clfavor_tuning own = row ? *row : (clfavor_tuning){0};
    own.vendor = t->result->vendor;
    own.architecture = t->result->architecture;
    own.device = t->result->device;
    clfavor_context_desc desc = {.struct_size = sizeof desc,
                                 .context = t->options->cl,
                                 .device = t->options->device,
                                 .device_class = t->options->device_class,
                                 .log = log,
                                 .log_user = user,
                                 .tuning = row ? &own : NULL,
                                 .tuning_count = row != NULL};
    return clfavor_context_create(out, &desc);
}

/* Whether the context does what the row says, and not what it falls back to. */
static bool takes_effect(lane *l, const clfavor_tuning *row) {
    const clfavor_context_info *info = &l->device.info;
    if (row->backend == CLFAVOR_BACKEND_CLBLAST) {
        clfavor_plan *plan;
        clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = 8, .dim = 8, .backend = row->backend};
        clfavor_status status = clfavor_plan_create(&plan, l->context, &desc);
        clfavor_plan_destroy(plan);
        return bench_check(&l->device, status, "making a plan");
    }
    if (row->backend == CLFAVOR_BACKEND_FUSED &&
        (info->backend != row->backend || info->fused.group != row->group || info->fused.rows != row->rows ||
         info->fused.features != row->features || info->fused.columns != row->columns || info->fused.step != row->step))
        return bench_fail(&l->device, "the device is too small for it");
    return true;
}

bool bench_lane_open(tuner *t, lane *l, bench_variant *v) {
    *l = (lane){.variant = l->variant};
    l->options = t->device_options;
    clfavor_status status = bench_tune_context(t, &v->row, on_log, l, &l->context);
    l->options.context = l->context;
    l->device = (bench_device){.error = l->error};
    if (!bench_check(&l->device, status, "making the context") ||
        !bench_device_open(&l->device, &l->options, l->error) || !takes_effect(l, &v->row) ||
        !(l->jobs = bench_alloc(&l->device, t->work_count, sizeof *l->jobs)))
        return false;
    t->memory.device = &l->device;
    for (size_t i = 0; i < t->work_count; ++i) {
        double start = bench_now(), error;
        if (!bench_job_open(&l->jobs[i], &t->memory, &t->works[i]))
            return false;
        v->build_seconds += bench_now() - start;
        if (l != &t->base && v->build_seconds > t->limits->build_time)
            return bench_fail(&l->device, "building it took %.0f s", v->build_seconds);
        if (!bench_compare_job(&l->jobs[i], &t->expected[i], &error))
            return false;
        v->error = error > v->error ? error : v->error;
        if (!(error <= BENCH_TUNE_TOLERANCE))
            return bench_fail(&l->device, "its result is wrong: it differs by %.2g from double, more than %.0e", error,
                              BENCH_TUNE_TOLERANCE);
    }
    return true;
}

double bench_lane_best(const bench_job *job) {
    double best = INFINITY;
    for (size_t i = 0; i < job->samples.count; ++i)
        best = job->samples.values[i] < best ? job->samples.values[i] : best;
    return best;
}

void bench_lane_judge(const tuner *t, lane *l) {
    double sums[2] = {0.0, 0.0};
    size_t counts[2] = {0, 0};
    for (size_t i = 0; i < t->work_count; ++i) {
        sums[t->works[i].causal] += log(bench_lane_best(&l->jobs[i]) / bench_lane_best(&t->base.jobs[i]));
        ++counts[t->works[i].causal];
    }
    l->ratio = exp((sums[0] + sums[1]) / (double)(counts[0] + counts[1]));
    for (int kind = 0; kind < 2; ++kind)
        l->kinds[kind] = exp(sums[kind] / (double)counts[kind]);
}
