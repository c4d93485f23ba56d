/* Tolerance. A feature is 2^e; the relative error of the feature is the absolute error of e. With a = |w||x| + |x|^2/2
 * for the longest row and token: a dot product of d terms errs by 2^-24 sqrt(d) |w||x| for roundings of random sign, on
 * both sides; exp2, log2, divisions and sums of some hundred terms by 16 x 2^-24. base = 2^-24 (16 + 2 sqrt(d) a). The
 * output is a quotient of sums whose terms each err by base: 4 base max|v|, times the cancellation of signed maps. A
 * key that is treated exactly adds x.y, and takes the query's scalar off again. */
#include "injected.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

enum { DIM = VERIFY_INJECTED_DIM, VALUES = VERIFY_VALUE_DIM };

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

static size_t tokens_of(const verify_call *c) {
    return (size_t)(c->batch * c->heads * c->n);
}

static size_t keys_of(const verify_call *c) {
    return (size_t)(c->batch * c->heads_kv * c->n_k);
}

bool verify_problem_open(verify_problem *p, verify_worker *worker, double sigma) {
    verify_call *c = &p->call;
    size_t rows = tokens_of(c), keys = keys_of(c);
    c->dim = DIM;
    c->m = c->map == CLFAVOR_MAP_ELU ? DIM : c->m ? c->m : VERIFY_INJECTED_M;
    c->value_dim = VALUES;
    c->states = p->sets > c->heads_kv ? p->sets : c->heads_kv;
    c->q = p->q = normals(worker, rows * DIM, 1, sigma);
    c->k = p->k = normals(worker, keys * DIM, 2, sigma);
    c->v = p->v = normals(worker, keys * VALUES, 3, 1.0);
    c->o = p->o = verify_alloc(worker, rows * VALUES, sizeof *p->o);
    c->lse = p->lse = verify_alloc(worker, rows, sizeof *p->lse);
    c->sign = p->sign = verify_alloc(worker, rows, sizeof *p->sign);
    p->truth = verify_alloc(worker, rows * (VALUES + 3), sizeof *p->truth);
    if (!p->q || !p->k || !p->v || !p->o || !p->lse || !p->sign || !p->truth)
        return false;
    if (c->map != CLFAVOR_MAP_ELU)
        p->projection = verify_projection(worker, CLFAVOR_PROJECTION_ORTHOGONAL, c->m, DIM, p->sets,
                                          verify_seed(worker->run->options.seed, "injected", p->draw));
    if (c->map != CLFAVOR_MAP_ELU && !p->projection)
        return false;
    if (c->map != CLFAVOR_MAP_EXPONENTIAL)
        p->estimator = verify_estimator(worker, c->map, p->projection, DIM, 0.0);
    else if ((p->e = verify_alloc(worker, 1, sizeof *p->e))) {
        if (!verify_estimand_init(p->e, p->estimand, DIM))
            return verify_fail(worker, "fitting fixed queries and keys failed");
        p->estimator = verify_estimand_estimator(worker, p->e, p->projection);
    }
    return p->estimator != NULL;
}

void verify_problem_close(verify_problem *p) {
    float *arrays[] = {p->q, p->k, p->v, p->o, p->lse, p->sign};
    for (size_t i = 0; i < 6; ++i)
        free(arrays[i]);
    free(p->truth);
    free(p->e);
    free(p->exact);
    clfavor_estimator_destroy(p->estimator);
    clfavor_projection_destroy(p->projection);
}

bool verify_problem_run(verify_problem *p, verify_worker *worker) {
    const clfavor_weights *weights = verify_weights(worker, p->estimator);
    return weights && verify_attention(worker, &p->call, weights);
}

/* The longest of `count` vectors of d numbers. */
static double longest(const float *x, size_t count) {
    double most = 0.0;
    for (size_t i = 0; i < count; ++i) {
        double square = 0.0;
        for (size_t l = 0; l < DIM; ++l)
            square += (double)x[i * DIM + l] * (double)x[i * DIM + l];
        most = fmax(most, square);
    }
    return sqrt(most);
}

/* Frobenius, and so at least the largest factor that it stretches by. */
static double norm_of(const double *x, size_t count) {
    double square = 0.0;
    for (size_t i = 0; i < count; ++i)
        square += x[i] * x[i];
    return sqrt(square);
}

/* a of the general estimator: |w T| (X + X0) + |T|^2 (X + X0)^2 / 2 + U (X + 2 X0) + b, and the same for keys. */
static double general_size(const verify_estimand *e, double w, double x) {
    double root = 0.0, b = 0.0, t = fmax(norm_of(e->tq, DIM * DIM), norm_of(e->tk, DIM * DIM));
    double centre = fmax(norm_of(e->xbar, DIM), norm_of(e->ybar, DIM)), reach = x + centre;
    for (size_t l = 0; l < DIM; ++l) {
        root = fmax(root, sqrt(1.0 - 4.0 * e->a[l]));
        b = fmax(b, fabs(e->a[l]));
    }
    return w * root * t * reach + t * t * reach * reach / 2.0 + centre * (x + 2.0 * centre) + b * w * w;
}

static double base_of(const verify_problem *p) {
    const verify_call *c = &p->call;
    double root = pow((double)DIM, -0.25);
    double x = longest(p->q, tokens_of(c)) * root, y = longest(p->k, keys_of(c)) * root, most = fmax(x, y), w = 0.0;
    const double *rows = clfavor_projection_data(p->projection);
    for (size_t r = 0; rows && r < (size_t)p->sets * c->m; ++r)
        w = fmax(w, norm_of(rows + r * DIM, DIM));
    double a = p->e ? general_size(p->e, w, most) : w * most + most * most / 2.0;
    return 0x1p-24 * (16.0 + 2.0 * sqrt((double)DIM) * (a + (c->exact_count ? x * y / 2.0 : 0.0)));
}

bool verify_problem_truth(verify_problem *p, verify_worker *worker) {
    size_t rows = tokens_of(&p->call);
    verify_oracle o = {.call = &p->call,
                       .sets = p->sets,
                       .scale = p->call.map == CLFAVOR_MAP_ELU ? 1.0 : 1.0 / sqrt((double)DIM),
                       .w = clfavor_projection_data(p->projection),
                       .phases = clfavor_projection_phases(p->projection),
                       .fitted = p->e ? &p->e->fitted : NULL,
                       .o = p->truth,
                       .lse = p->truth + rows * VALUES,
                       .sign = p->truth + rows * (VALUES + 1),
                       .cancellation = p->truth + rows * (VALUES + 2)};
    return verify_oracle_run(worker, &o);
}

static void raise_to(double *worst, double value) {
    if (!(value <= *worst))
        *worst = value;
}

void verify_problem_compare(const verify_problem *p, verify_exact_value *values) {
    const verify_call *c = &p->call;
    size_t rows = tokens_of(c);
    const double *lse = p->truth + rows * VALUES, *sign = lse + rows, *cancellation = sign + rows;
    double base = base_of(p), largest = 0.0, most_v = 0.0;
    for (size_t i = 0; i < keys_of(c) * VALUES; ++i)
        most_v = fmax(most_v, fabs((double)p->v[i]));
    for (size_t i = 0; i < rows; ++i) {
        if (base * cancellation[i] > 0.1) /* no digit is left: rule 1 */
            continue;
        for (size_t l = 0; l < VALUES; ++l)
            raise_to(&values[0].value, fabs((double)p->o[i * VALUES + l] - p->truth[i * VALUES + l]) / cancellation[i]);
        if (sign[i] != 0.0) {
            raise_to(&values[1].value, fabs((double)p->lse[i] - lse[i]) / cancellation[i]);
            largest = fmax(largest, fabs(lse[i]));
        } else
            values[2].value += !(p->lse[i] == -INFINITY);
        values[2].value += (double)p->sign[i] != sign[i];
    }
    values[0].tolerance = 4.0 * base * most_v;
    values[1].tolerance = 2.0 * base + 0x1p-23 * largest;
    values[2].tolerance = 0.0;
}
