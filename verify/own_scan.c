/* What own data say by themselves, from reading them once; and values of random signs where none are given. */
#include "own_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_WORK 20.0 /* a value */

enum { BLOCK_ROWS = 1024, SIGN_TAG = 0x5349474e };

static uint32_t last_of(const own_work *w, verify_own_array array) {
    return array == VERIFY_OWN_V ? w->o->value_dim : w->o->dim;
}

static uint64_t tokens_of(const own_work *w, verify_own_array array) {
    return array == VERIFY_OWN_Q ? w->o->n : w->o->n_k;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Signs of the elements first .. first + count - 1 of [n_k, dv], the same for all heads: a bit each. */
static void draw_signs(const own_work *w, uint64_t first, uint64_t count, float *out) {
    const uint32_t key[2] = {(uint32_t)w->o->seed, (uint32_t)(w->o->seed >> 32)};
    uint32_t bits[4] = {0};
    for (uint64_t i = 0; i < count; ++i) {
        uint64_t element = first + i, block = element / 128;
        if (i == 0 || element % 128 == 0) {
            const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, SIGN_TAG};
            clfavor_philox4x32(counter, key, bits);
        }
        out[i] = bits[element % 128 / 32] >> element % 32 & 1 ? 1.0F : -1.0F;
    }
}

void own_read(const own_work *w, verify_own_array array, uint64_t head, uint64_t token, uint64_t step, uint64_t count,
              float *out) {
    size_t d = w->o->dim;
    uint64_t start = head * tokens_of(w, array) + token, run = step == 1 ? count : 1;
    for (uint64_t i = 0; i < count; i += run)
        w->o->read(w->o->user, array, (start + i * step) * d, (size_t)run * d, out + i * d);
}

void own_read_values(const own_work *w, uint64_t head_kv, uint64_t token, uint64_t count, float *out) {
    size_t dv = w->o->value_dim;
    if (w->o->v)
        w->o->read(w->o->user, VERIFY_OWN_V, (head_kv * w->o->n_k + token) * dv, (size_t)count * dv, out);
    else
        draw_signs(w, token * dv, count * dv, out);
}

static bool make_signs(own_work *w, float *block) {
    uint64_t dv = w->o->value_dim, tokens = w->o->n_k;
    if (!own_buffer(w, tokens * dv, &w->signs))
        return false;
    w->v = w->signs;
    for (uint64_t first = 0; first < tokens; first += BLOCK_ROWS) {
        uint64_t count = smaller(BLOCK_ROWS, tokens - first);
        draw_signs(w, first * dv, count * dv, block);
        cl_int code = clEnqueueWriteBuffer(w->o->queue, w->signs, CL_TRUE, (size_t)(first * dv) * sizeof *block,
                                           (size_t)(count * dv) * sizeof *block, block, 0, NULL, NULL);
        if (!own_check_cl(w, code, "clEnqueueWriteBuffer"))
            return false;
    }
    return true;
}

/* Where the first value that is no finite number stands, in words. */
static bool refuse(own_work *w, verify_own_array array, uint64_t head, uint64_t token, float value) {
    static const char *const names[] = {"q", "k", "v"};
    uint64_t heads = array == VERIFY_OWN_Q ? w->o->heads : w->o->heads_kv;
    w->bad_input = true;
    return own_fail(w, "%s holds %g (batch %llu, head %llu, token %llu, counted from 0); expected finite numbers",
                    names[array], (double)value, (unsigned long long)(head / heads), (unsigned long long)(head % heads),
                    (unsigned long long)token);
}

/* Sums of one head's tokens, [last], and of their squares. */
static bool sum_head(own_work *w, verify_own_array array, uint64_t head, float *block, double *sum, double *squares) {
    size_t last = last_of(w, array);
    uint64_t tokens = tokens_of(w, array);
    memset(sum, 0, last * sizeof *sum);
    *squares = 0.0;
    for (uint64_t first = 0; first < tokens; first += BLOCK_ROWS) {
        uint64_t count = smaller(BLOCK_ROWS, tokens - first);
        w->o->read(w->o->user, array, (head * tokens + first) * last, (size_t)count * last, block);
        for (uint64_t i = 0; i < count * last; ++i) {
            if (!isfinite(block[i]))
                return refuse(w, array, head, first + i / last, block[i]);
            sum[i % last] += (double)block[i];
            *squares += (double)block[i] * (double)block[i];
        }
    }
    own_advance(w, SCAN_WORK * (double)(tokens * last));
    return true;
}

double own_scan_work(const own_work *w) {
    double values = w->o->v ? (double)(w->heads_kv * w->o->n_k * w->o->value_dim) : 0.0;
    return SCAN_WORK *
           ((double)(w->heads * w->o->n * w->o->dim) + (double)(w->heads_kv * w->o->n_k * w->o->dim) + values);
}

/* mean |x + y|^2 over all pairs is mean |x|^2 + mean |y|^2 + 2 mean x . mean y, exactly. */
static double mean_s(const own_work *w, const double *q, double q2, const double *k, double k2) {
    double n = (double)w->o->n, n_k = (double)w->o->n_k, product = 0.0;
    for (uint32_t l = 0; l < w->o->dim; ++l)
        product += q[l] / n * (k[l] / n_k);
    return (q2 / n + k2 / n_k + 2.0 * product) / sqrt((double)w->o->dim);
}

bool own_scan(own_work *w) {
    float *block = own_alloc(w, (uint64_t)BLOCK_ROWS * CLFAVOR_MAX_DIM, sizeof *block);
    double q[CLFAVOR_MAX_DIM], k[CLFAVOR_MAX_DIM], v[CLFAVOR_MAX_DIM], q2, k2, v2;
    bool good = block != NULL;
    for (uint64_t kv = 0; good && kv < w->heads_kv; ++kv) {
        good = sum_head(w, VERIFY_OWN_K, kv, block, k, &k2);
        if (good && w->o->v)
            good = sum_head(w, VERIFY_OWN_V, kv, block, v, &v2);
        for (uint64_t h = kv * w->group; good && h < (kv + 1) * w->group; ++h)
            if ((good = sum_head(w, VERIFY_OWN_Q, h, block, q, &q2)))
                w->r->heads[h].mean_s = mean_s(w, q, q2, k, k2);
    }
    good = good && (w->v || make_signs(w, block));
    free(block);
    return good;
}
