/* The estimators that are verified: the maps of the library, and two of the general exponential one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

bool verify_estimand_is_cosine(const verify_estimand *e) {
    return e->map == CLFAVOR_MAP_TRIG || e->map == CLFAVOR_MAP_TRIG_PHASE || e->map == CLFAVOR_MAP_GAUSSIAN;
}

/* The optimal A for p = mean(s)/d (theory section 1). */
double verify_best_a(double p) {
    return (1.0 - 2.0 * p - sqrt((2.0 * p + 1.0) * (2.0 * p + 1.0) + 8.0 * p)) / 16.0;
}

/* T = R D with R a rotation by 0.5 of neighbouring axes and D a diagonal: full rank, neither symmetric nor orthogonal.
 * T^-T = R D^-1. */
static void fill_transforms(verify_estimand *e, uint32_t dim) {
    memset(e->tq, 0, sizeof e->tq);
    memset(e->tk, 0, sizeof e->tk);
    double c = cos(0.5), s = sin(0.5);
    for (uint32_t i = 0; i < dim; ++i)
        for (uint32_t l = 0; l < dim; ++l) {
            bool pair = i / 2 == l / 2 && (i / 2 * 2 + 1 < dim);
            double rotation = pair ? (i == l ? c : i < l ? -s : s) : i == l;
            double stretch = l % 3 == 0 ? 1.2 : l % 3 == 1 ? 0.9 : 1.0;
            e->tq[(size_t)i * dim + l] = rotation * stretch;
            e->tk[(size_t)i * dim + l] = rotation / stretch;
        }
}

void verify_estimand_init(verify_estimand *e, enum verify_estimand_id id, uint32_t dim) {
    static const struct {
        const char *name;
        clfavor_map map;
    } known[] = {{"positive", CLFAVOR_MAP_POSITIVE}, {"hyperbolic", CLFAVOR_MAP_HYPERBOLIC},
                 {"trig", CLFAVOR_MAP_TRIG},         {"trig-phase", CLFAVOR_MAP_TRIG_PHASE},
                 {"gaussian", CLFAVOR_MAP_GAUSSIAN}, {"relu", CLFAVOR_MAP_RELU},
                 {"oprf", CLFAVOR_MAP_EXPONENTIAL},  {"sderf", CLFAVOR_MAP_EXPONENTIAL}};
    memset(e, 0, sizeof *e);
    e->name = known[id].name;
    e->map = known[id].map;
    if (e->map != CLFAVOR_MAP_EXPONENTIAL)
        return;
    for (uint32_t l = 0; l < dim; ++l) {
        e->a[l] = id == VERIFY_OPRF ? verify_best_a(1.0 / dim) : l % 2 ? 0.02 : -0.05;
        e->xbar[l] = l % 2 ? 0.2 : -0.15; /* xbar.ybar is 0.025 d: a lost constant must show */
        e->ybar[l] = l % 2 ? 0.1 : -0.2;
    }
    e->fitted.a = e->a;
    if (id == VERIFY_OPRF)
        return;
    fill_transforms(e, dim);
    e->fitted = (verify_fitted){.a = e->a, .tq = e->tq, .tk = e->tk, .xbar = e->xbar, .ybar = e->ybar};
}

/* Tq^-1 = Tk'. */
void verify_estimand_query(const verify_estimand *e, uint32_t dim, const double *z, const double *y, double *x) {
    const verify_fitted *fit = &e->fitted;
    double rest[VERIFY_MAX_DIM];
    bool cosine = verify_estimand_is_cosine(e);
    for (uint32_t l = 0; l < dim; ++l) {
        x[l] = cosine ? z[l] + y[l] : z[l] - y[l];
        rest[l] = z[l];
        for (uint32_t j = 0; fit->tk && j < dim; ++j)
            rest[l] -= fit->tk[(size_t)l * dim + j] * (y[j] - fit->ybar[j]);
    }
    for (uint32_t l = 0; fit->tk && l < dim; ++l) {
        x[l] = fit->xbar[l];
        for (uint32_t j = 0; j < dim; ++j)
            x[l] += fit->tk[(size_t)j * dim + l] * rest[j];
    }
}

/* Theory section 6, step 5. */
static clfavor_estimator *general(verify_worker *worker, const verify_estimand *e, const clfavor_projection *projection,
                                  const clfavor_projection_desc *shape) {
    size_t d = shape->dim, rows = (size_t)shape->features * shape->sets;
    const double *w = clfavor_projection_data(projection);
    const verify_fitted *fit = &e->fitted;
    double *wq = verify_alloc(worker, rows * d, sizeof *wq), *wk = verify_alloc(worker, rows * d, sizeof *wk);
    double *bq = verify_alloc(worker, rows, sizeof *bq), *bk = verify_alloc(worker, rows, sizeof *bk);
    clfavor_estimator *estimator = NULL;
    double root[VERIFY_MAX_DIM], constant = 0.0;
    for (size_t l = 0; l < d; ++l) {
        root[l] = sqrt(1.0 - 4.0 * fit->a[l]);
        constant += 0.25 * log1p(-4.0 * fit->a[l]);
    }
    for (size_t r = 0; wq && wk && bq && bk && r < rows; ++r) {
        const double *row = w + r * d;
        bq[r] = constant;
        for (size_t l = 0; l < d; ++l)
            bq[r] += fit->a[l] * row[l] * row[l];
        bk[r] = bq[r];
        for (size_t j = 0; j < d; ++j) {
            double q = fit->tq ? 0.0 : row[j] * root[j], k = q;
            for (size_t l = 0; fit->tq && l < d; ++l) {
                q += row[l] * root[l] * fit->tq[l * d + j];
                k += row[l] * root[l] * fit->tk[l * d + j];
            }
            wq[r * d + j] = q;
            wk[r * d + j] = k;
            bq[r] -= fit->xbar ? q * fit->xbar[j] : 0.0;
            bk[r] -= fit->ybar ? k * fit->ybar[j] : 0.0;
        }
    }
    size_t sets = shape->sets;
    double *tq = verify_alloc(worker, sets * d * d, sizeof *tq), *tk = verify_alloc(worker, sets * d * d, sizeof *tk);
    double *x0 = verify_alloc(worker, sets * d, sizeof *x0), *y0 = verify_alloc(worker, sets * d, sizeof *y0);
    double *aq = verify_alloc(worker, sets, sizeof *aq);
    if (wq && wk && bq && bk && tq && tk && x0 && y0 && aq) {
        for (size_t s = 0; fit->tq && s < sets; ++s) {
            memcpy(tq + s * d * d, fit->tq, d * d * sizeof *tq);
            memcpy(tk + s * d * d, fit->tk, d * d * sizeof *tk);
            memcpy(x0 + s * d, fit->xbar, d * sizeof *x0);
            memcpy(y0 + s * d, fit->ybar, d * sizeof *y0);
            for (size_t l = 0; l < d; ++l)
                aq[s] += fit->xbar[l] * fit->ybar[l];
        }
        clfavor_exponential_desc desc = {.struct_size = sizeof desc,
                                         .features = shape->features,
                                         .dim = shape->dim,
                                         .sets = shape->sets,
                                         .wq = wq,
                                         .wk = wk,
                                         .bq = bq,
                                         .bk = bk};
        if (fit->tq) { /* (x - xbar).ybar + xbar.ybar on the query's side, xbar.(y - ybar) on the key's */
            desc.tq = tq;
            desc.tk = tk;
            desc.x0 = x0;
            desc.y0 = y0;
            desc.uq = y0;
            desc.uk = x0;
            desc.aq = aq;
        }
        clfavor_status status = clfavor_estimator_create_exponential(&estimator, &desc);
        if (status)
            verify_fail(worker, "making an estimator failed: %s", clfavor_status_message(status));
    }
    double *arrays[] = {wq, wk, bq, bk, tq, tk, x0, y0, aq};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; ++i)
        free(arrays[i]);
    return estimator;
}

clfavor_estimator *verify_estimand_estimator(verify_worker *worker, const verify_estimand *e,
                                             const clfavor_projection *projection) {
    if (e->map != CLFAVOR_MAP_EXPONENTIAL)
        return verify_estimator(worker, e->map, projection, 0, 0.0);
    clfavor_projection_desc shape = {.struct_size = sizeof shape};
    clfavor_projection_get_desc(projection, &shape);
    return general(worker, e, projection, &shape);
}
