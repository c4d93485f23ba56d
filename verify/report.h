/* What the three reports share: the suites in their order, text that any reader takes, numbers, and the locale. */
#ifndef VERIFY_REPORT_H
#define VERIFY_REPORT_H

#include <stdint.h>

#include "verify.h"

typedef struct verify_report_suite {
    const char *name, *text; /* text is "" for a suite that verify_suites does not name */
    size_t outcomes[4];      /* by verify_outcome */
    size_t checks, by_chance, plots, tables;
} verify_report_suite;

/* The suites that have anything to report: those of verify_suites first, then others as they occur. The caller frees
 * the array. NULL: memory is exhausted. */
verify_report_suite *verify_report_suites(const verify_result *result, size_t *count);

const char *verify_outcome_name(verify_outcome outcome);

/* Calls write in the "C" locale, since a decimal comma would break every format here, and puts the caller's locale
 * back. false: write failed, or the stream did. */
bool verify_report(const verify_result *result, FILE *to, bool (*write)(const verify_result *, FILE *));

/* The next character of a text, and how many bytes it took; U+FFFD for a byte that is no UTF-8. */
size_t verify_next_character(const char *text, uint32_t *character);
/* Room for any character and a NUL; returns the bytes. */
size_t verify_encode_character(uint32_t character, char bytes[5]);

/* Text for XML and HTML, in elements and in attributes between double quotes. What XML cannot hold becomes U+FFFD. NULL
 * writes nothing. */
void verify_write_text(FILE *to, const char *text);

/* The style sheet of the page and of its plots. */
extern const char verify_report_style[];

#define VERIFY_NUMBER 32
/* The number with so many significant digits, at most 17; "NaN", "Infinity" or "-Infinity". Returns text. */
const char *verify_number(char text[VERIFY_NUMBER], double value, int digits);

#endif
