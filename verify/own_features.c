/* The kernel and the effective number of features, from the device's feature matrices. A draw's rows of W do not depend
 * on how many there are, so the features for the largest m hold those of every smaller one, but for the factor
 * 1/sqrt(m). */
#include "own_work.h"

#include <math.h>
#include <stdlib.h>

#define CHUNK_KEYS 1024u /* at once: 16 MiB of features */

typedef struct own_kernel {
    own_work *w;
    own_plan query_plan, key_plan;
    clfavor_weights *weights[VERIFY_OWN_DRAWS];
    cl_mem features, log_scale;
    float *keys;            /* [keys, d], of one K/V head */
    float *query;           /* features of the group's query rows: [group, rows, m] */
    float *query_scale;     /* [group, rows] */
    float *key, *key_scale; /* of a chunk: [CHUNK_KEYS, m], [m] */
    double *factor;         /* [m] e^scale over its largest, of a chunk */
    double *sum, *part;     /* [m] log sum over keys of the key's feature; the same of a chunk */
    double *normals;
    own_pair *pairs; /* [group, count] */
    double *ratio;   /* K^/K: [group, sizes, draws, count] */
    double *share;   /* effective features: [group, sizes, draws, rows] */
    size_t count;    /* pairs of a head */
} own_kernel;

static bool open_kernel(own_kernel *x) {
    own_work *w = x->w;
    clfavor_plan_desc desc = {
        .struct_size = sizeof desc, .features = OWN_FEATURES, .dim = w->o->dim, .max_n = CHUNK_KEYS};
    size_t m = OWN_FEATURES, group = (size_t)w->group, rows = (size_t)w->r->kernel_rows;
    x->count = rows * VERIFY_OWN_PAIRS;
    desc.operation = CLFAVOR_OP_FEATURES_QUERY;
    bool good = own_plan_open(w, &desc, &x->query_plan);
    desc.operation = CLFAVOR_OP_FEATURES_KEY;
    good = good && own_plan_open(w, &desc, &x->key_plan) && own_buffer(w, CHUNK_KEYS * m, &x->features) &&
           own_buffer(w, m, &x->log_scale);
    for (uint64_t i = 0; good && i < VERIFY_OWN_DRAWS; ++i)
        good = (x->weights[i] = own_weights(w, OWN_FEATURES, w->o->seed + i)) != NULL;
    return good && (x->keys = own_alloc(w, w->r->keys * w->o->dim, sizeof *x->keys)) &&
           (x->query = own_alloc(w, group * rows * m, sizeof *x->query)) &&
           (x->query_scale = own_alloc(w, group * rows, sizeof *x->query_scale)) &&
           (x->key = own_alloc(w, CHUNK_KEYS * m, sizeof *x->key)) &&
           (x->key_scale = own_alloc(w, m, sizeof *x->key_scale)) && (x->factor = own_alloc(w, m, sizeof *x->factor)) &&
           (x->sum = own_alloc(w, m, sizeof *x->sum)) && (x->part = own_alloc(w, m, sizeof *x->part)) &&
           (x->normals = own_normals(w)) && (x->pairs = own_alloc(w, group * x->count, sizeof *x->pairs)) &&
           (x->ratio = own_alloc(w, group * VERIFY_OWN_SIZES * VERIFY_OWN_DRAWS * x->count, sizeof *x->ratio)) &&
           (x->share = own_alloc(w, group * VERIFY_OWN_SIZES * VERIFY_OWN_DRAWS * rows, sizeof *x->share));
}

static void close_kernel(own_kernel *x) {
    own_plan_close(&x->query_plan);
    own_plan_close(&x->key_plan);
    for (int i = 0; i < VERIFY_OWN_DRAWS; ++i)
        clfavor_weights_destroy(x->weights[i]);
    if (x->features)
        clReleaseMemObject(x->features);
    if (x->log_scale)
        clReleaseMemObject(x->log_scale);
    free(x->keys);
    free(x->query);
    free(x->query_scale);
    free(x->key);
    free(x->key_scale);
    free(x->factor);
    free(x->sum);
    free(x->part);
    free(x->normals);
    free(x->pairs);
    free(x->ratio);
    free(x->share);
}

/* Features of `count` tokens, `step` apart, of one head. */
static bool run(own_kernel *x, const own_plan *plan, const clfavor_weights *weights, cl_mem from, uint64_t token,
                uint64_t step, uint64_t count, bool key, float *features, float *log_scale) {
    own_work *w = x->w;
    size_t scales = key ? OWN_FEATURES : (size_t)count;
    clfavor_features_args args = {.struct_size = sizeof args,
                                  .weights = weights,
                                  .n = count,
                                  .x = clfavor_tensor_dense(from, 1, count, w->o->dim),
                                  .features = clfavor_tensor_dense(x->features, 1, count, OWN_FEATURES),
                                  .log_scale = clfavor_tensor_dense(x->log_scale, 1, scales, 1),
                                  .workspace = plan->workspace};
    args.x.offset = (size_t)(token * w->o->dim) * sizeof(float);
    args.x.stride_token = step * w->o->dim;
    return own_check(w, clfavor_enqueue_features(plan->plan, &args, w->o->queue, 0, NULL, NULL),
                     "enqueueing features") &&
           own_check_cl(w,
                        clEnqueueReadBuffer(w->o->queue, x->features, CL_TRUE, 0,
                                            (size_t)count * OWN_FEATURES * sizeof *features, features, 0, NULL, NULL),
                        "clEnqueueReadBuffer") &&
           own_check_cl(w,
                        clEnqueueReadBuffer(w->o->queue, x->log_scale, CL_TRUE, 0, scales * sizeof *log_scale,
                                            log_scale, 0, NULL, NULL),
                        "clEnqueueReadBuffer");
}

/* K^/K of one pair for every m. Features are relative to scales, which may be large: all is put together as logarithms.
 */
static void estimate(const own_kernel *x, const own_pair *pair, const float *query, double scale, const float *key,
                     double *ratio, size_t stride) {
    double sum = 0.0;
    size_t r = 0;
    for (size_t size = 0; size < VERIFY_OWN_SIZES; ++size) {
        size_t m = (size_t)64 << size;
        for (; r < m; ++r)
            sum += (double)query[r] * (double)key[r] * x->factor[r];
        ratio[size * stride] = sum > 0.0 ? exp(log(sum * OWN_FEATURES / (double)m) + scale - pair->log_k) : 0.0;
    }
}

/* Adds a chunk of keys to the sums, and finishes the pairs whose keys are in it. */
static void take_chunk(own_kernel *x, uint64_t first, uint64_t count, size_t draw) {
    const own_work *w = x->w;
    double top = -INFINITY;
    for (size_t r = 0; r < OWN_FEATURES; ++r) {
        x->part[r] = 0.0;
        top = (double)x->key_scale[r] > top ? (double)x->key_scale[r] : top;
    }
    for (uint64_t j = 0; j < count; ++j)
        for (size_t r = 0; r < OWN_FEATURES; ++r)
            x->part[r] += (double)x->key[j * OWN_FEATURES + r];
    for (size_t r = 0; r < OWN_FEATURES; ++r) {
        double scale = (double)x->key_scale[r]; /* -inf where all features are 0 */
        x->factor[r] = isfinite(scale) ? exp(scale - top) : 0.0;
        double a = x->sum[r], b = x->part[r] > 0.0 ? scale + log(x->part[r]) : -INFINITY, high = a > b ? a : b;
        x->sum[r] = isfinite(high) ? high + log(exp(a - high) + exp(b - high)) : high;
    }
    for (uint64_t i = 0; i < w->group * x->count; ++i) {
        const own_pair *pair = &x->pairs[i];
        if (pair->key < first || pair->key >= first + count)
            continue;
        uint64_t head = i / x->count, row = head * w->r->kernel_rows + pair->row;
        size_t place = (head * VERIFY_OWN_SIZES * VERIFY_OWN_DRAWS + draw) * x->count + i % x->count;
        estimate(x, pair, x->query + row * OWN_FEATURES, (double)x->query_scale[row] + top,
                 x->key + (pair->key - first) * OWN_FEATURES, x->ratio + place, VERIFY_OWN_DRAWS * x->count);
    }
}

/* Effective features of every row, once all keys are summed. A row whose features are all below float's range
 * beside its largest one rests on one feature. */
static void count_features(own_kernel *x, size_t draw) {
    const own_work *w = x->w;
    size_t rows = (size_t)w->r->kernel_rows;
    double top = -INFINITY;
    for (size_t r = 0; r < OWN_FEATURES; ++r)
        top = x->sum[r] > top ? x->sum[r] : top;
    for (size_t r = 0; r < OWN_FEATURES; ++r)
        x->factor[r] = exp(x->sum[r] - top);
    for (size_t row = 0; row < w->group * rows; ++row) {
        const float *query = x->query + row * OWN_FEATURES;
        double sum = 0.0, squares = 0.0;
        size_t r = 0, head = row / rows;
        for (size_t size = 0; size < VERIFY_OWN_SIZES; ++size) {
            for (; r < (size_t)64 << size; ++r) {
                double a = (double)query[r] * x->factor[r];
                sum += a;
                squares += a * a;
            }
            size_t place = ((head * VERIFY_OWN_SIZES + size) * VERIFY_OWN_DRAWS + draw) * rows + row % rows;
            x->share[place] = squares > 0.0 ? sum * sum / squares : 1.0;
        }
    }
}

static bool draw_head(own_kernel *x, uint64_t kv, size_t draw) {
    own_work *w = x->w;
    const verify_own_options *o = w->o;
    uint64_t rows = w->r->kernel_rows;
    bool good = true;
    for (uint64_t i = 0; good && i < w->group; ++i)
        good = run(x, &x->query_plan, x->weights[draw], o->q, (kv * w->group + i) * o->n + w->kernel_first,
                   w->kernel_step, rows, false, x->query + i * rows * OWN_FEATURES, x->query_scale + i * rows);
    for (size_t r = 0; r < OWN_FEATURES; ++r)
        x->sum[r] = -INFINITY;
    for (uint64_t first = 0; good && first < w->r->keys; first += CHUNK_KEYS) {
        uint64_t left = w->r->keys - first, count = left < CHUNK_KEYS ? left : CHUNK_KEYS;
        good = run(x, &x->key_plan, x->weights[draw], o->k, kv * o->n_k + first * w->key_step, w->key_step, count, true,
                   x->key, x->key_scale);
        if (good)
            take_chunk(x, first, count, draw);
    }
    if (good)
        count_features(x, draw);
    return good;
}

static void finish_head(own_kernel *x, uint64_t kv) {
    const own_work *w = x->w;
    size_t errors = VERIFY_OWN_DRAWS * x->count, shares = VERIFY_OWN_DRAWS * (size_t)w->r->kernel_rows;
    for (size_t i = 0; i < w->group; ++i)
        for (size_t size = 0; size < VERIFY_OWN_SIZES; ++size) {
            double *ratio = x->ratio + (i * VERIFY_OWN_SIZES + size) * errors;
            verify_own_point *point = &w->r->heads[kv * w->group + i].points[size];
            for (size_t e = 0; e < errors; ++e)
                ratio[e] = fabs(ratio[e] - 1.0);
            point->kernel_measured = own_median(ratio, errors);
            point->effective_features = own_median(x->share + (i * VERIFY_OWN_SIZES + size) * shares, shares);
        }
}

/* Of one K/V head; what the host does weighs more than what the device does. */
static double draws_work(const own_work *w) {
    double tokens = (double)(w->r->keys + w->group * w->r->kernel_rows),
           pairs = (double)w->r->kernel_rows * VERIFY_OWN_PAIRS;
    return VERIFY_OWN_DRAWS * (double)OWN_FEATURES * (tokens * (w->o->dim + 120.0) + 8.0 * (double)w->group * pairs);
}

double own_features_work(const own_work *w) {
    return own_pairs_work(w) + (double)w->heads_kv * draws_work(w);
}

bool own_features(own_work *w) {
    own_kernel x = {.w = w};
    bool good = open_kernel(&x);
    for (uint64_t kv = 0; good && kv < w->heads_kv; ++kv) {
        own_read(w, VERIFY_OWN_K, kv, 0, w->key_step, w->r->keys, x.keys);
        for (uint64_t i = 0; good && i < w->group; ++i)
            good = own_pairs(w, kv * w->group + i, x.keys, x.normals, x.pairs + i * x.count);
        for (size_t draw = 0; good && draw < VERIFY_OWN_DRAWS; ++draw)
            good = draw_head(&x, kv, draw);
        if (good) {
            finish_head(&x, kv);
            own_advance(w, draws_work(w));
        }
    }
    close_kernel(&x);
    return good;
}
