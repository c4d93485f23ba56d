/* One axis of a plot: its range, where a value lies, and its ticks. Values are scaled first: log10 on a logarithmic
 * axis, with -infinity for what is not above 0. */
#ifndef VERIFY_PLOT_AXIS_H
#define VERIFY_PLOT_AXIS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct plot_axis {
    bool log;
    double low, high; /* scaled */
    double from, to;  /* where low and high lie in the drawing */
} plot_axis;

#define PLOT_TICKS      128
#define PLOT_TICK_LABEL 32
typedef struct plot_tick {
    double at; /* scaled */
    bool major;
    char label[PLOT_TICK_LABEL]; /* "" for a minor tick */
    int power;                   /* where has_power: the label ends in ten to this power, which is not in the text */
    bool has_power;
} plot_tick;

/* An axis without a range yet. */
plot_axis plot_axis_init(bool log);
/* Values beyond 1e300 count as infinite and those within 1e-300 as 0, so that spans and steps are ordinary numbers. */
double plot_scaled(const plot_axis *axis, double value);
/* Widens the range; ignores what is not finite. */
void plot_axis_include(plot_axis *axis, double scaled);
/* Makes a range that can be drawn of what was included, with this part of it as a margin on both sides. */
void plot_axis_settle(plot_axis *axis, double margin);
/* Cut at the ends of the axis, infinities too; not for NaN. */
double plot_place(const plot_axis *axis, double scaled);
/* Ascending; returns how many, 1 or more major ones. Labels get at most `room` characters in total if that can be. */
size_t plot_ticks(const plot_axis *axis, size_t room, plot_tick ticks[PLOT_TICKS]);
/* Characters that the label takes in the drawing. */
size_t plot_tick_width(const plot_tick *tick);

#endif
