/* Fits: checks, one set after the other, or several at once. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

#include "fit_solve.h"
#include "parallel.h"

#define DEFAULT_QUERIES 256u /* on real data 1024 gain nothing, 64 lose 7 to 32 % */
#define DEFAULT_KEYS    16384u

struct clfavor_fit {
    uint32_t dim, sets, exact;
    double *block;
    clfavor_sderf_desc found, all; /* without the pairs of exact keys; with them. One and the same where it makes no
                                      difference */
    double *mean_s_plain, *mean_s, *effective_keys;
    uint32_t *keys;
};

#define REFUSE(status, ...) (clfavor_fit_say(desc, CLFAVOR_LOG_ERROR, __VA_ARGS__), (status))

void clfavor_fit_say(const clfavor_fit_desc *desc, clfavor_log_level level, const char *format, ...) {
    char line[256];
    va_list arguments;
    if (!desc->log)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    desc->log(desc->log_user, level, line);
}

clfavor_status clfavor_fit_resolve(clfavor_fit_desc *desc) {
    if ((unsigned)desc->method > CLFAVOR_FIT_SDERF)
        return REFUSE(CLFAVOR_INVALID_ARGUMENT, "a fit's method (%d) is out of range", (int)desc->method);
    if (!desc->q || !desc->k)
        return REFUSE(CLFAVOR_INVALID_ARGUMENT, "a fit needs q and k");
    desc->batch = desc->batch ? desc->batch : 1;
    desc->heads = desc->heads ? desc->heads : 1;
    desc->heads_kv = desc->heads_kv ? desc->heads_kv : desc->heads;
    desc->n_k = desc->n_k ? desc->n_k : desc->n;
    desc->value_dim = desc->value_dim ? desc->value_dim : desc->dim;
    if (!desc->dim || desc->dim > CLFAVOR_MAX_DIM || desc->value_dim > CLFAVOR_MAX_DIM || !desc->n || !desc->n_k ||
        desc->heads % desc->heads_kv || desc->n_k >= UINT32_MAX || desc->heads > UINT32_MAX ||
        desc->exact_keys > CLFAVOR_MAX_FEATURES)
        return REFUSE(CLFAVOR_INVALID_SHAPE,
                      "d and dv must be 1 to %u, n at least 1, n_k below 2^32 - 1, heads a multiple of heads_kv, exact "
                      "keys at most %u",
                      CLFAVOR_MAX_DIM, CLFAVOR_MAX_FEATURES);
    if (desc->scale == 0.0)
        desc->scale = 1.0 / sqrt((double)desc->dim);
    if (!isfinite(desc->scale))
        return REFUSE(CLFAVOR_NOT_FINITE, "the scale of a fit must be finite");
    if (desc->scale < 0.0)
        return REFUSE(CLFAVOR_INVALID_ARGUMENT, "the scale of a fit must be above 0");
    desc->sample_keys = desc->sample_keys ? desc->sample_keys : DEFAULT_KEYS;
    uint64_t queries = clfavor_max(DEFAULT_QUERIES, 4 * (uint64_t)desc->dim);
    desc->sample_queries = desc->sample_queries ? desc->sample_queries : (uint32_t)queries;
    return CLFAVOR_SUCCESS;
}

/* --------------------------------------------------------------------------------------------------------------- sets
 */

/* The arrays of one set, to be written. */
static clfavor_fit_set set_of(const clfavor_sderf_desc *e, size_t set, size_t d) {
    return (clfavor_fit_set){.xbar = (double *)(uintptr_t)e->xbar + set * d,
                             .ybar = (double *)(uintptr_t)e->ybar + set * d,
                             .tq = (double *)(uintptr_t)e->tq + set * d * d,
                             .tk = (double *)(uintptr_t)e->tk + set * d * d,
                             .a = (double *)(uintptr_t)e->a + set * d};
}

static clfavor_status fit_set(clfavor_fit *fit, const clfavor_fit_desc *desc, size_t set) {
    size_t d = desc->dim, dv = desc->value_dim, group = (size_t)(desc->heads / desc->heads_kv), sets = fit->sets;
    bool both = fit->all.tq != fit->found.tq;
    clfavor_moments moments, all = {0};
    clfavor_status status = clfavor_moments_create(&moments, d);
    if (!status && both)
        status = clfavor_moments_create(&all, d);
    for (size_t batch = 0; !status && batch < desc->batch; ++batch) {
        size_t head = batch * sets + set;
        clfavor_fit_tokens tokens = {.q = desc->q + head * group * (size_t)desc->n * d,
                                     .k = desc->k + head * (size_t)desc->n_k * d,
                                     .v = desc->v ? desc->v + head * (size_t)desc->n_k * dv : NULL,
                                     .group = group,
                                     .n = (size_t)desc->n,
                                     .n_k = (size_t)desc->n_k,
                                     .dim = d,
                                     .value_dim = dv,
                                     .scale = desc->scale};
        clfavor_fit_sample sample = {.queries = desc->sample_queries,
                                     .keys = desc->sample_keys,
                                     .seed = desc->seed,
                                     .stream = head,
                                     .several = desc->batch > 1,
                                     .uniform = desc->method != CLFAVOR_FIT_ATTENTION,
                                     .exact = desc->exact_keys};
        status = clfavor_moments_add(&moments, both ? &all : NULL, &tokens, &sample,
                                     fit->keys ? fit->keys + head * fit->exact : NULL);
        if (status == CLFAVOR_NOT_FINITE)
            clfavor_fit_say(desc, CLFAVOR_LOG_ERROR,
                            "q, k or v of head %zu of batch entry %zu holds a NaN or an infinity", set, batch);
    }
    if (!status) {
        clfavor_fit_set out = set_of(&fit->found, set, d), other = set_of(&fit->all, set, d);
        bool balanced = true;
        status = clfavor_fit_solve(&moments, desc->method, &out, &balanced);
        fit->mean_s_plain[set] = out.mean_s_plain;
        fit->mean_s[set] = out.mean_s;
        fit->effective_keys[set] = out.effective_keys;
        if (!status && !balanced)
            clfavor_fit_say(desc, CLFAVOR_LOG_WARNING,
                            "head %zu: its queries or its keys are all alike, so they are not balanced", set);
        if (!status && both)
            status = clfavor_fit_solve(&all, desc->method, &other, &balanced);
    }
    clfavor_moments_free(&moments);
    clfavor_moments_free(&all);
    return status;
}

/* A fit under way. The caller's log is called by one thread at a time. */
typedef struct job {
    clfavor_fit *fit;
    clfavor_fit_desc desc;
    const clfavor_fit_desc *user;
    mtx_t lock;
} job;

static void locked_log(void *user, clfavor_log_level level, const char *message) {
    job *j = user;
    mtx_lock(&j->lock);
    j->user->log(j->user->log_user, level, message);
    mtx_unlock(&j->lock);
}

static clfavor_status take_set(void *user, size_t set) {
    job *j = user;
    return fit_set(j->fit, &j->desc, set);
}

static clfavor_status fit_sets(clfavor_fit *fit, const clfavor_fit_desc *desc) {
    job j = {.fit = fit, .desc = *desc, .user = desc};
    if (mtx_init(&j.lock, mtx_plain) != thrd_success)
        return CLFAVOR_OUT_OF_MEMORY;
    if (desc->log) {
        j.desc.log = locked_log;
        j.desc.log_user = &j;
    }
    clfavor_status status = clfavor_parallel(fit->sets, desc->threads, take_set, &j);
    mtx_destroy(&j.lock);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- interface
 */

/* Parameters of all sets, one array after the other. */
static clfavor_sderf_desc place(const clfavor_fit *fit, const clfavor_fit_desc *desc, const double *at) {
    size_t vector = (size_t)fit->sets * fit->dim, matrix = vector * fit->dim;
    return (clfavor_sderf_desc){.sets = fit->sets,
                                .scale = desc->scale,
                                .xbar = at,
                                .ybar = at + vector,
                                .a = at + 2 * vector,
                                .tq = at + 3 * vector,
                                .tk = at + 3 * vector + matrix};
}

clfavor_status clfavor_fit_create(clfavor_fit **out, const clfavor_fit_desc *user_desc) {
    clfavor_fit_desc desc;
    if (!out)
        return CLFAVOR_INVALID_ARGUMENT;
    *out = NULL;
    if (!clfavor_desc_read(&desc, sizeof desc, user_desc))
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_status status = clfavor_fit_resolve(&desc);
    if (status)
        return status;
    clfavor_fit *fit = calloc(1, sizeof *fit);
    if (!fit)
        return CLFAVOR_OUT_OF_MEMORY;
    size_t sets = (size_t)desc.heads_kv, d = desc.dim, rows = (size_t)desc.batch * sets;
    bool both = desc.exact_keys && desc.method == CLFAVOR_FIT_ATTENTION;
    size_t parameters = sets * (3 * d + 2 * d * d);
    *fit = (clfavor_fit){.dim = desc.dim, .sets = (uint32_t)desc.heads_kv, .exact = desc.exact_keys};
    fit->block = calloc((both ? 2 : 1) * parameters + 3 * sets, sizeof(double));
    fit->keys = fit->exact ? calloc(rows * fit->exact, sizeof *fit->keys) : NULL;
    if (!fit->block || (fit->exact && !fit->keys)) {
        clfavor_fit_destroy(fit);
        return CLFAVOR_OUT_OF_MEMORY;
    }
    fit->mean_s_plain = fit->block;
    fit->mean_s = fit->mean_s_plain + sets;
    fit->effective_keys = fit->mean_s + sets;
    fit->found = place(fit, &desc, fit->effective_keys + sets);
    fit->all = both ? place(fit, &desc, fit->effective_keys + sets + parameters) : fit->found;
    if ((status = fit_sets(fit, &desc))) {
        clfavor_fit_destroy(fit);
        return status;
    }
    *out = fit;
    return CLFAVOR_SUCCESS;
}

void clfavor_fit_destroy(clfavor_fit *fit) {
    if (!fit)
        return;
    free(fit->block);
    free(fit->keys);
    free(fit);
}

clfavor_status clfavor_fit_get_sderf(const clfavor_fit *fit, clfavor_sderf_desc *desc) {
    return fit && desc ? clfavor_info_write(desc, &fit->found, sizeof fit->found) : CLFAVOR_INVALID_ARGUMENT;
}

clfavor_status clfavor_fit_get_sderf_all(const clfavor_fit *fit, clfavor_sderf_desc *desc) {
    return fit && desc ? clfavor_info_write(desc, &fit->all, sizeof fit->all) : CLFAVOR_INVALID_ARGUMENT;
}

clfavor_status clfavor_fit_get_info(const clfavor_fit *fit, clfavor_fit_info *info) {
    if (!fit || !info)
        return CLFAVOR_INVALID_ARGUMENT;
    clfavor_fit_info own = {.sets = fit->sets,
                            .exact_keys = fit->exact,
                            .keys = fit->keys,
                            .mean_s_plain = fit->mean_s_plain,
                            .mean_s = fit->mean_s,
                            .effective_keys = fit->effective_keys};
    return clfavor_info_write(info, &own, sizeof own);
}
