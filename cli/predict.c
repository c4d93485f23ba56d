#include "predict.h"

#include <stdlib.h>
#include <string.h>

#include "attention.h"
#include "message.h"

const uint32_t predict_ladder[PREDICT_LADDER] = {64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096};

int predictor_open(predictor *p, const session *s, const run_shape *shape, const npy_array arrays[3],
                   const cl_mem buffers[3], double scale, uint64_t rows) {
    *p = (predictor){.shape = shape, .arrays = arrays};
    p->args = (clfavor_attention_args){.struct_size = sizeof p->args,
                                       .batch = shape->batch,
                                       .heads = shape->heads,
                                       .heads_kv = shape->heads_kv,
                                       .n = shape->n,
                                       .n_k = shape->n_k,
                                       .q = clfavor_tensor_dense(buffers[0], shape->heads, shape->n, shape->d),
                                       .k = clfavor_tensor_dense(buffers[1], shape->heads_kv, shape->n_k, shape->d),
                                       .v = clfavor_tensor_dense(buffers[2], shape->heads_kv, shape->n_k, shape->dv)};
    int status = comparison_open(&p->comparison, s, &p->args, shape, &arrays[2], false, scale, rows);
    if (!status)
        status =
            session_buffer(s, CL_MEM_READ_WRITE, p->comparison.heads * p->comparison.rows * shape->dv * sizeof(float),
                           NULL, "the rows to predict from", &p->o);
    if (status)
        predictor_close(p);
    return status;
}

/* One draw: adds its errors. */
static int add_draw(predictor *p, const options *o, fitting *f, projection_source *source, double *errors) {
    comparison *c = &p->comparison;
    const session *s = c->session;
    clfavor_estimator *estimator = NULL;
    clfavor_weights *weights = NULL;
    cl_mem keys = NULL, corrections = NULL;
    attention a = {0};
    double seconds, wall;
    int status = fitting_estimator(f, source, o, s, &estimator);
    if (!status)
        status = session_check(s, clfavor_weights_create(&weights, s->context, estimator),
                               "copying the projection to the device");
    clfavor_estimator_info info = {.struct_size = sizeof info};
    clfavor_estimator_get_info(estimator, &info);
    if (!status)
        status = fitting_buffer(f, s, info.sets, &keys);
    if (!status)
        status = fitting_corrections(f, o, p->arrays, estimator, s, &corrections);
    if (!status) {
        clfavor_plan_desc desc = {.struct_size = sizeof desc,
                                  .map = o->map,
                                  .features = info.rows,
                                  .dim = p->shape->d,
                                  .value_dim = p->shape->dv,
                                  .exact_keys = f->exact,
                                  .corrections = corrections != NULL};
        clfavor_attention_args args = comparison_rows(c, &p->args);
        args.weights = weights;
        args.o = clfavor_tensor_dense(p->o, p->shape->heads, c->rows, p->shape->dv);
        fitting_args(f, &info, keys, corrections, &args);
        if (!(status = attention_create(&a, s, &desc, &args, info.sets)))
            status = attention_run(&a, "predicting the error", &seconds, &wall);
    }
    if (!status)
        status = comparison_measure(c, p->o, c->rows, 1, false);
    for (uint64_t head = 0; !status && head < c->heads; ++head)
        errors[head] += c->error[head];
    attention_destroy(&a);
    if (keys)
        clReleaseMemObject(keys);
    if (corrections)
        clReleaseMemObject(corrections);
    clfavor_weights_destroy(weights);
    clfavor_estimator_destroy(estimator);
    return status;
}

static void copy(double *to, const double *from, size_t count) {
    if (to && from)
        memcpy(to, from, count * sizeof *to);
}

static int predict_one(predictor *p, const options *user, uint32_t draws, predicted *out) {
    options o = *user;
    fitting f;
    size_t heads = (size_t)p->comparison.heads, sets = (size_t)p->shape->heads_kv;
    memset(out->errors, 0, heads * sizeof *out->errors);
    int status = fitting_open(&f, &o, p->shape);
    f.quiet = p->quiet;
    if (!status)
        status = fitting_run(&f, &o, p->arrays);
    out->total = f.active ? f.total : o.features;
    out->exact = f.exact;
    out->usual = f.usual;
    out->fit_seconds = f.seconds;
    copy(out->mean_s_plain, f.info.mean_s_plain, sets);
    copy(out->mean_s, f.info.mean_s, sets);
    copy(out->effective, f.info.effective_keys, sets);
    for (uint32_t draw = 0; !status && draw < draws; ++draw) {
        projection_source source;
        options own = o;
        own.seed += draw;
        if (!(status = projection_open(&source, &own, p->shape->d, p->shape->heads_kv, p->shape->heads)))
            status = add_draw(p, &own, &f, &source, out->errors);
        projection_close(&source);
    }
    for (size_t head = 0; head < heads; ++head)
        out->errors[head] /= draws;
    fitting_close(&f);
    return status;
}

int predict_error(predictor *p, const options *user, uint32_t draws, predicted *out) {
    int status = predict_one(p, user, draws, out);
    if (status || !out->usual || !out->exact)
        return status;
    /* Where features underestimate what is not exact, the exact keys carry the answer off: none may be better. */
    size_t heads = (size_t)p->comparison.heads;
    options o = *user;
    predicted none = {.errors = malloc(heads * sizeof *none.errors)};
    o.exact_keys = 0;
    o.exact_keys_given = true;
    bool quiet = p->quiet;
    p->quiet = true; /* the same fit has said it */
    status = none.errors ? predict_one(p, &o, draws, &none) : cli_error(CLI_FAILED, "host memory is exhausted");
    p->quiet = quiet;
    if (!status && compare_median(none.errors, heads) < compare_median(out->errors, heads)) {
        memcpy(out->errors, none.errors, heads * sizeof *none.errors);
        out->exact = 0;
    }
    free(none.errors);
    return status;
}

int predict_best(predictor *p, const options *user, uint64_t *seeds) {
    const run_shape *shape = p->shape;
    size_t heads = (size_t)p->comparison.heads, sets = (size_t)shape->heads_kv;
    double *errors = calloc(heads + 2 * sets, sizeof *errors);
    if (!errors)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    double *least = errors + heads, *own = least + sets;
    int status = CLI_OK;
    for (uint32_t draw = 0; draw < user->best_of && !status; ++draw) {
        options o = *user;
        o.seed += draw;
        predicted found = {.errors = errors};
        status = predict_error(p, &o, 1, &found);
        memset(own, 0, sets * sizeof *own);
        for (size_t head = 0; head < heads; ++head) /* of all heads and batch entries that share the set */
            own[head % (size_t)shape->heads * sets / (size_t)shape->heads] += errors[head] * errors[head];
        for (size_t set = 0; set < sets; ++set)
            if (draw == 0 || own[set] < least[set]) {
                least[set] = own[set];
                seeds[set] = o.seed;
            }
    }
    free(errors);
    return status;
}

void predictor_close(predictor *p) {
    comparison_close(&p->comparison);
    if (p->o)
        clReleaseMemObject(p->o);
    *p = (predictor){0};
}
