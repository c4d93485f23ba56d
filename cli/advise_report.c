#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise.h"
#include "plot_svg.h"
#include "report.h"

/* The first step at which a line's error is at most the target; steps if none is. */
static size_t first_good(const advice *a, size_t line) {
    size_t step = 0;
    while (step < a->steps && !(a->lines[line].median[step] <= a->target))
        ++step;
    return step;
}

void advice_sentence(const advice *a, char *text, size_t size) {
    size_t good = first_good(a, FITTED), plain = first_good(a, PLAIN), least = 0;
    for (size_t step = 1; step < a->steps; ++step)
        if (a->lines[FITTED].median[step] < a->lines[FITTED].median[least])
            least = step;
    if (a->mean_value_error <= a->target)
        snprintf(text, size, "Use what you like: answering the mean of V errs only %.2g.", a->mean_value_error);
    else if (good == a->steps)
        snprintf(
            text, size,
            "Use exact attention (--exact, about %.3g s): no estimator up to M = %u errs at most %g, the least is %.2g "
            "with --fit --features %u (about %.3g s).",
            a->exact_seconds, a->features[a->steps - 1], a->target, a->lines[FITTED].median[least], a->features[least],
            a->seconds[least]);
    else if (a->seconds[good] >= a->exact_seconds)
        snprintf(
            text, size,
            "Use exact attention (--exact, about %.3g s): at this length it is faster than --fit --features %u (about "
            "%.3g s), the least M that errs at most %g.",
            a->exact_seconds, a->features[good], a->seconds[good], a->target);
    else if (plain <= good)
        snprintf(
            text, size,
            "Use plain features (--features %u, about %.3g s against %.3g s of exact attention): their error of %.2g "
            "is low enough without a fit.",
            a->features[plain], a->seconds[plain], a->exact_seconds, a->lines[PLAIN].median[plain]);
    else
        snprintf(
            text, size,
            "Use --fit --features %u: its error is about %.2g (plain features: %.2g), and it takes about %.3g s, %.2g "
            "times less than exact attention.",
            a->features[good], a->lines[FITTED].median[good], a->lines[PLAIN].median[good], a->seconds[good],
            a->exact_seconds / a->seconds[good]);
}

static json_t *wholes(const uint32_t *values, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; ++i)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

/* The largest M that is faster than exact attention; 0 where none is. */
static uint32_t fastest_up_to(const advice *a) {
    uint32_t found = 0;
    for (size_t step = 0; step < a->steps; ++step)
        if (a->seconds[step] < a->exact_seconds)
            found = a->features[step];
    return found;
}

json_t *advice_json(const advice *a) {
    const run_shape *s = a->shape;
    size_t sets = (size_t)s->heads_kv, heads = (size_t)(s->batch * s->heads);
    char text[400];
    json_t *object = json_object(), *errors = json_object(), *per_head = json_array();
    json_object_set_new(object, "device", json_string(a->device));
    json_object_set_new(object, "class", json_string(a->device_class));
    json_object_set_new(
        object, "shape",
        json_pack("[I, I, I, I]", (json_int_t)s->batch, (json_int_t)s->heads, (json_int_t)s->n, (json_int_t)s->d));
    json_object_set_new(object, "mean_s_plain", report_numbers(a->mean_s_plain, sets));
    json_object_set_new(object, "mean_s", report_numbers(a->mean_s, sets));
    json_object_set_new(object, "effective_keys", report_numbers(a->effective, sets));
    json_object_set_new(object, "features", wholes(a->features, a->steps));
    json_object_set_new(object, "exact_keys", wholes(a->exact, a->steps));
    for (size_t line = 0; line < a->line_count; ++line)
        json_object_set_new(errors, a->lines[line].name, report_numbers(a->lines[line].median, a->steps));
    json_object_set_new(object, "predicted_error", errors);
    for (size_t step = 0; step < a->steps; ++step)
        json_array_append_new(per_head, report_numbers(a->errors + step * heads, heads));
    json_object_set_new(object, "predicted_error_per_head", per_head);
    json_object_set_new(object, "mean_value_error", report_number(a->mean_value_error));
    json_object_set_new(object, "rows", json_integer((json_int_t)a->rows));
    json_object_set_new(object, "draws", json_integer(a->draws));
    json_object_set_new(object, "fit_seconds", report_number(a->fit_seconds));
    json_object_set_new(object, "seconds", report_numbers(a->seconds, a->steps));
    json_object_set_new(object, "exact_seconds", report_number(a->exact_seconds));
    json_object_set_new(object, "faster_up_to", json_integer(fastest_up_to(a)));
    advice_sentence(a, text, sizeof text);
    json_object_set_new(object, "advice", json_string(text));
    return object;
}

void advice_print(const advice *a) {
    const run_shape *s = a->shape;
    size_t heads = (size_t)(s->batch * s->heads), group = (size_t)(s->heads / s->heads_kv);
    char text[400];
    printf("device: %s (%s class)\n", a->device, a->device_class);
    printf("shape: batch %llu, heads %llu, n %llu, n_k %llu, d %u\n", (unsigned long long)s->batch,
           (unsigned long long)s->heads, (unsigned long long)s->n, (unsigned long long)s->n_k, s->d);
    printf("\nPredicted error |O - E|/|E| with the fit, from %llu query rows a head and %u draws\n",
           (unsigned long long)a->rows, a->draws);
    printf("%5s %9s %9s %8s", "head", "mean s", "fitted s", "keys");
    for (size_t step = 0; step < a->steps; ++step)
        printf("  M = %-4u", a->features[step]);
    printf("\n");
    for (size_t head = 0; head < heads; ++head) {
        size_t set = head % (size_t)s->heads / group;
        printf("%5zu %9.3g %9.3g %8.3g", head, a->mean_s_plain[set], a->mean_s[set], a->effective[set]);
        for (size_t step = 0; step < a->steps; ++step)
            printf("  %-8.3g", a->errors[step * heads + head]);
        printf("\n");
    }
    printf("\nMedian over heads (answering mean(V): %.3g)\n%-34s", a->mean_value_error, "");
    for (size_t step = 0; step < a->steps; ++step)
        printf("  M = %-4u", a->features[step]);
    for (size_t line = 0; line < a->line_count; ++line) {
        printf("\n%-34s", a->lines[line].name);
        for (size_t step = 0; step < a->steps; ++step)
            printf("  %-8.3g", a->lines[line].median[step]);
    }
    printf("\n%-34s", "exact keys of the fitted one");
    for (size_t step = 0; step < a->steps; ++step)
        printf("  %-8u", a->exact[step]);
    printf("\n%-34s", "seconds of the fitted one");
    for (size_t step = 0; step < a->steps; ++step)
        printf("  %-8.3g", a->seconds[step]);
    printf("\nexact attention: about %.3g s; the fit, once: %.3g s\n", a->exact_seconds, a->fit_seconds);
    uint32_t up_to = fastest_up_to(a);
    if (up_to)
        printf("the estimate is faster than exact attention up to M = %u\n", up_to);
    else
        printf("exact attention is faster than the estimate at every M\n");
    advice_sentence(a, text, sizeof text);
    printf("advice: %s\n", text);
}

bool advice_plot(const void *result, FILE *to) {
    const advice *a = result;
    size_t count = a->line_count + 1;
    verify_series *series = calloc(count, sizeof *series);
    double x[ADVISE_STEPS], mean[ADVISE_STEPS];
    char title[200];
    if (!series)
        return false;
    for (size_t step = 0; step < a->steps; ++step) {
        x[step] = a->features[step];
        mean[step] = a->mean_value_error;
    }
    for (size_t line = 0; line < a->line_count; ++line)
        series[line] = (verify_series){.label = (char *)(uintptr_t)a->lines[line].name,
                                       .style = VERIFY_LINE,
                                       .count = a->steps,
                                       .x = x,
                                       .y = (double *)(uintptr_t)a->lines[line].median};
    series[count - 1] =
        (verify_series){.label = (char[]){"mean(V)"}, .style = VERIFY_THEORY, .count = a->steps, .x = x, .y = mean};
    snprintf(title, sizeof title, "Error of the estimate, %llu heads, n = %llu, d = %u",
             (unsigned long long)a->shape->heads, (unsigned long long)a->shape->n_k, a->shape->d);
    verify_plot plot = {.suite = "advise",
                        .title = title,
                        .x_label = (char[]){"M, rows (features and exact keys)"},
                        .y_label = (char[]){"|O - E| / |E|, median over heads"},
                        .log_x = true,
                        .log_y = true,
                        .series_count = count,
                        .series = series};
    bool good = plot_write_file(&plot, to);
    free(series);
    return good && !ferror(to);
}
