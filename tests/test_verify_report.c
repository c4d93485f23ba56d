/* The three reports of results made by hand, with everything in them that a reader could stumble over. */
#define _GNU_SOURCE
#include "support.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "report.h"

#define NASTY   "a<b>&\"c']]>\x01\x1b\xff\xc3\xa9\tend"
#define ESCAPED "a&lt;b&gt;&amp;&quot;c&#39;]]&gt;\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9&#9;end"
#define COUNT   5

typedef bool (*writer)(const verify_result *, FILE *);
static const writer writers[] = {verify_write_json, verify_write_junit, verify_write_html};

/* ------------------------------------------------------------------------------------------------------ the result */

static double one[] = {1, 2, 3, 4, 5}, odd[] = {NAN, -INFINITY, 0, 0.1, INFINITY}, same[] = {7, 7, 7, 7, 7},
              low[] = {-1, 0, 1e-3, NAN, 2}, high[] = {2, 3, 4, 5, INFINITY}, huge[] = {-1e308, 1e308, 1e-310, 1, 2};

static verify_check checks[] = {
    {"mutants", "found", "count", VERIFY_PASSED, 0, 0, 0, NAN, NAN, NAN, NAN, NAN, NULL},
    {"law", NASTY, "DKW", VERIFY_FAILED, 30.5, 21.0, 1e-9, 65536, 0.1, 1.0 / 3.0, 1e-300, 0.002, "a note <&>"},
    {"law", "not a number", "bound", VERIFY_FAILED, NAN, 1.0, 0, NAN, NAN, 2, NAN, NAN, NULL},
    {"law", "slope", "99 % interval", VERIFY_SHOWN, 0, 0, 0, NAN, -0.505, -0.5, 0.02, NAN, NULL},
    {"mean", "job", "Catoni", VERIFY_PENDING, 0, 0, 0, 3, NAN, 12, NAN, NAN, "blocks done of those needed"},
    {"mean", "good", "Catoni", VERIFY_PASSED, 1.0, 43.0, 1e-9, 1e6, 1.25, 1.2, 0.1, 0.01, NULL},
};

/* Every style with every kind of value. */
static verify_series series[] = {
    {NASTY, VERIFY_LINE, COUNT, one, odd, NULL, NULL},       {"points", VERIFY_POINTS, COUNT, one, one, low, high},
    {"theory", VERIFY_THEORY, COUNT, one, same, NULL, NULL}, {"band", VERIFY_BAND, COUNT, one, NULL, low, high},
    {"bars", VERIFY_BARS, COUNT, one, odd, NULL, NULL},      {"odd x", VERIFY_POINTS, COUNT, odd, odd, odd, odd},
    {NULL, VERIFY_LINE, COUNT, NULL, NULL, NULL, NULL},      {"no band", VERIFY_BAND, COUNT, one, NULL, NULL, high},
    {"odd bars", VERIFY_BARS, COUNT, odd, one, NULL, NULL},  {"odd band", VERIFY_BAND, COUNT, one, one, odd, odd},
    {"nothing", VERIFY_BARS, 0, NULL, NULL, NULL, NULL},     {"one bar", VERIFY_BARS, 1, one, one, NULL, NULL},
    {"one point", VERIFY_LINE, 1, one, one, NULL, NULL},     {"equal", VERIFY_POINTS, COUNT, same, same, NULL, NULL},
    {"huge", VERIFY_LINE, COUNT, huge, huge, huge, huge},
};
#define SERIES (sizeof series / sizeof *series)
#define SCALES 4 /* linear and logarithmic axes, two each */
#define PLOTS  (SCALES * (SERIES + 2))

static char *cells[] = {"map", "value <1>", NASTY, "-1.5", "relu", ""};
static verify_table tables[] = {{"law", "table & title", "text", 2, 2, cells}, {"own", NULL, NULL, 1, 0, NULL}};
static verify_plot plots[PLOTS];

/* On every scale: each series alone, all together, none. */
static void make_plots(void) {
    for (size_t i = 0; i < PLOTS; ++i) {
        size_t which = i / SCALES;
        plots[i] = (verify_plot){"law", "title " NASTY, "x", "y", "caption", i & 1, i & 2, 1, &series[which % SERIES]};
        if (which == SERIES)
            plots[i].series_count = SERIES;
        else if (which > SERIES)
            plots[i] = (verify_plot){"law", NULL, NULL, NULL, NULL, i & 1, i & 2, 0, NULL};
    }
}

static verify_result make_result(void) {
    make_plots();
    return (verify_result){.checks = checks,
                           .check_count = sizeof checks / sizeof *checks,
                           .plots = plots,
                           .plot_count = PLOTS,
                           .tables = tables,
                           .table_count = 2,
                           .passed = 2,
                           .failed = 2,
                           .shown = 1,
                           .pending = 1,
                           .statistical = 1000,
                           .alpha = 1e-6,
                           .seed = UINT64_MAX,
                           .blocks = 40,
                           .blocks_done = 20,
                           .blocks_resumed = 4,
                           .wall_seconds = 12.5,
                           .level = VERIFY_FULL,
                           .shard = 0,
                           .shards = 4,
                           .device = NASTY,
                           .platform = "p",
                           .driver = "d",
                           .version = "1",
                           .device_class = "cpu"};
}

static char *written(writer write, const verify_result *result) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(memory);
    ck_assert(write(result, memory));
    ck_assert_int_eq(fclose(memory), 0);
    return text;
}

static size_t occurrences(const char *text, const char *what) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)); ++at)
        ++count;
    return count;
}

/* ---------------------------------------------------------------------------------------------------------- JSON */

static const json_t *item(const json_t *object, const char *array, size_t index) {
    const json_t *value = json_array_get(json_object_get(object, array), index);
    ck_assert_ptr_nonnull(value);
    return value;
}

static double real(const json_t *object, const char *key) {
    ck_assert(json_is_real(json_object_get(object, key)));
    return json_real_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key) {
    ck_assert(json_is_string(json_object_get(object, key)));
    return json_string_value(json_object_get(object, key));
}

static json_t *parsed(const verify_result *result) {
    json_error_t error;
    char *text = written(verify_write_json, result);
    json_t *root = json_loads(text, 0, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    free(text);
    return root;
}

START_TEST(json_has_the_values) {
    verify_result result = make_result();
    json_t *root = parsed(&result);
    ck_assert_str_eq(string(root, "schema"), "clfavor-verify");
    ck_assert_int_eq(json_integer_value(json_object_get(root, "schema_version")), 1);
    ck_assert_str_eq(string(root, "seed"), "18446744073709551615");
    ck_assert_str_eq(string(root, "level"), "full");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "run"), "shard")), 4);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(root, "counts"), "failed")), 2);
    static const char *const order[] = {"law", "mean", "mutants", "own"};
    ck_assert_uint_eq(json_array_size(json_object_get(root, "suites")), 4);
    for (size_t s = 0; s < 4; ++s)
        ck_assert_str_eq(string(item(root, "suites", s), "name"), order[s]);
    const json_t *check = item(root, "checks", 1);
    ck_assert_str_eq(string(check, "name"), "a<b>&\"c']]>\x01\x1b\xef\xbf\xbd\xc3\xa9\tend");
    ck_assert_str_eq(string(check, "outcome"), "failed");
    ck_assert(real(check, "expected") == 1.0 / 3.0 && real(check, "band") == 1e-300);
    ck_assert(json_is_null(json_object_get(item(root, "checks", 2), "statistic")));
    ck_assert(json_is_null(json_object_get(item(root, "checks", 0), "note")));
    const json_t *drawn = item(item(root, "plots", 0), "series", 0);
    ck_assert_str_eq(string(drawn, "style"), "line");
    ck_assert(json_is_null(item(drawn, "y", 0)) && json_is_null(item(drawn, "y", 4)));
    ck_assert(json_real_value(item(drawn, "y", 3)) == 0.1 && json_is_null(json_object_get(drawn, "low")));
    ck_assert_str_eq(json_string_value(json_array_get(item(item(root, "tables", 0), "rows", 0), 1)), "-1.5");
    json_decref(root);
}
END_TEST

START_TEST(json_of_shards_differs_in_run_only) {
    verify_result result = make_result();
    json_t *first = parsed(&result);
    result.shard = result.shards = 0;
    result.blocks_done = 30;
    result.blocks_resumed = 10;
    result.wall_seconds = 1.0;
    json_t *second = parsed(&result);
    ck_assert(!json_equal(first, second));
    json_object_del(first, "run");
    json_object_del(second, "run");
    ck_assert(json_equal(first, second));
    json_decref(first);
    json_decref(second);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- XML and HTML */

/* The end of a tag whose name ends at `at`: every attribute has a quoted value. */
static const char *skip_attributes(const char *at) {
    while (*at == ' ') {
        at += strspn(at, " ");
        at += strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        ck_assert_msg(at[0] == '=' && at[1] == '"', "attribute without a value: %.40s", at);
        at = strchr(at + 2, '"');
        ck_assert_ptr_nonnull(at);
        ++at;
    }
    return at;
}

static void check_characters(const char *text) {
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#9;", "&#10;"};
    for (const char *at = text; *at; ++at) {
        bool known = *at != '&';
        for (size_t e = 0; e < sizeof entities / sizeof *entities; ++e)
            known |= strncmp(at, entities[e], strlen(entities[e])) == 0;
        ck_assert_msg(known, "not an entity: %.20s", at);
        ck_assert_msg(*at == '\n' || !iscntrl((unsigned char)*at), "control character before %.20s", at);
    }
}

/* Every element is closed, in order. Elements of HTML that have no end are skipped. */
static void check_elements(const char *text) {
    static const char *const without_end[] = {"?xml", "!DOCTYPE", "meta", "br"};
    const char *open[32];
    size_t depth = 0, length;
    for (const char *at = text; (at = strchr(at, '<')); at += length) {
        bool end = at[1] == '/', skipped = false;
        const char *name = at + (end ? 2 : 1);
        length = strcspn(name, " />");
        for (size_t i = 0; i < 4; ++i)
            skipped |= strncmp(name, without_end[i], length) == 0 && strlen(without_end[i]) == length;
        at = name;
        if (skipped)
            continue;
        if (end) {
            ck_assert_uint_gt(depth, 0);
            ck_assert_msg(strncmp(open[--depth], name, length) == 0, "closes another element: %.20s", name);
        } else {
            const char *last = skip_attributes(name + length);
            ck_assert_msg(*last == '>' || (last[0] == '/' && last[1] == '>'), "bad tag: %.40s", name);
            ck_assert_uint_lt(depth, 32);
            if (*last == '>')
                open[depth++] = name;
        }
    }
    ck_assert_uint_eq(depth, 0);
}

START_TEST(junit_is_well_formed_and_counts) {
    verify_result result = make_result();
    char *text = written(verify_write_junit, &result);
    check_characters(text);
    check_elements(text);
    ck_assert_uint_eq(occurrences(text, "<testcase "), 6);
    ck_assert_uint_eq(occurrences(text, "<failure "), 2);
    ck_assert_uint_eq(occurrences(text, "<skipped "), 1);
    ck_assert_uint_eq(occurrences(text, "<system-out>"), 3);
    ck_assert_uint_eq(occurrences(text, "<testsuite "), 3); /* a suite without checks is none here */
    ck_assert_ptr_nonnull(strstr(text, "tests=\"6\" failures=\"2\" errors=\"0\" time=\"12.500\""));
    ck_assert_ptr_nonnull(strstr(text, "name=\"law\" tests=\"3\" failures=\"2\" errors=\"0\" skipped=\"0\""));
    ck_assert_ptr_nonnull(strstr(text, "name=\"" ESCAPED "\""));
    ck_assert_ptr_nonnull(
        strstr(text, "DKW: statistic 30.5, threshold 21; estimate 0.1; expected 0.333333333 +- 1e-300"));
    ck_assert_ptr_nonnull(strstr(text, "bound: statistic NaN, threshold 1; expected 2\""));
    ck_assert_ptr_nonnull(strstr(text, "Catoni: 3 of 12 blocks done of those needed"));
    free(text);
}
END_TEST

/* Numbers and letters of paths; "nan" and "inf" have letters that are none. */
static void check_drawing(const char *svg, const char *end) {
    static const char *const attributes[] = {" d=\"", " x=\"", " y=\""};
    for (size_t a = 0; a < 3; ++a)
        for (const char *at = svg; (at = strstr(at, attributes[a])) && at < end;) {
            at += strlen(attributes[a]);
            size_t length = strspn(at, "0123456789.,- MLHVZahlmvz");
            ck_assert_msg(at[length] == '"' && !memmem(at, length, "na", 2), "%.60s", at);
        }
}

START_TEST(html_stands_alone) {
    verify_result result = make_result();
    char *text = written(verify_write_html, &result);
    check_characters(text);
    check_elements(text);
    static const char *const foreign[] = {"http:", "https:", "<script", "url(", "@import", "src=", "<link", "<b>"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; ++i)
        ck_assert_msg(!strstr(text, foreign[i]), "%s", foreign[i]);
    ck_assert_uint_eq(occurrences(text, "<svg class=\"plot\""), PLOTS);
    for (const char *at = text; (at = strstr(at, "<svg")); ++at)
        check_drawing(at, strstr(at, "</svg>"));
    ck_assert_uint_ge(occurrences(text, ESCAPED), 3);
    ck_assert_ptr_nonnull(strstr(text, "2 of 4 checks failed"));
    ck_assert_ptr_nonnull(strstr(text, "4 of 4</dd>"));
    ck_assert_ptr_nonnull(strstr(text, "no values to draw"));
    ck_assert_ptr_nonnull(strstr(text, "(3 of 5 cannot be drawn)")); /* two of odd are finite */
    ck_assert(strstr(text, "Failed checks") < strstr(text, "id=\"suite-0\""));
    ck_assert(strstr(text, "<h2>mean</h2>") < strstr(text, "<h2>mutants</h2>"));
    free(text);
}
END_TEST

START_TEST(verdicts) {
    static const struct {
        size_t passed, failed, pending;
        const char *text;
    } cases[] = {{3, 0, 0, "All 3 checks passed"},
                 {1, 0, 0, "The only check passed"},
                 {3, 0, 1, "Not finished: the 3 checks so far passed"},
                 {3, 2, 1, "2 of 5 checks failed"},
                 {0, 0, 0, "No check was judged"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        verify_result result = {.passed = cases[i].passed, .failed = cases[i].failed, .pending = cases[i].pending};
        char *text = written(verify_write_html, &result);
        check_elements(text);
        ck_assert_ptr_nonnull(strstr(text, cases[i].text));
        free(text);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- streams */

START_TEST(a_full_device_is_reported) {
    verify_result result = make_result();
    FILE *full = fopen("/dev/full", "w");
    ck_assert_ptr_nonnull(full);
    ck_assert(!writers[_i](&result, full));
    fclose(full);
}
END_TEST

START_TEST(a_decimal_comma_changes_nothing) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    verify_result result = make_result();
    char *before = written(writers[_i], &result);
    bool found = false;
    for (size_t i = 0; i < 4 && !found; ++i)
        found = setlocale(LC_ALL, names[i]) != NULL;
    char *after = written(writers[_i], &result);
    setlocale(LC_ALL, "C");
    ck_assert(strcmp(before, after) == 0); /* too long for a message of Check's */
    free(before);
    free(after);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_report");
    TCase *tcase = tcase_create("verify_report");
    tcase_add_test(tcase, json_has_the_values);
    tcase_add_test(tcase, json_of_shards_differs_in_run_only);
    tcase_add_test(tcase, junit_is_well_formed_and_counts);
    tcase_add_test(tcase, html_stands_alone);
    tcase_add_test(tcase, verdicts);
    tcase_add_loop_test(tcase, a_full_device_is_reported, 0, 3);
    tcase_add_loop_test(tcase, a_decimal_comma_changes_nothing, 0, 3);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
