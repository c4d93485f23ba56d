/* One page for people: environment, the fraction of the peak against n, and every figure in a table. It needs no script
 * and nothing from elsewhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "plot_svg.h"
#include "report.h"

static void write_fact(FILE *to, const char *name, const char *value) {
    fprintf(to, "<div><dt>%s</dt><dd>", name);
    verify_write_text(to, value);
    fputs("</dd></div>\n", to);
}

static void write_environment(const bench_result *r, FILE *to) {
    const bench_ceilings *c = &r->ceilings;
    char text[2 * BENCH_TEXT];
    fputs("<dl>\n", to);
    write_fact(to, "Device", r->device);
    write_fact(to, "Platform", r->platform);
    write_fact(to, "Driver", r->driver);
    snprintf(text, sizeof text, "%u compute units, vectors of %u floats", r->compute_units, r->vector_width);
    write_fact(to, "Cores", text);
    write_fact(to, "Kernel class", r->device_class);
    write_fact(to, "clfavor", r->version);
    snprintf(text, sizeof text, "%.1f GFLOP/s (median %.1f), by %s", c->peak.best * 1e-9, c->peak.median * 1e-9,
             c->winner == BENCH_LOOPS ? "sgemm" : "a loop of fused multiply-adds");
    write_fact(to, "Peak", text);
    snprintf(text, sizeof text, "%.1f, %.1f, %.1f GFLOP/s", c->loops[0].best * 1e-9, c->loops[1].best * 1e-9,
             c->loops[2].best * 1e-9);
    write_fact(to, "FMA loops of 8, 12, 16 chains", text);
    if (c->sgemm_library[0]) {
        snprintf(text, sizeof text, "%.1f GFLOP/s: %s", c->sgemm.best * 1e-9, c->sgemm_library);
        write_fact(to, "sgemm", text);
    }
    snprintf(text, sizeof text, "%.1f multiply-adds", c->peak.best / 2.0 / c->exponentials.best);
    write_fact(to, "An exponential takes as long as", text);
    snprintf(text, sizeof text, "%.1f GB/s on %llu MiB", c->bandwidth.best * 1e-9,
             (unsigned long long)(c->bandwidth_bytes >> 20));
    write_fact(to, "Memory", text);
    snprintf(text, sizeof text, "%.0f s", r->wall_seconds);
    write_fact(to, "Wall time", text);
    fputs("</dl>\n", to);
}

static void write_verdict(const bench_result *r, FILE *to) {
    if (r->worst >= r->count)
        return;
    const bench_figures *f = &r->figures[r->worst];
    char name[BENCH_TEXT];
    size_t skipped = 0;
    for (size_t i = 0; i < r->count; ++i)
        skipped += r->figures[i].skipped[0] != '\0';
    fprintf(to, "<p class=\"verdict\"><strong>%.3f of the peak in the worst case</strong>H,n,d,m = %s. ",
            f->fraction.best, bench_work_name(&f->work, name));
    if (skipped)
        fprintf(to, "%zu of %zu shapes do not fit the device and were skipped; the table names them.", skipped,
                r->count);
    fputs("</p>\n", to);
}

/* -------------------------------------------------------------------------------------------------------- plots */

/* Figures of one plot differ in n and m only, and those of one line in n only. */
static bool same_plot(const bench_figures *a, const bench_figures *b) {
    return a->work.operation == b->work.operation && a->work.map == b->work.map &&
           a->work.exact_keys == b->work.exact_keys && a->work.causal == b->work.causal &&
           a->work.backend == b->work.backend && a->work.shape.heads == b->work.shape.heads &&
           a->work.shape.dim == b->work.shape.dim;
}

static bool same_line(const bench_figures *a, const bench_figures *b) {
    return same_plot(a, b) &&
           (a->work.shape.features == b->work.shape.features || a->work.operation == CLFAVOR_OP_EXACT);
}

/* Whether an earlier one is of the same kind. */
static bool seen(const bench_result *r, size_t i, bool (*same)(const bench_figures *, const bench_figures *)) {
    for (size_t j = 0; j < i; ++j)
        if (same(&r->figures[j], &r->figures[i]))
            return true;
    return false;
}

static void add_line(const bench_result *r, size_t first, double *room, bench_figures const **sorted,
                     verify_series series[2]) {
    const bench_figures *f = &r->figures[first];
    size_t count = 0;
    for (size_t i = first; i < r->count; ++i)
        if (same_line(f, &r->figures[i]) && !r->figures[i].skipped[0]) {
            size_t at = count++;
            for (; at > 0 && sorted[at - 1]->work.shape.n > r->figures[i].work.shape.n; --at)
                sorted[at] = sorted[at - 1];
            sorted[at] = &r->figures[i];
        }
    for (size_t theory = 0; theory < 2; ++theory) {
        verify_series *s = &series[theory];
        s->style = theory ? VERIFY_THEORY : VERIFY_LINE;
        s->count = count;
        s->x = room + 2 * theory * count;
        s->y = s->x + count;
        for (size_t i = 0; i < count; ++i) {
            s->x[i] = (double)sorted[i]->work.shape.n;
            s->y[i] = theory ? sorted[i]->bound : sorted[i]->fraction.best;
        }
    }
}

static bool write_plot(const bench_result *r, size_t first, FILE *to) {
    enum { LABEL = 32 };
    const bench_figures *f = &r->figures[first];
    double *room = calloc(4 * r->count, sizeof *room);
    const bench_figures **sorted = calloc(r->count, sizeof *sorted);
    verify_series *series = calloc(2 * r->count, sizeof *series);
    char(*labels)[LABEL] = calloc(2 * r->count, sizeof *labels), title[BENCH_TEXT];
    bool exact = f->work.operation == CLFAVOR_OP_EXACT;
    snprintf(title, sizeof title, "%s, %s%s, %llu head%s, d = %u%s%s", bench_operation_name(f->work.operation),
             exact ? "" : bench_map_name(f->work.map),
             f->work.operation > CLFAVOR_OP_EXACT ? ""
             : f->work.causal                     ? " causal"
                                                  : " bidirectional",
             (unsigned long long)f->work.shape.heads, f->work.shape.heads == 1 ? "" : "s", f->work.shape.dim,
             f->work.backend ? ", " : "", f->work.backend ? bench_backend_name(f->work.backend) : "");
    verify_plot plot = {.suite = "bench",
                        .title = title,
                        .x_label = (char[]){"n, tokens"},
                        .y_label = (char[]){"fraction of the peak"},
                        .log_x = true,
                        .series = series};
    bool good = room && sorted && series && labels;
    double *next = room;
    for (size_t i = first; i < r->count && good; ++i) {
        const bench_figures *line = &r->figures[i];
        if (!same_plot(f, line) || seen(r, i, same_line))
            continue;
        verify_series *pair = &series[plot.series_count];
        add_line(r, i, next, sorted, pair);
        next += 4 * pair->count;
        for (size_t s = 0; s < 2; ++s) {
            char *label = labels[plot.series_count + s];
            snprintf(label, LABEL, "m = %u%s", line->work.shape.features, s ? ", roofline" : "");
            if (exact)
                snprintf(label, LABEL, "%s", s ? "roofline" : "measured");
            pair[s].label = label;
        }
        plot.series_count += 2;
    }
    good = good && plot_write(&plot, to);
    free(room);
    free(sorted);
    free(series);
    free(labels);
    return good;
}

/* -------------------------------------------------------------------------------------------------------- tables */

static void write_row(const bench_figures *f, FILE *to) {
    const bench_shape *s = &f->work.shape;
    double tokens = (double)s->heads * (double)s->n;
    char name[BENCH_TEXT];
    fprintf(to, "<tr><td>%s</td>", bench_work_name(&f->work, name));
    if (f->skipped[0]) {
        fputs("<td colspan=\"9\">skipped: ", to);
        verify_write_text(to, f->skipped);
        fputs("</td></tr>\n", to);
        return;
    }
    fprintf(to,
            "<td class=\"n\">%.4g</td><td class=\"n\">%.4g</td><td class=\"n\">%.3f</td><td class=\"n\">%.3f</td>"
            "<td class=\"n\">%.3f</td><td class=\"n\">%.1f</td><td class=\"n\">%.2f</td><td class=\"n\">%.3f</td>"
            "<td class=\"n\">%.2f</td></tr>\n",
            f->seconds.best * 1e6 / tokens, f->seconds.median * 1e6 / tokens, f->fraction.best, f->fraction.median,
            f->bound, f->peak.best * 1e-9, (double)f->workspace * 0x1p-20, f->plan_cold + f->first_run,
            f->cpu_over_wall);
}

static void write_table(const bench_result *r, FILE *to) {
    fprintf(
        to,
        "<details%s><summary>%zu shapes</summary><div class=\"scroll\"><table>\n<thead><tr><th>H,n,d,m</th>"
        "<th class=\"n\">\u00b5s a token<br>and head</th><th class=\"n\">median</th>"
        "<th class=\"n\">Fraction<br>of peak</th><th class=\"n\">median</th><th class=\"n\">Roofline</th>"
        "<th class=\"n\">Peak<br>GFLOP/s</th><th class=\"n\">Workspace<br>MiB</th>"
        "<th class=\"n\">Plan and<br>first run, s</th><th class=\"n\">CPU over<br>wall</th></tr></thead>\n<tbody>\n",
        r->count > 20 ? "" : " open", r->count);
    for (size_t i = 0; i < r->count; ++i)
        write_row(&r->figures[i], to);
    fputs("</tbody></table></div></details>\n", to);
}

static void write_peers(const bench_result *r, FILE *to) {
    fputs("<h2>Beside others</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>H,n,d,m</th><th>Peer</th><th>"
          "Computes</th><th class=\"n\">Its time over our<br>linear attention's</th><th class=\"n\">over our "
          "exact<br>attention's</th><th class=\"n\">Relative<br>difference</th><th class=\"n\">Tolerance</th>"
          "</tr></thead>\n<tbody>\n",
          to);
    for (size_t i = 0; i < r->comparison_count; ++i) {
        const bench_comparison *c = &r->comparisons[i];
        const bench_work work = {CLFAVOR_OP_ATTENTION, CLFAVOR_MAP_POSITIVE, c->shape, c->causal, 0,
                                 CLFAVOR_BACKEND_AUTO};
        char name[BENCH_TEXT];
        fprintf(to, "<tr><td>%s</td><td>", bench_work_name(&work, name));
        verify_write_text(to, c->name);
        fprintf(to,
                "</td><td>%s</td><td class=\"n\">%.2f</td><td class=\"n\">%.2f</td><td class=\"n%s\">%.2g</td>"
                "<td class=\"n\">%.2g%s</td></tr>\n",
                c->exact ? "exact" : "linear", c->seconds.best / c->linear.best, c->seconds.best / c->own_exact.best,
                c->failed ? " failed" : "", c->error, c->tolerance, c->enforced ? "" : " (not enforced)");
    }
    fputs("</tbody></table></div>\n", to);
}

bool bench_write_html(const bench_result *r, FILE *to) {
    fprintf(to,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<title>clfavor bench</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n"
            "<h1>clfavor bench: how much of the device's peak is used</h1>\n",
            verify_report_style);
    write_verdict(r, to);
    write_environment(r, to);
    fputs("<div class=\"plots\">\n", to);
    bool good = true;
    for (size_t i = 0; i < r->count && good; ++i)
        if (!seen(r, i, same_plot))
            good = write_plot(r, i, to);
    fputs("</div>\n", to);
    write_table(r, to);
    if (r->comparison_count)
        write_peers(r, to);
    fputs("</main>\n</body>\n</html>\n", to);
    return good && fflush(to) == 0 && !ferror(to);
}
