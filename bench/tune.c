/* The search: a few rounds in which one thing changes at a time (backend and tiles; the tiles' step; chunks; the cpu
 * class's pieces), then the winner once more against the library's row. Everything in a round takes turns. */
#include "tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "tune_check.h"
#include "tune_list.h"

#define FEW_ROUNDS 3u  /* after these slow variants are dropped */
#define SLOW       1.4 /* times the best */

typedef struct limits {
    uint32_t rounds;
    double round_time; /* s of a stage's rounds beyond FEW_ROUNDS */
    double build_time; /* s a variant */
    double total_time; /* s after which no variant is begun */
} limits;

static const limits usual = {12, 60.0, 120.0, 7200.0}, hurried = {6, 3.0, 25.0, 30.0};

/* A variant that runs. */
typedef struct lane {
    size_t variant; /* of the result's */
    clfavor_context *context;
    bench_options options;
    bench_device device;
    char error[BENCH_ERROR], log[BENCH_TEXT];
    bench_job *jobs;        /* one a work */
    double ratio, kinds[2]; /* over the library's row: all works, bidirectional ones, causal ones */
} lane;

typedef struct tuner {
    const bench_tune_options *options;
    bench_tune_result *result;
    const limits *limits;
    bench_device device; /* with the library's row; whose error is the caller's */
    bench_options device_options;
    bench_memory memory;
    clfavor_context *context;
    lane base;
    bench_work *works;
    bench_expected *expected;
    size_t work_count;
    double start;
    double stage, stages;
} tuner;

static void say(const tuner *t, double part) {
    if (t->options->progress)
        t->options->progress(t->options->user, t->stage + part, t->stages);
}

static void note(const tuner *t, const bench_variant *v) {
    char line[3 * BENCH_TEXT], name[BENCH_TEXT];
    if (!t->options->note)
        return;
    if (v->skipped[0])
        snprintf(line, sizeof line, "%s: skipped, %s", bench_row_name(&v->row, name), v->skipped);
    else
        snprintf(line, sizeof line, "%s: %.3f of the time of the library's row (error %.1e, built in %.1f s)",
                 bench_row_name(&v->row, name), v->ratio, v->error, v->build_seconds);
    t->options->note(t->options->user, line);
}

/* ------------------------------------------------------------------------------------------------------- a variant */

static void on_log(void *user, clfavor_log_level level, const char *message) {
    lane *l = user;
    if (level == CLFAVOR_LOG_ERROR)
        snprintf(l->log, sizeof l->log, "%s", message);
}

static void lane_close(tuner *t, lane *l) {
    for (size_t i = 0; l->jobs && i < t->work_count; ++i)
        bench_job_close(&l->jobs[i]);
    free(l->jobs);
    l->jobs = NULL;
    clfavor_context_destroy(l->context);
    l->context = NULL;
}

/* A context that takes this row: nothing names a device more closely. */
static clfavor_status make_context(tuner *t, const clfavor_tuning *row, clfavor_log_fn log, void *user,
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

/* Plans, first runs, and the check of their results. */
static bool lane_open(tuner *t, lane *l, bench_variant *v) {
    *l = (lane){.variant = l->variant};
    l->options = t->device_options;
    clfavor_status status = make_context(t, &v->row, on_log, l, &l->context);
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

static void skip(tuner *t, lane *l, bench_variant *v) {
    snprintf(v->skipped, sizeof v->skipped, "%.160s%s%.80s", l->error, l->log[0] ? ": " : "", l->log);
    v->ratio = NAN;
    lane_close(t, l);
    note(t, v);
}

/* ------------------------------------------------------------------------------------------------------- a stage */

static double best_of(const bench_job *job) {
    double best = INFINITY;
    for (size_t i = 0; i < job->samples.count; ++i)
        best = job->samples.values[i] < best ? job->samples.values[i] : best;
    return best;
}

static void judge(const tuner *t, lane *l) {
    double sums[2] = {0.0, 0.0};
    size_t counts[2] = {0, 0};
    for (size_t i = 0; i < t->work_count; ++i) {
        sums[t->works[i].causal] += log(best_of(&l->jobs[i]) / best_of(&t->base.jobs[i]));
        ++counts[t->works[i].causal];
    }
    l->ratio = exp((sums[0] + sums[1]) / (double)(counts[0] + counts[1]));
    for (int kind = 0; kind < 2; ++kind)
        l->kinds[kind] = exp(sums[kind] / (double)counts[kind]);
}

static bool run_round(tuner *t, lane *l) {
    for (size_t i = 0; i < t->work_count; ++i)
        if (!bench_job_round(&l->jobs[i]))
            return false;
    return true;
}

/* false: a run of the library's own row failed. */
static bool run_rounds(tuner *t, lane *lanes, size_t count) {
    double start = bench_now();
    for (size_t i = 0; i < t->work_count; ++i)
        t->base.jobs[i].samples.count = 0;
    for (uint32_t round = 0; round < t->limits->rounds; ++round) {
        if (round >= FEW_ROUNDS && bench_now() - start > t->limits->round_time)
            break;
        if (!run_round(t, &t->base)) {
            snprintf(t->device.error, BENCH_ERROR, "%s", t->base.error);
            return false;
        }
        double best = 1.0;
        for (size_t i = 0; i < count; ++i) {
            lane *l = &lanes[i];
            if (!l->jobs || (round >= FEW_ROUNDS && l->ratio > SLOW * best))
                continue;
            if (!run_round(t, l)) {
                skip(t, l, &t->result->variants[l->variant]);
                continue;
            }
            judge(t, l);
            best = l->ratio < best ? l->ratio : best;
        }
        say(t, 0.7 + 0.3 * (round + 1.0) / t->limits->rounds);
    }
    return true;
}

/* Measures rows; the best ones are left where they beat what is there: best[0] of all works, best[1] of bidirectional
 * ones, best[2] of causal ones. ratios: theirs so far. false: the tuner's error is set. */
static bool stage(tuner *t, const clfavor_tuning *rows, size_t count, clfavor_tuning best[3], double ratios[3]) {
    bench_tune_result *r = t->result;
    bench_variant *grown = realloc(r->variants, (r->count + count + 1) * sizeof *grown);
    lane *lanes = grown ? bench_alloc(&t->device, count, sizeof *lanes) : NULL;
    if (grown)
        r->variants = grown;
    if (!lanes)
        return bench_fail(&t->device, "host memory is exhausted");
    for (size_t i = 0; i < count; ++i) {
        bench_variant *v = &r->variants[lanes[i].variant = r->count++];
        *v = (bench_variant){.row = rows[i]};
        if (bench_now() - t->start > t->limits->total_time) {
            snprintf(lanes[i].error, BENCH_ERROR, "there was no time left");
            skip(t, &lanes[i], v);
        } else if (!lane_open(t, &lanes[i], v)) {
            skip(t, &lanes[i], v);
        }
        say(t, 0.7 * ((double)i + 1.0) / (double)count);
    }
    bool good = run_rounds(t, lanes, count);
    for (size_t i = 0; i < count; ++i) {
        const lane *l = &lanes[i];
        if (!l->jobs || !good)
            continue;
        bench_variant *v = &r->variants[l->variant];
        v->ratio = l->ratio;
        note(t, v);
        const double own[3] = {l->ratio, l->kinds[0], l->kinds[1]};
        for (int kind = 0; kind < 3; ++kind)
            if (own[kind] < ratios[kind]) {
                ratios[kind] = own[kind];
                best[kind] = v->row;
            }
    }
    for (size_t i = 0; i < t->work_count && good; ++i) {
        r->works[i].base_seconds = best_of(&t->base.jobs[i]);
        r->works[i].seconds = count && lanes[0].jobs ? best_of(&lanes[0].jobs[i]) : r->works[i].base_seconds;
    }
    for (size_t i = 0; i < count; ++i)
        lane_close(t, &lanes[i]);
    free(lanes);
    t->stage += 1.0;
    return good;
}

/* One thing at a time from where the search is. by_kind: chunks, which both kinds of work choose for themselves. */
static bool advance(tuner *t, const clfavor_tuning *rows, size_t count, bool by_kind, clfavor_tuning *at,
                    double ratios[3]) {
    clfavor_tuning best[3] = {*at, *at, *at};
    if (!stage(t, rows, count, best, ratios))
        return false;
    *at = best[0];
    if (by_kind) {
        at->chunk = best[1].chunk;
        at->causal_chunk = best[2].causal_chunk;
    }
    return true;
}

static bool search(tuner *t, clfavor_tuning *at) {
    bool quick = t->options->quick, cpu = t->result->device_class == CLFAVOR_CLASS_CPU;
    clfavor_tuning list[BENCH_TUNE_MOST + 2];
    double ratios[3] = {1.0, 1.0, 1.0};
    uint32_t width = t->device.info.vector_width, dim = 0;
    for (size_t i = 0; i < t->work_count; ++i)
        dim = t->works[i].shape.dim > dim ? t->works[i].shape.dim : dim;
    *at = t->result->base;
    t->stages = cpu || quick ? 3.0 : 4.0;
    if (!cpu) {
        size_t count = bench_list_backends(at, list);
        count += bench_list_tiles(at, dim, quick, list + count);
        if (!advance(t, list, count, false, at, ratios) ||
            (!quick && !advance(t, list, bench_list_steps(at, list), false, at, ratios)))
            return false;
    }
    uint32_t panel = (width == 16 ? 2 : 3) * width; /* docs/gpus.md */
    if (!advance(t, list, bench_list_chunks(at, panel, quick, list), true, at, ratios))
        return false;
    return !cpu ||
           advance(t, list, bench_list_pieces(at, t->device.info.compute_units, quick, list), false, at, ratios);
}

/* The winner against the library's row: what it gains counts, and must be worth it. */
static bool decide(tuner *t, const clfavor_tuning *winner) {
    bench_tune_result *r = t->result;
    clfavor_tuning best[3] = {r->base, r->base, r->base};
    double ratios[3] = {INFINITY, INFINITY, INFINITY};
    size_t before = r->count;
    t->start = bench_now(); /* there is time for this */
    if (!stage(t, winner, bench_same_row(winner, &r->base) ? 0 : 1, best, ratios))
        return false;
    r->count = before; /* it is there already */
    r->kept = !(ratios[0] <= 1.0 - BENCH_TUNE_GAIN);
    r->row = r->kept ? r->base : best[0];
    r->gain = r->kept ? 1.0 : 1.0 / ratios[0];
    for (size_t i = 0; i < t->work_count && r->kept; ++i)
        r->works[i].seconds = r->works[i].base_seconds;
    return true;
}

/* ------------------------------------------------------------------------------------------------------- a run */

static void query_text(const tuner *t, cl_device_info what, char *text, size_t size) {
    char value[1024] = "";
    if (clGetDeviceInfo(t->options->device, what, sizeof value, value, NULL) != CL_SUCCESS)
        value[0] = '\0';
    value[sizeof value - 1] = '\0';
    snprintf(text, size, "%.*s", (int)(size - 1), value);
}

/* The device as the library sees it without rows of anyone, and its works. */
static bool begin(tuner *t) {
    const bench_tune_options *o = t->options;
    bench_tune_result *r = t->result;
    query_text(t, CL_DEVICE_VENDOR, r->vendor, sizeof r->vendor);
    query_text(t, CL_DEVICE_NAME, r->device, sizeof r->device);
    query_text(t, CL_DRIVER_VERSION, r->driver, sizeof r->driver);
    if (!bench_check(&t->device, make_context(t, NULL, NULL, NULL, &t->context), "opening the device"))
        return false;
    t->device_options.context = t->context;
    if (!bench_device_open(&t->device, &t->device_options, t->device.error))
        return false;
    r->device_class = t->device.info.device_class;
    r->base = t->device.info.tuning;
    r->base.vendor = r->base.architecture = r->base.device = NULL;
    memcpy(r->architecture, t->device.info.architecture, sizeof r->architecture);

    static const bench_shape small[] = {{2, 1024, 64, 128}}, one[] = {{8, 4096, 64, 256}},
                             several[] = {{8, 4096, 64, 256}, {1, 16384, 64, 256}, {8, 4096, 128, 256}};
    const bench_shape *shapes = o->shape_count ? o->shapes : !o->quick ? several : t->device.cpu ? small : one;
    size_t count = o->shape_count ? o->shape_count : o->quick ? 1 : 3;
    t->works = bench_alloc(&t->device, 2 * count, sizeof *t->works);
    t->expected = bench_alloc(&t->device, 2 * count, sizeof *t->expected);
    r->works = bench_alloc(&t->device, 2 * count, sizeof *r->works);
    if (!t->works || !t->expected || !r->works)
        return false;
    bool good = true;
    for (; t->work_count < 2 * count && good; ++t->work_count) {
        bench_work *w = &t->works[t->work_count];
        *w = (bench_work){.shape = shapes[t->work_count / 2], .causal = t->work_count % 2 != 0};
        r->works[t->work_count].work = *w;
        char text[BENCH_TEXT], name[BENCH_TEXT];
        if (bench_memory_refuses(&t->device, w, text))
            return bench_fail(&t->device, "%s: %s; give a smaller --shape", bench_work_name(w, name), text);
        good = bench_expect(&t->device, w, &t->expected[t->work_count]);
    }
    r->work_count = t->work_count;
    return good;
}

/* The library's own row, which everything is measured against. */
static bool open_base(tuner *t) {
    bench_variant v = {.row = t->result->base};
    bool good = lane_open(t, &t->base, &v);
    if (!good)
        return bench_fail(&t->device, "the library's own row: %s%s%s", t->base.error, t->base.log[0] ? ": " : "",
                          t->base.log);
    v.ratio = 1.0;
    note(t, &v);
    return true;
}

bool bench_tune(const bench_tune_options *options, bench_tune_result *result, char error[BENCH_ERROR]) {
    *result = (bench_tune_result){.gain = 1.0};
    error[0] = '\0';
    tuner t = {.options = options,
               .result = result,
               .limits = options->quick ? &hurried : &usual,
               .device = {.error = error},
               .device_options = {.cl = options->cl, .device = options->device, .queue = options->queue},
               .start = bench_now()};
    double start = t.start;
    t.memory.device = &t.device;
    clfavor_tuning winner;
    bool good = begin(&t) && open_base(&t) && search(&t, &winner) && decide(&t, &winner);
    lane_close(&t, &t.base);
    for (size_t i = 0; i < t.work_count; ++i)
        bench_expected_free(&t.expected[i]);
    free(t.expected);
    free(t.works);
    bench_memory_free(&t.memory);
    clfavor_context_destroy(t.context);
    result->wall_seconds = bench_now() - start;
    return good;
}

void bench_tune_free(bench_tune_result *result) {
    free(result->variants);
    free(result->works);
    result->variants = NULL;
    result->works = NULL;
}
