#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_options.h"
#include "cmd.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "report_file.h"
#include "session.h"

static bool write_json(const void *result, FILE *to) {
    json_t *object = bench_json(result);
    bool good =
        object && json_dumpf(object, to, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0 && fputc('\n', to) != EOF;
    json_decref(object);
    return good;
}

static bool write_html(const void *result, FILE *to) {
    return bench_write_html(result, to);
}

/* ------------------------------------------------------------------------------------------------------- stdout */

/* What the JSON says of the run as a whole, and then a group of lines for each workload. */
static int print_groups(const bench_result *r) {
    json_t *root = bench_json(r), *value;
    if (!root)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    static const char *const groups[] = {"workloads", "peers"};
    json_t *arrays[2];
    for (size_t i = 0; i < 2; ++i) {
        arrays[i] = json_incref(json_object_get(root, groups[i]));
        json_object_del(root, groups[i]);
    }
    report_lines(root, "", "");
    size_t index;
    for (size_t i = 0; i < 2; ++i) {
        if (i == 0 && r->sweep) /* 240 groups are no reading: a line each, below */
            continue;
        json_array_foreach(arrays[i], index, value) {
            putchar('\n');
            report_lines(value, "", "");
        }
    }
    for (size_t i = 0; i < 2; ++i)
        json_decref(arrays[i]);
    json_decref(root);
    return CLI_OK;
}

static void print_sweep(const bench_result *r) {
    char name[BENCH_TEXT];
    putchar('\n');
    for (size_t i = 0; i < r->count; ++i) {
        const bench_figures *f = &r->figures[i];
        const bench_shape *s = &f->work.shape;
        if (f->skipped[0])
            printf("%s: skipped, %s", bench_work_name(&f->work, name), f->skipped);
        else
            printf("%s: %.4g us a token and head", bench_work_name(&f->work, name),
                   f->seconds.best * 1e6 / ((double)s->heads * (double)s->n));
        if (!f->skipped[0] && !isnan(f->fraction.best))
            printf(", %.3f of peak, roofline %.3f", f->fraction.best, f->bound);
        putchar('\n');
    }
    if (r->worst < r->count)
        printf("worst: %.3f of peak at %s\n", r->figures[r->worst].fraction.best,
               bench_work_name(&r->figures[r->worst].work, name));
}

static int print_result(const bench_result *r) {
    int status = print_groups(r);
    if (!status && r->sweep)
        print_sweep(r);
    return status ? status : cli_flush();
}

/* Says on stderr which peers' results are wrong. */
static int judge(const bench_result *r) {
    int status = CLI_OK;
    for (size_t i = 0; i < r->comparison_count; ++i) {
        const bench_comparison *c = &r->comparisons[i];
        if (c->failed)
            status =
                cli_error(CLI_FAILED,
                          "%s at %" PRIu64 ",%" PRIu64 ",%" PRIu32 ",%" PRIu32 "%s: expected its result within %.3g "
                          "of ours, got %.3g",
                          c->name, c->shape.heads, c->shape.n, c->shape.dim, c->shape.features,
                          c->causal ? " causal" : "", c->tolerance, c->error);
    }
    return status;
}

/* --------------------------------------------------------------------------------------------------------- run */

static int run(const bench_arguments *a, session *s, report_file reports[2]) {
    progress p;
    bench_result result;
    char error[BENCH_ERROR];
    bench_options request = {.cl = s->cl,
                             .device = s->device.id,
                             .queue = s->queue,
                             .context = s->context,
                             .work = a->work,
                             .count = a->work_count,
                             .sweep = a->sweep,
                             .peers = a->peers,
                             .repeats = a->repeats,
                             .progress = progress_share,
                             .note = cli_note_line,
                             .user = &p};
    progress_start(&p, "measuring", "parts", PROGRESS_PARTS);
    bool good = bench_run(&request, &result, error);
    progress_stop(&p);
    int status = good ? CLI_OK : cli_error(CLI_FAILED, "%s%s%s", error, s->log[0] ? ": " : "", s->log);
    if (!status)
        status = report_files_write(reports, 2, &result);
    if (!status)
        status = print_result(&result);
    if (!status)
        status = judge(&result);
    bench_free(&result);
    return status;
}

int cmd_bench(int argc, char **argv) {
    bench_arguments a;
    session s = {0};
    int status = bench_arguments_parse(&a, argc, argv);
    report_file reports[2] = {{OUTFILE_CLOSED, a.json, write_json}, {OUTFILE_CLOSED, a.report, write_html}};
    if (!status)
        status = session_open(&s, &(session_request){a.device, a.device_class, a.tuning, a.kernel_dir});
    if (!status)
        status = report_files_open(reports, 2);
    if (!status)
        status = run(&a, &s, reports);
    report_files_discard(reports, 2);
    session_close(&s);
    bench_arguments_free(&a);
    return status == OPTIONS_EXIT ? CLI_OK : status;
}
