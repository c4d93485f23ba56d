#include <inttypes.h>

#include "cmd.h"
#include "estimator_file.h"
#include "inputs.h"
#include "message.h"
#include "options.h"
#include "progress.h"
#include "projection.h"
#include "report.h"
#include "tensor_io.h"

/* Everything that the subcommand holds; all of it is released at one place. */
typedef struct job {
    options options;
    char scale_path[PROJECTION_NAME];
    npy_array x;
    array_axes axes;
    projection_source projection;
    estimator_file file;
    session session;
    outfile out, out_scale;
    clfavor_estimator *estimator;
    clfavor_weights *weights;
    clfavor_plan *plan;
    clfavor_plan_info info;
    cl_mem buffers[4]; /* x, features, log scale, workspace */
} job;

enum { X, FEATURES, LOG_SCALE, WORKSPACE };

static uint64_t columns_of(const job *j) {
    clfavor_map map = j->options.map;
    bool twice = map == CLFAVOR_MAP_HYPERBOLIC || map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_GAUSSIAN;
    return (uint64_t)j->projection.rows * (twice ? 2 : 1);
}

/* Log scales of a head. */
static uint64_t scales_of(const job *j) {
    clfavor_map map = j->options.map;
    bool one = map == CLFAVOR_MAP_TRIG || map == CLFAVOR_MAP_TRIG_PHASE || map == CLFAVOR_MAP_GAUSSIAN;
    return j->options.role == ROLE_QUERY ? j->axes.n : one ? 1 : columns_of(j);
}

/* What --estimator has a say in. */
static int open_estimator(job *j) {
    options *o = &j->options;
    char error[NPY_ERROR];
    if (!estimator_file_read(&j->file, o->estimator, error))
        return cli_error(CLI_USAGE, "--estimator: %s", error);
    if (j->file.dim != j->axes.last || (j->file.sderf.sets != 1 && j->file.sderf.sets != j->axes.heads))
        return cli_error(CLI_USAGE,
                         "--estimator: '%s' is for %u heads of %u dimensions, x has %" PRIu64
                         " of %u; give --x one head for each of the estimator's",
                         o->estimator, j->file.sderf.sets, j->file.dim, j->axes.heads, j->axes.last);
    if (o->map_given || o->scale != 0)
        return cli_error(CLI_USAGE, "--estimator has a map and a scale of its own; leave --map and --scale out");
    o->map = CLFAVOR_MAP_EXPONENTIAL;
    o->scale = j->file.sderf.scale;
    o->features = o->features || o->projection_in ? o->features : j->file.total;
    o->seed = o->seed_given ? o->seed : j->file.seed;
    o->projection = o->projection_given ? o->projection : j->file.projection;
    return CLI_OK;
}

static int open_inputs(job *j) {
    options *o = &j->options;
    int status = inputs_open(&j->x, &j->axes, "x", o->x);
    if (!status && o->estimator)
        status = open_estimator(j);
    if (!status) /* each matrix of a file may serve a group of query heads */
        status =
            projection_open(&j->projection, o, j->axes.last, o->role == ROLE_QUERY ? 0 : j->axes.heads, j->axes.heads);
    if (!status && !o->out_scale) {
        status = projection_path(o->out, ".logscale.npy", j->scale_path);
        o->out_scale = j->scale_path;
    }
    if (status)
        return status;
    const char *outputs[] = {o->out, o->out_scale, o->projection_out,
                             o->projection_out ? j->projection.phases_out : NULL};
    const char *inputs[] = {o->x, o->projection_in, o->estimator,
                            j->projection.file_phases ? j->projection.phases_in : NULL};
    return inputs_check_paths(outputs, 4, inputs, 4);
}

static int create_outputs(job *j) {
    unsigned rank = j->x.rank;
    uint64_t shape[NPY_MAX_RANK];
    for (unsigned i = 0; i < rank; ++i)
        shape[i] = j->x.shape[i];
    shape[rank - 1] = columns_of(j);
    char error[NPY_ERROR];
    if (!npy_create(&j->out, j->options.out, NPY_F32, rank, shape, error))
        return cli_error(CLI_FAILED, "%s", error);
    shape[rank - 2] = scales_of(j);
    if (!npy_create(&j->out_scale, j->options.out_scale, NPY_F32, rank - 1, shape, error))
        return cli_error(CLI_FAILED, "%s", error);
    return projection_create_outputs(&j->projection, &j->options);
}

static void print_notes(const job *j) {
    const options *o = &j->options;
    projection_notes(&j->projection, o);
    inputs_note(&j->x, "x");
}

static int prepare(job *j) {
    const options *o = &j->options;
    const session *s = &j->session;
    uint64_t sequences = j->axes.batch * j->axes.heads, bytes[4] = {0};
    if (__builtin_mul_overflow(sequences * j->axes.n * sizeof(float), columns_of(j), &bytes[FEATURES]))
        bytes[FEATURES] = UINT64_MAX;
    bytes[LOG_SCALE] = sequences * scales_of(j) * sizeof(float);
    int status = session_check_size(s, "the feature matrix", bytes[FEATURES]);
    uint32_t copies = j->projection.sets == 1 ? 1 : (uint32_t)(j->axes.heads / j->projection.sets);
    if (!status)
        status =
            projection_estimator(&j->projection, o, o->estimator ? &j->file.sderf : NULL, s, copies, &j->estimator);
    if (!status)
        status = session_check(s, clfavor_weights_create(&j->weights, s->context, j->estimator),
                               "copying the projection to the device");
    if (status)
        return status;
    clfavor_plan_desc desc = {.struct_size = sizeof desc,
                              .operation = o->role == ROLE_KEY ? CLFAVOR_OP_FEATURES_KEY : CLFAVOR_OP_FEATURES_QUERY,
                              .map = o->map,
                              .features = j->projection.rows,
                              .dim = j->axes.last,
                              .max_batch = j->axes.batch,
                              .max_heads = j->axes.heads,
                              .max_n = j->axes.n};
    j->info.struct_size = sizeof j->info;
    if ((status = session_check(s, clfavor_plan_create(&j->plan, s->context, &desc), "making the plan")) ||
        (status = session_check(s, clfavor_plan_get_info(j->plan, &j->info), "making the plan")))
        return status;
    bytes[WORKSPACE] = j->info.workspace_size;
    static const char *const names[] = {"x", "the feature matrix", "the log scale", "the workspace"};
    status = tensor_upload(s, &j->x, names[X], &j->buffers[X]);
    for (int i = FEATURES; i <= WORKSPACE && !status; ++i)
        if (bytes[i])
            status = session_buffer(s, CL_MEM_READ_WRITE, bytes[i], NULL, names[i], &j->buffers[i]);
    return status;
}

static int execute(const job *j) {
    const session *s = &j->session;
    const array_axes *axes = &j->axes;
    clfavor_features_args args = {
        .struct_size = sizeof args,
        .weights = j->weights,
        .batch = axes->batch,
        .heads = axes->heads,
        .n = axes->n,
        .x = clfavor_tensor_dense(j->buffers[X], axes->heads, axes->n, axes->last),
        .features = clfavor_tensor_dense(j->buffers[FEATURES], axes->heads, axes->n, columns_of(j)),
        .log_scale = clfavor_tensor_dense(j->buffers[LOG_SCALE], axes->heads, scales_of(j), 1),
        .workspace = j->buffers[WORKSPACE]};
    progress p;
    progress_start(&p, "features", "rows", axes->batch * axes->heads * axes->n);
    clfavor_status enqueued = clfavor_enqueue_features(j->plan, &args, s->queue, 0, NULL, NULL);
    cl_int code = clFinish(s->queue);
    progress_stop(&p);
    int status = session_check(s, enqueued, "features");
    return status ? status : session_check_cl(code, "features");
}

static int write_outputs(job *j) {
    uint64_t sequences = j->axes.batch * j->axes.heads;
    int status = tensor_download(&j->session, j->buffers[FEATURES], sequences * j->axes.n * columns_of(j), &j->out);
    if (!status)
        status = tensor_download(&j->session, j->buffers[LOG_SCALE], sequences * scales_of(j), &j->out_scale);
    char error[NPY_ERROR];
    if (!status && (!outfile_commit(&j->out, error) || !outfile_commit(&j->out_scale, error)))
        status = cli_error(CLI_FAILED, "%s", error);
    return status ? status : projection_commit(&j->projection);
}

static json_t *report(const job *j) {
    json_t *object = json_object();
    json_object_set_new(object, "device", json_string(j->session.device.name));
    json_object_set_new(object, "class",
                        json_string(j->session.info.device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu"));
    json_object_set_new(object, "shape",
                        json_pack("[I, I, I, I]", (json_int_t)j->axes.batch, (json_int_t)j->axes.heads,
                                  (json_int_t)j->axes.n, (json_int_t)columns_of(j)));
    json_object_set_new(object, "map", json_string(options_map_name(j->options.map)));
    json_object_set_new(object, "features", json_integer(j->projection.rows));
    return object;
}

static int work(job *j) {
    int status;
    if ((status = open_inputs(j)) ||
        (status = session_open(&j->session,
                               &(session_request){.selector = j->options.device, .tuning = j->options.tuning})) ||
        (status = create_outputs(j)))
        return status;
    print_notes(j);
    if ((status = prepare(j)) || (status = execute(j)) || (status = write_outputs(j)))
        return status;
    return report_print(report(j), j->options.json);
}

static void release(job *j) {
    clfavor_plan_destroy(j->plan);
    for (int i = 0; i < 4; ++i)
        if (j->buffers[i])
            clReleaseMemObject(j->buffers[i]);
    clfavor_weights_destroy(j->weights);
    clfavor_estimator_destroy(j->estimator);
    session_close(&j->session);
    outfile_discard(&j->out);
    outfile_discard(&j->out_scale);
    projection_close(&j->projection);
    estimator_file_close(&j->file);
    npy_close(&j->x); /* after the buffer that uses it in place */
}

int cmd_features(int argc, char **argv) {
    job j = {.out = OUTFILE_CLOSED, .out_scale = OUTFILE_CLOSED};
    j.projection.w_file = j.projection.phases_file = OUTFILE_CLOSED;
    int status = options_parse(&j.options, COMMAND_FEATURES, argc, argv);
    if (status)
        return status == OPTIONS_EXIT ? CLI_OK : status;
    status = work(&j);
    release(&j);
    return status;
}
