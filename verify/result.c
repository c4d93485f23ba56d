/* Making and freeing of results. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

char *verify_format(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

static char *copy_text(verify_run *run, const char *text) {
    char *copy = text ? strdup(text) : NULL;
    run->out_of_memory |= text && !copy;
    return copy;
}

/* Makes room for one more; the array doubles at powers of two. */
static void *grow(verify_run *run, void *array, size_t count, size_t size) {
    if (count & (count - 1)) /* no power of two: there is room */
        return array;
    void *grown = realloc(array, (count ? 2 * count : 1) * size);
    run->out_of_memory |= !grown;
    return grown;
}

verify_check verify_check_init(const verify_job *job, const char *test, double statistic, double threshold,
                               double alpha) {
    return (verify_check){.suite = job->suite,
                          .name = (char *)job->name,
                          .test = test,
                          .outcome = statistic <= threshold ? VERIFY_PASSED : VERIFY_FAILED,
                          .statistic = statistic,
                          .threshold = threshold,
                          .alpha = alpha,
                          .samples = NAN,
                          .estimate = NAN,
                          .expected = NAN,
                          .band = NAN,
                          .sensitivity = NAN};
}

void verify_add_check(verify_run *run, const verify_check *check) {
    verify_result *r = run->result;
    verify_check *checks = grow(run, r->checks, r->check_count, sizeof *checks);
    char *name = checks ? copy_text(run, check->name) : NULL;
    if (checks)
        r->checks = checks;
    if (name) {
        checks[r->check_count] = *check;
        checks[r->check_count++].name = name;
        size_t *counters[] = {&r->passed, &r->failed, &r->shown, &r->pending};
        ++*counters[check->outcome];
    }
}

verify_plot *verify_add_plot(verify_run *run, const char *suite, const char *title, const char *x_label,
                             const char *y_label, bool log_x, bool log_y, const char *text) {
    verify_result *r = run->result;
    verify_plot *plots = grow(run, r->plots, r->plot_count, sizeof *plots), *plot = NULL;
    if (plots) {
        r->plots = plots;
        plot = &plots[r->plot_count++];
        *plot = (verify_plot){.suite = suite,
                              .title = copy_text(run, title),
                              .x_label = copy_text(run, x_label),
                              .y_label = copy_text(run, y_label),
                              .text = copy_text(run, text),
                              .log_x = log_x,
                              .log_y = log_y};
    }
    return plot;
}

static double *copy_values(verify_run *run, const double *values, size_t count) {
    double *copy = values ? verify_new(run, count, sizeof *copy) : NULL;
    if (copy)
        memcpy(copy, values, count * sizeof *copy);
    return copy;
}

void verify_add_series(verify_run *run, verify_plot *plot, const char *label, verify_style style, size_t count,
                       const double *x, const double *y, const double *low, const double *high) {
    verify_series *series = plot ? grow(run, plot->series, plot->series_count, sizeof *series) : NULL;
    if (!series)
        return;
    plot->series = series;
    series[plot->series_count++] = (verify_series){.label = copy_text(run, label),
                                                   .style = style,
                                                   .count = count,
                                                   .x = copy_values(run, x, count),
                                                   .y = copy_values(run, y, count),
                                                   .low = copy_values(run, low, count),
                                                   .high = copy_values(run, high, count)};
}

void verify_add_table(verify_run *run, const char *suite, const char *title, const char *text, size_t columns,
                      size_t rows, char *const *cells) {
    verify_result *r = run->result;
    char **copies = verify_new(run, (rows + 1) * columns, sizeof *copies);
    if (!copies)
        return;
    for (size_t i = 0; i < (rows + 1) * columns; ++i)
        copies[i] = copy_text(run, cells[i] ? cells[i] : "");
    verify_table *tables = grow(run, r->tables, r->table_count, sizeof *tables);
    if (tables) {
        r->tables = tables;
        tables[r->table_count++] = (verify_table){.suite = suite,
                                                  .title = copy_text(run, title),
                                                  .text = copy_text(run, text),
                                                  .columns = columns,
                                                  .rows = rows,
                                                  .cells = copies};
    }
}

void verify_result_free(verify_result *r) {
    for (size_t i = 0; i < r->check_count; ++i)
        free(r->checks[i].name);
    for (size_t i = 0; i < r->plot_count; ++i) {
        verify_plot *plot = &r->plots[i];
        for (size_t s = 0; s < plot->series_count; ++s) {
            double *arrays[] = {plot->series[s].x, plot->series[s].y, plot->series[s].low, plot->series[s].high};
            for (size_t a = 0; a < 4; ++a)
                free(arrays[a]);
            free(plot->series[s].label);
        }
        char *texts[] = {plot->title, plot->x_label, plot->y_label, plot->text};
        for (size_t t = 0; t < 4; ++t)
            free(texts[t]);
        free(plot->series);
    }
    for (size_t i = 0; i < r->table_count; ++i) {
        for (size_t c = 0; c < (r->tables[i].rows + 1) * r->tables[i].columns; ++c)
            free(r->tables[i].cells[c]);
        free(r->tables[i].cells);
        free(r->tables[i].title);
        free(r->tables[i].text);
    }
    free(r->checks);
    free(r->plots);
    free(r->tables);
    memset(r, 0, sizeof *r);
}
