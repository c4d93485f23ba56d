/* JUnit XML, as Jenkins, GitLab and the readers of pytest's take it: a suite is a testsuite, a check a testcase. There
 * is no time of a single check, so only the whole has one. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

static void write_value(FILE *to, const char *before, double value) {
    char text[VERIFY_NUMBER];
    fprintf(to, "%s%s", before, verify_number(text, value, 9));
}

/* NaN stands for what has no meaning for the check. */
static void write_known(FILE *to, const char *before, double value) {
    if (!isnan(value))
        write_value(to, before, value);
}

static void write_finding(FILE *to, const verify_check *check) {
    verify_write_text(to, check->test);
    if (check->outcome == VERIFY_PENDING) {
        write_value(to, ": ", check->samples);
        write_value(to, " of ", check->expected);
    } else {
        fputs(check->outcome == VERIFY_SHOWN ? ": not judged" : ":", to);
        if (check->outcome != VERIFY_SHOWN) {
            write_value(to, " statistic ", check->statistic);
            write_value(to, ", threshold ", check->threshold);
        }
        write_known(to, "; estimate ", check->estimate);
        write_known(to, "; expected ", check->expected);
        write_known(to, " +- ", check->band);
        write_known(to, "; samples ", check->samples);
    }
    if (check->note) {
        fputs(check->outcome == VERIFY_PENDING ? " " : "; ", to);
        verify_write_text(to, check->note);
    }
}

static void write_attribute(FILE *to, const char *name, const char *value) {
    fprintf(to, " %s=\"", name);
    verify_write_text(to, value);
    fputc('"', to);
}

static void write_case(FILE *to, const verify_check *check) {
    fputs("    <testcase classname=\"clfavor.verify.", to);
    verify_write_text(to, check->suite);
    fputc('"', to);
    write_attribute(to, "name", check->name);
    fputs(" time=\"0\">", to);
    if (check->outcome == VERIFY_FAILED) {
        fputs("<failure", to);
        write_attribute(to, "type", check->test);
        fputs(" message=\"", to);
        write_finding(to, check);
        fputs("\">", to);
        write_finding(to, check);
        write_value(to, "; share of alpha ", check->alpha);
        write_known(to, "; misses relative shifts below ", check->sensitivity);
        fputs("</failure>", to);
    } else if (check->outcome == VERIFY_PENDING) {
        fputs("<skipped message=\"", to);
        write_finding(to, check);
        fputs("\"/>", to);
    } else {
        fputs("<system-out>", to);
        write_finding(to, check);
        fputs("</system-out>", to);
    }
    fputs("</testcase>\n", to);
}

static void write_property(FILE *to, const char *name, const char *value) {
    fputs("      <property", to);
    write_attribute(to, "name", name);
    write_attribute(to, "value", value);
    fputs("/>\n", to);
}

static void write_properties(FILE *to, const verify_result *r) {
    char seed[24], alpha[VERIFY_NUMBER], shard[32];
    snprintf(seed, sizeof seed, "%" PRIu64, r->seed);
    snprintf(shard, sizeof shard, "%" PRIu32 "/%" PRIu32, r->shard ? r->shard : r->shards, r->shards);
    fputs("    <properties>\n", to);
    write_property(to, "version", r->version);
    write_property(to, "device", r->device);
    write_property(to, "platform", r->platform);
    write_property(to, "driver", r->driver);
    write_property(to, "class", r->device_class);
    write_property(to, "level", verify_level_name(r->level));
    write_property(to, "seed", seed);
    write_property(to, "alpha", verify_number(alpha, r->alpha, 9));
    if (r->shards)
        write_property(to, "shard", shard);
    fputs("    </properties>\n", to);
}

static void write_suite(FILE *to, const verify_result *r, const verify_report_suite *suite) {
    fputs("  <testsuite", to);
    write_attribute(to, "name", suite->name);
    fprintf(to, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\" time=\"0\">\n", suite->checks,
            suite->outcomes[VERIFY_FAILED], suite->outcomes[VERIFY_PENDING]);
    write_properties(to, r);
    for (size_t i = 0; i < r->check_count; ++i)
        if (strcmp(r->checks[i].suite, suite->name) == 0)
            write_case(to, &r->checks[i]);
    fputs("  </testsuite>\n", to);
}

static bool write_junit(const verify_result *result, FILE *to) {
    size_t count = 0;
    verify_report_suite *suites = verify_report_suites(result, &count);
    if (!suites)
        return false;
    fprintf(to,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuites name=\"clfavor verify\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" time=\"%.3f\">\n",
            result->check_count, result->failed, isfinite(result->wall_seconds) ? result->wall_seconds : 0.0);
    for (size_t s = 0; s < count; ++s)
        if (suites[s].checks)
            write_suite(to, result, &suites[s]);
    fputs("</testsuites>\n", to);
    free(suites);
    return true;
}

bool verify_write_junit(const verify_result *result, FILE *to) {
    return verify_report(result, to, write_junit);
}
