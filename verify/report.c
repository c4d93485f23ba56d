#define _GNU_SOURCE
#include "report.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xfffdu

const char *verify_outcome_name(verify_outcome outcome) {
    static const char *const names[] = {"passed", "failed", "shown", "pending"};
    return names[outcome];
}

bool verify_report(const verify_result *result, FILE *to, bool (*write)(const verify_result *, FILE *)) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    locale_t before = uselocale(plain);
    bool good = write(result, to) && fflush(to) == 0 && !ferror(to);
    uselocale(before);
    freelocale(plain);
    return good;
}

/* ------------------------------------------------------------------------------------------------------- suites */

typedef struct suite_list {
    verify_report_suite *suites;
    size_t count;
} suite_list;

/* The suite of this name, added when it is new; NULL when memory is exhausted. */
static verify_report_suite *find(suite_list *list, const char *name, const char *text) {
    for (size_t i = 0; i < list->count; ++i)
        if (strcmp(list->suites[i].name, name) == 0)
            return &list->suites[i];
    verify_report_suite *grown = realloc(list->suites, (list->count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    list->suites = grown;
    grown[list->count] = (verify_report_suite){.name = name, .text = text};
    return &grown[list->count++];
}

static bool count_contents(suite_list *list, const verify_result *r) {
    verify_report_suite *suite;
    for (size_t i = 0; i < r->check_count; ++i) {
        if (!(suite = find(list, r->checks[i].suite, "")))
            return false;
        ++suite->checks;
        ++suite->outcomes[r->checks[i].outcome];
        suite->by_chance += r->checks[i].alpha > 0.0;
    }
    for (size_t i = 0; i < r->plot_count; ++i) {
        if (!(suite = find(list, r->plots[i].suite, "")))
            return false;
        ++suite->plots;
    }
    for (size_t i = 0; i < r->table_count; ++i) {
        if (!(suite = find(list, r->tables[i].suite, "")))
            return false;
        ++suite->tables;
    }
    return true;
}

verify_report_suite *verify_report_suites(const verify_result *result, size_t *count) {
    suite_list list = {NULL, 0};
    bool good = true;
    for (size_t s = 0; verify_suites[s] && good; ++s)
        good = find(&list, verify_suites[s], verify_suite_texts[s]);
    if (!good || !count_contents(&list, result)) {
        free(list.suites);
        return NULL;
    }
    *count = 0;
    for (size_t s = 0; s < list.count; ++s)
        if (list.suites[s].checks || list.suites[s].plots || list.suites[s].tables)
            list.suites[(*count)++] = list.suites[s];
    return list.suites;
}

/* --------------------------------------------------------------------------------------------------------- text */

size_t verify_next_character(const char *text, uint32_t *character) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xc0 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t code = length < 2 ? bytes[0] : bytes[0] & (0xffu >> (length + 1));
    bool good = length > 0 && bytes[0] < 0xf8;
    for (size_t i = 1; good && i < length; ++i) {
        good = (bytes[i] & 0xc0) == 0x80;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    good = good && code >= smallest[length] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    *character = good ? code : REPLACEMENT;
    return good ? length : 1;
}

size_t verify_encode_character(uint32_t character, char bytes[5]) {
    size_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    static const uint32_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1; character >>= 6)
        bytes[i] = (char)(0x80 | (character & 0x3f));
    bytes[0] = (char)(lead[length] | character);
    bytes[length] = 0;
    return length;
}

/* An attribute would turn a tab or the end of a line into a space. */
static const char *escape_of(uint32_t character) {
    static const struct {
        uint32_t character;
        const char *escape;
    } escapes[] = {{'&', "&amp;"},  {'<', "&lt;"},  {'>', "&gt;"},  {'"', "&quot;"},
                   {'\'', "&#39;"}, {'\t', "&#9;"}, {'\n', "&#10;"}};
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; ++i)
        if (escapes[i].character == character)
            return escapes[i].escape;
    return NULL;
}

void verify_write_text(FILE *to, const char *text) {
    char bytes[5];
    uint32_t character;
    while (text && *text) {
        text += verify_next_character(text, &character);
        const char *escape = escape_of(character);
        bool forbidden = character < 0x20 || (character >= 0x7f && character < 0xa0) || (character & 0xfffe) == 0xfffe;
        verify_encode_character(forbidden ? REPLACEMENT : character, bytes);
        fputs(escape ? escape : bytes, to);
    }
}

const char *verify_number(char text[VERIFY_NUMBER], double value, int digits) {
    if (!isfinite(value)) {
        snprintf(text, VERIFY_NUMBER, "%s", isnan(value) ? "NaN" : value > 0.0 ? "Infinity" : "-Infinity");
        return text;
    }
    snprintf(text, VERIFY_NUMBER, "%.*g", digits, value);
    char *exponent = strchr(text, 'e');
    if (exponent) { /* e-5 instead of e-05, e6 instead of e+06 */
        char *from = exponent + 2, *to = exponent + (exponent[1] == '-' ? 2 : 1);
        from += *from == '0';
        memmove(to, from, strlen(from) + 1);
    }
    return text;
}
