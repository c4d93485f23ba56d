#include "oracle.h"

#include <math.h>
#include <stdlib.h>

/* One query or key: its rows' t = w.x and its |x|^2. */
typedef struct token {
    double *t;
    double square;
} token;

/* One pair: A = (sum / count) exp(scale), and the sum of absolute terms. */
typedef struct entry {
    double sum, absolute, scale;
} entry;

static double dot(const double *w, const float *x, uint32_t dim, double root) {
    double sum = 0.0;
    for (uint32_t l = 0; l < dim; ++l)
        sum += w[l] * (double)x[l] * root;
    return sum;
}

static void project(const verify_oracle *o, uint32_t set, const float *x, token *to) {
    const verify_call *call = o->call;
    double root = sqrt(o->scale);
    to->square = 0.0;
    for (uint32_t l = 0; l < call->dim; ++l)
        to->square += (double)x[l] * (double)x[l] * o->scale;
    for (uint32_t r = 0; r < call->m; ++r)
        to->t[r] = o->w ? dot(o->w + ((size_t)set * call->m + r) * call->dim, x, call->dim, root) : (double)x[r];
}

static double relu(double t) {
    return t < 0.0 ? 0.0 : t; /* NaN stays */
}

static double elu1(double t) {
    return t > 0.0 ? t + 1.0 : exp(t);
}

/* a and b are w_r.x and w_r.y. */
static double term(clfavor_map map, double a, double b, double phase, double shift, double *absolute) {
    double value;
    switch (map) {
    case CLFAVOR_MAP_POSITIVE:
        value = exp(a + b - shift);
        break;
    case CLFAVOR_MAP_HYPERBOLIC:
        value = 0.5 * (exp(a + b - shift) + exp(-a - b - shift));
        break;
    case CLFAVOR_MAP_TRIG:
    case CLFAVOR_MAP_GAUSSIAN:
        *absolute = fabs(cos(a + phase) * cos(b + phase)) + fabs(sin(a + phase) * sin(b + phase));
        return cos(a - b);
    case CLFAVOR_MAP_TRIG_PHASE:
        value = 2.0 * cos(a + phase) * cos(b + phase);
        break;
    case CLFAVOR_MAP_RELU:
        value = relu(a) * relu(b);
        break;
    default:
        value = elu1(a) * elu1(b);
    }
    *absolute = fabs(value);
    return value;
}

static entry pair(const verify_oracle *o, uint32_t set, const token *x, const token *y) {
    const verify_call *call = o->call;
    clfavor_map map = call->map;
    bool exponential = map == CLFAVOR_MAP_POSITIVE || map == CLFAVOR_MAP_HYPERBOLIC;
    entry e = {0.0, 0.0, 0.0};
    double shift = 0.0;
    for (uint32_t r = 0; exponential && r < call->m; ++r) {
        double size = x->t[r] + y->t[r];
        size = map == CLFAVOR_MAP_HYPERBOLIC ? fabs(size) : size;
        shift = r == 0 || size > shift ? size : shift;
    }
    for (uint32_t r = 0; r < call->m; ++r) {
        double absolute = 0.0, phase = o->phases ? o->phases[(size_t)set * call->m + r] : 0.0;
        e.sum += term(map, x->t[r], y->t[r], phase, shift, &absolute);
        e.absolute += absolute;
    }
    double half = (x->square + y->square) / 2.0;
    e.scale = exponential ? shift - half : map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE ? half : 0.0;
    if (map != CLFAVOR_MAP_ELU)
        e.scale -= log((double)call->m);
    return e;
}

static void row(const verify_oracle *o, uint32_t set, const token *x, const token *keys, size_t seen, const float *v,
                entry *entries, size_t at) {
    size_t dv = o->call->value_dim;
    double top = -INFINITY, sum = 0.0, absolute = 0.0;
    for (size_t j = 0; j < seen; ++j) {
        entries[j] = pair(o, set, x, &keys[j]);
        if (entries[j].absolute > 0.0 && entries[j].scale > top)
            top = entries[j].scale;
    }
    double base = top == -INFINITY ? 0.0 : top;
    for (size_t l = 0; l < dv; ++l)
        o->o[at * dv + l] = 0.0;
    for (size_t j = 0; j < seen; ++j) {
        double factor = exp(entries[j].scale - base), a = entries[j].sum * factor;
        sum += a;
        absolute += entries[j].absolute * factor;
        for (size_t l = 0; l < dv; ++l)
            o->o[at * dv + l] += a * (double)v[j * dv + l];
    }
    for (size_t l = 0; l < dv; ++l)
        o->o[at * dv + l] = sum == 0.0 ? 0.0 : o->o[at * dv + l] / sum;
    o->lse[at] = base + log(fabs(sum));
    o->sign[at] = sum > 0.0 ? 1.0 : sum < 0.0 ? -1.0 : sum;
    o->cancellation[at] = sum == 0.0 ? 1.0 : absolute / fabs(sum);
}

bool verify_oracle_run(verify_worker *worker, const verify_oracle *o) {
    const verify_call *c = o->call;
    size_t n = (size_t)c->n, n_k = (size_t)c->n_k, m = c->m, d = c->dim, heads = (size_t)c->heads;
    double *t = verify_alloc(worker, (n_k + 1) * m, sizeof *t);
    token *keys = verify_alloc(worker, n_k, sizeof *keys), query = {t ? t + n_k * m : NULL, 0.0};
    entry *entries = verify_alloc(worker, n_k, sizeof *entries);
    bool good = t && keys && entries;
    for (size_t slot = 0; good && slot < c->batch * heads; ++slot) {
        size_t head = slot % heads, head_kv = head * (size_t)c->heads_kv / heads;
        size_t kv = slot / heads * (size_t)c->heads_kv + head_kv;
        uint32_t set = (uint32_t)(o->sets == 1 ? 0 : o->sets == c->heads_kv ? head_kv : head);
        for (size_t j = 0; j < n_k; ++j) {
            keys[j].t = t + j * m;
            project(o, set, c->k + (kv * n_k + j) * d, &keys[j]);
        }
        for (size_t i = 0; i < n; ++i) {
            project(o, set, c->q + (slot * n + i) * d, &query);
            row(o, set, &query, keys, c->causal ? i + 1 : n_k, c->v + kv * n_k * c->value_dim, entries, slot * n + i);
        }
    }
    free(t);
    free(keys);
    free(entries);
    return good;
}
