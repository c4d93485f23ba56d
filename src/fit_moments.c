/* Theory section 6, steps 1 and 2: softmax rows of sampled queries over all, or sampled, keys; P = p |v - o|; the keys
 * with the largest columns of P; moments of the rest. The products of matrices are one loop (tile), blocked so that no
 * more than a block of queries by all sampled keys is there in double; P is kept in float. */
#include "fit_keys.h"

#include <math.h>
#include <stdlib.h>

#include "philox.h"

#define ROWS    4u  /* of a tile */
#define GROUP   16u /* queries at once, a multiple of ROWS: tokens come from memory once for all */
#define COLUMNS 4u
#define BLOCK   32u         /* tokens whose rows stay in the cache while all columns are summed */
#define PURPOSE 0x66697453u /* "fitS": other counters than projections use */

clfavor_status clfavor_moments_create(clfavor_moments *m, size_t d) {
    double *block = calloc(4 * d + 3 * d * d, sizeof *block);
    if (!block)
        return CLFAVOR_OUT_OF_MEMORY;
    *m = (clfavor_moments){.dim = d, .x0 = block};
    m->y0 = m->x0 + d;
    m->x = m->y0 + d;
    m->y = m->x + d;
    m->xx = m->y + d;
    m->yy = m->xx + d * d;
    m->xy = m->yy + d * d;
    return CLFAVOR_SUCCESS;
}

void clfavor_moments_free(clfavor_moments *m) {
    free(m->x0);
    *m = (clfavor_moments){0};
}

/* ---------------------------------------------------------------------------------------------------------- sampling
 */

size_t clfavor_fit_sampled(const clfavor_fit_sample *sample, uint32_t side, size_t i, size_t count, size_t n) {
    if (count == n)
        return i;
    uint32_t counter[4] = {(uint32_t)i, (uint32_t)sample->stream, (uint32_t)(sample->stream >> 32) ^ side, PURPOSE};
    uint32_t key[2] = {(uint32_t)sample->seed, (uint32_t)(sample->seed >> 32)}, bits[4];
    clfavor_philox4x32(counter, key, bits);
    /* i n / count without overflow; longer and shorter strata take turns */
    uint64_t low = i * (n / count) + i * (n % count) / count,
             high = (i + 1) * (n / count) + (i + 1) * (n % count) / count;
    uint64_t random = (uint64_t)bits[0] << 32 | bits[1];
    return (size_t)(low + random % (high - low));
}

bool clfavor_fit_finite(const float *row, size_t count) {
    float sum = 0.0F;
    for (size_t l = 0; l < count; ++l)
        sum += row[l] - row[l]; /* NaN for NaN and infinities */
    return sum == 0.0F;
}

/* Panels of COLUMNS keys: [panel][row of B][COLUMNS], as the tile takes them; zero beyond the count. */
static void pack(double *to, const float *row, size_t index, size_t count) {
    double *column = to + index / COLUMNS * count * COLUMNS + index % COLUMNS;
    for (size_t l = 0; l < count; ++l)
        column[l * COLUMNS] = (double)row[l];
}

/* ------------------------------------------------------------------------------------------------------------- tiles
 */

/* The sums of a tile are 8 vectors that any processor has registers for; left to the compiler they went to memory. */
typedef double lanes __attribute__((vector_size(2 * sizeof(double)), aligned(sizeof(double)), may_alias));

/* c[t][l] = sum_k a[t * lda + k] b[k * ldb + l] */
static void tile(double c[ROWS][COLUMNS], const float *a, size_t lda, const double *b, size_t ldb, size_t count) {
    lanes sum[ROWS][2] = {{{0}}};
    for (size_t k = 0; k < count; ++k, b += ldb) {
        lanes low = *(const lanes *)b, high = *(const lanes *)(b + 2);
        for (size_t t = 0; t < ROWS; ++t) {
            double factor = (double)a[t * lda + k];
            sum[t][0] += factor * low;
            sum[t][1] += factor * high;
        }
    }
    memcpy(c, sum, sizeof sum);
}

/* Everything that one (batch, K/V head) needs. Rows are padded to GROUP, tokens and columns to COLUMNS; padding is 0.
 */
typedef struct work {
    size_t nq, nk, d, dv;        /* sampled queries and keys */
    size_t rows, tokens, dp, vp; /* the same, padded */
    float *q;                    /* [rows, d] */
    double *k, *v;               /* [tokens, dp], [tokens, vp]: as rows, for sums over tokens */
    double *k_panels, *v_panels; /* for products with tokens */
    double *v_square;            /* [tokens] |v|^2 */
    double v_size;               /* the largest |v|; 1 if all are 0 */
    float *p;                    /* [rows, tokens] P */
    double *logits;              /* [GROUP, tokens] */
    double *o;                   /* [GROUP, vp] */
    float *o_rows;               /* [GROUP, dv] */
    double *mass, *wx, *py;      /* [tokens], [rows], [GROUP, dp] */
    size_t *index;               /* [nk] */
    double *stands_for;          /* [nk] how many keys each is */
} work;

static void work_free(work *w) {
    free(w->q);
    free(w->k);
    free(w->p);
    free(w->index);
}

static size_t padded(size_t count, size_t unit) {
    return (count + unit - 1) / unit * unit;
}

static clfavor_status work_create(work *w, const clfavor_fit_tokens *t, const clfavor_fit_sample *sample) {
    size_t all = t->group * t->n;
    *w = (work){.nq = all < sample->queries ? all : sample->queries,
                .nk = t->n_k < sample->keys ? t->n_k : sample->keys,
                .d = t->dim,
                .dv = t->v ? t->value_dim : 0};
    w->rows = padded(w->nq, GROUP);
    w->tokens = padded(w->nk, COLUMNS);
    w->dp = padded(w->d, COLUMNS);
    w->vp = padded(w->dv, COLUMNS);
    size_t per_token = 2 * w->dp + 2 * w->vp + 3 + GROUP;
    w->q = calloc(w->rows * w->d + GROUP * w->vp + 1, sizeof *w->q);
    w->k = calloc(w->tokens * per_token + w->rows + GROUP * (w->dp + w->vp), sizeof *w->k);
    w->p = calloc(w->rows * w->tokens, sizeof *w->p);
    w->index = malloc(w->nk * sizeof *w->index);
    if (!w->q || !w->k || !w->p || !w->index) {
        work_free(w);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    w->o_rows = w->q + w->rows * w->d;
    w->k_panels = w->k + w->tokens * w->dp;
    w->v = w->k_panels + w->tokens * w->dp;
    w->v_panels = w->v + w->tokens * w->vp;
    w->v_square = w->v_panels + w->tokens * w->vp;
    w->mass = w->v_square + w->tokens;
    w->stands_for = w->mass + w->tokens;
    w->logits = w->stands_for + w->tokens;
    w->wx = w->logits + GROUP * w->tokens;
    w->py = w->wx + w->rows;
    w->o = w->py + GROUP * w->dp;
    return CLFAVOR_SUCCESS;
}

static clfavor_status gather(work *w, const clfavor_fit_tokens *t, const clfavor_fit_sample *sample,
                             clfavor_moments *m) {
    double root = sqrt(t->scale);
    for (size_t i = 0; i < w->nq; ++i) {
        const float *row = t->q + clfavor_fit_sampled(sample, 0, i, w->nq, t->group * t->n) * w->d;
        if (!clfavor_fit_finite(row, w->d))
            return CLFAVOR_NOT_FINITE;
        memcpy(w->q + i * w->d, row, w->d * sizeof *row);
    }
    clfavor_status status = clfavor_fit_keys(t, sample, w->nk, w->index, w->stands_for);
    if (status)
        return status;
    for (size_t j = 0; j < w->nk; ++j) {
        size_t index = w->index[j];
        const float *row = t->k + index * w->d;
        if (!clfavor_fit_finite(row, w->d))
            return CLFAVOR_NOT_FINITE;
        for (size_t l = 0; l < w->d; ++l)
            w->k[j * w->dp + l] = root * (double)row[l];
        pack(w->k_panels, row, j, w->d);
        if (!w->dv)
            continue;
        row = t->v + index * w->dv;
        if (!clfavor_fit_finite(row, w->dv))
            return CLFAVOR_NOT_FINITE;
        for (size_t l = 0; l < w->dv; ++l) {
            w->v[j * w->vp + l] = (double)row[l];
            w->v_square[j] += (double)row[l] * (double)row[l];
        }
        w->v_size = fmax(w->v_size, sqrt(w->v_square[j]));
        pack(w->v_panels, row, j, w->dv);
    }
    w->v_size = w->v_size > 0.0 ? w->v_size : 1.0;
    for (size_t l = 0; !m->begun && l < w->d; ++l) {
        m->x0[l] = root * (double)w->q[l];
        m->y0[l] = w->k[l];
    }
    m->begun = true;
    for (size_t j = 0; j < w->nk; ++j)
        for (size_t l = 0; l < w->d; ++l)
            w->k[j * w->dp + l] -= m->y0[l];
    return CLFAVOR_SUCCESS;
}

/* out [GROUP, tokens] = a [GROUP, count] times the tokens of the panels. */
static void against_tokens(const work *w, double *out, const float *a, const double *panels, size_t count) {
    for (size_t j = 0; j < w->tokens; j += COLUMNS)
        for (size_t row = 0; row < GROUP; row += ROWS) {
            double c[ROWS][COLUMNS];
            tile(c, a + row * count, count, panels + j * count, COLUMNS, count);
            for (size_t t = 0; t < ROWS; ++t)
                memcpy(out + (row + t) * w->tokens + j, c[t], sizeof c[t]);
        }
}

/* out [GROUP, columns] = p [GROUP, tokens] times the tokens' rows. */
static void over_tokens(const work *w, double *out, const float *p, const double *rows, size_t columns) {
    memset(out, 0, GROUP * columns * sizeof *out);
    for (size_t first = 0; first < w->nk; first += BLOCK)
        for (size_t row = 0; row < GROUP; row += ROWS)
            for (size_t l = 0; l < columns; l += COLUMNS) {
                double c[ROWS][COLUMNS];
                size_t count = w->nk - first < BLOCK ? w->nk - first : BLOCK;
                tile(c, p + row * w->tokens + first, w->tokens, rows + first * columns + l, columns, count);
                for (size_t t = 0; t < ROWS; ++t)
                    for (size_t i = 0; i < COLUMNS; ++i)
                        out[(row + t) * columns + l + i] += c[t][i];
            }
}

/* ----------------------------------------------------------------------------------------------------------- moments
 */

/* The softmax rows of GROUP queries into p. */
static void softmax(work *w, size_t first, double scale, clfavor_moments *count_in) {
    float *p = w->p + first * w->tokens;
    against_tokens(w, w->logits, w->q + first * w->d, w->k_panels, w->d);
    for (size_t t = 0; t < GROUP && first + t < w->nq; ++t) {
        double *logit = w->logits + t * w->tokens, top = -INFINITY, sum = 0.0, product = 0.0;
        for (size_t j = 0; j < w->nk; ++j)
            top = logit[j] > top ? logit[j] : top;
        for (size_t j = 0; j < w->nk; ++j) {
            double z = scale * (logit[j] - top), e = exp(z) * w->stands_for[j];
            logit[j] = e;
            sum += e;
            product += e > 0.0 ? e * z : 0.0;
        }
        for (size_t j = 0; j < w->nk; ++j)
            p[t * w->tokens + j] = (float)(logit[j] / sum);
        if (count_in) {
            count_in->keys += sum * exp(-product / sum); /* exp of -sum_j p_j ln p_j */
            count_in->rows += 1.0;
        }
    }
}

/* p becomes P = p |v - o|, over the largest |v|, so that it stays a float. */
static void weigh_by_values(work *w, size_t first) {
    float *p = w->p + first * w->tokens;
    over_tokens(w, w->o, p, w->v, w->vp);
    for (size_t t = 0; t < GROUP; ++t)
        for (size_t l = 0; l < w->dv; ++l)
            w->o_rows[t * w->dv + l] = (float)w->o[t * w->vp + l];
    against_tokens(w, w->logits, w->o_rows, w->v_panels, w->dv);
    for (size_t t = 0; t < GROUP; ++t) {
        double square = 0.0;
        for (size_t l = 0; l < w->dv; ++l)
            square += (double)w->o_rows[t * w->dv + l] * (double)w->o_rows[t * w->dv + l];
        for (size_t j = 0; j < w->nk; ++j) {
            double distance = w->v_square[j] - 2.0 * w->logits[t * w->tokens + j] + square;
            p[t * w->tokens + j] *= (float)(sqrt(distance > 0.0 ? distance : 0.0) / w->v_size);
        }
    }
}

typedef struct column {
    double mass;
    uint32_t at; /* among the sampled keys, which ascend */
} column;

/* Heavy ones first; the earlier one of equals, so that the choice does not depend on the sort. */
static int by_mass(const void *a, const void *b) {
    const column *x = a, *y = b;
    if (x->mass != y->mass)
        return (x->mass < y->mass) - (x->mass > y->mass);
    return (x->at > y->at) - (x->at < y->at);
}

static int by_place(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* to[i, l] += weight a_i b_l */
static void add_outer(double *to, const double *a, const double *b, double weight, size_t d) {
    for (size_t i = 0; i < d; ++i) {
        double factor = weight * a[i];
        for (size_t l = 0; l < d; ++l)
            to[i * d + l] += factor * b[l];
    }
}

/* What some columns of P give. */
static void add_columns(clfavor_moments *m, const work *w, const uint32_t *columns, uint32_t count, double root) {
    double x[CLFAVOR_MAX_DIM], y[CLFAVOR_MAX_DIM];
    size_t d = w->d;
    for (size_t i = 0; i < w->nq; ++i) {
        double weight = 0.0;
        memset(y, 0, sizeof y);
        for (uint32_t t = 0; t < count; ++t) {
            double p = (double)w->p[i * w->tokens + columns[t]];
            weight += p;
            for (size_t l = 0; l < d; ++l)
                y[l] += p * w->k[columns[t] * w->dp + l];
        }
        for (size_t l = 0; l < d; ++l) {
            x[l] = root * (double)w->q[i * d + l] - m->x0[l];
            m->x[l] += weight * x[l];
            m->y[l] += y[l];
        }
        add_outer(m->xx, x, x, weight, d);
        add_outer(m->xy, x, y, 1.0, d);
        m->weight += weight;
    }
    for (uint32_t t = 0; t < count; ++t) {
        const double *own = w->k + columns[t] * w->dp;
        add_outer(m->yy, own, own, w->mass[columns[t]], d);
    }
}

static void add_moments(clfavor_moments *to, const clfavor_moments *from) {
    size_t d = to->dim;
    to->weight += from->weight;
    for (size_t i = 0; i < 2 * d + 3 * d * d; ++i)
        to->x[i] += from->x[i]; /* x, y, xx, yy and xy lie in a row */
}

/* Takes the columns of largest mass out of P. */
static clfavor_status choose_exact(work *w, uint32_t wanted, uint32_t *keys, clfavor_moments *all, double root) {
    uint32_t count = (uint32_t)clfavor_min(wanted, w->nk);
    column *columns = malloc(w->nk * sizeof *columns);
    if (!columns)
        return CLFAVOR_OUT_OF_MEMORY;
    for (size_t j = 0; j < w->nk; ++j)
        columns[j] = (column){w->mass[j] / w->stands_for[j], (uint32_t)j};
    qsort(columns, w->nk, sizeof *columns, by_mass);
    for (uint32_t t = 0; t < wanted; ++t)
        keys[t] = t < count ? columns[t].at : UINT32_MAX;
    free(columns);
    qsort(keys, count, sizeof *keys, by_place);
    if (all)
        add_columns(all, w, keys, count, root);
    for (size_t i = 0; i < w->nq; ++i)
        for (uint32_t t = 0; t < count; ++t)
            w->p[i * w->tokens + keys[t]] = 0.0F;
    for (uint32_t t = 0; t < count; ++t)
        keys[t] = (uint32_t)w->index[keys[t]];
    return CLFAVOR_SUCCESS;
}

static void add_queries(clfavor_moments *m, work *w, size_t first, double root) {
    double x[CLFAVOR_MAX_DIM], y[CLFAVOR_MAX_DIM];
    size_t d = w->d;
    over_tokens(w, w->py, w->p + first * w->tokens, w->k, w->dp);
    for (size_t t = 0; t < GROUP && first + t < w->nq; ++t) {
        double weight = w->wx[first + t];
        for (size_t l = 0; l < d; ++l) {
            x[l] = root * (double)w->q[(first + t) * d + l] - m->x0[l];
            y[l] = w->py[t * w->dp + l];
            m->x[l] += weight * x[l];
        }
        add_outer(m->xx, x, x, weight, d);
        add_outer(m->xy, x, y, 1.0, d);
        m->weight += weight;
    }
}

/* Sums over all columns of P and all rows: mass of the keys and wx. Returns the sum of all. */
static double add_up(work *w) {
    double total = 0.0;
    memset(w->mass, 0, w->tokens * sizeof *w->mass);
    for (size_t i = 0; i < w->nq; ++i) {
        const float *p = w->p + i * w->tokens;
        double sum = 0.0;
        for (size_t j = 0; j < w->nk; ++j) {
            sum += (double)p[j];
            w->mass[j] += (double)p[j];
        }
        w->wx[i] = sum;
        total += sum;
    }
    return total;
}

/* P sums to the number of queries: then batch entries whose values differ in size, or where there was nothing but p to
 * take, count alike. */
static void share_out(work *w, double total) {
    double factor = (double)w->nq / total;
    for (size_t i = 0; i < w->nq; ++i) {
        w->wx[i] *= factor;
        for (size_t j = 0; j < w->nk; ++j)
            w->p[i * w->tokens + j] *= (float)factor;
    }
    for (size_t j = 0; j < w->nk; ++j)
        w->mass[j] *= factor;
}

/* All pairs alike. */
static void fill_uniform(work *w) {
    for (size_t i = 0; i < w->nq; ++i)
        for (size_t j = 0; j < w->nk; ++j)
            w->p[i * w->tokens + j] = (float)w->stands_for[j];
}

/* What P gives as it is. */
static void accumulate(clfavor_moments *m, work *w, const clfavor_fit_sample *sample, double root) {
    double total = add_up(w);
    if (sample->several)
        share_out(w, total);
    for (size_t i = 0; i < w->nq; i += GROUP)
        add_queries(m, w, i, root);
    for (size_t j = 0; j < w->nk; ++j) {
        const double *y = w->k + j * w->dp;
        for (size_t l = 0; l < w->d; ++l)
            m->y[l] += w->mass[j] * y[l];
        add_outer(m->yy, y, y, w->mass[j], w->d);
    }
}

/* The same origin and statistics of queries. */
static void share_origin(clfavor_moments *to, const clfavor_moments *from) {
    memcpy(to->x0, from->x0, from->dim * sizeof *to->x0);
    memcpy(to->y0, from->y0, from->dim * sizeof *to->y0);
    to->begun = true;
    to->keys = from->keys;
    to->rows = from->rows;
}

clfavor_status clfavor_moments_add(clfavor_moments *m, clfavor_moments *all, const clfavor_fit_tokens *tokens,
                                   const clfavor_fit_sample *sample, uint32_t *exact_keys) {
    work w;
    double root = sqrt(tokens->scale);
    clfavor_status status = work_create(&w, tokens, sample);
    if (status)
        return status;
    if ((status = gather(&w, tokens, sample, m))) {
        work_free(&w);
        return status;
    }
    for (size_t i = 0; i < w.nq; i += GROUP) {
        softmax(&w, i, tokens->scale, m);
        if (w.dv)
            weigh_by_values(&w, i);
    }
    if (add_up(&w) == 0.0) { /* all values that count are the same, or there is one key */
        for (size_t i = 0; i < w.nq; i += GROUP)
            softmax(&w, i, tokens->scale, NULL);
        add_up(&w);
    }
    if (all)
        share_origin(all, m);
    if (all && sample->several) /* the parts are scaled, so they do not add up */
        accumulate(all, &w, sample, root);
    if (sample->exact && (status = choose_exact(&w, sample->exact, exact_keys, sample->several ? NULL : all, root))) {
        work_free(&w);
        return status;
    }
    bool nothing = sample->exact && add_up(&w) == 0.0; /* every key that counts is exact */
    if (sample->uniform || nothing)
        fill_uniform(&w);
    accumulate(m, &w, sample, root);
    if (all && !sample->several && !nothing)
        add_moments(all, m);
    work_free(&w);
    return CLFAVOR_SUCCESS;
}
