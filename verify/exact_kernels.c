/* The kernels on injected W against double: every map, bidirectional and causal, grouped and per-head weights, large
 * norms, keys of rising and falling norm.
 * Tolerances: injected.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "injected.h"

enum { D = VERIFY_INJECTED_DIM, DV = VERIFY_VALUE_DIM, CHUNK = 32 };

/* ------------------------------------------------------------------------------------------------- injected W */

/* Norms from `low` to `high` along the tokens of each head; first > last: falling. */
static void scale_keys(verify_problem *p, double first, double last) {
    const verify_call *c = &p->call;
    for (size_t i = 0; i < (size_t)(c->batch * c->heads_kv * c->n_k); ++i) {
        double share = c->n_k > 1 ? (double)(i % c->n_k) / (double)(c->n_k - 1) : 0.0;
        double norm = first * pow(last / first, share), square = 0.0;
        for (size_t l = 0; l < D; ++l)
            square += (double)p->k[i * D + l] * (double)p->k[i * D + l];
        for (size_t l = 0; l < D; ++l)
            p->k[i * D + l] = (float)((double)p->k[i * D + l] * norm / sqrt(square));
    }
}

enum { PLAIN, PER_HEAD, PER_KV_HEAD, LARGE, RISING, FALLING, PIECES, CASES };
static const char *const injected_labels[CASES * 3] = {
    "plain: O",         "plain: lse",        "plain: sign",         "W per head: O",        "W per head: lse",
    "W per head: sign", "W per K/V head: O", "W per K/V head: lse", "W per K/V head: sign", "large norms: O",
    "large norms: lse", "large norms: sign", "rising keys: O",      "rising keys: lse",     "rising keys: sign",
    "falling keys: O",  "falling keys: lse", "falling keys: sign",  "in pieces: O",         "in pieces: lse",
    "in pieces: sign"};

static bool injected(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    bool good = true;
    for (int which = 0; good && which < CASES; ++which) {
        bool heads = which == PER_HEAD || which == PER_KV_HEAD;
        verify_problem p = {.estimand = VERIFY_FITTED,
                            .sets = which == PER_HEAD      ? 4
                                    : which == PER_KV_HEAD ? 2
                                                           : 1,
                            .draw = (uint64_t)which};
        p.call = (verify_call){.map = exact->map,
                               .causal = exact->causal,
                               .chunk = CHUNK,
                               .pieces = which == PIECES ? 3 : 0,
                               .batch = heads ? 2 : 1,
                               .heads = 4,
                               .heads_kv = 2,
                               .n = 3 * CHUNK + 1,
                               .n_k = exact->causal ? 3 * CHUNK + 1 : 2 * CHUNK + 6};
        if (exact->map == CLFAVOR_MAP_ELU)
            p.sets = 1;
        good = verify_problem_open(&p, worker, which == LARGE ? 8.0 : 1.0);
        if (good && (which == RISING || which == PIECES))
            scale_keys(&p, 0.1, 12.0);
        if (good && which == FALLING)
            scale_keys(&p, 12.0, 0.1);
        good = good && verify_problem_run(&p, worker) && verify_problem_truth(&p, worker);
        if (good)
            verify_problem_compare(&p, values + 3 * which);
        verify_problem_close(&p);
    }
    return good;
}

/* ------------------------------------------------------------------------------------------ bits: prefix, neighbours
 */

/* Small keys raise the exponents of a positive map, -|y|^2/2; large ones those of relu. */
enum { KINDS = 6 };
static const char *const bits_labels[KINDS] = {"NaN",         "infinity",      "1e30",
                                               "keys x 1000", "values x 1e20", "keys / 1000"};

/* Changes what rows 0 .. SPLIT must not see: later tokens if causal, the other heads otherwise. */
enum { SPLIT = 40 };
static void spoil(verify_problem *p, size_t how) {
    const verify_call *c = &p->call;
    size_t first = c->causal ? SPLIT + 1 : (size_t)c->n_k, count = (size_t)(c->heads_kv * c->n_k);
    for (size_t i = 0; i < count; ++i) {
        size_t token = c->causal ? i % (size_t)c->n_k : i;
        for (size_t l = 0; token >= first && l < D; ++l) {
            float *k = &p->k[i * D + l], *v = &p->v[i * DV + l % DV];
            *k = how == 0   ? NAN
                 : how == 1 ? INFINITY
                 : how == 2 ? 1e30F
                 : how == 3 ? 1000.0F * *k
                 : how == 5 ? 0.001F * *k
                            : *k;
            *v = how == 0 ? NAN : how == 1 ? -INFINITY : how == 4 ? 1e20F : *v;
        }
    }
}

static bool bits(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    verify_problem p = {.sets = 1};
    p.call = (verify_call){.map = exact->map,
                           .causal = exact->causal,
                           .chunk = CHUNK,
                           .batch = 1,
                           .heads = 2,
                           .heads_kv = 2,
                           .n = 3 * CHUNK + 1,
                           .n_k = 3 * CHUNK + 1};
    size_t rows = 2 * (3 * CHUNK + 1), keys = rows, kept = exact->causal ? SPLIT + 1 : 3 * CHUNK + 1;
    bool good = verify_problem_open(&p, worker, 1.0);
    for (size_t i = 0; good && i < keys * D; ++i)
        p.k[i] *= 7.0F; /* exponents of about -40, in base 2, so that small later keys raise them by more than LAZY */
    good = good && verify_problem_run(&p, worker);
    float *before = verify_alloc(worker, rows * (DV + 2), sizeof *before);
    float *inputs = verify_alloc(worker, keys * (D + DV), sizeof *inputs);
    good = good && before && inputs;
    if (good) {
        memcpy(before, p.o, rows * DV * sizeof *before);
        memcpy(before + rows * DV, p.lse, rows * sizeof *before);
        memcpy(before + rows * (DV + 1), p.sign, rows * sizeof *before);
        memcpy(inputs, p.k, keys * D * sizeof *inputs);
        memcpy(inputs + keys * D, p.v, keys * DV * sizeof *inputs);
    }
    for (size_t how = 0; good && how < exact->count; ++how) {
        memcpy(p.k, inputs, keys * D * sizeof *inputs);
        memcpy(p.v, inputs + keys * D, keys * DV * sizeof *inputs);
        spoil(&p, how);
        good = verify_problem_run(&p, worker);
        for (size_t i = 0; good && i < kept; ++i) {
            values[how].value += memcmp(p.o + i * DV, before + i * DV, DV * sizeof *before) != 0;
            values[how].value += memcmp(p.lse + i, before + rows * DV + i, sizeof *before) != 0;
            values[how].value += memcmp(p.sign + i, before + rows * (DV + 1) + i, sizeof *before) != 0;
        }
    }
    free(before);
    free(inputs);
    verify_problem_close(&p);
    return good;
}

static const char *const map_names[] = {"positive", "hyperbolic", "trig", "trig-phase",
                                        "gaussian", "relu",       "elu",  "fitted"};

static void add(verify_run *run, const char *kind, int map, bool causal) {
    char name[48];
    bool is_bits = strcmp(kind, "injected") != 0;
    snprintf(name, sizeof name, "%s/%s%s", kind, map_names[map], causal && !is_bits ? "/causal" : "");
    verify_exact exact = {.name = name,
                          .text = !is_bits ? "injected W against double"
                                  : causal ? "later tokens change no bit of earlier rows"
                                           : "another head changes no bit",
                          .count = is_bits ? KINDS : CASES * 3,
                          .labels = is_bits ? bits_labels : injected_labels,
                          .cost = is_bits ? 20.0 : 100.0,
                          .run = is_bits ? bits : injected,
                          .map = (clfavor_map)map,
                          .causal = causal};
    verify_add_exact(run, &exact);
}

void verify_exact_kernels(verify_run *run) {
    for (int map = 0; map <= CLFAVOR_MAP_EXPONENTIAL; ++map)
        for (int causal = 0; causal < 2; ++causal) {
            if (map >= CLFAVOR_MAP_ELU && causal && run->options.level == VERIFY_QUICK)
                continue; /* a program of its own for what nothing else needs */
            add(run, "injected", map, causal);
            if (map == CLFAVOR_MAP_POSITIVE || map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_RELU)
                add(run, causal ? "prefix" : "neighbours", map, causal);
        }
}
