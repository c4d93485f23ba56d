/* Ticks, and what a drawing makes of its points. */
#define _GNU_SOURCE
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plot_axis.h"
#include "plot_svg.h"

static char *plot_of(verify_series *own, bool log_x, bool log_y) {
    verify_plot plot = {"law", "t", "x", "y", NULL, log_x, log_y, 1, own};
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(memory);
    ck_assert(plot_write(&plot, memory));
    ck_assert_int_eq(fclose(memory), 0);
    return text;
}

START_TEST(bars_touch) {
    double x[] = {1, 2, 4}, y[] = {1, 3, 2}, left[3], right[3], base[3];
    verify_series bars = {"b", VERIFY_BARS, 3, x, y, NULL, NULL};
    char *text = plot_of(&bars, false, false), *at = strstr(text, "class=\"bars\" d=\"");
    ck_assert_ptr_nonnull(at);
    ck_assert_int_eq(sscanf(at, "class=\"bars\" d=\"M%lf,%lfV%*fH%lfV%*fZM%lf,%lfV%*fH%lfV%*fZM%lf,%lfV%*fH%lf", left,
                            base, right, left + 1, base + 1, right + 1, left + 2, base + 2, right + 2),
                     9);
    ck_assert(right[0] == left[1] && right[1] == left[2] && base[0] == base[2]);
    ck_assert(left[0] < right[0] && fabs((left[2] + right[2]) / 2 - (right[1] + (right[2] - right[1]) / 2)) < 0.02);
    free(text);
}
END_TEST

START_TEST(many_points_are_thinned_and_peaks_stay) {
    enum { MANY = 20000 };
    double *x = test_alloc(MANY, sizeof *x), *y = test_alloc(MANY, sizeof *y);
    for (size_t i = 0; i < MANY; ++i) {
        x[i] = (double)(i + 1);
        y[i] = i == 12345 ? 10.0 : sin((double)i);
    }
    for (int style = VERIFY_LINE; style <= VERIFY_BARS; ++style) {
        verify_series own = {"s", (verify_style)style, MANY, x, y, y, y};
        char *text = plot_of(&own, style % 2, false);
        ck_assert_uint_lt(strlen(text), 300000);
        /* the range is -1 .. 10 with 4 % on both sides, over 266 from 274 upwards; bars are averaged */
        char peak[16];
        snprintf(peak, sizeof peak, "%.2f", 274.0 - 266.0 * 1.04 / 1.08);
        ck_assert(style == VERIFY_BARS || strstr(text, peak));
        free(text);
    }
    free(x);
    free(y);
}
END_TEST

START_TEST(ticks) {
    static const struct {
        bool log;
        double low, high;
        size_t major;
        const char *first, *last;
    } cases[] = {{false, 0, 10, 6, "0", "10"},
                 {false, -1, 1, 5, "-1.0", "1.0"},
                 {false, 0.98, 1.02, 5, "0.98", "1.02"},
                 {false, 0, 2.5e7, 6, "0", "2.5\u00b7"},
                 {false, 5, 5, 5, "4.6", "5.4"},
                 {true, 1, 1e4, 5, "1", "10000"},
                 {true, 1e-9, 1, 5, "", ""},
                 {true, 10, 100, 4, "10", "100"},
                 {true, 90, 110, 5, "90", "110"},
                 {true, 1e-299, 1e299, 7, "", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        plot_tick list[PLOT_TICKS];
        plot_axis axis = plot_axis_init(cases[i].log);
        size_t major = 0, first = 0, last = 0;
        plot_axis_include(&axis, plot_scaled(&axis, cases[i].low));
        plot_axis_include(&axis, plot_scaled(&axis, cases[i].high));
        plot_axis_settle(&axis, 0.0);
        size_t count = plot_ticks(&axis, 100, list);
        for (size_t t = 0; t < count; ++t) {
            ck_assert(list[t].at >= axis.low - 1e-6 && list[t].at <= axis.high + 1e-6);
            ck_assert(t == 0 || list[t].at > list[t - 1].at);
            first = major == 0 ? t : first;
            major += list[t].major;
            last = list[t].major ? t : last;
        }
        ck_assert_uint_eq(major, cases[i].major);
        ck_assert_str_eq(list[first].label, cases[i].first);
        ck_assert_str_eq(list[last].label, cases[i].last);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_plot");
    TCase *tcase = tcase_create("verify_plot");
    tcase_add_test(tcase, bars_touch);
    tcase_add_test(tcase, many_points_are_thinned_and_peaks_stay);
    tcase_add_test(tcase, ticks);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
