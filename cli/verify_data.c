#include "verify_data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "progress.h"
#include "tensor_io.h"

#define UNITS 10000.0 /* of progress */

enum { Q, K, V };

/* Everything that it holds; all of it is released at one place. */
typedef struct job {
    const verify_arguments *a;
    npy_array arrays[3]; /* q, k, v; the last may be closed */
    run_shape shape;
    session session;
    outfile json;
    cl_mem buffers[3];
    verify_own_result result;
    progress progress;
} job;

static int open_inputs(job *j) {
    static const char *const names[] = {"q", "k", "v"};
    const verify_arguments *a = j->a;
    const char *paths[] = {a->q, a->k, a->v}, *outputs[] = {a->json};
    array_axes axes[3];
    int status = CLI_OK;
    for (int i = Q; i <= (a->v ? V : K) && !status; ++i)
        status = inputs_open(&j->arrays[i], &axes[i], names[i], paths[i]);
    if (status)
        return status;
    npy_array shapes[3] = {j->arrays[Q], j->arrays[K], j->arrays[a->v ? V : K]};
    if (!a->v) { /* as many values as keys; what is checked together with v is said here without it */
        axes[V] = axes[K];
        if (shapes[Q].rank != shapes[K].rank || axes[Q].batch != axes[K].batch)
            return cli_error(CLI_USAGE, "q (%s) and k (%s) must have the same number of axes and the same batch",
                             npy_shape_text(shapes[Q].rank, shapes[Q].shape),
                             npy_shape_text(shapes[K].rank, shapes[K].shape));
    }
    status = inputs_shape(&j->shape, shapes, axes, a->causal);
    return status ? status : inputs_check_paths(outputs, 1, paths, 3);
}

static void print_notes(const job *j) {
    static const char *const names[] = {"q", "k", "v"};
    for (int i = Q; i <= V; ++i)
        inputs_note(&j->arrays[i], names[i]);
    if (!j->a->v)
        cli_note("no --v: values are random signs, and the output error is the root mean square error of the attention "
                 "weights, relative to theirs");
    if (j->a->causal)
        cli_note("causal: mean s and the effective features are over all keys, whether a row sees them or not");
    if (j->shape.n > VERIFY_OWN_ROWS)
        cli_note("output errors are of at most %d evenly spaced query rows a head", (int)VERIFY_OWN_ROWS);
    if (j->shape.n_k > VERIFY_OWN_KEYS)
        cli_note("effective keys, kernel errors and effective features look at no more than %d evenly spaced keys a "
                 "head",
                 (int)VERIFY_OWN_KEYS);
}

static int prepare(job *j) {
    static const char *const names[] = {"q", "k", "v"};
    char error[OUTFILE_ERROR];
    int status = session_open(&j->session, &(session_request){j->a->device, j->a->device_class, j->a->tuning, NULL});
    if (!status && j->a->json && !outfile_open(&j->json, j->a->json, error))
        status = cli_error(CLI_FAILED, "%s", error);
    for (int i = Q; i <= (j->a->v ? V : K) && !status; ++i)
        status = tensor_upload(&j->session, &j->arrays[i], names[i], &j->buffers[i]);
    return status;
}

static void read_values(void *user, verify_own_array array, uint64_t first, size_t count, float *out) {
    const job *j = user;
    npy_read_f32(&j->arrays[array], first, count, out);
}

static void on_progress(void *user, double done, double total) {
    job *j = user;
    uint64_t units = (uint64_t)(UNITS * done / total), before = atomic_load(&j->progress.done);
    if (units > before && units <= (uint64_t)UNITS)
        progress_add(&j->progress, units - before);
}

static int measure(job *j) {
    const session *s = &j->session;
    verify_own_options own = {.cl = s->cl,
                              .queue = s->queue,
                              .context = s->context,
                              .batch = j->shape.batch,
                              .heads = j->shape.heads,
                              .heads_kv = j->shape.heads_kv,
                              .n = j->shape.n,
                              .n_k = j->shape.n_k,
                              .dim = j->shape.d,
                              .value_dim = j->shape.dv,
                              .causal = j->a->causal,
                              .seed = j->a->seed,
                              .q = j->buffers[Q],
                              .k = j->buffers[K],
                              .v = j->buffers[V],
                              .read = read_values,
                              .progress = on_progress,
                              .user = j};
    char error[512];
    bool bad_input = false;
    progress_start(&j->progress, "measuring", "units", (uint64_t)UNITS);
    bool good = verify_own_run(&own, &j->result, error, &bad_input);
    progress_stop(&j->progress);
    return good ? CLI_OK
                : cli_error(bad_input ? CLI_USAGE : CLI_FAILED, "%s%s%s", error, s->log[0] ? ": " : "", s->log);
}

static int write_json(job *j, const verify_data_report *report) {
    if (!j->a->json)
        return CLI_OK;
    char *text = verify_data_json(report), error[OUTFILE_ERROR];
    if (!text)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    bool good = outfile_write(&j->json, text, strlen(text), error) && outfile_commit(&j->json, error);
    free(text);
    return good ? CLI_OK : cli_error(CLI_FAILED, "%s", error);
}

static int work(job *j) {
    double start = progress_now();
    int status = open_inputs(j);
    if (!status)
        status = prepare(j);
    if (status)
        return status;
    if ((status = measure(j)))
        return status;
    print_notes(j); /* only now: bad values are one line on stderr */
    verify_data_report report = {.arguments = j->a,
                                 .session = &j->session,
                                 .shape = &j->shape,
                                 .result = &j->result,
                                 .wall_seconds = progress_now() - start};
    status = write_json(j, &report);
    return status ? status : verify_data_print(&report);
}

int verify_data(const verify_arguments *a) {
    job j = {.a = a, .json = OUTFILE_CLOSED};
    int status = work(&j);
    verify_own_free(&j.result);
    for (int i = Q; i <= V; ++i)
        if (j.buffers[i])
            clReleaseMemObject(j.buffers[i]);
    session_close(&j.session);
    outfile_discard(&j.json);
    for (int i = Q; i <= V; ++i)
        npy_close(&j.arrays[i]); /* after the buffers that use them in place */
    return status;
}
