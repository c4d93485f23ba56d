#include <inttypes.h>

#include "cmd.h"
#include "fitting.h"
#include "message.h"
#include "report.h"

/* Everything that the subcommand holds; all of it is released at one place. */
typedef struct job {
    options options;
    npy_array arrays[3]; /* q, k, v; the last one empty without --v */
    run_shape shape;
    fitting fitting;
    outfile out;
} job;

static int open_inputs(job *j) {
    options *o = &j->options;
    const char *const paths[] = {o->q, o->k, o->v ? o->v : o->k};
    int status = inputs_open_all(j->arrays, &j->shape, paths, false);
    if (!status && !o->v) /* stood in for it */
        npy_close(&j->arrays[2]);
    if (!status) {
        const char *inputs[] = {o->q, o->k, o->v};
        status = inputs_check_paths((const char *const[]){o->out}, 1, inputs, 3);
    }
    return status;
}

static int write_file(job *j, clfavor_projection_kind projection) {
    const fitting *f = &j->fitting;
    estimator_file file = {.sderf_all.struct_size = sizeof file.sderf_all,
                           .total = f->total,
                           .exact = f->exact,
                           .exact_given = j->options.exact_keys_given,
                           .method = j->options.fit_method,
                           .projection = projection,
                           .projection_given = j->options.projection_given,
                           .seed = j->options.seed,
                           .dim = j->shape.d,
                           .sderf = f->sderf};
    clfavor_fit_get_sderf_all(f->fit, &file.sderf_all);
    char error[NPY_ERROR];
    if (!estimator_file_write(&j->out, &file, &f->info, error) || !outfile_commit(&j->out, error))
        return cli_error(CLI_FAILED, "%s", error);
    return CLI_OK;
}

static json_t *report(const job *j) {
    const fitting *f = &j->fitting;
    json_t *object = json_object();
    json_object_set_new(object, "estimator", json_string(fitting_methods[j->options.fit_method]));
    json_object_set_new(object, "shape",
                        json_pack("[I, I, I, I]", (json_int_t)j->shape.batch, (json_int_t)j->shape.heads,
                                  (json_int_t)j->shape.n, (json_int_t)j->shape.d));
    json_object_set_new(object, "features", json_integer(f->total));
    json_object_set_new(object, "exact_keys", json_integer(f->exact));
    json_object_set_new(object, "mean_s_plain", report_numbers(f->info.mean_s_plain, f->info.sets));
    json_object_set_new(object, "mean_s", report_numbers(f->info.mean_s, f->info.sets));
    json_object_set_new(object, "effective_keys", report_numbers(f->info.effective_keys, f->info.sets));
    json_object_set_new(object, "fit_seconds", report_number(f->seconds));
    return object;
}

static int work(job *j) {
    options *o = &j->options;
    char error[NPY_ERROR];
    int status = open_inputs(j);
    o->fit = true;
    if (!status)
        status = fitting_open(&j->fitting, o, &j->shape);
    if (!status && !outfile_open(&j->out, o->out, error))
        status = cli_error(CLI_FAILED, "%s", error);
    for (int i = 0; i < 3 && !status; ++i)
        inputs_note(&j->arrays[i], inputs_names[i]);
    if (!status)
        status = fitting_run(&j->fitting, o, j->arrays);
    if (!status)
        status = write_file(j, o->projection);
    return status ? status : report_print(report(j), o->json);
}

int cmd_fit(int argc, char **argv) {
    job j = {.out = OUTFILE_CLOSED};
    int status = options_parse(&j.options, COMMAND_FIT, argc, argv);
    if (status)
        return status == OPTIONS_EXIT ? CLI_OK : status;
    status = work(&j);
    outfile_discard(&j.out);
    fitting_close(&j.fitting);
    for (int i = 0; i < 3; ++i)
        npy_close(&j.arrays[i]);
    return status;
}
