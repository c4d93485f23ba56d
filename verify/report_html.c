/* One page for people: verdict, environment, and for every suite its plots, tables and checks. It needs no script and
 * nothing from elsewhere. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plot_svg.h"
#include "report.h"

#define DIGITS 6 /* of numbers on the page */

static void write_tagged(FILE *to, const char *tag, const char *text) {
    fprintf(to, "<%s>", tag);
    verify_write_text(to, text);
    fprintf(to, "</%s>\n", tag);
}

/* With a space that does not break. */
static void write_percent(FILE *to, double part) {
    char text[VERIFY_NUMBER];
    if (fabs(part) >= 10.0)
        fprintf(to, "%.0f\u00a0%%", 100.0 * part);
    else
        fprintf(to, "%s\u00a0%%", verify_number(text, 100.0 * part, 3));
}

static void write_percent_cell(FILE *to, double part) {
    fputs("<td class=\"n\">", to);
    if (isfinite(part))
        write_percent(to, part);
    else
        fputs("\u2013", to);
    fputs("</td>", to);
}

/* ------------------------------------------------------------------------------------------------------- heading */

static void write_verdict(const verify_result *r, FILE *to) {
    size_t judged = r->passed + r->failed;
    const char *look = r->failed ? "failed" : r->pending || !judged ? "pending" : "passed";
    fprintf(to, "<p class=\"verdict %s\"><strong>", look);
    if (r->failed)
        fprintf(to, "\u2717 %zu of %zu checks failed", r->failed, judged);
    else if (!judged)
        fputs("No check was judged", to);
    else if (r->pending)
        fprintf(to, "Not finished: the %zu checks so far passed", judged);
    else if (judged == 1)
        fputs("\u2713 The only check passed", to);
    else
        fprintf(to, "\u2713 All %zu checks passed", judged);
    fputs("</strong>", to);
    if (r->pending)
        fprintf(to, "%zu %s for blocks that other shards have. ", r->pending,
                r->pending == 1 ? "job waits" : "jobs wait");
    if (r->shown)
        fprintf(to, "%zu further %s shown, not judged. ", r->shown, r->shown == 1 ? "result is" : "results are");
    if (r->statistical) {
        char all[VERIFY_NUMBER], each[VERIFY_NUMBER];
        size_t here = 0;
        for (size_t i = 0; i < r->check_count; ++i)
            here += r->checks[i].alpha > 0.0;
        fprintf(to,
                "If the library is right, the probability that any of the level's %zu statistical checks fails is at "
                "most <span class=\"n\">%s</span>; the share of each is <span class=\"n\">%s</span>. ",
                r->statistical, verify_number(all, r->alpha, DIGITS),
                verify_number(each, r->alpha / (double)r->statistical, 3));
        if (here < r->statistical)
            fprintf(to, "This page has %zu of them.", here);
    }
    fputs("</p>\n", to);
}

static void write_fact(FILE *to, const char *name, const char *value) {
    fputs("<div>", to);
    write_tagged(to, "dt", name);
    write_tagged(to, "dd", value);
    fputs("</div>\n", to);
}

static void write_environment(const verify_result *r, FILE *to) {
    char text[128];
    fputs("<dl>\n", to);
    write_fact(to, "Device", r->device);
    write_fact(to, "Platform", r->platform);
    write_fact(to, "Driver", r->driver);
    write_fact(to, "Kernel class", r->device_class);
    write_fact(to, "clfavor", r->version);
    write_fact(to, "Level", verify_level_name(r->level));
    snprintf(text, sizeof text, "%" PRIu64, r->seed);
    write_fact(to, "Seed", text);
    if (r->shards)
        snprintf(text, sizeof text, "%" PRIu32 " of %" PRIu32, r->shard ? r->shard : r->shards, r->shards);
    write_fact(to, "Shard", r->shards ? text : "none: all of the work");
    snprintf(text, sizeof text, "%.1f s", r->wall_seconds);
    write_fact(to, "Wall time", text);
    snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64 " done here, %" PRIu64 " from records", r->blocks_done,
             r->blocks, r->blocks_resumed);
    write_fact(to, "Blocks of trials", text);
    fputs("</dl>\n", to);
}

/* ------------------------------------------------------------------------------------------------------- summary */

/* The largest part of its threshold that a check reached, of those that are judged and have one. */
static double closest(const verify_result *r, const char *suite) {
    double most = NAN;
    for (size_t i = 0; i < r->check_count; ++i) {
        const verify_check *check = &r->checks[i];
        if (check->outcome <= VERIFY_FAILED && check->threshold > 0.0 && strcmp(check->suite, suite) == 0 &&
            !(check->statistic / check->threshold <= most))
            most = check->statistic / check->threshold;
    }
    return most;
}

static void write_counts(FILE *to, const size_t outcomes[4], size_t by_chance) {
    for (int outcome = VERIFY_PASSED; outcome <= VERIFY_PENDING; ++outcome) {
        const char *look = outcome == VERIFY_FAILED && outcomes[outcome] ? " failed" : "";
        fprintf(to, "<td class=\"n%s\">%zu</td>", look, outcomes[outcome]);
    }
    fprintf(to, "<td class=\"n\">%zu</td>", by_chance);
}

static void write_summary(const verify_result *r, const verify_report_suite *suites, size_t count, FILE *to) {
    const size_t total[4] = {r->passed, r->failed, r->shown, r->pending};
    size_t by_chance = 0;
    fputs(
        "<div class=\"scroll\"><table>\n<thead><tr><th>Suite</th><th class=\"n\">Passed</th><th class=\"n\">Failed</th>"
        "<th class=\"n\">Shown</th><th class=\"n\">Pending</th><th class=\"n\">By statistics</th>"
        "<th class=\"n\">Closest to<br>its threshold</th></tr></thead>\n<tbody>\n",
        to);
    for (size_t s = 0; s < count; ++s) {
        fprintf(to, "<tr><td><a href=\"#suite-%zu\">", s);
        verify_write_text(to, suites[s].name);
        fputs("</a></td>", to);
        write_counts(to, suites[s].outcomes, suites[s].by_chance);
        write_percent_cell(to, closest(r, suites[s].name));
        fputs("</tr>\n", to);
        by_chance += suites[s].by_chance;
    }
    fputs("</tbody>\n<tfoot><tr><td>all</td>", to);
    write_counts(to, total, by_chance);
    fputs("<td></td></tr></tfoot>\n</table></div>\n", to);
}

/* -------------------------------------------------------------------------------------------------------- checks */

/* NaN stands for what has no meaning for the check. */
static void write_number_cell(FILE *to, double value, int digits) {
    char text[VERIFY_NUMBER];
    fprintf(to, "<td class=\"n\">%s</td>", isnan(value) ? "\u2013" : verify_number(text, value, digits));
}

static void write_check(const verify_check *check, FILE *to) {
    char statistic[VERIFY_NUMBER], threshold[VERIFY_NUMBER];
    bool judged = check->outcome <= VERIFY_FAILED;
    const char *outcome = verify_outcome_name(check->outcome);
    fprintf(to, "<tr><td class=\"%s\">%s</td><td class=\"name\">", outcome, outcome);
    verify_write_text(to, check->name);
    fputs("</td><td>", to);
    verify_write_text(to, check->test);
    fputs("</td>", to);
    write_number_cell(to, check->samples, 10);
    write_number_cell(to, check->estimate, DIGITS);
    write_number_cell(to, check->expected, DIGITS);
    write_number_cell(to, check->band, 3);
    if (judged)
        fprintf(to, "<td class=\"n\">%s / %s</td>", verify_number(statistic, check->statistic, 4),
                verify_number(threshold, check->threshold, 4));
    else
        fputs("<td class=\"n\">\u2013</td>", to);
    write_percent_cell(to, check->sensitivity);
    fputs("<td>", to);
    verify_write_text(to, check->note);
    fputs("</td></tr>\n", to);
}

/* suite NULL: the failed ones of all suites. */
static void write_checks(const verify_result *r, const char *suite, FILE *to) {
    fputs("<div class=\"scroll checks\"><table>\n<thead><tr><th>Outcome</th><th>Check</th><th>Test</th><th "
          "class=\"n\">Samples</th>"
          "<th class=\"n\">Estimate</th><th class=\"n\">Expected</th><th class=\"n\">\u00b1 band</th>"
          "<th class=\"n\">Statistic / threshold</th><th "
          "class=\"n\">Sensitivity</th><th>Note</th></tr></thead>\n<tbody>\n",
          to);
    for (size_t i = 0; i < r->check_count; ++i) {
        const verify_check *check = &r->checks[i];
        if (suite ? strcmp(check->suite, suite) == 0 : check->outcome == VERIFY_FAILED)
            write_check(check, to);
    }
    fputs("</tbody></table></div>\n", to);
}

/* -------------------------------------------------------------------------------------------------------- suites */

static void write_table(const verify_table *table, FILE *to) {
    write_tagged(to, "h3", table->title);
    if (table->text && *table->text)
        write_tagged(to, "p", table->text);
    fputs("<div class=\"scroll\"><table>\n", to);
    for (size_t row = 0; table->cells && row <= table->rows; ++row) {
        fputs("<tr>", to);
        for (size_t c = 0; c < table->columns; ++c) {
            /* a column stands as its first value does */
            const char *shape = table->cells[(row || !table->rows ? row : 1) * table->columns + c];
            bool numeric = shape && *shape && strchr("0123456789+-.", *shape);
            fprintf(to, "<%s%s>", row ? "td" : "th", numeric ? " class=\"n\"" : "");
            verify_write_text(to, table->cells[row * table->columns + c]);
            fprintf(to, "</%s>", row ? "td" : "th");
        }
        fputs("</tr>\n", to);
    }
    fputs("</table></div>\n", to);
}

static bool write_plots(const verify_result *r, const char *suite, FILE *to) {
    bool good = true;
    fputs("<div class=\"plots\">\n", to);
    for (size_t i = 0; i < r->plot_count && good; ++i)
        if (strcmp(r->plots[i].suite, suite) == 0)
            good = plot_write(&r->plots[i], to);
    fputs("</div>\n", to);
    return good;
}

static int compare_numbers(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* What the checks would have found, in one line. */
static bool write_sensitivity(const verify_result *r, const char *suite, FILE *to) {
    double *shifts = malloc((r->check_count + 1) * sizeof *shifts);
    bool good = shifts != NULL;
    size_t count = 0;
    for (size_t i = 0; good && i < r->check_count; ++i)
        if (isfinite(r->checks[i].sensitivity) && strcmp(r->checks[i].suite, suite) == 0)
            shifts[count++] = fabs(r->checks[i].sensitivity);
    if (count) {
        qsort(shifts, count, sizeof *shifts, compare_numbers);
        fputs("<p class=\"soft\">Sensitivity, the relative shift that is missed with probability at most 0.001: ", to);
        write_percent(to, shifts[count / 2]);
        if (count > 1) {
            fprintf(to, " in the median of %zu checks, from ", count);
            write_percent(to, shifts[0]);
            fputs(" to ", to);
            write_percent(to, shifts[count - 1]);
        }
        fputs(".</p>\n", to);
    }
    free(shifts);
    return good;
}

static bool write_suite(const verify_result *r, const verify_report_suite *suite, size_t index, FILE *to) {
    fprintf(to, "<section id=\"suite-%zu\">\n", index);
    write_tagged(to, "h2", suite->name);
    if (*suite->text)
        write_tagged(to, "p", suite->text);
    bool good = write_sensitivity(r, suite->name, to);
    if (good && suite->plots)
        good = write_plots(r, suite->name, to);
    for (size_t i = 0; i < r->table_count; ++i)
        if (strcmp(r->tables[i].suite, suite->name) == 0)
            write_table(&r->tables[i], to);
    if (suite->checks) {
        fprintf(to, "<details><summary>%zu %s</summary>\n", suite->checks, suite->checks == 1 ? "check" : "checks");
        write_checks(r, suite->name, to);
        fputs("</details>\n", to);
    }
    fputs("</section>\n", to);
    return good;
}

static bool write_html(const verify_result *result, FILE *to) {
    size_t count = 0;
    verify_report_suite *suites = verify_report_suites(result, &count);
    bool good = suites != NULL;
    fprintf(to,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<title>clfavor verify: %zu passed, %zu failed</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n"
            "<h1>clfavor verify: is the estimator what it claims to be?</h1>\n",
            result->passed, result->failed, verify_report_style);
    write_verdict(result, to);
    write_environment(result, to);
    if (result->failed) {
        fputs("<h2>Failed checks</h2>\n", to);
        write_checks(result, NULL, to);
    }
    write_summary(result, suites, count, to);
    for (size_t s = 0; s < count && good; ++s)
        good = write_suite(result, &suites[s], s, to);
    fputs("</main>\n</body>\n</html>\n", to);
    free(suites);
    return good;
}

bool verify_write_html(const verify_result *result, FILE *to) {
    return verify_report(result, to, write_html);
}
