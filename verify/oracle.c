#include "oracle.h"

#include <math.h>
#include <stdlib.h>

/* One query or key: its rows' t = w.x (with the log-weight, where there is one), its |x|^2, and what is added. */
typedef struct token {
    double *t;
    double square, linear;
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

/* Theory section 6, step 5: everything at x1 = T (x - centre). */
static void project_fitted(const verify_oracle *o, uint32_t set, bool is_key, const float *x, token *to) {
    const verify_fitted *fit = o->fitted;
    uint32_t d = o->call->dim;
    const double *t = is_key ? fit->tk : fit->tq, *centre = is_key ? fit->ybar : fit->xbar;
    const double *other = is_key ? fit->xbar : fit->ybar;
    double x1[VERIFY_MAX_DIM] = {0.0}, root = sqrt(o->scale);
    to->square = to->linear = 0.0;
    for (uint32_t l = 0; l < d; ++l) {
        double from_centre = (double)x[l] * root - centre[l];
        to->linear += other[l] * from_centre + (is_key ? 0.0 : other[l] * centre[l]);
        for (uint32_t i = 0; i < d; ++i)
            x1[i] += t[(size_t)i * d + l] * from_centre;
    }
    for (uint32_t l = 0; l < d; ++l)
        to->square += x1[l] * x1[l];
    for (uint32_t r = 0; r < o->call->m; ++r) {
        const double *w = o->w + ((size_t)set * o->call->m + r) * d;
        to->t[r] = 0.0;
        for (uint32_t l = 0; l < d; ++l)
            to->t[r] +=
                w[l] * sqrt(1.0 - 4.0 * fit->a[l]) * x1[l] + fit->a[l] * w[l] * w[l] + log1p(-4.0 * fit->a[l]) / 4.0;
    }
}

static void project(const verify_oracle *o, uint32_t set, bool is_key, const float *x, token *to) {
    const verify_call *call = o->call;
    double root = sqrt(o->scale);
    if (call->map == CLFAVOR_MAP_EXPONENTIAL) {
        project_fitted(o, set, is_key, x, to);
        return;
    }
    to->linear = 0.0;
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
    case CLFAVOR_MAP_EXPONENTIAL:
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
    bool exponential = map == CLFAVOR_MAP_POSITIVE || map == CLFAVOR_MAP_HYPERBOLIC || map == CLFAVOR_MAP_EXPONENTIAL;
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
    e.scale = exponential                                                ? shift - half + x->linear + y->linear
              : map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE ? half
                                                                         : 0.0;
    if (map != CLFAVOR_MAP_ELU)
        e.scale -= log((double)call->m);
    return e;
}

/* exp(x.y) itself. */
static entry exact_pair(const verify_oracle *o, const float *q, const float *k) {
    entry e = {1.0, 1.0, 0.0};
    for (uint32_t l = 0; l < o->call->dim; ++l)
        e.scale += (double)q[l] * (double)k[l] * o->scale;
    return e;
}

static bool is_listed(const uint32_t *list, uint32_t count, size_t key) {
    bool found = false;
    for (uint32_t t = 0; t < count; ++t)
        found |= list[t] == key;
    return found;
}

/* From the entries of the keys that the row sees. */
static void row(const verify_oracle *o, size_t seen, const float *v, const entry *entries, size_t at) {
    size_t dv = o->call->value_dim;
    double top = -INFINITY, sum = 0.0, absolute = 0.0;
    for (size_t j = 0; j < seen; ++j)
        if (entries[j].absolute > 0.0 && entries[j].scale > top)
            top = entries[j].scale;
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
    token *keys = verify_alloc(worker, n_k, sizeof *keys), query = {t ? t + n_k * m : NULL, 0.0, 0.0};
    entry *entries = verify_alloc(worker, n_k, sizeof *entries);
    bool good = t && keys && entries;
    for (size_t slot = 0; good && slot < c->batch * heads; ++slot) {
        size_t head = slot % heads, head_kv = head * (size_t)c->heads_kv / heads;
        size_t kv = slot / heads * (size_t)c->heads_kv + head_kv;
        uint32_t set = (uint32_t)(o->sets == 1 ? 0 : o->sets == c->heads_kv ? head_kv : head);
        size_t states = c->states ? (size_t)c->states : (size_t)c->heads_kv;
        const uint32_t *list = c->exact_keys;
        if (list)
            list += (slot / heads * states + head * states / heads) * c->exact_count;
        const float *k = c->k + kv * n_k * d;
        for (size_t j = 0; j < n_k; ++j) {
            keys[j].t = t + j * m;
            project(o, set, true, k + j * d, &keys[j]);
        }
        for (size_t i = 0; i < n; ++i) {
            const float *q = c->q + (slot * n + i) * d;
            size_t seen = c->causal ? i + 1 : n_k;
            project(o, set, false, q, &query);
            for (size_t j = 0; j < seen; ++j)
                entries[j] =
                    is_listed(list, c->exact_count, j) ? exact_pair(o, q, k + j * d) : pair(o, set, &query, &keys[j]);
            row(o, seen, c->v + kv * n_k * c->value_dim, entries, slot * n + i);
        }
    }
    free(t);
    free(keys);
    free(entries);
    return good;
}
