/* The projection W and the phases. A number's counter names its place and purpose, so nothing depends on the order of
 * drawing, on m or on the number of sets. */
#include "detmath.h"
#include "haar.h"
#include "normal.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>

struct clfavor_projection {
    clfavor_projection_desc desc; /* with sets >= 1 */
    double *w;                    /* [sets, m, d] */
    double *phases;               /* [sets, m] */
};

static void draw_iid(clfavor_projection *p, const uint32_t key[2]) {
    const clfavor_projection_desc *desc = &p->desc;
    double *row = p->w;
    for (uint32_t set = 0; set < desc->sets; ++set)
        for (uint32_t r = 0; r < desc->features; ++r, row += desc->dim) {
            const uint32_t first[4] = {0, r, set, CLFAVOR_PURPOSE_IID};
            clfavor_normal_fill(row, desc->dim, first, key);
        }
}

/* A last block with fewer rows is the beginning of a whole one: its later rows are not needed for the earlier ones. */
static clfavor_status draw_orthogonal(clfavor_projection *p, const uint32_t key[2]) {
    const clfavor_projection_desc *desc = &p->desc;
    const uint32_t m = desc->features, d = desc->dim;
    const double length = desc->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM ? sqrt((double)d) : 0;
    void *scratch = malloc(clfavor_haar_scratch(d));
    if (!scratch)
        return CLFAVOR_OUT_OF_MEMORY;
    double *rows = p->w;
    for (uint32_t set = 0; set < desc->sets; ++set)
        for (uint32_t done = 0; done < m; done += d) {
            uint32_t count = m - done < d ? m - done : d;
            for (uint32_t i = 0; i < count; ++i) {
                const uint32_t first[4] = {i * ((d + 1) / 2), done / d, set, CLFAVOR_PURPOSE_BLOCK};
                clfavor_normal_fill(rows + (size_t)i * d, d, first, key);
            }
            clfavor_haar_rows(rows, count, d, length, scratch);
            rows += (size_t)count * d;
        }
    free(scratch);
    return CLFAVOR_SUCCESS;
}

static void draw_phases(clfavor_projection *p, const uint32_t key[2]) {
    double *phase = p->phases;
    for (uint32_t set = 0; set < p->desc.sets; ++set)
        for (uint32_t r = 0; r < p->desc.features; ++r) {
            const uint32_t counter[4] = {r, 0, set, CLFAVOR_PURPOSE_PHASE};
            uint32_t block[4];
            clfavor_philox_block(counter, key, block);
            *phase++ = CLFAVOR_TWO_PI * clfavor_uniform(block[0], block[1]); /* < 2 pi after rounding, too */
        }
}

static bool all_finite(const double *values, size_t count) {
    for (size_t i = 0; i < count; ++i)
        if (!isfinite(values[i]))
            return false;
    return true;
}

/* Checks the shape and allocates; the kind is the caller's business. */
static clfavor_status allocate(clfavor_projection **out, const clfavor_projection_desc *desc) {
    if (desc->features < 1 || desc->features > CLFAVOR_MAX_FEATURES || desc->dim < 1 || desc->dim > CLFAVOR_MAX_DIM)
        return CLFAVOR_INVALID_SHAPE;
    clfavor_projection *p = calloc(1, sizeof *p);
    if (!p)
        return CLFAVOR_OUT_OF_MEMORY;
    p->desc = *desc;
    if (!desc->sets)
        p->desc.sets = 1;
    size_t rows, bytes;
    if (!clfavor_mul_overflows(p->desc.sets, desc->features, &rows) &&
        !clfavor_mul_overflows(rows, desc->dim * sizeof *p->w, &bytes)) {
        p->w = malloc(bytes);
        p->phases = malloc(rows * sizeof *p->phases);
    }
    if (!p->w || !p->phases) {
        clfavor_projection_destroy(p);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    *out = p;
    return CLFAVOR_SUCCESS;
}

/* w and phases NULL: drawn. */
static clfavor_status create(clfavor_projection **out, const clfavor_projection_desc *desc, const double *w,
                             const double *phases) {
    clfavor_projection *p;
    clfavor_status status = allocate(&p, desc);
    if (status)
        return status;
    const uint32_t key[2] = {(uint32_t)desc->seed, (uint32_t)(desc->seed >> 32)};
    const size_t rows = (size_t)p->desc.sets * desc->features, count = rows * desc->dim;
    if ((w && !all_finite(w, count)) || (phases && !all_finite(phases, rows)))
        status = CLFAVOR_NOT_FINITE;
    else if (w)
        memcpy(p->w, w, count * sizeof *w);
    else if (desc->kind == CLFAVOR_PROJECTION_IID)
        draw_iid(p, key);
    else
        status = draw_orthogonal(p, key);
    if (status) {
        clfavor_projection_destroy(p);
        return status;
    }
    if (phases)
        memcpy(p->phases, phases, rows * sizeof *phases);
    else
        draw_phases(p, key);
    *out = p;
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_projection_create(clfavor_projection **out, const clfavor_projection_desc *desc) {
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    clfavor_projection_desc own;
    if (!clfavor_desc_read(&own, sizeof own, desc))
        return CLFAVOR_INVALID_ARGUMENT;
    if (own.kind != CLFAVOR_PROJECTION_ORTHOGONAL && own.kind != CLFAVOR_PROJECTION_IID &&
        own.kind != CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        return CLFAVOR_INVALID_ARGUMENT;
    return create(out, &own, NULL, NULL);
}

clfavor_status clfavor_projection_create_from_data(clfavor_projection **out, const clfavor_projection_desc *desc,
                                                   const double *w, const double *phases) {
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    clfavor_projection_desc own;
    if (!w || !clfavor_desc_read(&own, sizeof own, desc))
        return CLFAVOR_INVALID_ARGUMENT;
    own.kind = CLFAVOR_PROJECTION_CUSTOM;
    return create(out, &own, w, phases);
}

void clfavor_projection_destroy(clfavor_projection *projection) {
    if (!projection)
        return;
    free(projection->w);
    free(projection->phases);
    free(projection);
}

clfavor_status clfavor_projection_get_desc(const clfavor_projection *projection, clfavor_projection_desc *desc) {
    if (!projection || !desc)
        return CLFAVOR_INVALID_ARGUMENT;
    return clfavor_info_write(desc, &projection->desc, sizeof projection->desc);
}

const double *clfavor_projection_data(const clfavor_projection *projection) {
    return projection ? projection->w : NULL;
}

const double *clfavor_projection_phases(const clfavor_projection *projection) {
    return projection ? projection->phases : NULL;
}
