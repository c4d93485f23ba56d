#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "message.h"
#include "options.h"
#include "report_file.h"
#include "selftest.h"
#include "verify_mutants.h"

enum { KEY_DEVICE = 256, KEY_CLASS, KEY_TUNING, KEY_SUITE, KEY_OUT, KEY_MUTANT, KEY_HELP };

enum { MOST_SUITES = 16 };

typedef struct arguments {
    selftest_request request;
    const char *suites[MOST_SUITES], *out;
    const char *mutant; /* the variant only */
} arguments;

static const struct argp_option table[] = {
    OPTION("device", KEY_DEVICE, "SEL", OPTIONS_DEVICE),
    OPTION("class", KEY_CLASS, "CLASS", "Kernels to test: cpu, gpu, both or auto (default: by the device)"),
    OPTION("tuning", KEY_TUNING, "FILE", OPTIONS_TUNING),
    OPTION("suite", KEY_SUITE, "NAME", "Only this suite of the verification, and say so; may be given again"),
    OPTION("out", KEY_OUT, "FILE", "Write the report there (default: stdout)"),
#ifdef CLFAVOR_MUTANTS
    OPTION("mutant", KEY_MUTANT, "NAME", "This deliberate bug is in"),
#endif
    OPTION("help", KEY_HELP, 0, "Show this help"),
    {0}};

static const char doc[] =
    "One report on a device to attach to an issue: what it is, whether the library is right on it, and how fast.\v"
    "It has versions and driver, what `clfavor devices' tells, the quick level of `clfavor verify' with every check "
    "that failed, and a short benchmark, as text and, between two marks at its end, as JSON. It holds no names of the "
    "machine, of users or of files. A minute or two. Exit status 0: all is well, 1: a check or the work failed; the "
    "report is written in both cases.";

static int parse_class(const char *text, bool classes[3]) {
    static const char *const names[] = {"auto", "cpu", "gpu", "both"};
    int found = options_name("class", text, "cpu, gpu, both or auto", names, 4);
    for (int i = 0; i < 3; ++i)
        classes[i] = i == found || (found == 3 && i > 0);
    return found < 0 ? CLI_USAGE : CLI_OK;
}

static int take(void *to, int key, char *text, struct argp_state *state) {
    arguments *a = to;
    if (text && !*text)
        return cli_error(CLI_USAGE, "selftest: %s expects a value, got an empty one", state->argv[state->next - 1]);
    switch (key) {
    case KEY_DEVICE:
        a->request.device = text;
        return CLI_OK;
    case KEY_TUNING:
        a->request.tuning = text;
        return CLI_OK;
    case KEY_MUTANT:
        a->mutant = text;
        return CLI_OK;
    case KEY_OUT:
        a->out = text;
        return CLI_OK;
    case KEY_CLASS:
        return parse_class(text, a->request.classes);
    case KEY_SUITE: {
        size_t known = 0;
        while (verify_suites[known] && strcmp(verify_suites[known], text) != 0)
            ++known;
        if (!verify_suites[known] || a->request.suite_count == MOST_SUITES)
            return cli_error(CLI_USAGE, "--suite expects a suite that `clfavor verify --list' has, got '%s'", text);
        a->suites[a->request.suite_count++] = text;
        return CLI_OK;
    }
    case KEY_HELP:
        return options_help(state);
    default: /* ARGP_KEY_ARG */
        return cli_error(CLI_USAGE, "selftest: unexpected argument '%s'; see `clfavor selftest --help`", text);
    }
}

static int print_summary(const json_t *report, const char *path) {
    json_t *value;
    size_t i;
    printf("passed: %s\n", json_is_true(json_object_get(report, "passed")) ? "yes" : "no");
    json_array_foreach(json_object_get(report, "classes"), i, value) {
        json_t *verify = json_object_get(value, "verify"), *device = json_object_get(value, "device");
        printf("%s class: %lld checks passed, %lld failed\n", json_string_value(json_object_get(device, "class")),
               (long long)json_integer_value(json_object_get(verify, "passed")),
               (long long)json_integer_value(json_object_get(verify, "failed")));
    }
    printf("wall_seconds: %.1f\nreport: %s\n", json_number_value(json_object_get(report, "wall_seconds")), path);
    return cli_flush();
}

int cmd_selftest(int argc, char **argv) {
    arguments a = {.request.classes = {true, false, false}};
    a.request.suites = a.suites;
    static const options_parser parser = {"selftest", doc, table, KEY_HELP, take};
    int status = options_read(&parser, argc, argv, &a);
    if (!status)
        status = verify_mutants_select(a.mutant);
    report_file file = {OUTFILE_CLOSED, a.out, selftest_write};
    json_t *report = NULL;
    if (!status && !(status = report_files_open(&file, 1)))
        status = selftest_run(&a.request, &report);
    if (report) {
        int written = report_files_write(&file, 1, report);
        if (!written && a.out)
            written = print_summary(report, a.out);
        else if (!written)
            written = selftest_write(report, stdout) ? cli_flush() : cli_error(CLI_FAILED, "host memory is exhausted");
        status = status ? status : written;
    }
    json_decref(report);
    report_files_discard(&file, 1);
    return status == OPTIONS_EXIT ? CLI_OK : status;
}
