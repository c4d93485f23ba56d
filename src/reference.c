/* The reference: everything in double on the host, one token at a time, written to be read beside docs/theory.md,
 * section 5. */
#include <math.h>
#include <stdlib.h>

#include "estimator.h"

/* A token's scalar term: quad |x|^2/2, or -|T (x - x0)|^2/2 + u.(x - x0) + a. */
static double scalar_term(const clfavor_estimator *e, size_t set, int key, const double *x) {
    size_t d = e->dim;
    double square = 0.0, linear = 0.0;
    if (!e->general) {
        for (size_t l = 0; l < d; ++l)
            square += x[l] * x[l];
        return e->quad == 0.0 ? 0.0 : e->quad * square / 2.0;
    }
    const double *t = (key ? e->tk : e->tq) + set * d * d, *x0 = (key ? e->y0 : e->x0) + set * d;
    const double *u = (key ? e->uk : e->uq) + set * d;
    for (size_t i = 0; i < d; ++i) {
        double component = 0.0;
        for (size_t l = 0; l < d; ++l)
            component += t[i * d + l] * (x[l] - x0[l]);
        square += component * component;
        linear += u[i] * (x[i] - x0[i]);
    }
    return -square / 2.0 + linear + (key ? e->ak : e->aq)[set];
}

/* log |value| + scalar and the sign of one feature. */
static void put(double value, double scalar, double *log_abs, double *sign) {
    // cppcheck-suppress invalidFunctionArg ; log(0) is -inf, as it should be
    *log_abs = log(fabs(value)) + scalar;
    *sign = value > 0.0 ? 1.0 : value < 0.0 ? -1.0 : value; /* NaN stays NaN */
}

static void token_features(const clfavor_estimator *e, size_t set, int key, const double *raw, double *log_abs,
                           double *sign) {
    double x[CLFAVOR_MAX_DIM], root = sqrt(e->scale);
    size_t d = e->dim, rows = e->rows;
    for (size_t l = 0; l < d; ++l)
        x[l] = raw[l] * root;
    double scalar = scalar_term(e, set, key, x) + e->log_norm / 2.0;
    const double *w = key ? e->wk : e->wq, *b = key ? e->bk : e->bq;
    for (size_t r = 0; r < rows; ++r) {
        double t = w ? b[set * rows + r] : x[r];
        for (size_t l = 0; w && l < d; ++l)
            t += w[(set * rows + r) * d + l] * x[l];
        switch (e->family) {
        case CLFAVOR_FAMILY_EXP:
            log_abs[r] = t + scalar;
            sign[r] = isnan(log_abs[r]) ? log_abs[r] : 1.0;
            break;
        case CLFAVOR_FAMILY_TRIG:
            put(cos(t), scalar, &log_abs[r], &sign[r]);
            put(sin(t), scalar, &log_abs[rows + r], &sign[rows + r]);
            break;
        case CLFAVOR_FAMILY_TRIG_PHASE:
            put(sqrt(2.0) * cos(t), scalar, &log_abs[r], &sign[r]);
            break;
        case CLFAVOR_FAMILY_RELU:
            put(t < 0.0 ? 0.0 : t, scalar, &log_abs[r], &sign[r]);
            break;
        case CLFAVOR_FAMILY_ELU:
            log_abs[r] = t > 0.0 ? log1p(t) : t;
            sign[r] = isnan(t) ? t : 1.0;
            break;
        }
    }
}

/* What all keys so far leave behind. Feature f's sums are relative to exp(c[f]), its running log-max. */
typedef struct reference_state {
    size_t features, dv;
    double *c, *n, *n_abs, *s; /* s [features, dv] */
    double *log_abs, *sign;    /* of the token at hand */
} reference_state;

static clfavor_status state_create(reference_state *state, size_t features, size_t dv) {
    double *block = malloc(features * (5 + dv) * sizeof *block);
    if (!block)
        return CLFAVOR_OUT_OF_MEMORY;
    *state = (reference_state){.features = features,
                               .dv = dv,
                               .c = block,
                               .n = block + features,
                               .n_abs = block + 2 * features,
                               .log_abs = block + 3 * features,
                               .sign = block + 4 * features,
                               .s = block + 5 * features};
    return CLFAVOR_SUCCESS;
}

static void state_clear(reference_state *state) {
    for (size_t f = 0; f < state->features; ++f) {
        state->c[f] = -INFINITY;
        state->n[f] = state->n_abs[f] = 0.0;
    }
    memset(state->s, 0, state->features * state->dv * sizeof *state->s);
}

static void add_key(reference_state *state, const double *value) {
    for (size_t f = 0; f < state->features; ++f) {
        double *s = state->s + f * state->dv;
        if (state->log_abs[f] > state->c[f]) {
            double factor = exp(state->c[f] - state->log_abs[f]);
            state->c[f] = state->log_abs[f];
            state->n[f] *= factor;
            state->n_abs[f] *= factor;
            for (size_t l = 0; l < state->dv; ++l)
                s[l] *= factor;
        }
        double base = state->c[f] == -INFINITY ? 0.0 : state->c[f]; /* no -inf - -inf */
        double size = exp(state->log_abs[f] - base), weight = size > 0.0 ? state->sign[f] * size : size;
        state->n[f] += weight;
        state->n_abs[f] += size;
        for (size_t l = 0; l < state->dv; ++l)
            s[l] += weight * value[l];
    }
}

typedef struct reference_row {
    double *o, lse, sign, abs_sum;
} reference_row;

static void read_row(const reference_state *state, reference_row *row) {
    double top = -INFINITY, sum = 0.0, abs_sum = 0.0;
    for (size_t f = 0; f < state->features; ++f)
        if (state->log_abs[f] + state->c[f] > top)
            top = state->log_abs[f] + state->c[f];
    double base = top == -INFINITY ? 0.0 : top;
    memset(row->o, 0, state->dv * sizeof *row->o);
    for (size_t f = 0; f < state->features; ++f) {
        double size = exp(state->log_abs[f] + state->c[f] - base);
        double weight = size > 0.0 ? state->sign[f] * size : size;
        const double *s = state->s + f * state->dv;
        sum += weight * state->n[f];
        abs_sum += size * state->n_abs[f];
        for (size_t l = 0; l < state->dv; ++l)
            row->o[l] += weight * s[l];
    }
    for (size_t l = 0; l < state->dv; ++l)
        row->o[l] = sum == 0.0 ? 0.0 : row->o[l] / sum;
    row->lse = base + log(fabs(sum));
    row->sign = sum > 0.0 ? 1.0 : sum < 0.0 ? -1.0 : sum;
    row->abs_sum = base + log(abs_sum);
}

/* Whether key j is among `count` indices. */
static bool listed(const uint32_t *indices, size_t count, size_t j) {
    for (size_t t = 0; t < count; ++t)
        if (indices[t] == j)
            return true;
    return false;
}

/* Adds one key's exact weight exp(logit) to a row, which holds the part that is there so far. */
static void add_exact(reference_row *row, double logit, const double *value, size_t dv) {
    double top = logit > row->lse ? logit : row->lse, old = exp(row->lse - top), own = exp(logit - top);
    for (size_t l = 0; l < dv; ++l)
        row->o[l] = (old * row->o[l] + own * value[l]) / (old + own);
    row->lse = top + log(old + own);
    row->abs_sum = row->abs_sum > logit ? row->abs_sum + log1p(exp(logit - row->abs_sum))
                                        : logit + log1p(exp(row->abs_sum - logit));
    row->sign = row->lse == row->lse ? 1.0 : row->lse;
}

static clfavor_status read_args(clfavor_reference_args *args, const clfavor_reference_args *user) {
    if (!clfavor_desc_read(args, sizeof *args, user) || !args->q || !args->k || !args->v || args->causal > 1 ||
        !args->exact_keys != !args->exact_count)
        return CLFAVOR_INVALID_ARGUMENT;
    if ((args->exact_count || args->corrections) && args->causal)
        return CLFAVOR_UNSUPPORTED;
    args->batch = args->batch ? args->batch : 1;
    args->heads = args->heads ? args->heads : 1;
    args->heads_kv = args->heads_kv ? args->heads_kv : args->heads;
    args->n_k = args->n_k ? args->n_k : args->n;
    args->value_dim = args->value_dim ? args->value_dim : args->dim;
    if (!args->n || !args->dim || args->dim > CLFAVOR_MAX_DIM || args->value_dim > CLFAVOR_MAX_DIM ||
        args->heads % args->heads_kv || (args->causal && args->n != args->n_k))
        return CLFAVOR_INVALID_SHAPE;
    return CLFAVOR_SUCCESS;
}

static void store(const clfavor_reference_args *args, size_t at, const reference_row *row) {
    if (args->o)
        memcpy(args->o + at * args->value_dim, row->o, args->value_dim * sizeof *row->o);
    if (args->lse)
        args->lse[at] = row->lse;
    if (args->sign)
        args->sign[at] = row->sign;
    if (args->abs_sum)
        args->abs_sum[at] = row->abs_sum;
}

/* One query head from first to last token. */
static void run_head(const clfavor_estimator *e, const clfavor_reference_args *args, size_t batch, size_t head,
                     reference_state *state) {
    size_t head_kv = head * args->heads_kv / args->heads, n = args->n, n_k = args->n_k, d = args->dim;
    size_t set = e->sets == 1 ? 0 : e->sets == args->heads_kv ? head_kv : head;
    const double *q = args->q + (batch * args->heads + head) * n * d;
    const double *k = args->k + (batch * args->heads_kv + head_kv) * n_k * d;
    const double *v = args->v + (batch * args->heads_kv + head_kv) * n_k * state->dv;
    double o[CLFAVOR_MAX_DIM], value[CLFAVOR_MAX_DIM];
    reference_row row = {.o = o};
    size_t states = e->sets > args->heads_kv ? e->sets : args->heads_kv, count = args->exact_count;
    const uint32_t *exact = args->exact_keys;
    size_t slot = batch * states + head * states / args->heads;
    const float *b = args->corrections ? args->corrections + slot * (e->features + count) * state->dv : NULL;
    if (exact)
        exact += slot * count;
    state_clear(state);
    size_t added = 0;
    for (size_t i = 0; i < n; ++i) {
        for (size_t end = args->causal ? i + 1 : n_k; added < end; ++added) {
            if (listed(exact, count, added))
                continue;
            token_features(e, set, 1, k + added * d, state->log_abs, state->sign);
            add_key(state, v + added * state->dv);
        }
        for (size_t f = 0; b && i == 0 && f < state->features * state->dv; ++f)
            state->s[f] += state->n[f / state->dv] * (double)b[f];
        token_features(e, set, 0, q + i * d, state->log_abs, state->sign);
        read_row(state, &row);
        for (size_t t = 0; t < count; ++t)
            if (exact[t] < n_k && !listed(exact, t, exact[t])) {
                double logit = 0.0;
                for (size_t l = 0; l < d; ++l)
                    logit += q[i * d + l] * k[exact[t] * d + l];
                for (size_t l = 0; l < state->dv; ++l)
                    value[l] = v[exact[t] * state->dv + l] + (b ? (double)b[(e->features + t) * state->dv + l] : 0.0);
                add_exact(&row, logit * e->scale, value, state->dv);
            }
        store(args, (batch * args->heads + head) * n + i, &row);
    }
}

clfavor_status clfavor_reference_attention(const clfavor_estimator *estimator, const clfavor_reference_args *user) {
    clfavor_reference_args args;
    reference_state state;
    clfavor_status status = estimator ? read_args(&args, user) : CLFAVOR_INVALID_ARGUMENT;
    if (status)
        return status;
    if (estimator->dim != args.dim ||
        (estimator->sets != 1 && estimator->sets != args.heads_kv && estimator->sets != args.heads))
        return CLFAVOR_MISMATCH;
    if ((args.exact_count || args.corrections) && estimator->family != CLFAVOR_FAMILY_EXP)
        return CLFAVOR_UNSUPPORTED;
    if ((status = state_create(&state, estimator->features, args.value_dim)))
        return status;
    for (size_t batch = 0; batch < args.batch; ++batch)
        for (size_t head = 0; head < args.heads; ++head)
            run_head(estimator, &args, batch, head, &state);
    free(state.c);
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_reference_exact(const clfavor_reference_args *user) {
    clfavor_reference_args args;
    clfavor_status status = read_args(&args, user);
    if (status)
        return status;
    double scale = args.scale != 0.0 ? args.scale : 1.0 / sqrt((double)args.dim);
    if (!isfinite(scale) || scale < 0.0)
        return CLFAVOR_INVALID_ARGUMENT;
    size_t d = args.dim, dv = args.value_dim, n = args.n, n_k = args.n_k;
    double *logits = malloc(n_k * sizeof *logits), o[CLFAVOR_MAX_DIM];
    if (!logits)
        return CLFAVOR_OUT_OF_MEMORY;
    for (size_t at = 0; at < args.batch * args.heads * n; ++at) {
        size_t i = at % n, head = at / n % args.heads, batch = at / n / args.heads;
        size_t kv = batch * args.heads_kv + head * args.heads_kv / args.heads, seen = args.causal ? i + 1 : n_k;
        double top = -INFINITY, sum = 0.0;
        for (size_t j = 0; j < seen; ++j) {
            double logit = 0.0;
            for (size_t l = 0; l < d; ++l)
                logit += args.q[at * d + l] * args.k[(kv * n_k + j) * d + l];
            logits[j] = logit * scale;
            top = logits[j] > top ? logits[j] : top;
        }
        double base = top == -INFINITY ? 0.0 : top;
        memset(o, 0, sizeof o);
        for (size_t j = 0; j < seen; ++j) {
            double weight = exp(logits[j] - base);
            sum += weight;
            for (size_t l = 0; l < dv; ++l)
                o[l] += weight * args.v[(kv * n_k + j) * dv + l];
        }
        for (size_t l = 0; l < dv; ++l)
            o[l] = sum == 0.0 ? 0.0 : o[l] / sum;
        reference_row row = {.o = o, .lse = base + log(sum), .sign = sum > 0.0 ? 1.0 : sum};
        row.abs_sum = row.lse;
        store(&args, at, &row);
    }
    free(logits);
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_reference_features(const clfavor_estimator *estimator, uint32_t set, int key, const double *x,
                                          double *log_abs, double *sign) {
    if (!estimator || !x || !log_abs || !sign || set >= estimator->sets)
        return CLFAVOR_INVALID_ARGUMENT;
    token_features(estimator, set, key, x, log_abs, sign);
    return CLFAVOR_SUCCESS;
}
