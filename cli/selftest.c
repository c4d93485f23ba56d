#include "selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "bench.h"
#include "device_info.h"
#include "message.h"
#include "progress.h"
#include "report.h"
#include "verify.h"

#define ALPHA   1e-6
#define REPEATS 6u

/* A message of a compiler or driver without the names of files, which may hold a user's name. */
static json_t *without_paths(const char *text) {
    char out[1024];
    size_t used = 0;
    for (bool start = true; *text && used + 8 < sizeof out;) {
        if (start && *text == '/') {
            used += (size_t)snprintf(out + used, sizeof out - used, "(path)");
            text += strcspn(text, " '\"\n\t,:;)");
            start = false;
            continue;
        }
        start = strchr(" '\"\n\t=(,:", *text) != NULL;
        out[used++] = *text++;
    }
    out[used] = '\0';
    json_t *value = json_string(out);
    return value ? value : json_string("a message that is no UTF-8");
}

static json_t *failure(const char *error, const session *s) {
    char text[2048];
    snprintf(text, sizeof text, "%s%s%s", error, s->log[0] ? ": " : "", s->log);
    cli_note("%s", text);
    return without_paths(text);
}

/* ------------------------------------------------------------------------------------------------- verification */

static json_t *failed_checks(const verify_result *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->check_count; ++i) {
        const verify_check *c = &r->checks[i];
        if (c->outcome == VERIFY_FAILED)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "suite", c->suite, "name",
                                                  c->name, "test", c->test, "statistic", report_number(c->statistic),
                                                  "threshold", report_number(c->threshold), "estimate",
                                                  report_number(c->estimate), "expected", report_number(c->expected)));
    }
    return list;
}

/* Passed and failed checks of each suite. */
static json_t *suites_of(const verify_result *r) {
    json_t *object = json_object();
    for (size_t s = 0; verify_suites[s]; ++s) {
        json_int_t passed = 0, failed = 0;
        for (size_t i = 0; i < r->check_count; ++i)
            if (strcmp(r->checks[i].suite, verify_suites[s]) == 0) {
                passed += r->checks[i].outcome == VERIFY_PASSED;
                failed += r->checks[i].outcome == VERIFY_FAILED;
            }
        if (passed + failed)
            json_object_set_new(object, verify_suites[s], json_pack("{s:I, s:I}", "passed", passed, "failed", failed));
    }
    return object;
}

static json_t *verify(const selftest_request *request, const session *s, bool *good) {
    verify_result result;
    char error[512] = "";
    bool bad_input;
    progress p;
    verify_options options = {.cl = s->cl,
                              .device = s->device.id,
                              .context = s->context,
                              .level = VERIFY_QUICK,
                              .alpha = ALPHA,
                              .selection = request->suite_count ? request->suites : NULL,
                              .selection_count = request->suite_count,
                              .progress = progress_share,
                              .user = &p};
    progress_start(&p,
                   device_class_name(s->info.device_class)[0] == 'c' ? "cpu class: verifying" : "gpu class: verifying",
                   "parts", PROGRESS_PARTS);
    bool ran = verify_run_all(&options, &result, error, &bad_input);
    progress_stop(&p);
    json_t *object = json_object();
    if (ran) {
        json_object_set_new(object, "level", json_string(verify_level_name(result.level)));
        json_object_set_new(object, "seed", json_integer((json_int_t)result.seed));
        json_object_set_new(object, "complete", json_boolean(!request->suite_count));
        json_object_set_new(object, "passed", json_integer((json_int_t)result.passed));
        json_object_set_new(object, "failed", json_integer((json_int_t)result.failed));
        json_object_set_new(object, "false_alarm", json_real(ALPHA));
        json_object_set_new(object, "wall_seconds", report_number(result.wall_seconds));
        json_object_set_new(object, "suites", suites_of(&result));
        json_object_set_new(object, "failures", failed_checks(&result));
    } else {
        json_object_set_new(object, "error", failure(error, s));
    }
    *good = *good && ran && result.failed == 0;
    verify_result_free(&result);
    return object;
}

/* ------------------------------------------------------------------------------------------------------- times */

static json_t *bench(const session *s, bool *good) {
    bool slow = s->info.device_class == CLFAVOR_CLASS_GPU && (s->device.type & CL_DEVICE_TYPE_CPU);
    const bench_shape shape = slow ? (bench_shape){2, 1024, 64, 256} : (bench_shape){8, 4096, 64, 256};
    const bench_work work[] = {{.shape = shape}, {.shape = shape, .causal = true}};
    bench_result result;
    char error[BENCH_ERROR];
    progress p;
    bench_options options = {.cl = s->cl,
                             .device = s->device.id,
                             .queue = s->queue,
                             .context = s->context,
                             .work = work,
                             .count = 2,
                             .repeats = REPEATS,
                             .progress = progress_share,
                             .note = cli_note_line,
                             .user = &p};
    progress_start(&p,
                   device_class_name(s->info.device_class)[0] == 'c' ? "cpu class: measuring" : "gpu class: measuring",
                   "parts", PROGRESS_PARTS);
    bool ran = bench_run(&options, &result, error);
    progress_stop(&p);
    *good = *good && ran;
    json_t *object = ran ? bench_json(&result) : json_pack("{s:o}", "error", failure(error, s));
    bench_free(&result);
    return object;
}

/* ------------------------------------------------------------------------------------------------------- report */

static int run_class(const selftest_request *request, clfavor_device_class device_class, json_t *root, bool *good) {
    session s;
    session_request open = {.selector = request->device, .device_class = device_class, .tuning = request->tuning};
    int status = session_open(&s, &open);
    if (status)
        return status;
    json_t *object = json_object();
    int opened;
    json_object_set_new(object, "device", device_describe(&s.device, &open, &opened));
    json_object_set_new(object, "verify", verify(request, &s, good));
    json_object_set_new(object, "bench", bench(&s, good));
    clfavor_context_info info = {.struct_size = sizeof info};
    if (clfavor_context_get_info(s.context, &info) == CLFAVOR_SUCCESS)
        json_object_set_new(
            object, "programs",
            json_pack("{s:I, s:f}", "built", (json_int_t)info.programs, "build_seconds", info.build_seconds));
    json_array_append_new(json_object_get(root, "classes"), object);
    session_close(&s);
    return CLI_OK;
}

static json_t *begin(void) {
    json_t *root = json_object();
    struct utsname system;
    char date[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(date, sizeof date, "%Y-%m-%d", &utc);
    json_object_set_new(root, "format", json_string("clfavor-selftest"));
    json_object_set_new(root, "clfavor", json_string(clfavor_version_string()));
    json_object_set_new(root, "date", json_string(date));
    if (uname(&system) == 0) /* without the node's name */
        json_object_set_new(
            root, "system",
            json_pack("{s:s, s:s, s:s}", "name", system.sysname, "release", system.release, "machine", system.machine));
    json_object_set_new(root, "classes", json_array());
    return root;
}

int selftest_run(const selftest_request *request, json_t **out) {
    double start = progress_now();
    json_t *root = begin();
    bool good = true;
    int status = CLI_OK;
    for (int c = CLFAVOR_CLASS_AUTO; c <= CLFAVOR_CLASS_GPU && !status; ++c)
        if (request->classes[c])
            status = run_class(request, (clfavor_device_class)c, root, &good);
    *out = NULL;
    if (status) {
        json_decref(root);
        return status;
    }
    json_object_set_new(root, "passed", json_boolean(good));
    json_object_set_new(root, "wall_seconds", report_number(progress_now() - start));
    *out = root;
    return good ? CLI_OK : CLI_FAILED;
}

static void write_failures(json_t *checks, FILE *to) {
    json_t *check;
    size_t i;
    json_array_foreach(checks, i, check) {
        fprintf(to, "FAILED %s/%s\n", json_string_value(json_object_get(check, "suite")),
                json_string_value(json_object_get(check, "name")));
        report_lines_to(to, check, "    ", "");
    }
}

static void write_class(json_t *object, FILE *to) {
    static const char *const titles[] = {"device", "verify", "bench", "programs"};
    for (size_t t = 0; t < sizeof titles / sizeof *titles; ++t) {
        json_t *part = json_object_get(object, titles[t]), *value;
        json_t *lines = json_copy(part);
        static const char *const lists[] = {"failures", "workloads", "peers"};
        fprintf(to, "\n== %s\n", titles[t]);
        for (size_t l = 0; l < sizeof lists / sizeof *lists; ++l)
            json_object_del(lines, lists[l]);
        report_lines_to(to, lines, "", "");
        json_decref(lines);
        write_failures(json_object_get(part, "failures"), to);
        size_t i;
        json_array_foreach(json_object_get(part, "workloads"), i, value) {
            fputc('\n', to);
            report_lines_to(to, value, "    ", "");
        }
    }
}

bool selftest_write(const void *report, FILE *to) {
    json_t *root = (json_t *)report, *classes = json_object_get(root, "classes"), *value;
    json_t *head = json_copy(root);
    json_object_del(head, "classes");
    fputs("clfavor selftest\n\n", to);
    report_lines_to(to, head, "", "");
    json_decref(head);
    size_t i;
    json_array_foreach(classes, i, value) {
        write_class(value, to);
    }
    fputs("\n-----BEGIN CLFAVOR SELFTEST JSON-----\n", to);
    bool good = json_dumpf(root, to, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0;
    fputs("\n-----END CLFAVOR SELFTEST JSON-----\n", to);
    return good && !ferror(to);
}
