/* The search: a few rounds in which one thing changes at a time (backend and tiles; the tiles' step; chunks; the cpu
 * class's pieces), then the winner once more against the library's row. Everything in a round takes turns. */
#include "tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tune_lane.h"
#include "tune_list.h"

#define FEW_ROUNDS 3u   /* after these slow variants are dropped */
#define WORTH      0.99 /* a step of the search must gain so much: times are noisy */
#define SLOW       1.4  /* times the best */

static const limits usual = {12, 60.0, 120.0, 7200.0}, hurried = {6, 3.0, 25.0, 30.0};

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

static void skip(tuner *t, lane *l, bench_variant *v) {
    snprintf(v->skipped, sizeof v->skipped, "%.160s%s%.80s", l->error, l->log[0] ? ": " : "", l->log);
    v->ratio = NAN;
    bench_lane_close(t, l);
    note(t, v);
}

/* ------------------------------------------------------------------------------------------------------- a stage */

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
            bench_lane_judge(t, l);
            best = l->ratio < best ? l->ratio : best;
        }
        say(t, 0.7 + 0.3 * (round + 1.0) / t->limits->rounds);
    }
    return true;
}

/* A row, and its time over that of the library's. */
typedef struct place {
    clfavor_tuning row;
    double ratio, kinds[2]; /* of all works; of bidirectional and of causal ones */
} place;

/* Measures rows. best: where the search is; best[0] moves to a row that is faster on the whole, best[1] and best[2] to
 * those that are faster for bidirectional and for causal work. false: the tuner's error is set. */
static bool stage(tuner *t, const clfavor_tuning *rows, size_t count, place best[3]) {
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
        } else if (!bench_lane_open(t, &lanes[i], v)) {
            skip(t, &lanes[i], v);
        }
        say(t, 0.7 * ((double)i + 1.0) / (double)count);
    }
    bool good = run_rounds(t, lanes, count);
    const lane *fastest = &t->base;
    for (size_t i = 0; i < count; ++i) {
        const lane *l = &lanes[i];
        if (!l->jobs || !good)
            continue;
        bench_variant *v = &r->variants[l->variant];
        v->ratio = l->ratio;
        note(t, v);
        const place own = {v->row, l->ratio, {l->kinds[0], l->kinds[1]}};
        if (fastest == &t->base || own.ratio < fastest->ratio)
            fastest = l;
        if (own.ratio < WORTH * best[0].ratio)
            best[0] = own;
        for (int kind = 0; kind < 2; ++kind)
            if (own.kinds[kind] < WORTH * best[1 + kind].kinds[kind])
                best[1 + kind] = own;
    }
    for (size_t i = 0; i < t->work_count && good; ++i) {
        r->works[i].base_seconds = bench_lane_best(&t->base.jobs[i]);
        r->works[i].seconds = bench_lane_best(&fastest->jobs[i]);
    }
    for (size_t i = 0; i < count; ++i)
        bench_lane_close(t, &lanes[i]);
    free(lanes);
    t->memory.device = &t->device;
    t->stage += 1.0;
    return good;
}

/* Leaves out what breaks a rule of the kernels. */
static size_t keep_valid(tuner *t, clfavor_tuning *rows, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
        clfavor_context *context;
        clfavor_status status = bench_tune_context(t, &rows[i], NULL, NULL, &context);
        clfavor_context_destroy(context);
        if (status != CLFAVOR_INVALID_ARGUMENT)
            rows[kept++] = rows[i];
    }
    return kept;
}

/* One thing at a time from where the search is. by_kind: chunks, which both kinds of work choose for themselves. */
static bool advance(tuner *t, clfavor_tuning *rows, size_t count, bool by_kind, place *at) {
    place best[3] = {*at, *at, *at};
    if (!stage(t, rows, keep_valid(t, rows, count), best))
        return false;
    *at = best[0];
    if (by_kind) {
        at->row.chunk = best[1].row.chunk;
        at->row.causal_chunk = best[2].row.causal_chunk;
        at->kinds[0] = best[1].kinds[0];
        at->kinds[1] = best[2].kinds[1];
        at->ratio = sqrt(at->kinds[0] * at->kinds[1]);
    }
    return true;
}

static bool search(tuner *t, place *at) {
    bool quick = t->options->quick, cpu = t->result->device_class == CLFAVOR_CLASS_CPU;
    clfavor_tuning list[BENCH_TUNE_MOST + 2];
    uint32_t width = t->device.info.vector_width, dim = 0;
    for (size_t i = 0; i < t->work_count; ++i)
        dim = t->works[i].shape.dim > dim ? t->works[i].shape.dim : dim;
    *at = (place){t->result->base, 1.0, {1.0, 1.0}};
    t->stages = (cpu ? 3.0 : 4.0) - (quick ? 1.0 : 0.0);
    if (!cpu) {
        size_t count = bench_list_backends(&at->row, list);
        count += bench_list_tiles(&at->row, dim, quick, list + count);
        if (!advance(t, list, count, false, at) ||
            (!quick && !advance(t, list, bench_list_steps(&at->row, list), false, at)))
            return false;
    }
    uint32_t panel = (width == 16 ? 2 : 3) * width; /* tokens side by side in the cpu class's kernels */
    if (!advance(t, list, bench_list_chunks(&at->row, panel, quick, list), true, at))
        return false;
    /* A number of pieces counts for every shape, so that one small shape is not enough to choose it. */
    return !cpu || quick ||
           advance(t, list, bench_list_pieces(&at->row, t->device.info.compute_units, list), false, at);
}

/* Where the search ended, and the fastest single variant, against the library's row: what they gain now counts, and
 * must be worth it. */
static bool decide(tuner *t, const clfavor_tuning *end) {
    bench_tune_result *r = t->result;
    const place nowhere = {r->base, INFINITY, {INFINITY, INFINITY}};
    place best[3] = {nowhere, nowhere, nowhere};
    clfavor_tuning rows[2];
    size_t before = r->count, count = 0;
    double ratio = 1.0;
    if (!bench_same_row(end, &r->base))
        rows[count++] = *end;
    const bench_variant *fastest = NULL;
    for (size_t i = 0; i < before; ++i)
        if (r->variants[i].ratio < ratio) { /* not NaN */
            fastest = &r->variants[i];
            ratio = fastest->ratio;
        }
    if (fastest && !bench_same_row(&fastest->row, end))
        rows[count++] = fastest->row;
    t->start = bench_now(); /* there is time for these */
    if (!stage(t, rows, count, best))
        return false;
    r->count = before; /* they are there already */
    r->kept = !(best[0].ratio <= 1.0 - BENCH_TUNE_GAIN);
    r->row = r->kept ? r->base : best[0].row;
    r->gain = r->kept ? 1.0 : 1.0 / best[0].ratio;
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
    if (!bench_check(&t->device, bench_tune_context(t, NULL, NULL, NULL, &t->context), "opening the device"))
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
    bool good = bench_lane_open(t, &t->base, &v);
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
    place end;
    bool good = begin(&t) && open_base(&t) && search(&t, &end) && decide(&t, &end.row);
    bench_lane_close(&t, &t.base);
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
