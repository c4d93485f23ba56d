/* One map over heads x n x d x m x {bidirectional, causal}. Every point is compared with the peak of its own rounds and
 * of those before and after, since the machine's speed drifts over the minutes that a sweep takes. */
#include <math.h>
#include <stdlib.h>

#include "job.h"
#include "measure.h"
#include "roofline.h"

#define CALIBRATION 10   /* rounds of all ceilings, to find the winner */
#define FEW         3    /* rounds of a point at least */
#define TIME        0.6  /* s of rounds of a point, beyond which there are only so few */
#define FIXED       2e10 /* flops that a point's fixed costs are worth, for the progress */

static const uint64_t all_heads[] = {1, 8}, all_n[] = {512, 1024, 4096, 16384, 65536};
static const uint32_t all_dims[] = {32, 64, 128}, all_features[] = {64, 128, 256, 512};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* All shapes of one program stand together, short ones first, which its first run compiles for. */
static size_t list(const bench_work *first, bench_figures *out) {
    size_t count = 0;
    bool attention = first->operation == CLFAVOR_OP_ATTENTION, elu = first->map == CLFAVOR_MAP_ELU;
    size_t sizes = elu ? 1 : COUNT(all_features); /* elu has no rows, but d features */
    for (size_t d = 0; d < COUNT(all_dims); ++d)
        for (size_t m = 0; m < sizes; ++m)
            for (int causal = 0; causal < (attention ? 2 : 1); ++causal)
                for (size_t h = 0; h < COUNT(all_heads); ++h)
                    for (size_t n = 0; n < COUNT(all_n); ++n)
                        out[count++].work =
                            (bench_work){first->operation,
                                         first->map,
                                         {all_heads[h], all_n[n], all_dims[d], elu ? all_dims[d] : all_features[m]},
                                         causal != 0,
                                         0,
                                         first->backend};
    return count;
}

static bool run_point(bench_peak *peak, bench_memory *memory, int winner, uint32_t repeats, bench_figures *f) {
    bench_job job;
    bench_samples rates = {NULL, 0, 0};
    uint32_t rounds = 0;
    bool good = bench_job_open(&job, memory, &f->work);
    double start = bench_now(), rate;
    for (; good && rounds < repeats && (rounds < FEW || bench_now() - start < TIME); ++rounds)
        good = bench_peak_flops(peak, winner, &rate) &&
               (!isfinite(rate) || bench_samples_add(peak->device, &rates, rate)) && bench_job_round(&job);
    if (good) {
        bench_job_figures(&job, f);
        f->rounds = rounds;
        f->peak = bench_rates(&rates);
    }
    bench_job_close(&job);
    bench_samples_free(&rates);
    return good;
}

/* The best peak of the points around each, skipped ones left out. */
static void finish(bench_result *r) {
    double before = 0.0;
    for (size_t i = 0; i < r->count; ++i) {
        bench_figures *f = &r->figures[i];
        if (f->skipped[0])
            continue;
        size_t next = i + 1;
        while (next < r->count && r->figures[next].skipped[0])
            ++next;
        double own = f->peak.best, after = next < r->count ? r->figures[next].peak.best : 0.0;
        f->peak.best = before > own ? before : own;
        f->peak.best = after > f->peak.best ? after : f->peak.best;
        before = own;
        bench_figures_finish(f, bench_columns(&f->work), &r->ceilings);
    }
}

bool bench_sweep(bench_device *d, bench_result *result) {
    const bench_options *o = d->options;
    uint32_t repeats = o->repeats ? o->repeats : BENCH_SWEEP_REPEATS;
    bench_memory memory = {.device = d};
    bench_peak peak = {.device = d};
    double total = 0.0, done = 0.0;
    size_t most = 2 * COUNT(all_heads) * COUNT(all_n) * COUNT(all_dims) * COUNT(all_features);
    result->figures = bench_alloc(d, most, sizeof *result->figures);
    bool good = result->figures && bench_peak_open(&peak, d);
    for (int i = 0; i < CALIBRATION && good; ++i)
        good = bench_peak_round(&peak);
    if (good) {
        bench_peak_ceilings(&peak, &result->ceilings);
        result->count = list(o->work, result->figures);
    }
    for (size_t i = 0; i < result->count; ++i) {
        bench_figures *f = &result->figures[i];
        bench_memory_refuses(d, &f->work, f->skipped);
        if (!f->skipped[0])
            total += FIXED + bench_need_of(&f->work, bench_columns(&f->work)).flops;
    }
    for (size_t i = 0; i < result->count && good; ++i) {
        bench_figures *f = &result->figures[i];
        if (f->skipped[0])
            continue;
        good = run_point(&peak, &memory, result->ceilings.winner, repeats, f);
        done += FIXED + bench_need_of(&f->work, bench_columns(&f->work)).flops;
        bench_progress(d, done, total);
    }
    if (good)
        finish(result);
    bench_peak_close(&peak);
    bench_memory_free(&memory);
    return good;
}
