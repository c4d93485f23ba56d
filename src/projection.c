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

/* One block of `count` <= d rows N(0, I). A last block with fewer rows is the beginning of a whole one: its later rows
 * are not needed for the earlier ones. */
static void draw_block(double *rows, uint32_t count, uint32_t d, uint32_t block, uint32_t set, const uint32_t key[2]) {
    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t first[4] = {i * ((d + 1) / 2), block, set, CLFAVOR_PURPOSE_BLOCK};
        clfavor_normal_fill(rows + (size_t)i * d, d, first, key);
    }
}

/* The first `count` rows of the block. What scratch holds: clfavor_haar_scratch, then d^2 + d doubles. */
static void draw_simplex(double *rows, uint32_t count, uint32_t d, uint32_t block, uint32_t set, const uint32_t key[2],
                         void *scratch) {
    double *all = (double *)scratch + clfavor_haar_scratch(d) / sizeof(double), *norms = all + (size_t)d * d;
    draw_block(all, d, d, block, set, key);
    for (uint32_t i = 0; i < d; ++i) {
        const double *row = all + (size_t)i * d;
        double square = 0;
        for (uint32_t l = 0; l < d; ++l)
            square += row[l] * row[l];
        norms[i] = sqrt(square);
    }
    clfavor_haar_rows(all, d, d, 1, scratch);
    /* e_i - (1, .., 1)/d has length sqrt((d - 1)/d), and the rotation turns e_i into row i */
    const double scale = sqrt((double)d / (d - 1));
    for (uint32_t l = 0; l < d; ++l) {
        double mean = 0;
        for (uint32_t i = 0; i < d; ++i)
            mean += all[(size_t)i * d + l];
        mean /= d;
        for (uint32_t i = 0; i < count; ++i)
            rows[(size_t)i * d + l] = norms[i] * (scale * (all[(size_t)i * d + l] - mean));
    }
}

/* `count` rows of one set. */
static void draw_rows(double *rows, uint32_t count, uint32_t set, const clfavor_projection_desc *desc,
                      const uint32_t key[2], void *scratch) {
    const uint32_t d = desc->dim;
    const double length = desc->kind == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM ? sqrt((double)d) : 0;
    for (uint32_t done = 0; done < count; done += d) {
        uint32_t some = count - done < d ? count - done : d;
        double *block = rows + (size_t)done * d;
        if (desc->kind == CLFAVOR_PROJECTION_SIMPLEX && d > 1) {
            draw_simplex(block, some, d, done / d, set, key, scratch);
            continue;
        }
        draw_block(block, some, d, done / d, set, key);
        clfavor_haar_rows(block, some, d, length, scratch);
    }
}

/* Rows w_0 .. become w_0, -w_0, w_1, -w_1 .., m of them. */
static void make_pairs(double *rows, uint32_t m, uint32_t d) {
    for (uint32_t i = (m + 1) / 2; i-- > 0;) { /* from the end, so that none is overwritten before it moves */
        const double *from = rows + (size_t)i * d;
        double *plus = rows + (size_t)2 * i * d, *minus = plus + d;
        memmove(plus, from, d * sizeof *plus);
        for (uint32_t l = 0; l < d && 2 * i + 1 < m; ++l)
            minus[l] = -plus[l];
    }
}

static clfavor_status draw_blocks(clfavor_projection *p, const uint32_t key[2]) {
    const clfavor_projection_desc *desc = &p->desc;
    const uint32_t m = desc->features, d = desc->dim;
    bool pairs = desc->kind == CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS;
    size_t simplex = desc->kind == CLFAVOR_PROJECTION_SIMPLEX ? ((size_t)d * d + d) * sizeof(double) : 0;
    void *scratch = malloc(clfavor_haar_scratch(d) + simplex);
    if (!scratch)
        return CLFAVOR_OUT_OF_MEMORY;
    for (uint32_t set = 0; set < desc->sets; ++set) {
        double *rows = p->w + (size_t)set * m * d;
        draw_rows(rows, pairs ? (m + 1) / 2 : m, set, desc, key, scratch);
        if (pairs)
            make_pairs(rows, m, d);
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
        status = draw_blocks(p, key);
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
    if ((unsigned)own.kind > CLFAVOR_PROJECTION_SIMPLEX || own.kind == CLFAVOR_PROJECTION_CUSTOM)
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
