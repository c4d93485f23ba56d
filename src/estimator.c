/* Estimators: what the exponents of each feature map are, in double. */
#include "estimator.h"

#include <math.h>
#include <stdlib.h>

static const struct {
    clfavor_family family;
    double quad;
    bool phases;
} kinds[] = {
    [CLFAVOR_MAP_POSITIVE] = {CLFAVOR_FAMILY_EXP, -1.0, false},
    [CLFAVOR_MAP_HYPERBOLIC] = {CLFAVOR_FAMILY_EXP, -1.0, false},
    [CLFAVOR_MAP_TRIG] = {CLFAVOR_FAMILY_TRIG, 1.0, false},
    [CLFAVOR_MAP_TRIG_PHASE] = {CLFAVOR_FAMILY_TRIG_PHASE, 1.0, true},
    [CLFAVOR_MAP_GAUSSIAN] = {CLFAVOR_FAMILY_TRIG, 0.0, true},
    [CLFAVOR_MAP_RELU] = {CLFAVOR_FAMILY_RELU, 0.0, false},
    [CLFAVOR_MAP_ELU] = {CLFAVOR_FAMILY_ELU, 0.0, false},
    [CLFAVOR_MAP_EXPONENTIAL] = {CLFAVOR_FAMILY_EXP, -1.0, false},
};

/* A copy of count doubles, zeros for NULL. Refuses what is not finite. */
static clfavor_status copy(double **out, const double *from, size_t count) {
    double *to = calloc(count, sizeof *to);
    if (!to)
        return CLFAVOR_OUT_OF_MEMORY;
    *out = to;
    for (size_t i = 0; from && i < count; ++i) {
        to[i] = from[i];
        if (!isfinite(to[i]))
            return CLFAVOR_NOT_FINITE;
    }
    return CLFAVOR_SUCCESS;
}

/* A query-side array and the key-side one, which is the same array where none is given. */
static clfavor_status copy_pair(double **q, double **k, const double *from_q, const double *from_k, size_t count) {
    clfavor_status status = copy(q, from_q, count);
    if (!status && (!from_k || from_k == from_q))
        *k = *q;
    else if (!status)
        status = copy(k, from_k, count);
    return status;
}

static clfavor_status resolve_scale(double *scale, uint32_t dim) {
    if (*scale == 0.0)
        *scale = 1.0 / sqrt((double)dim);
    if (!isfinite(*scale))
        return CLFAVOR_NOT_FINITE;
    return *scale > 0.0 ? CLFAVOR_SUCCESS : CLFAVOR_INVALID_ARGUMENT;
}

/* Hands the estimator to the caller, or destroys it. */
static clfavor_status finish(clfavor_estimator **out, clfavor_estimator *estimator, clfavor_status status) {
    if (status)
        clfavor_estimator_destroy(estimator);
    else
        *out = estimator;
    return status;
}

/* W per set, for hyperbolic W and then -W. */
static clfavor_status copy_projection(clfavor_estimator *e, const clfavor_projection *projection) {
    const double *w = clfavor_projection_data(projection), *phases = clfavor_projection_phases(projection);
    size_t half = (size_t)e->m * e->dim, repeats = e->rows / e->m;
    e->wq = e->wk = malloc(e->sets * e->rows * (size_t)e->dim * sizeof *e->wq);
    e->bq = e->bk = calloc((size_t)e->sets * e->rows, sizeof *e->bq);
    if (!e->wq || !e->bq)
        return CLFAVOR_OUT_OF_MEMORY;
    for (size_t s = 0; s < e->sets; ++s)
        for (size_t repeat = 0; repeat < repeats; ++repeat)
            for (size_t i = 0; i < half; ++i)
                e->wq[(s * repeats + repeat) * half + i] = repeat ? -w[s * half + i] : w[s * half + i];
    if (kinds[e->map].phases)
        memcpy(e->bq, phases, (size_t)e->sets * e->rows * sizeof *e->bq);
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_estimator_create(clfavor_estimator **out, const clfavor_estimator_desc *user_desc) {
    clfavor_estimator_desc desc;
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!clfavor_desc_read(&desc, sizeof desc, user_desc) || (unsigned)desc.map >= CLFAVOR_MAP_EXPONENTIAL)
        return CLFAVOR_INVALID_ARGUMENT;
    bool elu = desc.map == CLFAVOR_MAP_ELU;
    clfavor_projection_desc w = {.struct_size = sizeof w, .features = desc.dim, .dim = desc.dim, .sets = 1};
    if (desc.projection) {
        clfavor_status status = clfavor_projection_get_desc(desc.projection, &w);
        if (status)
            return status;
    } else if (!elu)
        return CLFAVOR_INVALID_ARGUMENT;
    if (!w.dim || w.dim > CLFAVOR_MAX_DIM || (desc.dim && desc.dim != w.dim))
        return CLFAVOR_INVALID_SHAPE;
    if (elu) {
        desc.scale = 1.0;
        w.features = w.dim;
        w.sets = 1;
    }
    clfavor_status status = resolve_scale(&desc.scale, w.dim);
    if (status)
        return status;
    clfavor_estimator *e = calloc(1, sizeof *e);
    if (!e)
        return CLFAVOR_OUT_OF_MEMORY;
    e->map = desc.map;
    e->family = kinds[desc.map].family;
    e->quad = kinds[desc.map].quad;
    e->m = w.features;
    e->rows = desc.map == CLFAVOR_MAP_HYPERBOLIC ? 2 * e->m : e->m;
    e->features = e->family == CLFAVOR_FAMILY_TRIG ? 2 * e->rows : e->rows;
    e->dim = w.dim;
    e->sets = w.sets;
    e->scale = desc.scale;
    e->log_norm = elu ? 0.0 : -log((double)e->rows);
    return finish(out, e, elu ? CLFAVOR_SUCCESS : copy_projection(e, desc.projection));
}

clfavor_status clfavor_estimator_create_exponential(clfavor_estimator **out,
                                                    const clfavor_exponential_desc *user_desc) {
    clfavor_exponential_desc desc;
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!clfavor_desc_read(&desc, sizeof desc, user_desc) || !desc.wq)
        return CLFAVOR_INVALID_ARGUMENT;
    if (!desc.sets)
        desc.sets = 1;
    size_t d = desc.dim, size;
    if (!desc.features || desc.features > CLFAVOR_MAX_FEATURES || !d || d > CLFAVOR_MAX_DIM ||
        clfavor_mul_overflows(desc.sets, (desc.features + d) * d * sizeof(double), &size))
        return CLFAVOR_INVALID_SHAPE;
    clfavor_status status = resolve_scale(&desc.scale, desc.dim);
    if (status)
        return status;
    clfavor_estimator *e = calloc(1, sizeof *e);
    if (!e)
        return CLFAVOR_OUT_OF_MEMORY;
    e->map = CLFAVOR_MAP_EXPONENTIAL;
    e->family = kinds[e->map].family;
    e->quad = kinds[e->map].quad;
    e->m = e->rows = e->features = desc.features;
    e->dim = desc.dim;
    e->sets = desc.sets;
    e->scale = desc.scale;
    e->log_norm = -log((double)e->rows);
    e->general = true;
    size_t sets = desc.sets, rows = desc.features;
    /* a b of NULL is 0 on its own side, unlike W, whose key side defaults to the query's */
    if ((status = copy_pair(&e->wq, &e->wk, desc.wq, desc.wk, sets * rows * d)) ||
        (status = copy(&e->bq, desc.bq, sets * rows)) || (status = copy(&e->bk, desc.bk, sets * rows)) ||
        (status = copy(&e->tq, desc.tq, sets * d * d)) || (status = copy(&e->tk, desc.tk, sets * d * d)) ||
        (status = copy(&e->x0, desc.x0, sets * d)) || (status = copy(&e->y0, desc.y0, sets * d)) ||
        (status = copy(&e->uq, desc.uq, sets * d)) || (status = copy(&e->uk, desc.uk, sets * d)) ||
        (status = copy(&e->aq, desc.aq, sets)) || (status = copy(&e->ak, desc.ak, sets)))
        return finish(out, e, status);
    for (size_t i = 0; i < sets * d; ++i) { /* T of NULL is the identity */
        if (!desc.tq)
            e->tq[i * d + i % d] = 1.0;
        if (!desc.tk)
            e->tk[i * d + i % d] = 1.0;
    }
    return finish(out, e, CLFAVOR_SUCCESS);
}

void clfavor_estimator_destroy(clfavor_estimator *e) {
    if (!e)
        return;
    double *arrays[] = {e->wq, e->bq, e->tq, e->tk, e->x0, e->y0, e->uq, e->uk, e->aq, e->ak};
    if (e->wk != e->wq)
        free(e->wk);
    if (e->bk != e->bq)
        free(e->bk);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; ++i)
        free(arrays[i]);
    free(e);
}

clfavor_status clfavor_estimator_get_info(const clfavor_estimator *e, clfavor_estimator_info *info) {
    if (!e || !info)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_estimator_info own = {
        .map = e->map, .rows = e->m, .features = e->features, .dim = e->dim, .sets = e->sets, .scale = e->scale};
    return clfavor_info_write(info, &own, sizeof own);
}
