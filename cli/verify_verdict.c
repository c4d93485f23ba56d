#include "verify_verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "options.h"

#define FALLS 0.95 /* less of a change is none */

enum { LAST = VERIFY_OWN_SIZES - 1, DEFAULT = 2 }; /* points of the largest m and of what `run` takes by default */
_Static_assert(64U << DEFAULT == OPTIONS_DEFAULT_FEATURES, "the verdict speaks of run's default");

static void add(verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(verdict *v, const char *format, ...) {
    size_t used = strlen(v->text);
    va_list args;
    va_start(args, format);
    vsnprintf(v->text + used, sizeof v->text - used, format, args);
    va_end(args);
}

/* The first point from which on every error is at most the limit; VERIFY_OWN_SIZES: none. NaN is no success. */
static int first_within(const verify_own_head *head, double limit) {
    int i = VERIFY_OWN_SIZES;
    while (i > 0 && head->points[i - 1].output_measured <= limit)
        --i;
    return i;
}

static uint32_t features_at(const verify_own_head *head, int point) {
    return point < VERIFY_OWN_SIZES ? head->points[point].features : 0;
}

/* Multiply-adds, but for the factor d + dv that both have. */
static bool exact_costs_less(uint32_t m, uint64_t n, uint64_t n_k) {
    return (double)m * ((double)n + (double)n_k) >= (double)n * (double)n_k;
}

static void add_cost(verdict *v, uint32_t m, uint64_t n, uint64_t n_k) {
    if (!exact_costs_less(m, n, n_k))
        return;
    add(v, "; for n = %" PRIu64, n);
    if (n_k != n)
        add(v, " and %" PRIu64 " keys", n_k);
    add(v, " exact attention costs less");
}

static bool no_better_than_mean(double error, double mean_value_error) {
    return error > VERDICT_MEAN * mean_value_error;
}

static void say_not_enough(verdict *v, const verify_own_head *head) {
    double now = head->points[DEFAULT].output_measured, last = head->points[LAST].output_measured;
    double mean = head->mean_value_error;
    if (!(isfinite(now) && isfinite(last) && isfinite(mean))) {
        add(v, "the output error is not a number: some q.k or v is beyond what float32 holds");
        return;
    }
    add(v, "m = %u is not enough: output error %.2f, ", head->points[DEFAULT].features, now);
    add(v, no_better_than_mean(now, mean) ? "no better than mean(V) alone with %.2f" : "mean(V) alone has %.2f", mean);
    add(v, last < FALLS * now ? "; the error falls to %.2f at m = %u" : "; the error is still %.2f at m = %u", last,
        head->points[LAST].features);
    add(v, no_better_than_mean(last, mean) ? ", no better than mean(V) either; exact attention would be better here"
                                           : "; exact attention would be better here");
}

static void say_uniform(verdict *v, const verify_own_head *head) {
    uint32_t better = features_at(head, first_within(head, VERDICT_MEAN * head->mean_value_error));
    add(v, "mean(V) alone is enough: output error %.2g, attention is nearly uniform", head->mean_value_error);
    if (better)
        add(v, "; features do better from m = %u on", better);
    else
        add(v, "; features do no better up to m = %u", head->points[LAST].features);
}

verdict verdict_of_head(const verify_own_head *head, uint64_t n, uint64_t n_k) {
    int good = first_within(head, VERDICT_GOOD), usable = first_within(head, VERDICT_USABLE);
    verdict v = {.good = features_at(head, good), .usable = features_at(head, usable)};
    if (head->mean_value_error <= VERDICT_GOOD) {
        say_uniform(&v, head);
        return v;
    }
    if (!v.usable) {
        say_not_enough(&v, head);
        return v;
    }
    int chosen = v.good ? good : usable;
    double error = head->points[chosen].output_measured, mean = head->mean_value_error;
    add(&v, "m = %u is %s: output error %.2g, ", head->points[chosen].features, v.good ? "enough" : "usable", error);
    add(&v, no_better_than_mean(error, mean) ? "but mean(V) alone has %.2g" : "mean(V) alone has %.2g", mean);
    if (!v.good)
        add(&v, "; no m up to %u reaches %g (%.2f there)", head->points[LAST].features, VERDICT_GOOD,
            head->points[LAST].output_measured);
    else if (usable < good && !no_better_than_mean(head->points[usable].output_measured, mean))
        add(&v, "; m = %u is usable with %.2f", v.usable, head->points[usable].output_measured);
    add_cost(&v, head->points[chosen].features, n, n_k);
    return v;
}

/* Median over heads of one m's measured error, or of mean(V)'s for point -1. */
static double median_error(const verify_own_result *r, int point) {
    double *errors = malloc((size_t)r->head_count * sizeof *errors), median = NAN;
    for (uint64_t h = 0; errors && h < r->head_count; ++h)
        errors[h] = point < 0 ? r->heads[h].mean_value_error : r->heads[h].points[point].output_measured;
    if (errors)
        median = compare_median(errors, (size_t)r->head_count);
    free(errors);
    return median;
}

verdict verdict_of_all(const verify_own_result *r, uint64_t n, uint64_t n_k) {
    verdict v = {.good = 0};
    uint64_t good = 0, usable = 0;
    uint32_t most_good = 0, most_usable = 0, largest = r->heads[0].points[LAST].features;
    for (uint64_t h = 0; h < r->head_count; ++h) {
        uint32_t g = features_at(&r->heads[h], first_within(&r->heads[h], VERDICT_GOOD));
        uint32_t u = features_at(&r->heads[h], first_within(&r->heads[h], VERDICT_USABLE));
        good += g != 0;
        usable += u != 0;
        most_good = g > most_good ? g : most_good;
        most_usable = u > most_usable ? u : most_usable;
    }
    v.good = good == r->head_count ? most_good : 0;
    v.usable = usable == r->head_count ? most_usable : 0;
    if (v.good)
        add(&v, "m = %u is enough for every head", v.good);
    else if (v.usable)
        add(&v, "m = %u is usable for every head; up to m = %u the error reaches %g in %" PRIu64 " of %" PRIu64,
            v.usable, largest, VERDICT_GOOD, good, r->head_count);
    else if (usable)
        add(&v, "up to m = %u the error reaches %g in %" PRIu64 " and %g in %" PRIu64 " of %" PRIu64 " heads", largest,
            VERDICT_GOOD, good, VERDICT_USABLE, usable, r->head_count);
    else
        add(&v, "plain random features are not enough for any head up to m = %u", largest);
    double now = median_error(r, DEFAULT), last = median_error(r, LAST), mean = median_error(r, -1);
    if (isfinite(now) && isfinite(last) && isfinite(mean))
        add(&v, "; median output error %.2g at m = %u and %.2g at %u, mean(V) alone %.2g", now,
            r->heads[0].points[DEFAULT].features, last, largest, mean);
    else
        add(&v, "; the median output error is not a number");
    if (v.usable)
        add_cost(&v, v.good ? v.good : v.usable, n, n_k);
    else
        add(&v, "; exact attention would be better %s", usable ? "for the others" : "here");
    return v;
}
