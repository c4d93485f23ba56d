#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_options.h"
#include "cmd.h"
#include "device_info.h"
#include "message.h"
#include "outfile.h"
#include "progress.h"
#include "report.h"
#include "tuning_file.h"
#include "tuning_save.h"

enum { KEY_DEVICE = 256, KEY_CLASS, KEY_QUICK, KEY_SHAPE, KEY_OUT, KEY_JSON, KEY_HELP };

typedef struct arguments {
    const char *device, *out;
    clfavor_device_class device_class;
    bench_shape *shapes;
    size_t shape_count;
    bool quick, json;
} arguments;

static const struct argp_option table[] = {
    OPTION("device", KEY_DEVICE, "SEL", OPTIONS_DEVICE),
    OPTION("class", KEY_CLASS, "CLASS", "Kernels to tune: cpu, gpu or auto (default: by the device)"),
    OPTION("quick", KEY_QUICK, 0, "A few variants and rounds, under a minute"),
    OPTION("shape", KEY_SHAPE, "H,n,d,m",
           "Heads, tokens, head dimension and rows of the projection to tune for; may be given again (default: three "
           "shapes; a small one with --quick on a CPU)"),
    OPTION("out", KEY_OUT, "FILE",
           "Put the row into this database, in the place of the one of the same device and class (default: "
           "$CLFAVOR_TUNING; without either it is printed only)"),
    OPTION("json", KEY_JSON, 0, "One JSON object on stdout instead of `key: value' lines"),
    OPTION("help", KEY_HELP, 0, "Show this help"),
    {0}};

static const char doc[] =
    "Measures which sizes suit a device, and writes them into a tuning database.\v"
    "Variants take turns with the row that the library has; each must first give what the double reference gives. gpu "
    "class: backend, work-group and tiles, their step, chunk. cpu class: chunks and pieces. Where nothing is at least "
    "3 % faster, the library's row is written. Give the file to --tuning or $CLFAVOR_TUNING; no row can make a result "
    "wrong. Exit status 0: done, 1: the work failed, 2: wrong usage or a broken database, which stays as it is. "
    "docs/gpus.md tells what is tried, and the file's format.";

static int take(void *to, int key, char *text, struct argp_state *state) {
    arguments *a = to;
    if (text && !*text)
        return cli_error(CLI_USAGE, "tune: %s expects a value, got an empty one", state->argv[state->next - 1]);
    switch (key) {
    case KEY_DEVICE:
        a->device = text;
        return CLI_OK;
    case KEY_OUT:
        a->out = text;
        return CLI_OK;
    case KEY_CLASS:
        return options_class(text, &a->device_class);
    case KEY_QUICK:
        a->quick = true;
        return CLI_OK;
    case KEY_SHAPE:
        return bench_parse_shape(text, &a->shapes, &a->shape_count);
    case KEY_JSON:
        a->json = true;
        return CLI_OK;
    case KEY_HELP:
        return options_help(state);
    default: /* ARGP_KEY_ARG */
        return cli_error(CLI_USAGE, "tune: unexpected argument '%s'; see `clfavor tune --help`", text);
    }
}

/* Before minutes of work: whether the database can be read and its folder written. */
static int check_out(const char *path) {
    tuning_file file;
    outfile probe = OUTFILE_CLOSED;
    char error[OUTFILE_ERROR];
    FILE *there = fopen(path, "rb");
    if (there)
        fclose(there);
    int status = there || errno != ENOENT ? tuning_file_read(&file, path) : CLI_OK;
    if (there || errno != ENOENT)
        tuning_file_close(&file);
    if (!status && !outfile_open(&probe, path, error))
        status = cli_error(CLI_FAILED, "%s", error);
    outfile_discard(&probe);
    return status;
}

static json_t *variants_json(const bench_tune_result *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->count; ++i) {
        const bench_variant *v = &r->variants[i];
        json_t *object = json_pack("{s:o}", "row", device_row(&v->row));
        if (v->skipped[0]) {
            json_object_set_new(object, "skipped", json_string(v->skipped));
        } else {
            json_object_set_new(object, "time_over_library", report_number(v->ratio));
            json_object_set_new(object, "error", report_number(v->error));
            json_object_set_new(object, "build_seconds", report_number(v->build_seconds));
        }
        json_array_append_new(list, object);
    }
    return list;
}

static int print(const arguments *a, const bench_tune_result *r, json_t *entry, const char *path, bool replaced) {
    json_t *object = json_object();
    char text[BENCH_TEXT];
    json_object_set_new(object, "device",
                        json_object_get(entry, "device") ? json_incref(json_object_get(entry, "device")) : json_null());
    json_object_set_new(object, "class", json_string(device_class_name(r->device_class)));
    json_object_set_new(object, "architecture", r->architecture[0] ? json_string(r->architecture) : json_null());
    json_object_set_new(object, "library_row", device_row(&r->base));
    json_object_set_new(object, "row", device_row(&r->row));
    json_object_set_new(object, "times_faster", report_number(r->gain));
    json_object_set_new(object, "library_row_kept", json_boolean(r->kept));
    json_object_set_new(object, "wall_seconds", report_number(r->wall_seconds));
    json_object_set_new(object, "database", path ? json_string(path) : json_null());
    if (path)
        json_object_set_new(object, "replaced", json_boolean(replaced));
    if (a->json) {
        json_object_set(object, "entry", entry);
        json_object_set_new(object, "variants", variants_json(r));
    } else {
        for (size_t i = 0; i < r->work_count; ++i) {
            const bench_tuned *w = &r->works[i];
            char value[96];
            snprintf(value, sizeof value, "%.4g ms, library's row %.4g ms", 1e3 * w->seconds, 1e3 * w->base_seconds);
            json_object_set_new(object, bench_work_name(&w->work, text), json_string(value));
        }
    }
    return report_print(object, a->json);
}

static int work(const arguments *a, const session *s, const char *path) {
    progress p;
    char error[BENCH_ERROR];
    bench_tune_result result;
    bench_tune_options request = {.cl = s->cl,
                                  .device = s->device.id,
                                  .queue = s->queue,
                                  .device_class = a->device_class,
                                  .shapes = a->shapes,
                                  .shape_count = a->shape_count,
                                  .quick = a->quick,
                                  .progress = progress_share,
                                  .note = cli_note_line,
                                  .user = &p};
    progress_start(&p, "tuning", "parts", PROGRESS_PARTS);
    bool good = bench_tune(&request, &result, error), replaced = false;
    progress_stop(&p);
    int status = good ? CLI_OK : cli_error(CLI_FAILED, "%s", error);
    json_t *entry = good ? tuning_entry(&result) : NULL;
    if (good && !entry)
        status = cli_error(CLI_FAILED, "host memory is exhausted");
    if (!status && path)
        status = tuning_save(path, entry, &replaced);
    if (!status)
        status = print(a, &result, entry, path, replaced);
    json_decref(entry);
    bench_tune_free(&result);
    return status;
}

int cmd_tune(int argc, char **argv) {
    arguments a = {0};
    session s = {0};
    static const options_parser parser = {"tune", doc, table, KEY_HELP, take};
    int status = options_read(&parser, argc, argv, &a);
    const char *path = tuning_file_path(a.out);
    if (!status && path)
        status = check_out(path);
    if (!status) /* without rows of a file: the library's are what is compared with */
        status =
            session_open(&s, &(session_request){.selector = a.device, .device_class = a.device_class, .tuning = ""});
    if (!status)
        status = work(&a, &s, path);
    session_close(&s);
    free(a.shapes);
    return status == OPTIONS_EXIT ? CLI_OK : status;
}
