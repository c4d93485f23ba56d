/* The estimators that are verified: the maps of the library, and the special cases of the general exponential one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

bool verify_estimand_is_cosine(const verify_estimand *e) {
    return e->map == CLFAVOR_MAP_TRIG || e->map == CLFAVOR_MAP_TRIG_PHASE || e->map == CLFAVOR_MAP_GAUSSIAN;
}

/* The optimal A for p = mean(s)/d (docs/theory.md, section 1). */
double verify_best_a(double p) {
    return (1.0 - 2.0 * p - sqrt((2.0 * p + 1.0) * (2.0 * p + 1.0) + 8.0 * p)) / 16.0;
}

/* T = R D with R a rotation by 0.5 of neighbouring axes and D a diagonal, T^-T = R D^-1: full rank, neither symmetric
 * nor orthogonal. Without the rotation: D; symmetric: R D R'; without the diagonal: R. */
static void fill_transforms(verify_estimand *e, uint32_t dim, bool rotated, bool stretched, bool symmetric) {
    double c = rotated ? cos(0.5) : 1.0, s = rotated ? sin(0.5) : 0.0;
    double rotation[VERIFY_MAX_DIM][2]; /* of each row: in its pair of columns */
    memset(e->tq, 0, sizeof e->tq);
    memset(e->tk, 0, sizeof e->tk);
    for (uint32_t i = 0; i < dim; ++i) {
        bool pair = (i | 1U) < dim;
        rotation[i][0] = i % 2 ? s : pair ? c : 1.0;
        rotation[i][1] = i % 2 ? c : pair ? -s : 0.0;
    }
    for (uint32_t i = 0; i < dim; ++i)
        for (uint32_t l = i / 2 * 2; l < dim && l / 2 == i / 2; ++l)
            for (uint32_t j = i / 2 * 2; j < dim && j / 2 == i / 2; ++j) {
                double stretch = !stretched ? 1.0 : j % 3 == 0 ? 1.2 : j % 3 == 1 ? 0.9 : 1.0;
                double factor = rotation[i][j % 2] * (symmetric ? rotation[l][j % 2] : l == j);
                e->tq[(size_t)i * dim + l] += factor * stretch;
                e->tk[(size_t)i * dim + l] += factor / stretch;
            }
    e->fitted.tq = e->tq;
    e->fitted.tk = e->tk;
}

/* Queries and keys about centres of their own, stretched along other axes, and values, all from a fixed Philox key; the
 * parameters that the library fits to them. */
static bool fit(verify_estimand *e, uint32_t dim) {
    enum { N = 96, VALUES = 4 };
    size_t count = (size_t)N * dim;
    float *q = malloc((2 * count + N * VALUES) * sizeof *q), *k = q + count, *v = k + count;
    clfavor_fit *made = NULL;
    clfavor_sderf_desc found = {.struct_size = sizeof found};
    double root = pow(dim, 0.25);
    for (size_t i = 0; q && i < 2 * count + N * VALUES; ++i) {
        const uint32_t counter[4] = {(uint32_t)i, 0, 0, 0}, key[2] = {2027, 0};
        uint32_t block[4];
        double pair[2];
        clfavor_philox4x32(counter, key, block);
        clfavor_normal_pair(block, pair);
        size_t l = i % dim;
        bool is_key = i >= count;
        /* |x - xbar|^2 and |y - ybar|^2 of about a half, whatever d; neighbouring entries hang together */
        double spread = (l % 3 == is_key ? 1.1 : 0.5) / sqrt((double)dim),
               centre = (l % 2 ? 0.5 : -0.3) / sqrt((double)dim);
        q[i] = (float)(i >= 2 * count ? pair[0] : root * (spread * pair[0] + (is_key ? -0.8 : 1.0) * centre));
        if (l && i < 2 * count)
            q[i] += 0.6F * q[i - 1];
    }
    clfavor_fit_desc desc = {
        .struct_size = sizeof desc, .dim = dim, .value_dim = VALUES, .n = N, .q = q, .k = k, .v = v};
    bool good = q && clfavor_fit_create(&made, &desc) == CLFAVOR_SUCCESS &&
                clfavor_fit_get_sderf(made, &found) == CLFAVOR_SUCCESS;
    if (good) {
        memcpy(e->a, found.a, dim * sizeof *e->a);
        memcpy(e->xbar, found.xbar, dim * sizeof *e->xbar);
        memcpy(e->ybar, found.ybar, dim * sizeof *e->ybar);
        memcpy(e->tq, found.tq, (size_t)dim * dim * sizeof *e->tq);
        memcpy(e->tk, found.tk, (size_t)dim * dim * sizeof *e->tk);
        e->fitted = (verify_fitted){.a = e->a, .tq = e->tq, .tk = e->tk, .xbar = e->xbar, .ybar = e->ybar};
    }
    clfavor_fit_destroy(made);
    free(q);
    return good;
}

bool verify_estimand_init(verify_estimand *e, enum verify_estimand_id id, uint32_t dim) {
    static const struct {
        const char *name;
        clfavor_map map;
    } known[] = {{"positive", CLFAVOR_MAP_POSITIVE},
                 {"hyperbolic", CLFAVOR_MAP_HYPERBOLIC},
                 {"trig", CLFAVOR_MAP_TRIG},
                 {"trig-phase", CLFAVOR_MAP_TRIG_PHASE},
                 {"gaussian", CLFAVOR_MAP_GAUSSIAN},
                 {"relu", CLFAVOR_MAP_RELU},
                 {"oprf", CLFAVOR_MAP_EXPONENTIAL},
                 {"shift", CLFAVOR_MAP_EXPONENTIAL},
                 {"diagonal", CLFAVOR_MAP_EXPONENTIAL},
                 {"full", CLFAVOR_MAP_EXPONENTIAL},
                 {"sderf", CLFAVOR_MAP_EXPONENTIAL},
                 {"fitted", CLFAVOR_MAP_EXPONENTIAL},
                 {"general", CLFAVOR_MAP_EXPONENTIAL}};
    memset(e, 0, sizeof *e);
    e->name = known[id].name;
    e->map = known[id].map;
    if (e->map != CLFAVOR_MAP_EXPONENTIAL)
        return true;
    if (id == VERIFY_FITTED)
        return fit(e, dim);
    bool axes = id == VERIFY_SDERF || id == VERIFY_GENERAL;
    for (uint32_t l = 0; l < dim; ++l) {
        e->a[l] = axes ? (l % 2 ? 0.02 : -0.05) : id == VERIFY_SHIFT ? 0.0 : verify_best_a(1.0 / dim);
        e->xbar[l] = l % 2 ? 0.2 : -0.15; /* xbar.ybar is 0.025 d: a lost constant must show */
        e->ybar[l] = l % 2 ? 0.1 : -0.2;
    }
    e->by_hand = id == VERIFY_GENERAL;
    e->fitted.a = e->a;
    if (id == VERIFY_SHIFT || id == VERIFY_GENERAL) {
        e->fitted.xbar = e->xbar;
        e->fitted.ybar = e->ybar;
    }
    if (id == VERIFY_DIAGONAL)
        fill_transforms(e, dim, false, true, false);
    else if (id == VERIFY_FULL_BALANCE)
        fill_transforms(e, dim, true, true, true);
    else if (axes)
        fill_transforms(e, dim, true, id == VERIFY_GENERAL, false);
    return true;
}

bool verify_estimand_has_axes(const verify_estimand *e, uint32_t dim) {
    bool same = true;
    for (uint32_t l = 1; l < dim; ++l)
        same &= e->a[l] == e->a[0];
    return !same;
}

static double entry(const double *matrix, uint32_t dim, uint32_t i, uint32_t l) {
    return matrix ? matrix[(size_t)i * dim + l] : i == l;
}

/* x = Tk' (z - Tk (y - ybar)) + xbar, since Tq^-1 = Tk'. */
void verify_estimand_query(const verify_estimand *e, uint32_t dim, const double *z, const double *y, double *x) {
    const verify_fitted *fit = &e->fitted;
    double rest[VERIFY_MAX_DIM], sign = verify_estimand_is_cosine(e) ? -1.0 : 1.0;
    for (uint32_t l = 0; l < dim; ++l) {
        rest[l] = z[l];
        for (uint32_t j = 0; j < dim; ++j)
            rest[l] -= sign * entry(fit->tk, dim, l, j) * (y[j] - (fit->ybar ? fit->ybar[j] : 0.0));
    }
    for (uint32_t l = 0; l < dim; ++l) {
        x[l] = fit->xbar ? fit->xbar[l] : 0.0;
        for (uint32_t j = 0; j < dim; ++j)
            x[l] += entry(fit->tk, dim, j, l) * rest[j];
    }
}

/* Theory section 6, step 5, filled in by hand: a check of the one below that shares no code with it. */
static clfavor_estimator *general(verify_worker *worker, const verify_estimand *e, const clfavor_projection *projection,
                                  const clfavor_projection_desc *shape) {
    size_t d = shape->dim, rows = (size_t)shape->features * shape->sets, sets = shape->sets;
    const double *w = clfavor_projection_data(projection);
    const verify_fitted *fit = &e->fitted;
    double *memory = verify_alloc(worker, 2 * rows * (d + 1) + sets * (2 * d * d + 2 * d + 1), sizeof *memory);
    if (!memory)
        return NULL;
    double *wq = memory, *wk = wq + rows * d, *bq = wk + rows * d, *bk = bq + rows, *tq = bk + rows;
    double *tk = tq + sets * d * d, *x0 = tk + sets * d * d, *y0 = x0 + sets * d, *aq = y0 + sets * d;
    double root[VERIFY_MAX_DIM], constant = 0.0;
    for (size_t l = 0; l < d; ++l) {
        root[l] = sqrt(1.0 - 4.0 * fit->a[l]);
        constant += 0.25 * log1p(-4.0 * fit->a[l]);
    }
    for (size_t r = 0; r < rows; ++r) {
        const double *row = w + r * d;
        bq[r] = constant;
        for (size_t l = 0; l < d; ++l)
            bq[r] += fit->a[l] * row[l] * row[l];
        bk[r] = bq[r];
        for (size_t j = 0; j < d; ++j) {
            for (size_t l = 0; l < d; ++l) {
                wq[r * d + j] += row[l] * root[l] * fit->tq[l * d + j];
                wk[r * d + j] += row[l] * root[l] * fit->tk[l * d + j];
            }
            bq[r] -= wq[r * d + j] * fit->xbar[j];
            bk[r] -= wk[r * d + j] * fit->ybar[j];
        }
    }
    for (size_t s = 0; s < sets; ++s) {
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
                                     .bk = bk,
                                     .tq = tq,
                                     .tk = tk,
                                     .x0 = x0,
                                     .y0 = y0,
                                     .uq = y0, /* (x - xbar).ybar + xbar.ybar on the query's side */
                                     .uk = x0, /* xbar.(y - ybar) on the key's */
                                     .aq = aq};
    clfavor_estimator *estimator = NULL;
    clfavor_status status = clfavor_estimator_create_exponential(&estimator, &desc);
    free(memory);
    if (status)
        verify_fail(worker, "making an estimator failed: %s", clfavor_status_message(status));
    return estimator;
}

/* The same parameters for every set; NULL stays NULL. *at moves on. */
static const double *repeat(double **at, const double *from, size_t count, size_t sets) {
    double *to = *at;
    if (!from)
        return NULL;
    for (size_t s = 0; s < sets; ++s)
        memcpy(to + s * count, from, count * sizeof *to);
    *at = to + sets * count;
    return to;
}

static clfavor_estimator *sderf(verify_worker *worker, const verify_estimand *e, const clfavor_projection *projection,
                                const clfavor_projection_desc *shape) {
    size_t d = shape->dim, sets = shape->sets;
    const verify_fitted *fit = &e->fitted;
    bool plain = e->a[0] == 0.0 && !verify_estimand_has_axes(e, shape->dim);
    double *memory = verify_alloc(worker, sets * (2 * d * d + 3 * d), sizeof *memory), *at = memory;
    if (!memory)
        return NULL;
    clfavor_sderf_desc desc = {.struct_size = sizeof desc,
                               .projection = projection,
                               .xbar = repeat(&at, fit->xbar, d, sets),
                               .ybar = repeat(&at, fit->ybar, d, sets),
                               .tq = repeat(&at, fit->tq, d * d, sets),
                               .tk = repeat(&at, fit->tk, d * d, sets),
                               .a = repeat(&at, plain ? NULL : fit->a, d, sets)};
    clfavor_estimator *estimator = NULL;
    clfavor_status status = clfavor_estimator_create_sderf(&estimator, &desc);
    free(memory);
    if (status)
        verify_fail(worker, "making an estimator failed: %s", clfavor_status_message(status));
    return estimator;
}

clfavor_estimator *verify_estimand_estimator(verify_worker *worker, const verify_estimand *e,
                                             const clfavor_projection *projection) {
    if (e->map != CLFAVOR_MAP_EXPONENTIAL)
        return verify_estimator(worker, e->map, projection, 0, 0.0);
    clfavor_projection_desc shape = {.struct_size = sizeof shape};
    clfavor_projection_get_desc(projection, &shape);
    return e->by_hand ? general(worker, e, projection, &shape) : sderf(worker, e, projection, &shape);
}
