#include "plot_axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LARGEST  1e300
#define SMALLEST 1e-300

plot_axis plot_axis_init(bool log) {
    return (plot_axis){.log = log, .low = INFINITY, .high = -INFINITY};
}

double plot_scaled(const plot_axis *axis, double value) {
    if (isnan(value))
        return NAN;
    if (fabs(value) > LARGEST)
        return copysign(INFINITY, value);
    if (axis->log)
        return value > SMALLEST ? log10(value) : -INFINITY;
    return fabs(value) > SMALLEST ? value : 0.0;
}

void plot_axis_include(plot_axis *axis, double scaled) {
    if (!isfinite(scaled))
        return;
    axis->low = scaled < axis->low ? scaled : axis->low;
    axis->high = scaled > axis->high ? scaled : axis->high;
}

void plot_axis_settle(plot_axis *axis, double margin) {
    if (axis->low > axis->high) {
        axis->low = 0.0;
        axis->high = 1.0;
    }
    double size = fmax(fabs(axis->low), fabs(axis->high)), span = axis->high - axis->low;
    if (axis->log && span < 1e-9) {
        axis->low -= 0.5;
        axis->high += 0.5;
    } else if (!axis->log &&
               !(span > 1e-9 * size)) { /* equal but for rounding: ticks would have no digits to differ in */
        double half = size > 0.0 ? 0.1 * size : 1.0;
        axis->low -= half;
        axis->high += half;
    } else {
        axis->low -= margin * span;
        axis->high += margin * span;
    }
}

double plot_place(const plot_axis *axis, double scaled) {
    double part = (scaled - axis->low) / (axis->high - axis->low);
    part = part > 1.0 ? 1.0 : part > 0.0 ? part : 0.0;
    return axis->from + part * (axis->to - axis->from);
}

/* -------------------------------------------------------------------------------------------------------- ticks */

static size_t add(plot_tick ticks[PLOT_TICKS], size_t count, double at, bool major) {
    if (count == PLOT_TICKS)
        return count;
    ticks[count] = (plot_tick){.at = at, .major = major};
    return count + 1;
}

/* The smallest of 1, 2, 5 times a power of ten that is at least this. */
static double round_step(double least) {
    double power = pow(10.0, floor(log10(least)));
    static const double factors[] = {1.0, 2.0, 5.0};
    for (size_t i = 0; i < 3; ++i)
        if (factors[i] * power >= least * (1.0 - 1e-9))
            return factors[i] * power;
    return 10.0 * power;
}

/* Between 1e-4 and 1e6 as people write them, else a mantissa and a power of ten; as many digits as the step has. */
static void label_linear(plot_tick *tick, double value, double step, double largest) {
    int digit = (int)floor(log10(step) + 1e-9), first = (int)floor(log10(largest) + 1e-9);
    if (value == 0.0) {
        strcpy(tick->label, "0");
    } else if (first >= 6 || first < -3) {
        tick->has_power = true;
        tick->power = first;
        snprintf(tick->label, sizeof tick->label, "%.*f\u00b7", first > digit ? first - digit : 0,
                 value / pow(10.0, first));
    } else {
        snprintf(tick->label, sizeof tick->label, "%.*f", digit < 0 ? -digit : 0, value);
    }
}

/* Every multiple of the step between two values; on a logarithmic axis where its range is too short for powers. */
static size_t multiples(const plot_axis *axis, double low, double high, double step, plot_tick ticks[PLOT_TICKS]) {
    size_t count = 0;
    double largest = fmax(fabs(low), fabs(high));
    for (double i = ceil(low / step - 1e-9); i <= high / step + 1e-9; ++i) {
        double value = i * step + 0.0; /* no -0 */
        size_t before = count;
        count = add(ticks, count, axis->log ? log10(value) : value, true);
        if (count > before)
            label_linear(&ticks[before], value, step, largest);
    }
    return count;
}

static void label_power(plot_tick *tick, int factor, int power, bool written_out) {
    if (written_out) {
        snprintf(tick->label, sizeof tick->label, "%.*f", power < 0 ? -power : 0, factor * pow(10.0, power));
        return;
    }
    tick->has_power = true;
    tick->power = power;
    if (factor > 1)
        snprintf(tick->label, sizeof tick->label, "%d\u00b7", factor);
}

/* Labels at every stride-th power of ten, or at 1, 2 and 5 times each where stride is 0. */
static size_t powers(const plot_axis *axis, int stride, plot_tick ticks[PLOT_TICKS]) {
    size_t count = 0;
    int first = (int)floor(axis->low), last = (int)floor(axis->high);
    bool written_out = axis->low >= -4.0 && axis->high <= 6.0;
    for (int power = first; power <= last; ++power)
        for (int factor = 1; factor < (stride > 1 ? 2 : 10); ++factor) {
            double at = power + log10(factor);
            bool named = stride ? factor == 1 && power % stride == 0 : factor == 1 || factor == 2 || factor == 5;
            size_t before = count;
            if (at < axis->low - 1e-9 || at > axis->high + 1e-9 || (!named && stride > 4))
                continue;
            count = add(ticks, count, at, named);
            if (named && count > before)
                label_power(&ticks[before], factor, power, written_out);
        }
    return count;
}

static size_t wanted(const plot_axis *axis, int most, plot_tick ticks[PLOT_TICKS]) {
    double span = axis->high - axis->low;
    if (axis->log && span > 2.0)
        return powers(axis, (int)ceil(span / most), ticks);
    if (axis->log && span > 0.8)
        return powers(axis, span > 0.3 * most ? 1 : 0, ticks);
    double low = axis->log ? pow(10.0, axis->low) : axis->low, high = axis->log ? pow(10.0, axis->high) : axis->high;
    return multiples(axis, low, high, round_step((high - low) / most), ticks);
}

size_t plot_tick_width(const plot_tick *tick) {
    char power[16];
    int digits = tick->has_power ? snprintf(power, sizeof power, "10%d", tick->power) : 0;
    return strlen(tick->label) + (size_t)digits;
}

size_t plot_ticks(const plot_axis *axis, size_t room, plot_tick ticks[PLOT_TICKS]) {
    size_t count = 0;
    for (int most = 7; most >= 3; --most) { /* with fewer, a step may pass over the whole range */
        size_t width = 0;
        count = wanted(axis, most, ticks);
        for (size_t i = 0; i < count; ++i)
            width += ticks[i].major ? plot_tick_width(&ticks[i]) + 2 : 0;
        if (width <= room)
            break;
    }
    return count;
}
