/* Linear attention as a chain of OpenBLAS's products, as somebody with a good BLAS would write it. Per head, with
 * W the scaled w dim^(-1/4), h = |k|^2 / (2 sqrt(dim)) and a running maximum c per feature:
 *     phi(K) = exp(K W' - h - c),  S += phi(K)' V,  z += phi(K)' 1,  rescaled whenever c grows,
 *     phi(Q) = exp(Q W' + c - its row's maximum),  O = phi(Q) S / phi(Q) z.
 * Tokens go in blocks that fit a core's cache. Causal: in each block also the lower half of phi(Q) phi(K)' times V. The
 * maximum of a causal block includes keys that its rows do not see, which costs digits only where these are far larger
 * than the others.
 *
 * Heads are spread over threads, each with a BLAS of one thread: half the time of two threads in each product at 8
 * heads, n = 4096, dim 64, 256 features. With fewer heads than threads the products are shared out instead. */
#include "device.h"
#include "openblas.h"
#include "peers_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

enum { BLOCK = 512, CAUSAL_BLOCK = 128, LANES = 16 };
/* Idle threads of OpenBLAS's pool go on spinning for about 2^26 cycles. */
static const struct timespec pool_rest = {.tv_nsec = 40000000};

typedef struct blas_peer {
    bench_peer base;
    bench_openblas blas;
    bench_inputs inputs; /* the arrays are the caller's */
    unsigned workers, blas_threads;
    bool ran;
    float *w, *output; /* [features][dim], scaled; the result */
} blas_peer;

/* What one thread works with. */
typedef struct worker {
    const blas_peer *peer;
    unsigned index;
    thrd_t thread;
    float *memory;
    float *keys, *queries;      /* [block][features] */
    float *pairs;               /* [block][block], causal */
    float *half, *den, *ones;   /* [block] */
    float *s, *z, *c, *shrinks; /* [features][dim], [features] each */
} worker;

/* ------------------------------------------------------------------------------------------------ elementwise loops */

/* exp(x) for x <= 0, within 2 units of the last place; 0 below -87. Plain enough for a compiler to vectorise. */
static inline __attribute__((always_inline)) float exp_negative(float x) {
    float rounded = x * 1.44269504F + 0x1.8p23F, value;
    int32_t exponent, bits;
    memcpy(&exponent, &rounded, sizeof exponent);
    float whole = rounded - 0x1.8p23F;
    float rest = (x - whole * 0.693145752F) - whole * 1.42860677e-6F;
    float sum = 1.0F / 720;
    sum = sum * rest + 1.0F / 120;
    sum = sum * rest + 1.0F / 24;
    sum = sum * rest + 1.0F / 6;
    sum = sum * rest + 0.5F;
    sum = sum * rest + 1.0F;
    sum = sum * rest + 1.0F;
    memcpy(&bits, &sum, sizeof bits);
    bits += (int32_t)((uint32_t)exponent << 23);
    memcpy(&value, &bits, sizeof value);
    return x < -87.0F ? 0.0F : value;
}

static inline __attribute__((always_inline)) void key_loop(float *restrict t, const float *restrict half,
                                                           float *restrict c, size_t rows, size_t m) {
    for (size_t j = 0; j < rows; ++j)
        for (size_t r = 0; r < m; ++r) {
            float a = t[j * m + r] - half[j];
            c[r] = a > c[r] ? a : c[r];
        }
    for (size_t j = 0; j < rows; ++j)
        for (size_t r = 0; r < m; ++r)
            t[j * m + r] = exp_negative((t[j * m + r] - half[j]) - c[r]);
}

static inline __attribute__((always_inline)) void query_loop(float *restrict t, const float *restrict c, size_t rows,
                                                             size_t m) {
    for (size_t i = 0; i < rows; ++i) {
        float *row = t + i * m, most[LANES], top;
        for (size_t l = 0; l < LANES; ++l)
            most[l] = -INFINITY;
        size_t r = 0;
        for (; r + LANES <= m; r += LANES)
            for (size_t l = 0; l < LANES; ++l) {
                float a = row[r + l] + c[r + l];
                row[r + l] = a;
                most[l] = a > most[l] ? a : most[l];
            }
        for (; r < m; ++r) {
            row[r] += c[r];
            most[0] = row[r] > most[0] ? row[r] : most[0];
        }
        top = most[0];
        for (size_t l = 1; l < LANES; ++l)
            top = most[l] > top ? most[l] : top;
        for (r = 0; r < m; ++r)
            row[r] = exp_negative(row[r] - top);
    }
}

static void key_plain(float *t, const float *half, float *c, size_t rows, size_t m) {
    key_loop(t, half, c, rows, m);
}
static void query_plain(float *t, const float *c, size_t rows, size_t m) {
    query_loop(t, c, rows, m);
}

/* A build for any x86-64 would leave these at four lanes beside products of eight or more. */
#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2,fma"))) static void key_wide(float *t, const float *half, float *c, size_t rows, size_t m) {
    key_loop(t, half, c, rows, m);
}
__attribute__((target("avx2,fma"))) static void query_wide(float *t, const float *c, size_t rows, size_t m) {
    query_loop(t, c, rows, m);
}
static bool wide(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
#define key_wide   key_plain
#define query_wide query_plain
static bool wide(void) {
    return false;
}
#endif

/* ------------------------------------------------------------------------------------------------------------ chain */

/* c [rows][columns] = beta c + a b, or a' b, or a b', all dense. */
static void multiply(const bench_openblas *blas, bool a_transposed, bool b_transposed, size_t rows, size_t columns,
                     size_t inner, const float *a, const float *b, float beta, float *c) {
    blas->sgemm(BLAS_ROW_MAJOR, a_transposed ? BLAS_TRANS : BLAS_NO_TRANS, b_transposed ? BLAS_TRANS : BLAS_NO_TRANS,
                (int)rows, (int)columns, (int)inner, 1.0F, a, (int)(a_transposed ? rows : inner), b,
                (int)(b_transposed ? inner : columns), beta, c, (int)columns);
}

/* phi of a block of keys; S and z are brought to its references. */
static void key_features(const worker *w, const float *k, size_t rows) {
    const bench_inputs *in = &w->peer->inputs;
    size_t m = in->features, d = in->dim;
    float scale = 0.5F / sqrtf((float)d);
    multiply(&w->peer->blas, false, true, rows, m, d, k, w->peer->w, 0, w->keys);
    for (size_t j = 0; j < rows; ++j)
        w->half[j] = scale * w->peer->blas.sdot((int)d, k + j * d, 1, k + j * d, 1);
    memcpy(w->shrinks, w->c, m * sizeof *w->c);
    (wide() ? key_wide : key_plain)(w->keys, w->half, w->c, rows, m);
    for (size_t r = 0; r < m; ++r) {
        float shrink = expf(w->shrinks[r] - w->c[r]);
        w->z[r] *= shrink;
        for (size_t l = 0; l < d && shrink < 1.0F; ++l)
            w->s[r * d + l] *= shrink;
    }
}

static void add_keys(const worker *w, const float *v, size_t rows) {
    const bench_inputs *in = &w->peer->inputs;
    size_t m = in->features;
    multiply(&w->peer->blas, true, false, m, in->dim, rows, w->keys, v, 1, w->s);
    w->peer->blas.sgemv(BLAS_ROW_MAJOR, BLAS_TRANS, (int)rows, (int)m, 1.0F, w->keys, (int)m, w->ones, 1, 1.0F, w->z,
                        1);
}

/* phi of a block of queries, and the part of their outputs that comes from the state. */
static void query_outputs(const worker *w, const float *q, float *o, size_t rows) {
    const bench_inputs *in = &w->peer->inputs;
    size_t m = in->features, d = in->dim;
    multiply(&w->peer->blas, false, true, rows, m, d, q, w->peer->w, 0, w->queries);
    (wide() ? query_wide : query_plain)(w->queries, w->c, rows, m);
    multiply(&w->peer->blas, false, false, rows, d, m, w->queries, w->s, 0, o);
    w->peer->blas.sgemv(BLAS_ROW_MAJOR, BLAS_NO_TRANS, (int)rows, (int)m, 1.0F, w->queries, (int)m, w->z, 1, 0, w->den,
                        1);
}

/* The part that comes from the keys of the same block. */
static void pair_outputs(const worker *w, const float *v, float *o, size_t rows) {
    const bench_inputs *in = &w->peer->inputs;
    multiply(&w->peer->blas, false, true, rows, rows, in->features, w->queries, w->keys, 0, w->pairs);
    for (size_t i = 0; i < rows; ++i) {
        float *row = w->pairs + i * rows, sum = 0;
        for (size_t j = 0; j <= i; ++j)
            sum += row[j];
        memset(row + i + 1, 0, (rows - i - 1) * sizeof *row);
        w->den[i] += sum;
    }
    multiply(&w->peer->blas, false, false, rows, in->dim, rows, w->pairs, v, 1, o);
}

static void divide(const worker *w, float *o, size_t rows) {
    size_t d = w->peer->inputs.dim;
    for (size_t i = 0; i < rows; ++i)
        for (size_t l = 0; l < d; ++l)
            o[i * d + l] /= w->den[i];
}

static void run_head(const worker *w, size_t head) {
    const bench_inputs *in = &w->peer->inputs;
    size_t n = (size_t)in->n, d = in->dim, m = in->features, block = in->causal ? CAUSAL_BLOCK : BLOCK;
    const float *q = in->q + head * n * d, *k = in->k + head * n * d, *v = in->v + head * n * d;
    float *o = w->peer->output + head * n * d;
    memset(w->s, 0, m * d * sizeof *w->s);
    memset(w->z, 0, m * sizeof *w->z);
    for (size_t r = 0; r < m; ++r)
        w->c[r] = -INFINITY;
    for (size_t first = 0; first < n; first += block) {
        size_t rows = n - first < block ? n - first : block;
        key_features(w, k + first * d, rows);
        if (in->causal) {
            query_outputs(w, q + first * d, o + first * d, rows);
            pair_outputs(w, v + first * d, o + first * d, rows);
            divide(w, o + first * d, rows);
        }
        add_keys(w, v + first * d, rows);
    }
    for (size_t first = 0; first < n && !in->causal; first += block) {
        size_t rows = n - first < block ? n - first : block;
        query_outputs(w, q + first * d, o + first * d, rows);
        divide(w, o + first * d, rows);
    }
}

/* ------------------------------------------------------------------------------------------------------------- peer */

static bool make_worker(worker *w, const blas_peer *peer, unsigned index) {
    const bench_inputs *in = &peer->inputs;
    size_t m = in->features, d = in->dim, block = in->causal ? CAUSAL_BLOCK : BLOCK;
    size_t pairs = in->causal ? block * block : 0;
    *w = (worker){.peer = peer, .index = index};
    w->memory = calloc(2 * block * m + pairs + 3 * block + m * d + 3 * m, sizeof *w->memory);
    if (!w->memory)
        return false;
    w->keys = w->memory;
    w->queries = w->keys + block * m;
    w->pairs = w->queries + block * m;
    w->half = w->pairs + pairs;
    w->den = w->half + block;
    w->ones = w->den + block;
    w->s = w->ones + block;
    w->z = w->s + m * d;
    w->c = w->z + m;
    w->shrinks = w->c + m;
    for (size_t i = 0; i < block; ++i)
        w->ones[i] = 1.0F;
    return true;
}

static int run_worker(void *user) {
    const worker *w = user;
    for (size_t head = w->index; head < w->peer->inputs.heads; head += w->peer->workers)
        run_head(w, head);
    return 0;
}

static double run(bench_peer *base) {
    blas_peer *peer = (blas_peer *)base;
    worker *workers = calloc(peer->workers, sizeof *workers);
    unsigned made = 0, started = 1;
    while (workers && made < peer->workers && make_worker(&workers[made], peer, made))
        ++made;
    double seconds = (double)NAN;
    if (made == peer->workers) {
        peer->blas.set_threads((int)peer->blas_threads);
        double start = bench_now();
        while (started < made && thrd_create(&workers[started].thread, run_worker, &workers[started]) == thrd_success)
            ++started;
        run_worker(&workers[0]);
        for (unsigned i = 1; i < started; ++i)
            thrd_join(workers[i].thread, NULL);
        if (started == made)
            seconds = bench_now() - start;
    }
    for (unsigned i = 0; i < made; ++i)
        free(workers[i].memory);
    free(workers);
    peer->ran = !isnan(seconds);
    if (peer->blas_threads > 1)
        thrd_sleep(&pool_rest, NULL);
    return seconds;
}

static const float *result(bench_peer *base) {
    const blas_peer *peer = (blas_peer *)base;
    return peer->ran ? peer->output : NULL;
}

static void close_peer(bench_peer *base) {
    blas_peer *peer = (blas_peer *)base;
    free(peer->w);
    free(peer->output);
    free(peer);
}

void peers_open_openblas(peer_list *list, const bench_inputs *inputs, unsigned threads) {
    blas_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return;
    peer->base =
        (bench_peer){.name = "openblas", .computes = BENCH_LINEAR, .run = run, .result = result, .close = close_peer};
    if (!bench_openblas_load(&peer->blas)) {
        peer_note(&list->notes, "openblas: not there; install OpenBLAS (libopenblas-dev) and configure again");
        close_peer(&peer->base);
        return;
    }
    peer->inputs = *inputs;
    peer->workers = inputs->heads >= threads ? threads : 1;
    peer->blas_threads = inputs->heads >= threads ? 1 : threads;
    size_t values = (size_t)inputs->features * inputs->dim;
    peer->w = malloc(values * sizeof *peer->w);
    peer->output = malloc((size_t)(inputs->heads * inputs->n * inputs->dim) * sizeof *peer->output);
    if (!peer->w || !peer->output) {
        peer_note(&list->notes, "openblas: host memory is exhausted");
        close_peer(&peer->base);
        return;
    }
    for (size_t i = 0; i < values; ++i)
        peer->w[i] = (float)(inputs->w[i] / sqrt(sqrt(inputs->dim)));
    peer_list_add(list, &peer->base);
}
