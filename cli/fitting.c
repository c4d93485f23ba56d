#include "fitting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "progress.h"

const char *const fitting_methods[7] = {"attention", "plain", "oprf", "shift", "diagonal", "full", "sderf"};

uint32_t fitting_exact_keys(uint32_t total, uint64_t n_k) {
    if (total > n_k)
        return (uint32_t)n_k;
    uint64_t half = total / 2, eighth = n_k < 8 ? 1 : n_k / 8, most = total > eighth ? total - eighth : 0;
    return (uint32_t)(half > most ? half : most);
}

static void on_log(void *user, clfavor_log_level level, const char *message) {
    fitting *f = user;
    if (level == CLFAVOR_LOG_ERROR)
        snprintf(f->log, sizeof f->log, "%s", message);
    else if (level == CLFAVOR_LOG_WARNING && !f->quiet)
        cli_note("%s", message);
}

/* --------------------------------------------------------------------------------------------------- what is asked for
 */

static int check_file(const fitting *f, const options *o, const run_shape *shape) {
    const estimator_file *file = &f->file;
    if (file->dim != shape->d)
        return cli_error(CLI_USAGE, "--estimator: '%s' is for heads of %u dimensions, q and k have %u", o->estimator,
                         file->dim, shape->d);
    if (file->sderf.sets != 1 && file->sderf.sets != shape->heads_kv && file->sderf.sets != shape->heads)
        return cli_error(CLI_USAGE, "--estimator: '%s' is for %u heads, expected 1, %llu (K/V heads) or %llu (heads)",
                         o->estimator, file->sderf.sets, (unsigned long long)shape->heads_kv,
                         (unsigned long long)shape->heads);
    if (o->scale != 0 && o->scale != file->sderf.scale)
        return cli_error(CLI_USAGE, "--scale %g contradicts --estimator '%s', which was fitted for %g; leave it out",
                         o->scale, o->estimator, file->sderf.scale);
    return CLI_OK;
}

static int settle_exact(fitting *f, options *o, const run_shape *shape) {
    f->usual = f->fitted && !o->exact_keys_given && !o->causal && !o->projection_in;
    f->exact = f->usual ? fitting_exact_keys(f->total, shape->n_k) : o->exact_keys;
    if (o->causal && f->exact)
        return cli_error(CLI_USAGE, "--exact-keys does not go with --causal: which keys are heavy depends on later "
                                    "queries, and a row must not depend on those; leave one of them out");
    if (f->exact > shape->n_k)
        f->exact = (uint32_t)shape->n_k; /* all of them */
    if (f->exact >= f->total && !o->projection_in)
        return cli_error(CLI_USAGE,
                         "--exact-keys %u leaves no features: they count among the %u of --features, so give more of "
                         "these, or fewer keys",
                         f->exact, f->total);
    return CLI_OK;
}

int fitting_open(fitting *f, options *o, const run_shape *shape) {
    *f = (fitting){.shape = shape, .sderf.struct_size = sizeof f->sderf, .info.struct_size = sizeof f->info};
    f->active = o->fit || o->estimator || o->exact_keys || o->correct;
    f->fitted = o->fit || o->estimator;
    char error[NPY_ERROR];
    if (!f->active)
        return CLI_OK;
    if (o->estimator) {
        if (!estimator_file_read(&f->file, o->estimator, error))
            return cli_error(CLI_USAGE, "--estimator: %s", error);
        int status = check_file(f, o, shape);
        if (status)
            return status;
        f->sderf = f->file.sderf;
        o->scale = f->file.sderf.scale;
        o->features = o->features || o->projection_in ? o->features : f->file.total;
        if (f->file.exact_given && !o->exact_keys_given && !o->causal) {
            o->exact_keys = f->file.exact;
            o->exact_keys_given = true;
        }
        o->seed = o->seed_given ? o->seed : f->file.seed;
        if (f->file.projection_given && !o->projection_given) {
            o->projection = f->file.projection;
            o->projection_given = true;
        }
    }
    if (f->fitted)
        o->map = CLFAVOR_MAP_EXPONENTIAL;
    f->total = o->features ? o->features : OPTIONS_DEFAULT_FEATURES;
    int status = settle_exact(f, o, shape);
    if (o->estimator && !f->exact)
        f->sderf = f->file.sderf_all;
    if (!status && !o->projection_in)
        o->features = f->exact == shape->n_k ? 1 : f->total - f->exact; /* nothing is left to estimate, or the rest */
    if (f->fitted && !o->projection_given) /* within one block simplex rows couple best, over several pairs do */
        o->projection = o->features <= shape->d ? CLFAVOR_PROJECTION_SIMPLEX : CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS;
    return status;
}

/* --------------------------------------------------------------------------------------------------------------- work
 */

/* The array as floats: in place, or a copy. */
static int take_floats(fitting *f, int which, const npy_array *array) {
    if (f->tokens[which])
        return CLI_OK;
    if (array->dtype == NPY_F32 && (uintptr_t)array->data % sizeof(float) == 0) {
        f->tokens[which] = (const float *)(const void *)array->data;
        return CLI_OK;
    }
    if (array->count > SIZE_MAX / sizeof(float) || !(f->owned[which] = malloc((size_t)array->count * sizeof(float))))
        return cli_error(CLI_FAILED, "host memory is exhausted");
    npy_read_f32(array, 0, (size_t)array->count, f->owned[which]);
    f->tokens[which] = f->owned[which];
    return CLI_OK;
}

static int take_all(fitting *f, const npy_array arrays[3]) {
    int status = CLI_OK;
    for (int i = 0; i < 3 && !status; ++i)
        if (arrays[i].count)
            status = take_floats(f, i, &arrays[i]);
    return status;
}

static clfavor_fit_desc describe(fitting *f, const options *o) {
    const run_shape *s = f->shape;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return (clfavor_fit_desc){.struct_size = sizeof(clfavor_fit_desc),
                              .method = o->fit ? o->fit_method : CLFAVOR_FIT_PLAIN,
                              .dim = s->d,
                              .value_dim = s->dv,
                              .batch = s->batch,
                              .heads = s->heads,
                              .heads_kv = s->heads_kv,
                              .n = s->n,
                              .n_k = s->n_k,
                              .scale = o->scale,
                              .q = f->tokens[0],
                              .k = f->tokens[1],
                              .v = f->tokens[2],
                              .exact_keys = f->exact,
                              .sample_queries = o->sample,
                              .threads = processors > 0 && processors < 1024 ? (uint32_t)processors : 1,
                              .seed = o->seed,
                              .log = on_log,
                              .log_user = f};
}

static int fit(fitting *f, const options *o, const npy_array arrays[3]) {
    int status = take_all(f, arrays);
    if (status)
        return status;
    clfavor_fit_desc desc = describe(f, o);
    double start = progress_now();
    clfavor_fit_destroy(f->fit);
    clfavor_status made = clfavor_fit_create(&f->fit, &desc);
    f->seconds = progress_now() - start;
    if (made)
        return cli_error(made == CLFAVOR_OUT_OF_MEMORY ? CLI_FAILED : CLI_USAGE, "fitting failed: %s (%s%s%s)%s",
                         clfavor_status_message(made), clfavor_status_name(made), f->log[0] ? ": " : "", f->log,
                         made == CLFAVOR_NOT_FINITE ? "; give finite numbers" : "");
    clfavor_fit_get_info(f->fit, &f->info);
    if (o->fit)
        clfavor_fit_get_sderf(f->fit, &f->sderf);
    return CLI_OK;
}

int fitting_run(fitting *f, const options *o, const npy_array arrays[3]) {
    return o->fit || f->exact ? fit(f, o, arrays) : CLI_OK;
}

/* The exact keys of every state head, of which a K/V head has more than one where the weights have a set for each head.
 */
static uint32_t *state_keys(const fitting *f, uint64_t states) {
    const run_shape *shape = f->shape;
    size_t rows = (size_t)(shape->batch * states), copies = (size_t)(states / shape->heads_kv);
    uint32_t *keys = malloc(rows * f->exact * sizeof *keys);
    for (size_t i = 0; keys && i < rows; ++i)
        memcpy(keys + i * f->exact, f->info.keys + i / copies * f->exact, f->exact * sizeof *keys);
    return keys;
}

static uint64_t states_of(const fitting *f, uint32_t sets) {
    return sets > f->shape->heads_kv ? sets : f->shape->heads_kv;
}

int fitting_buffer(const fitting *f, const session *s, uint32_t sets, cl_mem *out) {
    uint64_t states = states_of(f, sets);
    *out = NULL;
    if (!f->exact)
        return CLI_OK;
    uint32_t *keys = state_keys(f, states);
    if (!keys)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    int status = session_buffer(s, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
                                f->shape->batch * states * f->exact * sizeof *keys, keys, "the exact keys", out);
    free(keys);
    return status;
}

int fitting_corrections(fitting *f, const options *o, const npy_array arrays[3], const clfavor_estimator *estimator,
                        const session *s, cl_mem *out) {
    clfavor_estimator_info info = {.struct_size = sizeof info};
    *out = NULL;
    if (!o->correct)
        return CLI_OK;
    int status = take_all(f, arrays);
    if (status)
        return status;
    clfavor_estimator_get_info(estimator, &info);
    uint64_t states = states_of(f, info.sets),
             count = f->shape->batch * states * (info.features + f->exact) * f->shape->dv;
    clfavor_fit_desc desc = describe(f, o);
    uint32_t *keys = f->exact ? state_keys(f, states) : NULL;
    float *corrections = malloc((size_t)count * sizeof *corrections);
    double start = progress_now();
    clfavor_status made = CLFAVOR_OUT_OF_MEMORY;
    if (corrections && (keys || !f->exact))
        made = clfavor_fit_values(&desc, estimator, keys, corrections);
    f->seconds += progress_now() - start;
    if (made)
        status = cli_error(made == CLFAVOR_OUT_OF_MEMORY ? CLI_FAILED : CLI_USAGE,
                           "correcting the values failed: %s (%s%s%s)", clfavor_status_message(made),
                           clfavor_status_name(made), f->log[0] ? ": " : "", f->log);
    else
        status = session_buffer(s, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, count * sizeof *corrections, corrections,
                                "the corrections", out);
    free(keys);
    free(corrections);
    return status;
}

void fitting_args(const fitting *f, const clfavor_estimator_info *info, cl_mem keys, cl_mem corrections,
                  clfavor_attention_args *args) {
    uint64_t states = states_of(f, info->sets);
    if (keys)
        args->exact_keys = clfavor_tensor_dense(keys, states, f->exact, 1);
    if (corrections)
        args->corrections =
            clfavor_tensor_dense(corrections, states, info->features + (uint64_t)f->exact, f->shape->dv);
}

int fitting_estimator(const fitting *f, projection_source *p, const options *o, const session *s,
                      clfavor_estimator **out) {
    if (f->fitted && p->sets != 1 && p->sets != f->sderf.sets)
        return cli_error(CLI_USAGE, "the projection has %u matrices and the fit is for %u heads; give one, or as many",
                         p->sets, f->sderf.sets);
    return projection_estimator(p, o, f->fitted ? &f->sderf : NULL, s, 1, out);
}

void fitting_close(fitting *f) {
    clfavor_fit_destroy(f->fit);
    estimator_file_close(&f->file);
    for (int i = 0; i < 3; ++i)
        free(f->owned[i]);
    *f = (fitting){0};
}
