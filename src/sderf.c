/* The estimator of clfavor_sderf_desc: fills the fields of the general exponential estimator. */
#include <math.h>
#include <stdlib.h>

#include "estimator.h"
#include "linalg.h"

#define INVERSE_TOLERANCE 1e-6 /* on Tq'Tk = I: the relative bias that it allows is about that times |x||y| */

/* Arrays of clfavor_exponential_desc for all sets. */
typedef struct fields {
    double *wq, *wk, *bq, *bk, *tq, *tk, *x0, *y0, *uq, *uk, *aq;
} fields;

static void copy_or(double *to, const double *from, size_t count, double value) {
    for (size_t i = 0; i < count; ++i)
        to[i] = from ? from[i] : value;
}

static clfavor_status check_set(const double *tq, const double *tk, const double *a, size_t d, double *product) {
    for (size_t l = 0; l < d; ++l)
        if (!(a[l] < 0.125))
            return isnan(a[l]) ? CLFAVOR_NOT_FINITE : CLFAVOR_INVALID_ARGUMENT;
    clfavor_multiply_at(d, tq, tk, product);
    for (size_t i = 0; i < d * d; ++i)
        if (!(fabs(product[i] - (i / d == i % d)) <= INVERSE_TOLERANCE))
            return isfinite(product[i]) ? CLFAVOR_INVALID_ARGUMENT : CLFAVOR_NOT_FINITE;
    return CLFAVOR_SUCCESS;
}

/* w' diag(sqrt(1 - 4a)) T of one row, and what it is at the centre. */
static double fold_row(double *out, const double *w, const double *root, const double *t, const double *centre,
                       size_t d) {
    double at_centre = 0.0;
    memset(out, 0, d * sizeof *out);
    for (size_t i = 0; i < d; ++i) {
        double factor = w[i] * root[i];
        for (size_t l = 0; l < d; ++l)
            out[l] += factor * t[i * d + l];
    }
    for (size_t l = 0; l < d; ++l)
        at_centre += out[l] * centre[l];
    return at_centre;
}

static void fill_set(const fields *f, size_t set, const double *w, const double *a, size_t m, size_t d) {
    double root[CLFAVOR_MAX_DIM], log_determinant = 0.0;
    for (size_t l = 0; l < d; ++l) {
        root[l] = sqrt(1.0 - 4.0 * a[l]);
        log_determinant += log1p(-4.0 * a[l]);
    }
    const double *x0 = f->x0 + set * d, *y0 = f->y0 + set * d;
    for (size_t r = 0; r < m; ++r, w += d) {
        size_t at = set * m + r;
        double b = 0.25 * log_determinant; /* half of ln(p/q), the other half is the other side's */
        for (size_t l = 0; l < d; ++l)
            b += a[l] * w[l] * w[l];
        f->bq[at] = b - fold_row(f->wq + at * d, w, root, f->tq + set * d * d, x0, d);
        f->bk[at] = b - fold_row(f->wk + at * d, w, root, f->tk + set * d * d, y0, d);
    }
    f->aq[set] = 0.0;
    for (size_t l = 0; l < d; ++l) {
        f->uq[set * d + l] = y0[l];
        f->uk[set * d + l] = x0[l];
        f->aq[set] += x0[l] * y0[l];
    }
}

static clfavor_status build(clfavor_estimator **out, const clfavor_sderf_desc *desc, const clfavor_projection_desc *w,
                            double *block) {
    size_t sets = desc->sets, d = w->dim, m = w->features, matrix = sets * d * d, rows = sets * m, vector = sets * d;
    fields f = {.wq = block};
    f.wk = f.wq + rows * d;
    f.bq = f.wk + rows * d;
    f.bk = f.bq + rows;
    f.tq = f.bk + rows;
    f.tk = f.tq + matrix;
    f.x0 = f.tk + matrix;
    f.y0 = f.x0 + vector;
    f.uq = f.y0 + vector;
    f.uk = f.uq + vector;
    f.aq = f.uk + vector;
    double *a = f.aq + sets, *product = a + vector;
    copy_or(f.x0, desc->xbar, vector, 0.0);
    copy_or(f.y0, desc->ybar, vector, 0.0);
    copy_or(a, desc->a, vector, 0.0);
    copy_or(f.tq, desc->tq, matrix, 0.0);
    copy_or(f.tk, desc->tk, matrix, 0.0);
    for (size_t i = 0; !desc->tq && i < vector; ++i)
        f.tq[i * d + i % d] = f.tk[i * d + i % d] = 1.0;
    for (size_t set = 0; set < sets; ++set) {
        clfavor_status status = check_set(f.tq + set * d * d, f.tk + set * d * d, a + set * d, d, product);
        if (status)
            return status;
        fill_set(&f, set, clfavor_projection_data(desc->projection) + (w->sets == 1 ? 0 : set * m * d), a + set * d, m,
                 d);
    }
    clfavor_exponential_desc exponential = {.struct_size = sizeof exponential,
                                            .features = w->features,
                                            .dim = w->dim,
                                            .sets = desc->sets,
                                            .scale = desc->scale,
                                            .wq = f.wq,
                                            .wk = f.wk,
                                            .bq = f.bq,
                                            .bk = f.bk,
                                            .tq = f.tq,
                                            .tk = f.tk,
                                            .x0 = f.x0,
                                            .y0 = f.y0,
                                            .uq = f.uq,
                                            .uk = f.uk,
                                            .aq = f.aq};
    return clfavor_estimator_create_exponential(out, &exponential);
}

clfavor_status clfavor_estimator_create_sderf(clfavor_estimator **out, const clfavor_sderf_desc *user_desc) {
    clfavor_sderf_desc desc;
    clfavor_projection_desc w = {.struct_size = sizeof w};
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!clfavor_desc_read(&desc, sizeof desc, user_desc) || clfavor_projection_get_desc(desc.projection, &w) ||
        !desc.tq != !desc.tk)
        return CLFAVOR_INVALID_ARGUMENT;
    if (w.kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        return CLFAVOR_UNSUPPORTED;
    if (!desc.sets)
        desc.sets = w.sets;
    size_t d = w.dim, set_size = 2 * ((size_t)w.features * (d + 1) + d * d) + 5 * d + 1, count;
    if (w.sets != 1 && w.sets != desc.sets)
        return CLFAVOR_INVALID_SHAPE;
    if (clfavor_mul_overflows(desc.sets, set_size, &count) ||
        clfavor_mul_overflows(count + d * d, sizeof(double), &count))
        return CLFAVOR_INVALID_SHAPE;
    double *block = malloc(count);
    if (!block)
        return CLFAVOR_OUT_OF_MEMORY;
    clfavor_status status = build(out, &desc, &w, block);
    free(block);
    return status;
}
