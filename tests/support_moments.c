#include "support_moments.h"
#include "support.h"

#include <math.h>

const char *const moments_names[ESTIMATORS] = {"positive", "hyperbolic", "trig",  "trig-phase",
                                               "gaussian", "relu",       "oprf",  "key shift",
                                               "balanced", "shifted",    "sderf", "fitted"};

static double dot(const double *a, const double *b, uint32_t dim) {
    double sum = 0;
    for (uint32_t l = 0; l < dim; ++l)
        sum += a[l] * b[l];
    return sum;
}

bool moments_is_cosine(int estimator) {
    return estimator == TRIG || estimator == TRIG_PHASE || estimator == GAUSSIAN;
}

/* A of one value, or by axis, and T = R D, T^-T = R D^-1: a rotation of neighbouring axes and a diagonal. */
static void fit(problem *p, int estimator) {
    uint32_t d = p->target.dim;
    for (uint32_t l = 0; l < d; ++l) {
        p->a[l] = estimator == KEY_SHIFT                                 ? 0
                  : l % 2 && (estimator == SDERF || estimator == FITTED) ? (estimator == SDERF ? 0.03 : -0.15)
                                                                         : -0.06;
        p->xbar[l] = l % 2 ? 0.1 : -0.05;
        p->ybar[l] = l % 3 ? -0.08 : 0.12;
        for (uint32_t i = 0; i < d; ++i) {
            bool pair = i / 2 == l / 2 && (i | 1) < d;
            double rotation = i == l ? (pair ? cos(0.5) : 1) : pair ? (i < l ? -sin(0.5) : sin(0.5)) : 0;
            double stretch = l % 2 ? 0.8 : 1.2;
            p->tq[i * d + l] = rotation * stretch;
            p->tk[i * d + l] = rotation / stretch;
        }
    }
    p->fitted.a = p->a;
    if (estimator != OPRF && estimator != BALANCED) {
        p->fitted.xbar = p->xbar;
        p->fitted.ybar = p->ybar;
    }
    if (estimator >= SDERF || estimator == BALANCED) {
        p->fitted.tq = p->tq;
        p->fitted.tk = p->tk;
    }
    p->target.fitted = &p->fitted;
}

problem *problem_of(int estimator, clfavor_projection_kind kind, uint32_t d, uint32_t keys, double s) {
    static const double counts[] = {2, 1, 3}, lengths[] = {1, 0.6, 1.2};
    problem *p = test_alloc(1, sizeof *p);
    double x[MOST], y[MOST];
    for (uint32_t l = 0; l < d; ++l)
        x[l] = cos(l + 1.0);
    for (uint32_t l = 0; l < d; ++l)
        p->x[l] = 0.5 * sqrt(s / dot(x, x, d)) * x[l];
    for (uint32_t j = 0; j < keys; ++j) {
        for (uint32_t l = 0; l < d; ++l)
            y[l] = x[l] + 0.9 * sin((estimator == RELU ? 1 : j + 1) * (l + 1.3));
        for (uint32_t l = 0; l < d; ++l)
            p->y[j * d + l] = (moments_is_cosine(estimator) ? -0.5 : 0.5) * lengths[j] * sqrt(s / dot(y, y, d)) * y[l];
    }
    p->target = (verify_target){.map = estimator > RELU ? CLFAVOR_MAP_EXPONENTIAL : (clfavor_map)estimator,
                                .kind = kind,
                                .dim = d,
                                .x = p->x,
                                .y = p->y,
                                .count = keys > 1 ? counts : NULL,
                                .keys = keys};
    if (estimator > RELU)
        fit(p, estimator);
    return p;
}

/* log phi(v) of the general exponential estimator, with Wq = W diag(sqrt(1-4A)) T and b = w'Aw + sum ln(1-4A) / 4. */
static double log_feature(const verify_target *t, const double *w, const double *v, bool key) {
    const verify_fitted *f = t->fitted;
    const double *matrix = key ? f->tk : f->tq, *own = key ? f->ybar : f->xbar, *other = key ? f->xbar : f->ybar;
    double value = 0;
    for (uint32_t i = 0; i < t->dim; ++i) {
        double row = 0;
        for (uint32_t l = 0; l < t->dim; ++l)
            row += (matrix ? matrix[i * t->dim + l] : i == l) * (v[l] - (own ? own[l] : 0));
        value += w[i] * sqrt(1 - 4 * f->a[i]) * row - row * row / 2;
        value += f->a[i] * w[i] * w[i] + log(1 - 4 * f->a[i]) / 4;
        value += other ? other[i] * (v[i] - own[i]) : 0;
    }
    return value + (!key && own ? dot(own, other, t->dim) : 0);
}

static double relu(double x) {
    return x > 0 ? x : 0;
}

/* m phi_r(x) phi_r(y) for the row w with the phase b, from w.x and w.y. */
static double product(clfavor_map map, double wx, double wy, double xx, double yy, double b) {
    switch (map) {
    case CLFAVOR_MAP_POSITIVE:
        return exp(wx - xx / 2) * exp(wy - yy / 2);
    case CLFAVOR_MAP_HYPERBOLIC:
        return (exp(wx - xx / 2) * exp(wy - yy / 2) + exp(-wx - xx / 2) * exp(-wy - yy / 2)) / 2;
    case CLFAVOR_MAP_TRIG:
        return exp((xx + yy) / 2) * cos(wx - wy);
    case CLFAVOR_MAP_TRIG_PHASE:
        return exp((xx + yy) / 2) * 2 * cos(wx + b) * cos(wy + b);
    case CLFAVOR_MAP_GAUSSIAN:
        return cos(wx - wy);
    default:
        return relu(wx) * relu(wy);
    }
}

double row_value(const verify_target *t, const double *w, double phase) {
    double sum = 0, wx = dot(w, t->x, t->dim), xx = dot(t->x, t->x, t->dim);
    double query = t->fitted ? log_feature(t, w, t->x, false) : 0;
    for (uint32_t j = 0; j < t->keys; ++j) {
        const double *y = t->y + (size_t)j * t->dim;
        double one = t->fitted ? exp(query + log_feature(t, w, y, true))
                               : product(t->map, wx, dot(w, y, t->dim), xx, dot(y, y, t->dim), phase);
        sum += (t->count ? t->count[j] : 1) * one;
    }
    return sum;
}
