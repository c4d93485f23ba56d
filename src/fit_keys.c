#include "fit_keys.h"

#include <math.h>
#include <stdlib.h>

#define QUERIES    8u         /* that look at keys beyond the sample */
#define LOOKED_AT  (1u << 16) /* such keys at most, spread evenly: all of a longer sequence would have to be read */
#define FIRST      64u        /* and always these: the first tokens often draw much attention */
#define CANDIDATES 4u         /* keys that they may bring in for each exact one, of the sample a quarter at most */

/* A key and what the queries give it: the largest log of a softmax weight. */
typedef struct candidate {
    float score;
    size_t index;
} candidate;

/* A few queries, side by side for each dimension, and their log normalisers. */
typedef struct scan {
    float *q; /* [d, QUERIES], scaled */
    float log_sum[QUERIES];
    size_t d;
} scan;

static void scores(const scan *s, const float *key, float out[QUERIES]) {
    for (size_t i = 0; i < QUERIES; ++i)
        out[i] = -s->log_sum[i];
    for (size_t l = 0; l < s->d; ++l)
        for (size_t i = 0; i < QUERIES; ++i)
            out[i] += key[l] * s->q[l * QUERIES + i];
}

static float best_score(const scan *s, const float *key) {
    float own[QUERIES], best = -INFINITY;
    scores(s, key, own);
    for (size_t i = 0; i < QUERIES; ++i)
        best = own[i] > best ? own[i] : best;
    return best;
}

/* Restores a heap with the smallest score on top after its top changed. */
static void sink(candidate *heap, size_t count) {
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; ++child)
            least = heap[child].score < heap[least].score ? child : least;
        if (least == at)
            return;
        candidate swap = heap[at];
        heap[at] = heap[least];
        heap[least] = swap;
        at = least;
    }
}

/* The queries, and their normalisers over the sampled keys. */
static void begin(scan *s, const clfavor_fit_tokens *t, const clfavor_fit_sample *sample, const size_t *index,
                  size_t sampled) {
    float top[QUERIES], own[QUERIES], sum[QUERIES];
    for (size_t i = 0; i < QUERIES; ++i) {
        const float *row = t->q + clfavor_fit_sampled(sample, 2, i, QUERIES, t->group * t->n) * t->dim;
        for (size_t l = 0; l < t->dim; ++l)
            s->q[l * QUERIES + i] = row[l] * (float)t->scale;
        s->log_sum[i] = sum[i] = 0.0F;
        top[i] = -INFINITY;
    }
    for (size_t j = 0; j < sampled; ++j) {
        scores(s, t->k + index[j] * t->dim, own);
        for (size_t i = 0; i < QUERIES; ++i) {
            if (own[i] > top[i]) {
                sum[i] *= expf(top[i] - own[i]);
                top[i] = own[i];
            }
            sum[i] += expf(own[i] - top[i]);
        }
    }
    for (size_t i = 0; i < QUERIES; ++i)
        s->log_sum[i] = top[i] + logf(sum[i]);
}

static int by_index(const void *a, const void *b) {
    size_t x = ((const candidate *)a)->index, y = ((const candidate *)b)->index;
    return (x > y) - (x < y);
}

/* Adds the `wanted` best keys that are not sampled; fewer than LOOKED_AT less those that are. */
static clfavor_status add_heavy(const clfavor_fit_tokens *t, const clfavor_fit_sample *sample, size_t *index,
                                size_t sampled, size_t wanted) {
    scan s = {.q = malloc(t->dim * QUERIES * sizeof *s.q), .d = t->dim};
    candidate *heap = malloc(wanted * sizeof *heap);
    clfavor_status status = s.q && heap ? CLFAVOR_SUCCESS : CLFAVOR_OUT_OF_MEMORY;
    if (!status) {
        begin(&s, t, sample, index, sampled);
        for (size_t i = 0; i < wanted; ++i)
            heap[i] = (candidate){-INFINITY, SIZE_MAX};
        size_t looked_at = (size_t)clfavor_min(t->n_k, LOOKED_AT), first = (size_t)clfavor_min(t->n_k, FIRST);
        for (size_t i = 0, next = 0; i < first + looked_at; ++i) {
            size_t key = i < first ? i : clfavor_fit_sampled(sample, 3, i - first, looked_at, t->n_k);
            if (i >= first && key < first)
                continue;
            while (next < sampled && index[next] < key)
                ++next;
            if (next < sampled && index[next] == key)
                continue;
            float score = best_score(&s, t->k + key * t->dim);
            if (score > heap[0].score || heap[0].index == SIZE_MAX) {
                heap[0] = (candidate){score > -INFINITY ? score : -3e38F, key};
                sink(heap, wanted);
            }
        }
        for (size_t i = 0; i < wanted; ++i)
            index[sampled + i] = heap[i].index;
    }
    free(s.q);
    free(heap);
    return status;
}

clfavor_status clfavor_fit_keys(const clfavor_fit_tokens *t, const clfavor_fit_sample *sample, size_t count,
                                size_t *index, double *stands_for) {
    size_t heavy = count < t->n_k ? (size_t)clfavor_min(CANDIDATES * (uint64_t)sample->exact, count / 4) : 0;
    if (t->group * t->n < QUERIES)
        heavy = 0;
    size_t sampled = count - heavy;
    for (size_t i = 0; i < sampled; ++i)
        index[i] = clfavor_fit_sampled(sample, 1, i, sampled, t->n_k);
    clfavor_status status = heavy ? add_heavy(t, sample, index, sampled, heavy) : CLFAVOR_SUCCESS;
    candidate *all = malloc(count * sizeof *all);
    if (!all)
        status = CLFAVOR_OUT_OF_MEMORY;
    for (size_t i = 0; !status && i < count; ++i)
        all[i] = (candidate){i < sampled ? (float)0 : 1.0F, index[i]};
    if (!status)
        qsort(all, count, sizeof *all, by_index);
    for (size_t i = 0; !status && i < count; ++i) {
        index[i] = all[i].index;
        stands_for[i] = all[i].score > 0.0F ? 1.0 : (double)(t->n_k - heavy) / (double)sampled;
    }
    free(all);
    return status;
}
