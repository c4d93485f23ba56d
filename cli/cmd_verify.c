#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bounds.h"
#include "cmd.h"
#include "inputs.h"
#include "message.h"
#include "progress.h"
#include "report_file.h"
#include "session.h"
#include "verify_data.h"
#include "verify_mutants.h"
#include "verify_options.h"

enum { REPORTS = 3 };

static bool write_json(const void *result, FILE *to) {
    return verify_write_json(result, to);
}

static bool write_junit(const void *result, FILE *to) {
    return verify_write_junit(result, to);
}

static bool write_html(const void *result, FILE *to) {
    return verify_write_html(result, to);
}

static int draw_seed(verify_arguments *a) {
    if (!a->seed_random)
        return CLI_OK;
    /* records that are there bring their seed along */
    if (a->resume_count && verify_has_seed(a->resume[0], &a->seed)) {
        cli_note("seed %" PRIu64 " of the records in '%s'", a->seed, a->resume[0]);
        return CLI_OK;
    }
    if (getrandom(&a->seed, sizeof a->seed, 0) != (ssize_t)sizeof a->seed)
        return cli_error(CLI_FAILED, "no random seed can be had from the system; give --seed");
    cli_note("seed %" PRIu64, a->seed);
    return CLI_OK;
}

/* A report must not replace the records that it is made from. */
static int open_reports(report_file reports[REPORTS], const verify_arguments *a) {
    for (size_t i = 0; i < REPORTS; ++i) {
        int status = inputs_check_paths(&reports[i].path, 1, a->resume, a->resume_count);
        if (status)
            return status;
    }
    return report_files_open(reports, REPORTS);
}

static void print_check(const verify_check *c) {
    printf("FAILED %s/%s: %s statistic %.6g, at most %.6g", c->suite, c->name, c->test, c->statistic, c->threshold);
    if (!isnan(c->estimate) && !isnan(c->expected))
        printf("; %.9g, expected %.9g", c->estimate, c->expected);
    printf("%s%s\n", c->note ? "; " : "", c->note ? c->note : "");
}

static void print_suite(const verify_result *r, const char *suite) {
    size_t counts[4] = {0}, chance = 0;
    for (size_t i = 0; i < r->check_count; ++i)
        if (strcmp(r->checks[i].suite, suite) == 0) {
            ++counts[r->checks[i].outcome];
            chance += r->checks[i].alpha > 0.0;
        }
    if (!counts[0] && !counts[1] && !counts[2] && !counts[3])
        return;
    printf("%s: %zu passed", suite, counts[VERIFY_PASSED]);
    if (chance)
        printf(" (%zu by statistics)", chance);
    printf(", %zu failed", counts[VERIFY_FAILED]);
    if (counts[VERIFY_SHOWN])
        printf(", %zu shown", counts[VERIFY_SHOWN]);
    if (counts[VERIFY_PENDING])
        printf(", %zu jobs wait for other shards", counts[VERIFY_PENDING]);
    putchar('\n');
}

/* A line a suite, the failures, the total. */
static int print_result(const verify_result *r) {
    for (size_t i = 0; i < r->check_count; ++i)
        if (r->checks[i].outcome == VERIFY_FAILED)
            print_check(&r->checks[i]);
    for (size_t s = 0; verify_suites[s]; ++s)
        print_suite(r, verify_suites[s]);
    print_suite(r, "mutants");
    printf("level: %s\nseed: %" PRIu64 "\ndevice: %s (%s class)\n", verify_level_name(r->level), r->seed, r->device,
           r->device_class);
    if (r->shards)
        printf("shard: %" PRIu32 " of %" PRIu32 "\n", r->shard ? r->shard : r->shards, r->shards);
    if (r->blocks_resumed)
        printf("blocks: %" PRIu64 ", of which %" PRIu64 " from records\n", r->blocks, r->blocks_resumed);
    printf("checks: %zu passed, %zu failed\nfalse alarm: at most %g for all %zu statistical checks of the level\n",
           r->passed, r->failed, r->alpha, r->statistical);
    printf("wall_seconds: %.1f\n", r->wall_seconds);
    return cli_flush();
}

static int print_calibration(const verify_result *r) {
    double alarms = 0.0, runs = 0.0, worst = 0.0, low, high;
    size_t statistical = 0;
    for (size_t i = 0; i < r->check_count; ++i) {
        const verify_check *c = &r->checks[i];
        if (c->outcome == VERIFY_FAILED)
            print_check(c);
        if (c->alpha > 0.0) {
            alarms += c->statistic;
            worst = c->statistic > worst ? c->statistic : worst;
            runs = c->samples;
            ++statistical;
        }
    }
    verify_binomial_interval(worst, runs, 0.05, &low, &high);
    printf("runs: %.0f with random seeds from %" PRIu64 "\n", runs, r->seed);
    printf("alpha of each check: %g\n", r->alpha);
    printf("statistical checks: %zu, each run %.0f times\n", statistical, runs);
    printf("false alarms: %.0f of %.0f (%.3g; %g is claimed at most)\n", alarms, runs * (double)statistical,
           alarms / (runs * (double)statistical), r->alpha);
    printf("most by one check: %.0f of %.0f (95 %% interval of its rate: %.2g to %.2g)\n", worst, runs, low, high);
    printf("checks: %zu passed, %zu failed\nwall_seconds: %.1f\n", r->passed, r->failed, r->wall_seconds);
    return cli_flush();
}

static verify_options make_options(const verify_arguments *a, const session *s) {
    return (verify_options){.cl = s->cl,
                            .device = s->device.id,
                            .context = s->context,
                            .level = a->level,
                            .seed = a->seed,
                            .alpha = a->alpha > 0.0 ? a->alpha : 1e-6,
                            .selection = a->selection,
                            .selection_count = a->selection_count,
                            .resume = a->resume,
                            .resume_count = a->resume_count,
                            .seed_given = a->seed_given,
                            .shard = a->shard,
                            .shards = a->shards,
                            .workers = a->workers,
                            .stop_early = a->mutant && strcmp(a->mutant, "none") != 0};
}

static int run_suites(const verify_arguments *a, const session *s, report_file reports[REPORTS]) {
    verify_result result;
    char error[512] = "";
    bool bad_input = false;
    progress p;
    verify_options run = make_options(a, s);
    run.progress = progress_share;
    run.user = &p;
    progress_start(&p, "verifying", "parts", PROGRESS_PARTS);
    if (a->calibrate && !(a->alpha > 0.0))
        run.alpha = 1e-3;
    if (a->calibrate && !a->selection_count) {
        static const char *const suites[] = {"law", "mean"};
        run.selection = suites;
        run.selection_count = 2;
    }
    bool good = a->calibrate ? verify_calibrate(&run, a->calibrate, &result, error, &bad_input)
                             : verify_run_all(&run, &result, error, &bad_input);
    progress_stop(&p);
    int status =
        good ? CLI_OK : cli_error(bad_input ? CLI_USAGE : CLI_FAILED, "%s%s%s", error, s->log[0] ? ": " : "", s->log);
    if (!status && a->mutants)
        status = verify_mutants_run(a, &result);
    if (!status)
        status = report_files_write(reports, REPORTS, &result);
    if (!status)
        status = a->calibrate ? print_calibration(&result) : print_result(&result);
    if (!status && result.failed)
        status = CLI_FAILED;
    verify_result_free(&result);
    return status;
}

static int list(const verify_arguments *a) {
    char error[512];
    session none = {0};
    verify_options run = make_options(a, &none);
    if (!verify_list(&run, stdout, error))
        return cli_error(CLI_USAGE, "%s", error);
    return cli_flush();
}

int cmd_verify(int argc, char **argv) {
    verify_arguments a;
    session s = {0};
    int status = verify_arguments_parse(&a, argc, argv);
    report_file reports[REPORTS] = {{OUTFILE_CLOSED, a.json, write_json},
                                    {OUTFILE_CLOSED, a.junit, write_junit},
                                    {OUTFILE_CLOSED, a.report, write_html}};
    if (!status)
        status = verify_mutants_select(a.mutant);
    if (!status && a.list) {
        status = list(&a);
    } else if (!status && a.q) {
        if (!(status = draw_seed(&a)))
            status = verify_data(&a);
    } else if (!status && !(status = session_open(&s, &(session_request){a.device, a.device_class, a.tuning, NULL})) &&
               !(status = open_reports(reports, &a)) && !(status = draw_seed(&a))) {
        status = run_suites(&a, &s, reports);
    }
    report_files_discard(reports, REPORTS);
    session_close(&s);
    verify_arguments_free(&a);
    return status == OPTIONS_EXIT ? CLI_OK : status;
}
