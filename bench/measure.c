#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "roofline.h"

void bench_figures_finish(bench_figures *figures, uint32_t columns, const bench_ceilings *ceilings) {
    bench_need need = bench_need_of(&figures->work, columns);
    figures->flops = need.flops;
    if (need.flops == 0.0) { /* the features of elu: nothing but memory and exponentials */
        figures->fraction = (bench_spread){NAN, NAN};
        figures->bound = NAN;
        return;
    }
    figures->fraction.best = need.flops / figures->seconds.best / figures->peak.best;
    figures->fraction.median = need.flops / figures->seconds.median / figures->peak.median;
    figures->bound = bench_bound(&need, ceilings, &figures->bytes_bound);
}

/* Fitted features and exact keys against the plain features of the same shape. */
static void compare_with_plain(bench_result *r) {
    for (size_t i = 0; i < r->count; ++i) {
        bench_figures *f = &r->figures[i];
        for (size_t p = 0; p < r->count; ++p) {
            const bench_work *plain = &r->figures[p].work;
            if (p == i || plain->map != CLFAVOR_MAP_POSITIVE || plain->exact_keys ||
                plain->operation != CLFAVOR_OP_ATTENTION || plain->causal != f->work.causal ||
                plain->backend != f->work.backend || memcmp(&plain->shape, &f->work.shape, sizeof plain->shape) != 0)
                continue;
            f->over_plain.best = f->seconds.best / r->figures[p].seconds.best;
            f->over_plain.median = f->seconds.median / r->figures[p].seconds.median;
        }
    }
}

bool bench_measure(bench_device *d, bench_result *result) {
    const bench_options *o = d->options;
    uint32_t rounds = o->repeats ? o->repeats : BENCH_REPEATS;
    bench_memory memory = {.device = d};
    bench_peak peak = {.device = d};
    bench_job *jobs = bench_alloc(d, o->count, sizeof *jobs);
    result->figures = bench_alloc(d, o->count, sizeof *result->figures);
    bool good = jobs && result->figures;
    /* before the benchmark's own kernels, so that a cold plan pays for waking the runtime's compiler */
    for (size_t i = 0; i < o->count && good; ++i)
        good = bench_job_open(&jobs[i], &memory, &o->work[i]);
    good = good && bench_peak_open(&peak, d);
    for (uint32_t round = 0; round < rounds && good; ++round) {
        good = bench_peak_round(&peak);
        for (size_t i = 0; i < o->count && good; ++i)
            good = bench_job_round(&jobs[i]);
        bench_progress(d, round + 1.0, o->peers ? 2.0 * rounds : rounds); /* peers are the other half */
    }
    if (good) {
        bench_peak_ceilings(&peak, &result->ceilings);
        for (size_t i = 0; i < o->count; ++i) {
            bench_figures *f = &result->figures[i];
            bench_job_figures(&jobs[i], f);
            f->rounds = rounds;
            f->peak = result->ceilings.peak;
            bench_figures_finish(f, jobs[i].columns, &result->ceilings);
        }
        result->count = o->count;
        compare_with_plain(result);
    }
    for (size_t i = 0; jobs && i < o->count; ++i)
        bench_job_close(&jobs[i]);
    free(jobs);
    bench_peak_close(&peak);
    bench_memory_free(&memory);
    return good;
}

static void find_worst(bench_result *r) {
    r->worst = r->count;
    for (size_t i = 0; i < r->count; ++i)
        if (!r->figures[i].skipped[0] && !isnan(r->figures[i].fraction.best) &&
            (r->worst == r->count || r->figures[i].fraction.best < r->figures[r->worst].fraction.best))
            r->worst = i;
}

bool bench_run(const bench_options *options, bench_result *result, char error[BENCH_ERROR]) {
    *result = (bench_result){.sweep = options->sweep};
    error[0] = '\0';
    double start = bench_now();
    bench_device d;
    if (!bench_device_open(&d, options, error))
        return false;
    bench_device_describe(&d, result);
    if (!(options->sweep ? bench_sweep(&d, result) : bench_measure(&d, result)))
        return false;
    find_worst(result);
    if (d.cpu && !result->ceilings.sgemm_library[0])
        bench_note(&d, "OpenBLAS is not there: the peak is that of the FMA loops alone");
    if (options->peers && !bench_compare(&d, result))
        return false;
    result->wall_seconds = bench_now() - start;
    return true;
}

void bench_free(bench_result *result) {
    free(result->figures);
    free(result->comparisons);
    result->figures = NULL;
    result->comparisons = NULL;
}

const char *bench_operation_name(clfavor_operation operation) {
    static const char *const names[] = {"attention", "exact", "features-query", "features-key"};
    return names[operation];
}

const char *bench_map_name(clfavor_map map) {
    static const char *const names[] = {"positive", "hyperbolic", "trig", "trig-phase",
                                        "gaussian", "relu",       "elu",  "exponential"};
    return names[map];
}

const char *bench_backend_name(clfavor_backend backend) {
    static const char *const names[] = {"auto", "fused", "staged", "clblast"};
    return names[backend];
}

const char *bench_work_name(const bench_work *work, char text[BENCH_TEXT]) {
    const bench_shape *s = &work->shape;
    bool attention = work->operation == CLFAVOR_OP_ATTENTION || work->operation == CLFAVOR_OP_EXACT;
    char keys[32] = "";
    if (work->exact_keys)
        snprintf(keys, sizeof keys, ", %u exact keys", work->exact_keys);
    snprintf(text, BENCH_TEXT, "%llu,%llu,%u,%u %s%s%s%s%s%s%s", (unsigned long long)s->heads, (unsigned long long)s->n,
             s->dim, s->features, work->operation == CLFAVOR_OP_ATTENTION ? "" : bench_operation_name(work->operation),
             work->operation == CLFAVOR_OP_EXACT ? " " : "",
             attention ? (work->causal ? "causal" : "bidirectional") : "",
             attention && work->map == CLFAVOR_MAP_EXPONENTIAL ? ", fitted" : "", keys, work->backend ? ", " : "",
             work->backend ? bench_backend_name(work->backend) : "");
    return text;
}
