#include "advise.h"
#include "cmd.h"
#include "message.h"
#include "report.h"
#include "report_file.h"
#include "tensor_io.h"

/* Everything that the subcommand holds; all of it is released at one place. */
typedef struct job {
    options options;
    npy_array arrays[3]; /* q, k, v */
    run_shape shape;
    session session;
    cl_mem buffers[3];
    advice advice;
    report_file svg;
} job;

static int open_inputs(job *j) {
    const options *o = &j->options;
    const char *const paths[] = {o->q, o->k, o->v};
    int status = inputs_open_all(j->arrays, &j->shape, paths, false);
    if (!status)
        status = inputs_check_paths(&o->out, 1, paths, 3);
    return status;
}

static int work(job *j) {
    const options *o = &j->options;
    int status;
    j->svg = (report_file){.file = OUTFILE_CLOSED, .path = o->out, .write = advice_plot};
    if ((status = open_inputs(j)) ||
        (status = session_open(&j->session, &(session_request){.selector = o->device, .tuning = o->tuning})) ||
        (status = report_files_open(&j->svg, 1)))
        return status;
    for (int i = 0; i < 3; ++i)
        inputs_note(&j->arrays[i], inputs_names[i]);
    for (int i = 0; i < 3 && !status; ++i)
        status = tensor_upload(&j->session, &j->arrays[i], inputs_names[i], &j->buffers[i]);
    if (status || (status = advise(&j->advice, &j->session, o, &j->shape, j->arrays, j->buffers)))
        return status;
    j->advice.device = j->session.device.name;
    j->advice.device_class = j->session.info.device_class == CLFAVOR_CLASS_CPU ? "cpu" : "gpu";
    if ((status = report_files_write(&j->svg, 1, &j->advice)))
        return status;
    if (o->json)
        return report_print(advice_json(&j->advice), true);
    advice_print(&j->advice);
    return cli_flush();
}

int cmd_advise(int argc, char **argv) {
    job j = {.svg = {.file = OUTFILE_CLOSED}};
    int status = options_parse(&j.options, COMMAND_ADVISE, argc, argv);
    if (status)
        return status == OPTIONS_EXIT ? CLI_OK : status;
    status = work(&j);
    report_files_discard(&j.svg, 1);
    advice_free(&j.advice);
    for (int i = 0; i < 3; ++i)
        if (j.buffers[i])
            clReleaseMemObject(j.buffers[i]);
    session_close(&j.session);
    for (int i = 0; i < 3; ++i)
        npy_close(&j.arrays[i]); /* after the buffers that use them in place */
    return status;
}
