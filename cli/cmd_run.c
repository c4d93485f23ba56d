#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "attention.h"
#include "choose.h"
#include "cmd.h"
#include "compare.h"
#include "fitting.h"
#include "message.h"
#include "options.h"
#include "projection.h"
#include "report.h"
#include "tensor_io.h"
#include "tune.h"

/* Everything that a run holds; all of it is released at one place. */
typedef struct run {
    options options;
    npy_array arrays[3]; /* q, k, v */
    run_shape shape;
    fitting fitting;
    projection_source projection;
    session session;
    outfile out, lse, lse_sign;
    clfavor_estimator *estimator;
    clfavor_weights *weights;
    cl_mem buffers[6]; /* q, k, v, o, lse, sign */
    cl_mem exact_keys, corrections;
    attention attention;
    comparison comparison;
    double seconds, wall_seconds, predicted_error;
} run;

enum { Q, K, V, O, LSE, SIGN };

static int open_inputs(run *r) {
    options *o = &r->options;
    const char *const paths[] = {o->q, o->k, o->v};
    int status = inputs_open_all(r->arrays, &r->shape, paths, o->causal);
    if (!status)
        status = fitting_open(&r->fitting, o, &r->shape);
    if (!status)
        status = projection_open(&r->projection, o, r->shape.d, r->shape.heads_kv, r->shape.heads);
    if (status)
        return status;
    const char *outputs[] = {o->out, o->lse, o->lse_sign, o->projection_out,
                             o->projection_out ? r->projection.phases_out : NULL};
    const char *inputs[] = {
        o->q, o->k, o->v, o->projection_in, o->estimator, r->projection.file_phases ? r->projection.phases_in : NULL};
    return inputs_check_paths(outputs, 5, inputs, 6);
}

/* Before any work, so that an unwritable name is known early. */
static int create_outputs(run *r) {
    const options *o = &r->options;
    unsigned rank = r->arrays[Q].rank;
    uint64_t shape[NPY_MAX_RANK];
    for (unsigned i = 0; i < rank; ++i)
        shape[i] = r->arrays[Q].shape[i];
    shape[rank - 1] = r->shape.dv;
    char error[NPY_ERROR];
    if ((o->out && !npy_create(&r->out, o->out, NPY_F32, rank, shape, error)) ||
        (o->lse && !npy_create(&r->lse, o->lse, NPY_F32, rank - 1, shape, error)) ||
        (o->lse_sign && !npy_create(&r->lse_sign, o->lse_sign, NPY_F32, rank - 1, shape, error)))
        return cli_error(CLI_FAILED, "%s", error);
    return projection_create_outputs(&r->projection, o);
}

static void print_notes(const run *r) {
    projection_notes(&r->projection, &r->options);
    for (int i = 0; i < 3; ++i)
        inputs_note(&r->arrays[i], inputs_names[i]);
}

static int make_buffers(run *r) {
    const run_shape *shape = &r->shape;
    uint64_t rows = shape->batch * shape->heads * shape->n, bytes[6];
    static const char *const names[] = {"q", "k", "v", "the output", "the lse", "the signs"};
    uint64_t total = 0;
    for (int i = 0; i < 6; ++i) {
        bytes[i] = sizeof(float) * (i < O ? r->arrays[i].count : i == O ? rows * shape->dv : rows);
        int status = session_check_size(&r->session, names[i], bytes[i]);
        if (status)
            return status;
        total += bytes[i];
    }
    if (total > r->session.global_memory)
        return cli_error(CLI_FAILED,
                         "inputs and outputs take %" PRIu64 " MiB, but the device has %" PRIu64
                         " MiB; split the input by batch or head, or choose another device",
                         total >> 20, r->session.global_memory >> 20);
    int status = CLI_OK;
    for (int i = 0; i < 6 && !status; ++i)
        status = r->buffers[i] ? CLI_OK
                 : i < O       ? tensor_upload(&r->session, &r->arrays[i], names[i], &r->buffers[i])
                         : session_buffer(&r->session, CL_MEM_READ_WRITE, bytes[i], NULL, names[i], &r->buffers[i]);
    return status;
}

static clfavor_attention_args make_args(const run *r) {
    const run_shape *s = &r->shape;
    bool positions = r->options.exact && r->options.causal;
    return (clfavor_attention_args){.struct_size = sizeof(clfavor_attention_args),
                                    .weights = r->weights,
                                    .batch = s->batch,
                                    .heads = s->heads,
                                    .heads_kv = s->heads_kv,
                                    .n = s->n,
                                    .n_k = s->n_k,
                                    .q = clfavor_tensor_dense(r->buffers[Q], s->heads, s->n, s->d),
                                    .k = clfavor_tensor_dense(r->buffers[K], s->heads_kv, s->n_k, s->d),
                                    .v = clfavor_tensor_dense(r->buffers[V], s->heads_kv, s->n_k, s->dv),
                                    .o = clfavor_tensor_dense(r->buffers[O], s->heads, s->n, s->dv),
                                    .lse = clfavor_tensor_dense(r->buffers[LSE], s->heads, s->n, 1),
                                    .sign = clfavor_tensor_dense(r->buffers[SIGN], s->heads, s->n, 1),
                                    .scale = r->options.exact ? r->options.scale : 0,
                                    .query_step = positions};
}

static int prepare(run *r) {
    const options *o = &r->options;
    const session *s = &r->session;
    int status = CLI_OK;
    if (!o->exact) {
        if (!(status = fitting_run(&r->fitting, o, r->arrays)))
            status = fitting_estimator(&r->fitting, &r->projection, o, s, &r->estimator);
        if (!status)
            status = session_check(s, clfavor_weights_create(&r->weights, s->context, r->estimator),
                                   "copying the projection to the device");
    }
    if (!status)
        status = make_buffers(r);
    clfavor_estimator_info info = {.struct_size = sizeof info, .sets = 1};
    clfavor_estimator_get_info(r->estimator, &info);
    if (!status)
        status = fitting_buffer(&r->fitting, s, info.sets, &r->exact_keys);
    if (!status)
        status = fitting_corrections(&r->fitting, o, r->arrays, r->estimator, s, &r->corrections);
    if (status)
        return status;
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = o->exact ? CLFAVOR_OP_EXACT : CLFAVOR_OP_ATTENTION,
                              .map = o->map,
                              .features = o->exact ? 0 : r->projection.rows,
                              .dim = r->shape.d,
                              .value_dim = r->shape.dv,
                              .causal = o->causal,
                              .chunk = o->chunk,
                              .pieces = o->pieces,
                              .exact_keys = r->fitting.exact,
                              .corrections = r->corrections != NULL,
                              .backend = o->backend};
    clfavor_attention_args args = make_args(r);
    fitting_args(&r->fitting, &info, r->exact_keys, r->corrections, &args);
    return attention_create(&r->attention, s, &desc, &args, info.sets);
}

/* Once, or a warm-up and --repeat runs, whose medians count. */
static int execute(run *r) {
    uint32_t repeat = r->options.repeat;
    if (!repeat)
        return attention_run(&r->attention, "attention", &r->seconds, &r->wall_seconds);
    double *times = malloc(2 * (size_t)repeat * sizeof *times), seconds, wall;
    if (!times)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    int status = attention_run(&r->attention, "warm-up", &seconds, &wall);
    for (uint32_t i = 0; i < repeat && !status; ++i) {
        char label[48];
        snprintf(label, sizeof label, "run %" PRIu32 " of %" PRIu32, i + 1, repeat);
        status = attention_run(&r->attention, label, &times[i], &times[repeat + i]);
    }
    if (!status) {
        r->seconds = compare_median(times, repeat);
        r->wall_seconds = compare_median(times + repeat, repeat);
    }
    free(times);
    return status;
}

static int write_outputs(run *r) {
    const session *s = &r->session;
    uint64_t rows = r->shape.batch * r->shape.heads * r->shape.n, bad = 0;
    int status = CLI_OK;
    if (r->out.path)
        status = tensor_download(s, r->buffers[O], rows * r->shape.dv, &r->out);
    if (!status && r->lse.path)
        status = tensor_download(s, r->buffers[LSE], rows, &r->lse);
    if (!status && r->lse_sign.path)
        status = tensor_download(s, r->buffers[SIGN], rows, &r->lse_sign);
    if (!status)
        status = tensor_count_not_positive(s, r->buffers[SIGN], rows, &bad);
    if (!status && bad)
        cli_note("%" PRIu64 " of %" PRIu64 " rows had a sum that is not positive", bad, rows);
    return status;
}

static int commit(run *r) {
    outfile *files[] = {&r->out, &r->lse, &r->lse_sign};
    char error[OUTFILE_ERROR];
    for (int i = 0; i < 3; ++i)
        if (files[i]->path && !outfile_commit(files[i], error))
            return cli_error(CLI_FAILED, "%s", error);
    return projection_commit(&r->projection);
}

static json_t *report(const run *r) {
    const options *o = &r->options;
    const run_shape *s = &r->shape;
    const comparison *c = &r->comparison;
    json_t *object = json_object();
    json_object_set_new(object, "device", json_string(r->session.device.name));
    json_object_set_new(object, "class",
                        json_string(r->session.info.device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu"));
    if (r->attention.info.backend)
        json_object_set_new(object, "backend", json_string(bench_backend_name(r->attention.info.backend)));
    json_object_set_new(
        object, "shape",
        json_pack("[I, I, I, I]", (json_int_t)s->batch, (json_int_t)s->heads, (json_int_t)s->n, (json_int_t)s->d));
    json_object_set_new(object, "map", json_string(o->exact ? "exact" : options_map_name(o->map)));
    json_object_set_new(object, "features",
                        o->exact ? json_null() : json_integer(r->projection.rows + r->fitting.exact));
    if (r->fitting.active) {
        json_object_set_new(object, "estimator",
                            json_string(!r->fitting.fitted ? "plain"
                                        : o->estimator     ? fitting_methods[r->fitting.file.method]
                                                           : fitting_methods[o->fit_method]));
        json_object_set_new(object, "exact_keys", json_integer(r->fitting.exact));
        json_object_set_new(object, "corrected_values", json_boolean(o->correct));
        json_object_set_new(object, "fit_seconds", report_number(r->fitting.seconds));
    }
    if (o->target_error != 0)
        json_object_set_new(object, "predicted_error", report_number(r->predicted_error));
    json_object_set_new(object, "seconds", report_number(r->seconds));
    json_object_set_new(object, "wall_seconds", report_number(r->wall_seconds));
    json_object_set_new(object, "tokens_per_second", report_number((double)(s->batch * s->n) / r->seconds));
    json_t *relative = json_null(), *mean_value = json_null();
    if (o->compare) {
        json_t *heads = json_array();
        for (uint64_t i = 0; i < c->heads; ++i)
            json_array_append_new(heads, report_number(c->error[i]));
        relative = json_pack("{s:o, s:o}", "median", report_number(compare_median(c->error, (size_t)c->heads)),
                             "per_head", heads);
        mean_value = report_number(compare_median(c->baseline, (size_t)c->heads));
    }
    json_object_set_new(object, "relative_error", relative);
    json_object_set_new(object, "mean_value_error", mean_value);
    json_object_set_new(object, "workspace_bytes", json_integer((json_int_t)r->attention.info.workspace_size));
    json_object_set_new(object, "build_seconds", report_number(r->attention.info.build_seconds));
    return object;
}

static int work(run *r) {
    const options *o = &r->options;
    int status;
    if ((status = open_inputs(r)) ||
        (status = session_open(
             &r->session,
             &(session_request){.selector = o->device, .device_class = o->device_class, .tuning = o->tuning})))
        return status;
    chooser chosen = {.options = &r->options,
                      .session = &r->session,
                      .shape = &r->shape,
                      .arrays = r->arrays,
                      .buffers = r->buffers,
                      .fitting = &r->fitting,
                      .projection = &r->projection};
    if ((status = choose(&chosen)) || (status = create_outputs(r)))
        return status;
    r->predicted_error = chosen.predicted_error;
    print_notes(r);
    if ((status = prepare(r)) || (status = execute(r)) || (status = write_outputs(r)))
        return status;
    if (o->compare) {
        comparison *c = &r->comparison;
        status = comparison_open(c, &r->session, &r->attention.args, &r->shape, &r->arrays[V], o->causal, o->scale,
                                 o->compare_rows);
        if (!status)
            status = comparison_measure(c, r->buffers[O], r->shape.n, c->step, true);
        if (status)
            return status;
        cli_note("compared %" PRIu64 " of %" PRIu64 " query rows a head with exact attention", r->comparison.rows,
                 r->shape.n);
    }
    if ((status = commit(r)))
        return status;
    return report_print(report(r), o->json);
}

static void release(run *r) {
    comparison_close(&r->comparison);
    attention_destroy(&r->attention);
    if (r->exact_keys)
        clReleaseMemObject(r->exact_keys);
    if (r->corrections)
        clReleaseMemObject(r->corrections);
    for (int i = 0; i < 6; ++i)
        if (r->buffers[i])
            clReleaseMemObject(r->buffers[i]);
    clfavor_weights_destroy(r->weights);
    clfavor_estimator_destroy(r->estimator);
    session_close(&r->session);
    outfile_discard(&r->out);
    outfile_discard(&r->lse);
    outfile_discard(&r->lse_sign);
    projection_close(&r->projection);
    fitting_close(&r->fitting);
    for (int i = 0; i < 3; ++i)
        npy_close(&r->arrays[i]); /* after the buffers that use them in place */
}

int cmd_run(int argc, char **argv) {
    run r = {.out = OUTFILE_CLOSED, .lse = OUTFILE_CLOSED, .lse_sign = OUTFILE_CLOSED};
    r.projection.w_file = r.projection.phases_file = OUTFILE_CLOSED;
    int status = options_parse(&r.options, COMMAND_RUN, argc, argv);
    if (status)
        return status == OPTIONS_EXIT ? CLI_OK : status;
    status = work(&r);
    release(&r);
    return status;
}
