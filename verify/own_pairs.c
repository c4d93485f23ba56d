/* The exact softmax of sampled rows, the pairs that it weighs, and what the closed law says of their kernel. */
#include "own_work.h"

#include <math.h>
#include <stdlib.h>

/* Independent normals for the law: WINDOWS pairs have all of theirs to themselves; others share, with another s. */
enum { WINDOWS = 256, LAW_TAG = 0x4c415753 };

double *own_normals(own_work *w) {
    const uint32_t key[2] = {(uint32_t)w->o->seed, (uint32_t)(w->o->seed >> 32)};
    double *normals = own_alloc(w, (uint64_t)WINDOWS * OWN_FEATURES, sizeof *normals);
    for (uint32_t i = 0; normals && i < WINDOWS * OWN_FEATURES / 2; ++i) {
        const uint32_t counter[4] = {i, 0, 0, LAW_TAG};
        uint32_t block[4];
        clfavor_philox4x32(counter, key, block);
        clfavor_normal_pair(block, normals + 2 * (size_t)i);
    }
    return normals;
}

/* How many of the sampled keys the row sees. */
static uint64_t visible(const own_work *w, uint64_t row) {
    return w->o->causal ? row / w->key_step + 1 : w->r->keys;
}

/* The softmax of the scores x.y over the keys that the row sees. */
static void softmax(const own_work *w, const float *query, const float *keys, uint64_t count, double *p) {
    size_t d = w->o->dim;
    double scale = 1.0 / sqrt((double)d), top = -INFINITY, sum = 0.0;
    for (uint64_t j = 0; j < count; ++j) {
        double product = 0.0;
        for (size_t l = 0; l < d; ++l)
            product += (double)query[l] * (double)keys[j * d + l];
        p[j] = product * scale;
        top = p[j] > top ? p[j] : top;
    }
    for (uint64_t j = 0; j < count; ++j)
        sum += p[j] = exp(p[j] - top);
    for (uint64_t j = 0; j < count; ++j)
        p[j] /= sum;
}

static own_pair make_pair(const own_work *w, const float *query, const float *key, uint64_t row, uint64_t index) {
    double x2 = 0.0, y2 = 0.0, product = 0.0, scale = 1.0 / sqrt((double)w->o->dim);
    for (uint32_t l = 0; l < w->o->dim; ++l) {
        x2 += (double)query[l] * (double)query[l];
        y2 += (double)key[l] * (double)key[l];
        product += (double)query[l] * (double)key[l];
    }
    double s = (x2 + y2 + 2.0 * product) * scale;
    return (own_pair){(uint32_t)row, (uint32_t)index, product * scale, s > 0.0 ? s : 0.0};
}

/* Of one row the keys at evenly spaced quantiles of its softmax: a pair stands for an equal share of the attention,
 * without chance. */
static void pick(const own_work *w, uint64_t row, const float *query, const float *keys, uint64_t count,
                 const double *p, own_pair pairs[VERIFY_OWN_PAIRS]) {
    uint64_t j = 0;
    double reached = p[0];
    for (int t = 0; t < VERIFY_OWN_PAIRS; ++t) {
        while (reached < (t + 0.5) / VERIFY_OWN_PAIRS && j + 1 < count)
            reached += p[++j];
        pairs[t] = make_pair(w, query, keys + j * w->o->dim, row, j);
    }
}

/* All pairs, and exp of the rows' mean entropy. Where keys are sampled, each stands for as many as the row sees for it.
 */
static void look(own_work *w, uint64_t head, const float *keys, double *p, own_pair *pairs) {
    float query[CLFAVOR_MAX_DIM];
    double sum = 0.0;
    for (uint64_t i = 0; i < w->r->kernel_rows; ++i) {
        uint64_t row = w->kernel_first + i * w->kernel_step, count = visible(w, row);
        own_read(w, VERIFY_OWN_Q, head, row, 1, 1, query);
        softmax(w, query, keys, count, p);
        pick(w, i, query, keys, count, p, pairs + i * VERIFY_OWN_PAIRS);
        sum += log((double)(w->o->causal ? row + 1 : w->o->n_k) / (double)count);
        for (uint64_t j = 0; j < count; ++j)
            if (p[j] > 0.0)
                sum -= p[j] * log(p[j]);
    }
    w->r->heads[head].effective_keys = exp(sum / (double)w->r->kernel_rows);
}

/* K^/K is the mean of m lognormals of logarithmic variance s and mean 1; with orthogonal rows they are dependent, which
 * matters where s is small. Its standard deviation sqrt((e^s - 1)/m) comes from a tail that is hardly ever drawn when s
 * is large, so the median of |K^/K - 1| is found by drawing. */
static bool predict(own_work *w, uint64_t head, const double *normals, const own_pair *pairs, size_t count) {
    double *error = own_alloc(w, (VERIFY_OWN_SIZES + 1) * count, sizeof *error);
    if (!error)
        return false;
    double *rms = error + VERIFY_OWN_SIZES * count;
    for (size_t i = 0; i < count; ++i) {
        const double *normal = normals + i % WINDOWS * OWN_FEATURES;
        double deviation = sqrt(pairs[i].s), shift = pairs[i].s / 2.0, sum = 0.0;
        size_t r = 0;
        for (size_t size = 0; size < VERIFY_OWN_SIZES; ++size) {
            size_t m = (size_t)64 << size;
            for (; r < m; ++r)
                sum += exp(deviation * normal[r] - shift);
            error[size * count + i] = fabs(sum / (double)m - 1.0);
        }
    }
    for (size_t size = 0; size < VERIFY_OWN_SIZES; ++size) {
        verify_own_point *point = &w->r->heads[head].points[size];
        size_t lost = 0;
        for (size_t i = 0; i < count; ++i) {
            rms[i] = sqrt(expm1(pairs[i].s) / (double)point->features);
            lost += rms[i] > 1.0;
        }
        point->kernel_lost = (double)lost / (double)count;
        point->kernel_rms = own_median(rms, count);
        point->kernel_predicted = own_median(error + size * count, count);
    }
    free(error);
    return true;
}

double own_pairs_work(const own_work *w) {
    double rows = (double)w->r->kernel_rows, keys = (double)w->r->keys;
    double normals = rows * VERIFY_OWN_PAIRS * OWN_FEATURES;
    return (double)w->heads * (rows * keys * (16.0 * w->o->dim + 300.0) + 150.0 * normals);
}

bool own_pairs(own_work *w, uint64_t head, const float *keys, const double *normals, own_pair *pairs) {
    double *p = own_alloc(w, w->r->keys, sizeof *p);
    if (!p)
        return false;
    look(w, head, keys, p, pairs);
    free(p);
    own_advance(w, own_pairs_work(w) / (double)w->heads);
    return predict(w, head, normals, pairs, (size_t)w->r->kernel_rows * VERIFY_OWN_PAIRS);
}
