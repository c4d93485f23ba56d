/* Householder QR of the matrix that has the given rows as columns, one column at a time: column i is passed through the
 * reflections before it, gives reflection i, and then e_i is passed through all of them backwards, which is column i of
 * Q. Everything runs along contiguous vectors. Reflections are applied four at a time, so that a vector goes through
 * the registers once for four; the order of every sum is written out, so that any compiler gives the same bits. */
#include "haar.h"

#include "common.h"
#include "detmath.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define LANES 2u /* partial sums of a dot product: what every 64-bit processor has */
#define GROUP 4u /* reflections */

typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));

/* H_g = I - beta_g v_g v_g'. A reflection that does not exist yet has v = 0 and beta = 0. */
typedef struct group {
    double beta[GROUP];
    double dot[GROUP][GROUP]; /* v_g.v_h */
} group;

size_t clfavor_haar_scratch(uint32_t dim) {
    size_t padded = clfavor_round_up(dim, LANES), groups = clfavor_round_up(dim, GROUP) / GROUP;
    return (groups * GROUP + 1) * padded * sizeof(double) + groups * sizeof(group);
}

static double sum(const lanes *value) {
    return (*value)[0] + (*value)[1];
}

static double dot(const double *a, const double *b, uint32_t first, uint32_t padded) {
    lanes total = {0};
    for (uint32_t l = first; l < padded; l += LANES)
        total += *(const lanes *)(a + l) * *(const lanes *)(b + l);
    return sum(&total);
}

/* x = H_3 H_2 H_1 H_0 x, or H_0 H_1 H_2 H_3 x when backward; the vectors are 0 before `first`. */
static void apply(const group *g, const double *v, uint32_t first, uint32_t padded, bool backward, double *x) {
    const double *v0 = v, *v1 = v0 + padded, *v2 = v1 + padded, *v3 = v2 + padded;
    lanes total[GROUP] = {{0}};
    for (uint32_t l = first; l < padded; l += LANES) {
        lanes value = *(const lanes *)(x + l);
        total[0] += value * *(const lanes *)(v0 + l);
        total[1] += value * *(const lanes *)(v1 + l);
        total[2] += value * *(const lanes *)(v2 + l);
        total[3] += value * *(const lanes *)(v3 + l);
    }
    /* v_h.x after the earlier reflections, from the dot products with x before them. */
    double t[GROUP] = {0};
    for (uint32_t i = 0; i < GROUP; ++i) {
        uint32_t h = backward ? GROUP - 1 - i : i;
        double value = sum(&total[h]);
        for (uint32_t j = 0; j < i; ++j) {
            uint32_t earlier = backward ? GROUP - 1 - j : j;
            value -= t[earlier] * g->dot[h][earlier];
        }
        t[h] = g->beta[h] * value;
    }
    for (uint32_t l = first; l < padded; l += LANES)
        *(lanes *)(x + l) -= (t[0] * *(const lanes *)(v0 + l) + t[1] * *(const lanes *)(v1 + l)) +
                             (t[2] * *(const lanes *)(v2 + l) + t[3] * *(const lanes *)(v3 + l));
}

/* Makes reflection i from x; returns the sign of the diagonal entry of R that it leaves. */
static double reflect(group *g, double *vectors, uint32_t i, uint32_t padded, const double *x) {
    uint32_t h = i % GROUP, first = i - h;
    double *v = vectors + h * padded;
    memcpy(v + i, x + i, (padded - i) * sizeof *v);
    double norm = sqrt(dot(v, v, first, padded));
    if (!(norm > 0)) /* a row in the span of those before: any sign is right, and H = I */
        return 1;
    double sign = x[i] < 0 ? -1.0 : 1.0;
    v[i] += sign * norm; /* the sign that cannot cancel, which makes R_ii = -sign norm */
    g->beta[h] = 1.0 / (norm * (norm + sign * x[i]));
    for (uint32_t j = 0; j < h; ++j)
        g->dot[h][j] = g->dot[j][h] = dot(v, vectors + j * padded, first, padded);
    return -sign;
}

void clfavor_haar_rows(double *rows, uint32_t count, uint32_t dim, double length, void *scratch) {
    const uint32_t padded = clfavor_round_up(dim, LANES);
    double *x = scratch;
    double *vectors = x + padded;
    group *groups = (group *)(vectors + (size_t)clfavor_round_up(dim, GROUP) * padded);

    for (uint32_t i = 0; i < count; ++i) {
        double *row = rows + (size_t)i * dim;
        uint32_t own = i / GROUP;
        if (i % GROUP == 0) {
            memset(vectors + (size_t)i * padded, 0, GROUP * padded * sizeof *vectors);
            memset(&groups[own], 0, sizeof *groups);
        }
        memset(x, 0, padded * sizeof *x);
        memcpy(x, row, dim * sizeof *x);
        double scale = length > 0 ? length : sqrt(dot(x, x, 0, padded));
        for (uint32_t k = 0; k <= own; ++k)
            apply(&groups[k], vectors + (size_t)k * GROUP * padded, k * GROUP, padded, false, x);
        scale *= reflect(&groups[own], vectors + (size_t)own * GROUP * padded, i, padded, x);

        memset(x, 0, padded * sizeof *x);
        x[i] = 1;
        for (uint32_t k = own + 1; k-- > 0;)
            apply(&groups[k], vectors + (size_t)k * GROUP * padded, k * GROUP, padded, true, x);
        for (uint32_t l = 0; l < dim; ++l)
            row[l] = scale * x[l];
    }
}
