/* Theory section 6, steps 1 and 2, pair by pair. It shares no code with the library. */
#include "fit_data.h"

#include <math.h>
#include <string.h>

enum {
    D = VERIFY_FIT_DIM,
    N = VERIFY_FIT_N,
    N_K = VERIFY_FIT_KEYS,
    DV = VERIFY_FIT_VALUES,
    SQUARE = VERIFY_FIT_SQUARE
};

static float normal(uint32_t index, uint32_t purpose) {
    const uint32_t counter[4] = {index, 0, 0, purpose}, key[2] = {78, 0};
    uint32_t block[4];
    double pair[2];
    clfavor_philox4x32(counter, key, block);
    clfavor_normal_pair(block, pair);
    return (float)pair[0];
}

/* Normal, entries of a row hanging together, other axes long for queries than for keys, about means of their own.
 * centred: each row comes with its opposite, so that means are 0. */
static void draw(verify_fit_data *o, float size, bool centred) {
    for (uint32_t i = 0; i < N * D + N_K * D; ++i) {
        bool key = i >= N * D;
        uint32_t at = key ? i - N * D : i, row = at / D, l = at % D;
        float *to = key ? o->k : o->q;
        if (centred && row % 2) {
            to[at] = -to[at - D];
            continue;
        }
        to[at] = size * (l % 3 == key ? 1.5F : 0.5F) * normal(i, 1);
        if (l)
            to[at] += (key ? -0.5F : 0.7F) * to[at - 1];
        to[at] += centred ? 0.0F : (l % 2 ? 0.4F : -0.3F) * (key ? 1.5F : 1.0F);
    }
    for (uint32_t i = 0; i < N_K * DV; ++i)
        o->v[i] = normal(i, 2);
}

/* P of docs/theory.md, section 6: p_ij |v_j - o_i|, p_ij, or all alike. */
static void weigh(verify_fit_data *o, bool attention, bool values) {
    double scale = 1.0 / sqrt((double)D);
    memset(o->mass, 0, sizeof o->mass);
    for (int i = 0; i < N; ++i) {
        double *p = o->p + i * N_K, sum = 0.0, mean[DV] = {0.0};
        for (int j = 0; j < N_K; ++j) {
            double logit = 0.0;
            for (int l = 0; l < D; ++l)
                logit += (double)o->q[i * D + l] * (double)o->k[j * D + l] * scale;
            p[j] = attention ? exp(logit) : 1.0;
            sum += p[j];
        }
        for (int j = 0; j < N_K; ++j) {
            p[j] /= sum;
            for (int c = 0; c < DV; ++c)
                mean[c] += p[j] * (double)o->v[j * DV + c];
        }
        for (int j = 0; j < N_K; ++j) {
            double square = 0.0;
            for (int c = 0; c < DV; ++c)
                square += pow((double)o->v[j * DV + c] - mean[c], 2.0);
            p[j] *= values ? sqrt(square) : 1.0;
            o->mass[j] += p[j];
        }
    }
}

bool verify_fit_is_listed(const verify_fit_data *o, uint32_t key) {
    bool found = false;
    for (uint32_t t = 0; t < o->info.exact_keys; ++t)
        found |= o->info.keys[t] == key;
    return found;
}

/* Weighted moments of the keys that are not exact ones, about the weighted means or the origin. */
static void moments(verify_fit_data *o, bool centres) {
    double root = pow((double)D, -0.25), weight = 0.0, x[D], y[D];
    for (int i = 0; i < N * N_K; ++i) {
        o->p[i] = verify_fit_is_listed(o, (uint32_t)(i % N_K)) ? 0.0 : o->p[i];
        weight += o->p[i];
    }
    for (int i = 0; i < N * N_K; ++i)
        for (int l = 0; l < D; ++l) {
            x[l] = root * (double)o->q[i / N_K * D + l];
            y[l] = root * (double)o->k[i % N_K * D + l];
            o->mean_s += o->p[i] / weight * (x[l] + y[l]) * (x[l] + y[l]);
            o->xbar[l] += centres ? o->p[i] / weight * x[l] : 0.0;
            o->ybar[l] += centres ? o->p[i] / weight * y[l] : 0.0;
        }
    for (int i = 0; i < N * N_K; ++i) {
        for (int l = 0; l < D; ++l) {
            x[l] = root * (double)o->q[i / N_K * D + l] - o->xbar[l];
            y[l] = root * (double)o->k[i % N_K * D + l] - o->ybar[l];
        }
        for (int at = 0; at < SQUARE; ++at) {
            o->xx[at] += o->p[i] / weight * x[at / D] * x[at % D];
            o->yy[at] += o->p[i] / weight * y[at / D] * y[at % D];
            o->xy[at] += o->p[i] / weight * x[at / D] * y[at % D];
        }
    }
}

bool verify_fit_prepare(verify_fit_data *o, verify_worker *worker, clfavor_fit_method method, float size, bool centred,
                        bool values, uint32_t exact) {
    bool attention = method == CLFAVOR_FIT_ATTENTION;
    draw(o, size, centred);
    const clfavor_fit_desc desc = {.struct_size = sizeof desc,
                                   .method = method,
                                   .dim = D,
                                   .value_dim = DV,
                                   .n = N,
                                   .n_k = N_K,
                                   .q = o->q,
                                   .k = o->k,
                                   .v = values ? o->v : NULL,
                                   .exact_keys = exact};
    o->found.struct_size = sizeof o->found;
    o->info.struct_size = sizeof o->info;
    clfavor_status status = clfavor_fit_create(&o->fit, &desc);
    if (status || clfavor_fit_get_sderf(o->fit, &o->found) || clfavor_fit_get_info(o->fit, &o->info))
        return verify_fail(worker, "a fit failed: %s", clfavor_status_message(status));
    weigh(o, attention, values && attention);
    moments(o, attention || method == CLFAVOR_FIT_SHIFT);
    return true;
}
