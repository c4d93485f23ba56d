/* Results on stdout: one JSON object, or the same names as "key: value" lines. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* A number, or null where it is not finite, which JSON cannot say. */
json_t *report_number(double value);
/* An array of those. */
json_t *report_numbers(const double *values, size_t count);

/* Prints and takes over `object`. Members of an object in it are named "outer.inner"; null ones are left out of the
 * lines. Returns CLI_OK, or CLI_FAILED after saying that stdout cannot be written. */
int report_print(json_t *object, bool as_json);

/* "key: value" lines of an object, each after `indent`. */
void report_lines(json_t *object, const char *indent, const char *prefix);
/* The same elsewhere. */
void report_lines_to(FILE *to, json_t *object, const char *indent, const char *prefix);

#endif
