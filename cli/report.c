#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

json_t *report_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *report_numbers(const double *values, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; ++i)
        json_array_append_new(array, report_number(values[i]));
    return array;
}

static void print_value(FILE *to, const json_t *value) {
    if (json_is_string(value))
        fprintf(to, "%s", json_string_value(value));
    else if (json_is_integer(value))
        fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        fprintf(to, "%.6g", json_real_value(value));
    else
        fprintf(to, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "undefined");
}

void report_lines_to(FILE *to, json_t *object, const char *indent, const char *prefix) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", prefix, key);
        if (json_is_null(value))
            continue;
        if (json_is_object(value)) {
            strncat(name, ".", sizeof name - strlen(name) - 1);
            report_lines_to(to, value, indent, name);
            continue;
        }
        fprintf(to, "%s%s:", indent, name);
        if (json_is_array(value)) {
            for (size_t i = 0; i < json_array_size(value); ++i) {
                fputc(' ', to);
                print_value(to, json_array_get(value, i));
            }
        } else {
            fputc(' ', to);
            print_value(to, value);
        }
        fputc('\n', to);
    }
}

void report_lines(json_t *object, const char *indent, const char *prefix) {
    report_lines_to(stdout, object, indent, prefix);
}

int report_print(json_t *object, bool as_json) {
    if (!object)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    if (as_json) {
        json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        report_lines(object, "", "");
    }
    json_decref(object);
    return cli_flush();
}
