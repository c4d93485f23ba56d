/* The kernels on injected W against double: every map, bidirectional and causal, grouped and per-head weights, large
 * norms, keys of rising and falling norm.
 *
 * Tolerance. A feature is 2^e; the relative error of the feature is the absolute error of e. With a = |w||x| + |x|^2/2
 * for the longest row and token: a dot product of d terms errs by 2^-24 sqrt(d) |w||x| for roundings of random sign, on
 * both sides; exp2, log2, divisions and sums of some hundred terms by 16 x 2^-24. base = 2^-24 (16 + 2 sqrt(d) a). The
 * output is a quotient of sums whose terms each err by base: 4 base max|v|, times the cancellation of signed maps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "oracle.h"

enum { D = 6, M = 150, DV = VERIFY_VALUE_DIM, CHUNK = 32 };

/* ---------------------------------------------------------------------------------------------------------- inputs */

typedef struct problem {
    verify_call call;
    uint32_t sets;
    uint64_t draw; /* of W: what was on the device before must not be used */
    float *q, *k, *v, *o, *lse, *sign;
    double *truth; /* o, lse, sign, cancellation */
    clfavor_projection *projection;
    clfavor_estimator *estimator;
} problem;

static float normal(uint64_t index, uint32_t purpose) {
    const uint32_t counter[4] = {(uint32_t)(index / 2), 0, 0, purpose}, key[2] = {77, 0};
    uint32_t block[4];
    double pair[2];
    clfavor_philox4x32(counter, key, block);
    clfavor_normal_pair(block, pair);
    return (float)pair[index % 2];
}

static float *normals(verify_worker *worker, size_t count, uint32_t purpose, double sigma) {
    float *to = verify_alloc(worker, count, sizeof *to);
    for (size_t i = 0; to && i < count; ++i)
        to[i] = (float)sigma * normal(i, purpose);
    return to;
}

static size_t rows_of(const verify_call *c) {
    return (size_t)(c->batch * c->heads * c->n);
}

/* Fills in inputs, outputs and the estimator of a call whose sizes are set. */
static bool problem_open(problem *p, verify_worker *worker, double sigma) {
    verify_call *c = &p->call;
    size_t rows = rows_of(c), keys = (size_t)(c->batch * c->heads_kv * c->n_k);
    c->dim = D;
    c->m = c->map == CLFAVOR_MAP_ELU ? D : c->m ? c->m : M;
    c->value_dim = DV;
    c->q = p->q = normals(worker, rows * D, 1, sigma);
    c->k = p->k = normals(worker, keys * D, 2, sigma);
    c->v = p->v = normals(worker, keys * DV, 3, 1.0);
    c->o = p->o = verify_alloc(worker, rows * DV, sizeof *p->o);
    c->lse = p->lse = verify_alloc(worker, rows, sizeof *p->lse);
    c->sign = p->sign = verify_alloc(worker, rows, sizeof *p->sign);
    p->truth = verify_alloc(worker, rows * (DV + 3), sizeof *p->truth);
    if (!p->q || !p->k || !p->v || !p->o || !p->lse || !p->sign || !p->truth)
        return false;
    if (c->map != CLFAVOR_MAP_ELU)
        p->projection = verify_projection(worker, CLFAVOR_PROJECTION_ORTHOGONAL, c->m, D, p->sets,
                                          verify_seed(worker->run->options.seed, "injected", p->draw));
    if (c->map != CLFAVOR_MAP_ELU && !p->projection)
        return false;
    return (p->estimator = verify_estimator(worker, c->map, p->projection, D, 0.0)) != NULL;
}

static void problem_close(problem *p) {
    float *arrays[] = {p->q, p->k, p->v, p->o, p->lse, p->sign};
    for (size_t i = 0; i < 6; ++i)
        free(arrays[i]);
    free(p->truth);
    clfavor_estimator_destroy(p->estimator);
    clfavor_projection_destroy(p->projection);
}

static bool problem_run(problem *p, verify_worker *worker) {
    const clfavor_weights *weights = verify_weights(worker, p->estimator);
    return weights && verify_attention(worker, &p->call, weights);
}

/* The longest of `count` vectors of d numbers. */
static double longest(const float *x, size_t count) {
    double most = 0.0;
    for (size_t i = 0; i < count; ++i) {
        double square = 0.0;
        for (size_t l = 0; l < D; ++l)
            square += (double)x[i * D + l] * (double)x[i * D + l];
        most = fmax(most, square);
    }
    return sqrt(most);
}

static double base_of(const problem *p) {
    const verify_call *c = &p->call;
    double root = pow((double)D, -0.25),
           x = fmax(longest(p->q, rows_of(c)), longest(p->k, (size_t)(c->batch * c->heads_kv * c->n_k))) * root;
    double w = 0.0;
    const double *rows = clfavor_projection_data(p->projection);
    for (size_t r = 0; rows && r < (size_t)p->sets * c->m; ++r) {
        double square = 0.0;
        for (size_t l = 0; l < D; ++l)
            square += rows[r * D + l] * rows[r * D + l];
        w = fmax(w, sqrt(square));
    }
    return 0x1p-24 * (16.0 + 2.0 * sqrt((double)D) * (w * x + x * x / 2.0));
}

/* ------------------------------------------------------------------------------------------------- injected W */

static bool oracle(problem *p, verify_worker *worker) {
    size_t rows = rows_of(&p->call);
    verify_oracle o = {.call = &p->call,
                       .sets = p->sets,
                       .scale = p->call.map == CLFAVOR_MAP_ELU ? 1.0 : 1.0 / sqrt((double)D),
                       .w = clfavor_projection_data(p->projection),
                       .phases = clfavor_projection_phases(p->projection),
                       .o = p->truth,
                       .lse = p->truth + rows * DV,
                       .sign = p->truth + rows * (DV + 1),
                       .cancellation = p->truth + rows * (DV + 2)};
    return verify_oracle_run(worker, &o);
}

static void raise(double *worst, double value) {
    if (!(value <= *worst))
        *worst = value;
}

/* values: O, lse, sign. */
static void compare(const problem *p, verify_exact_value *values) {
    const verify_call *c = &p->call;
    size_t rows = rows_of(c);
    const double *lse = p->truth + rows * DV, *sign = lse + rows, *cancellation = sign + rows;
    double base = base_of(p), largest = 0.0, most_v = 0.0;
    for (size_t i = 0; i < (size_t)(c->batch * c->heads_kv * c->n_k) * DV; ++i)
        most_v = fmax(most_v, fabs((double)p->v[i]));
    for (size_t i = 0; i < rows; ++i) {
        if (base * cancellation[i] > 0.1) /* no digit is left: rule 1 */
            continue;
        for (size_t l = 0; l < DV; ++l)
            raise(&values[0].value, fabs((double)p->o[i * DV + l] - p->truth[i * DV + l]) / cancellation[i]);
        if (sign[i] != 0.0) {
            raise(&values[1].value, fabs((double)p->lse[i] - lse[i]) / cancellation[i]);
            largest = fmax(largest, fabs(lse[i]));
        } else
            values[2].value += !(p->lse[i] == -INFINITY);
        values[2].value += (double)p->sign[i] != sign[i];
    }
    values[0].tolerance = 4.0 * base * most_v;
    values[1].tolerance = 2.0 * base + 0x1p-23 * largest;
    values[2].tolerance = 0.0;
}

/* Norms from `low` to `high` along the tokens of each head; first > last: falling. */
static void scale_keys(problem *p, double first, double last) {
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
        problem p = {.sets = which == PER_HEAD ? 4 : which == PER_KV_HEAD ? 2 : 1, .draw = (uint64_t)which};
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
        good = problem_open(&p, worker, which == LARGE ? 8.0 : 1.0);
        if (good && (which == RISING || which == PIECES))
            scale_keys(&p, 0.1, 12.0);
        if (good && which == FALLING)
            scale_keys(&p, 12.0, 0.1);
        good = good && problem_run(&p, worker) && oracle(&p, worker);
        if (good)
            compare(&p, values + 3 * which);
        problem_close(&p);
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
static void spoil(problem *p, size_t how) {
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
    problem p = {.sets = 1};
    p.call = (verify_call){.map = exact->map,
                           .causal = exact->causal,
                           .chunk = CHUNK,
                           .batch = 1,
                           .heads = 2,
                           .heads_kv = 2,
                           .n = 3 * CHUNK + 1,
                           .n_k = 3 * CHUNK + 1};
    size_t rows = 2 * (3 * CHUNK + 1), keys = rows, kept = exact->causal ? SPLIT + 1 : 3 * CHUNK + 1;
    bool good = problem_open(&p, worker, 1.0);
    for (size_t i = 0; good && i < keys * D; ++i)
        p.k[i] *= 7.0F; /* exponents of about -40, in base 2, so that small later keys raise them by more than LAZY */
    good = good && problem_run(&p, worker);
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
        good = problem_run(&p, worker);
        for (size_t i = 0; good && i < kept; ++i) {
            values[how].value += memcmp(p.o + i * DV, before + i * DV, DV * sizeof *before) != 0;
            values[how].value += memcmp(p.lse + i, before + rows * DV + i, sizeof *before) != 0;
            values[how].value += memcmp(p.sign + i, before + rows * (DV + 1) + i, sizeof *before) != 0;
        }
    }
    free(before);
    free(inputs);
    problem_close(&p);
    return good;
}

static const char *const map_names[] = {"positive", "hyperbolic", "trig", "trig-phase", "gaussian", "relu", "elu"};

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
    for (int map = 0; map <= CLFAVOR_MAP_ELU; ++map)
        for (int causal = 0; causal < 2; ++causal) {
            if (map == CLFAVOR_MAP_ELU && causal && run->options.level == VERIFY_QUICK)
                continue; /* a program of its own for a map that has no chance in it */
            add(run, "injected", map, causal);
            if (map == CLFAVOR_MAP_POSITIVE || map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_RELU)
                add(run, causal ? "prefix" : "neighbours", map, causal);
        }
}
