/* Everything as JSON; the schema is in docs/bench.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define SCHEMA_VERSION 1

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* jansson refuses text that is not UTF-8, which a driver may have in its name. */
static json_t *text_of(const char *text) {
    json_t *value = json_string(text);
    if (value)
        return value;
    char plain[BENCH_TEXT];
    size_t i = 0;
    for (; text[i] && i + 1 < sizeof plain; ++i)
        plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    plain[i] = '\0';
    return json_string(plain);
}

static json_t *integer(uint64_t value) {
    return json_integer((json_int_t)value);
}

static json_t *spread(bench_spread s, double unit) {
    return json_pack("{s:o, s:o}", "best", number(s.best * unit), "median", number(s.median * unit));
}

static json_t *shape(const bench_shape *s) {
    return json_pack("[o, o, o, o]", integer(s->heads), integer(s->n), integer(s->dim), integer(s->features));
}

static const char *winner(const bench_ceilings *c) {
    static const char *const names[] = {"fma_8", "fma_12", "fma_16", "sgemm"};
    return names[c->winner];
}

static json_t *peak(const bench_ceilings *c) {
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "gflops", spread(c->peak, 1e-9), "by", winner(c),
                     "fma_8_gflops", spread(c->loops[0], 1e-9), "fma_12_gflops", spread(c->loops[1], 1e-9),
                     "fma_16_gflops", spread(c->loops[2], 1e-9), "sgemm_gflops", spread(c->sgemm, 1e-9),
                     "sgemm_library", c->sgemm_library[0] ? text_of(c->sgemm_library) : json_null(), "cpu_over_wall",
                     number(c->cpu_over_wall));
}

static json_t *bandwidth(const bench_ceilings *c) {
    return json_pack("{s:o, s:o, s:o}", "gbytes_per_second", spread(c->bandwidth, 1e-9), "array_bytes",
                     integer(c->bandwidth_bytes), "cache_bytes", integer(c->cache_bytes));
}

static json_t *exponential(const bench_ceilings *c) {
    double cost = c->peak.best / 2.0 / c->exponentials.best;
    return json_pack("{s:o, s:o}", "g_per_second", spread(c->exponentials, 1e-9), "fma_equivalents", number(cost));
}

static bool set(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

static json_t *figures(const bench_figures *f) {
    const bench_work *w = &f->work;
    double tokens = (double)w->shape.heads * (double)w->shape.n;
    json_t *o = json_object();
    bool exact = w->operation == CLFAVOR_OP_EXACT, attention = exact || w->operation == CLFAVOR_OP_ATTENTION;
    bool good = set(o, "shape", shape(&w->shape)) &&
                set(o, "operation", json_string(bench_operation_name(w->operation))) &&
                set(o, "map", exact ? json_null() : json_string(bench_map_name(w->map))) &&
                set(o, "exact_keys", integer(w->exact_keys)) &&
                set(o, "causal", attention ? json_boolean(w->causal) : json_null()) &&
                set(o, "skipped", f->skipped[0] ? text_of(f->skipped) : json_null());
    if (f->skipped[0] || !good)
        return o;
    bench_spread rate = {f->flops / f->seconds.best, f->flops / f->seconds.median};
    good = set(o, "microseconds_per_token_and_head", spread(f->seconds, 1e6 / tokens)) &&
           set(o, "seconds", spread(f->seconds, 1.0)) &&
           set(o, "flops_per_token_and_head", number(f->flops / tokens)) && set(o, "gflops", spread(rate, 1e-9)) &&
           set(o, "peak_gflops", spread(f->peak, 1e-9)) && set(o, "fraction_of_peak", spread(f->fraction, 1.0)) &&
           set(o, "time_over_plain", spread(f->over_plain, 1.0)) && set(o, "roofline_bound", number(f->bound)) &&
           set(o, "bound_by", json_string(f->bytes_bound ? "memory" : "arithmetic")) &&
           set(o, "workspace_bytes", integer(f->workspace)) && set(o, "chunk", integer(f->chunk)) &&
           set(o, "pieces", integer(f->pieces)) &&
           set(o, "backend", f->backend ? json_string(bench_backend_name(f->backend)) : json_null()) &&
           set(o, "plan_seconds",
               json_pack("{s:o, s:o}", "cold", number(f->plan_cold), "second", number(f->plan_second))) &&
           set(o, "programs_built", integer(f->programs)) && set(o, "build_seconds", number(f->build_seconds)) &&
           set(o, "first_run_seconds", number(f->first_run)) && set(o, "rounds", integer(f->rounds)) &&
           set(o, "samples", integer(f->samples)) && set(o, "cpu_over_wall", number(f->cpu_over_wall));
    if (good)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *comparison(const bench_comparison *c) {
    return json_pack("{s:o, s:b, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "shape", shape(&c->shape),
                     "causal", c->causal, "peer", text_of(c->name), "computes", c->exact ? "exact" : "linear",
                     "peer_seconds", spread(c->seconds, 1.0), "linear_seconds", spread(c->linear, 1.0), "exact_seconds",
                     spread(c->own_exact, 1.0), "peer_over_linear",
                     json_pack("{s:o, s:o}", "best", number(c->seconds.best / c->linear.best), "median",
                               number(c->seconds.median / c->linear.median)),
                     "peer_over_exact",
                     json_pack("{s:o, s:o}", "best", number(c->seconds.best / c->own_exact.best), "median",
                               number(c->seconds.median / c->own_exact.median)),
                     "relative_error", number(c->error), "tolerance", number(c->tolerance), "enforced", c->enforced,
                     "failed", c->failed);
}

static json_t *environment(const bench_result *r) {
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}", "name", text_of(r->device), "platform", text_of(r->platform),
                     "driver", text_of(r->driver), "class", r->device_class, "compute_units", integer(r->compute_units),
                     "vector_width", integer(r->vector_width));
}

static json_t *worst(const bench_result *r) {
    const bench_figures *f = r->worst < r->count ? &r->figures[r->worst] : NULL;
    return f ? json_pack("{s:o, s:b, s:o}", "shape", shape(&f->work.shape), "causal", f->work.causal,
                         "fraction_of_peak", number(f->fraction.best))
             : json_null();
}

json_t *bench_json(const bench_result *r) {
    json_t *works = json_array(), *peers = json_array();
    bool good = works && peers;
    for (size_t i = 0; i < r->count && good; ++i)
        good = json_array_append_new(works, figures(&r->figures[i])) == 0;
    for (size_t i = 0; i < r->comparison_count && good; ++i)
        good = json_array_append_new(peers, comparison(&r->comparisons[i])) == 0;
    json_t *root = json_object();
    good = good && set(root, "schema", json_string("clfavor-bench")) &&
           set(root, "schema_version", json_integer(SCHEMA_VERSION)) && set(root, "version", json_string(r->version)) &&
           set(root, "device", environment(r)) && set(root, "peak", peak(&r->ceilings)) &&
           set(root, "exponential", exponential(&r->ceilings)) && set(root, "bandwidth", bandwidth(&r->ceilings)) &&
           set(root, "sweep", json_boolean(r->sweep)) && set(root, "wall_seconds", number(r->wall_seconds)) &&
           set(root, "worst", worst(r)) && set(root, "workloads", json_incref(works)) &&
           set(root, "peers", json_incref(peers));
    json_decref(works);
    json_decref(peers);
    if (good)
        return root;
    json_decref(root);
    return NULL;
}
