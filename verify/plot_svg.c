#include "plot_svg.h"

#include <math.h>
#include <stdlib.h>

#include "plot_axis.h"
#include "report.h"

#define WIDTH     480.0
#define HEIGHT    300.0
#define TOP       8.0
#define RIGHT     16.0
#define BOTTOM    26.0
#define CHARACTER 6.8  /* of the font's 12 units, about; for digits */
#define MANY      1500 /* points that are drawn without thinning */
#define MANY_BARS 240

/* A point in scaled values. */
typedef struct point {
    double x, y, low, high; /* low and high are NaN where there is no bar; infinite ones end at the frame */
    bool valid;             /* false: the line has a gap here */
    bool kept;              /* after thinning */
} point;

typedef struct curve {
    const verify_series *series;
    point *points;
    size_t count, drawn; /* drawn: the valid ones */
    unsigned colour;     /* PLOT_COLOURS: that of the text */
    bool again;          /* the colour was used before: dotted */
} curve;

typedef struct drawing {
    FILE *to;
    plot_axis x, y;
    curve *curves;
    size_t count;
} drawing;

/* ------------------------------------------------------------------------------------------------------- points */

static double value_at(const plot_axis *axis, const double *values, size_t i) {
    return values ? plot_scaled(axis, values[i]) : NAN;
}

static bool is_valid(verify_style style, const point *p) {
    if (!isfinite(p->x))
        return false;
    if (style == VERIFY_BAND)
        return !isnan(p->low) && !isnan(p->high);
    return style == VERIFY_BARS ? !isnan(p->y) : isfinite(p->y);
}

static bool make_points(drawing *d, curve *c) {
    const verify_series *s = c->series;
    size_t count = s->x ? s->count : 0;
    c->points = calloc(count ? count : 1, sizeof *c->points);
    if (!c->points)
        return false;
    c->count = count;
    for (size_t i = 0; i < count; ++i) {
        point *p = &c->points[i];
        *p = (point){.x = value_at(&d->x, s->x, i),
                     .y = value_at(&d->y, s->y, i),
                     .low = value_at(&d->y, s->low, i),
                     .high = value_at(&d->y, s->high, i)};
        p->valid = is_valid(s->style, p);
        p->kept = true;
        c->drawn += p->valid;
    }
    return true;
}

/* Bars meet halfway between their centres. i is at most the number of points. */
static double bar_edge(const curve *c, size_t i) {
    const point *p = c->points;
    if (c->count == 1)
        return p->x + (i ? 0.5 : -0.5);
    if (i == 0)
        return p[0].x - 0.5 * (p[1].x - p[0].x);
    if (i == c->count)
        return p[i - 1].x + 0.5 * (p[i - 1].x - p[i - 2].x);
    return 0.5 * (p[i - 1].x + p[i].x);
}

static void drop_invalid(curve *c) {
    size_t left = 0;
    for (size_t i = 0; i < c->count; ++i)
        if (c->points[i].valid)
            c->points[left++] = c->points[i];
    c->count = left;
}

static void include_curve(drawing *d, const curve *c) {
    verify_style style = c->series->style;
    for (size_t i = 0; i < c->count; ++i) {
        const point *p = &c->points[i];
        if (!p->valid)
            continue;
        plot_axis_include(&d->x, p->x);
        if (style != VERIFY_BAND)
            plot_axis_include(&d->y, p->y);
        if (style == VERIFY_BAND || style == VERIFY_POINTS) {
            plot_axis_include(&d->y, p->low);
            plot_axis_include(&d->y, p->high);
        }
    }
    if (style == VERIFY_BARS && c->count) {
        plot_axis_include(&d->x, bar_edge(c, 0));
        plot_axis_include(&d->x, bar_edge(c, c->count));
        if (!d->y.log)
            plot_axis_include(&d->y, 0.0);
    }
}

/* In each column as wide as the line, what comes first and last and what reaches farthest. */
static void thin_column(point *points, size_t count) {
    size_t ends[6] = {0, 0, 0, 0, 0, count - 1};
    for (size_t i = 0; i < count; ++i) {
        const point *p = &points[i];
        points[i].kept = false;
        ends[0] = p->y < points[ends[0]].y ? i : ends[0];
        ends[1] = p->y > points[ends[1]].y ? i : ends[1];
        ends[2] = p->low < points[ends[2]].low ? i : ends[2];
        ends[3] = p->high > points[ends[3]].high ? i : ends[3];
    }
    for (size_t e = 0; e < 6; ++e)
        points[ends[e]].kept = true;
}

static void thin(const drawing *d, curve *c) {
    size_t from = 0;
    while (c->count > MANY && from < c->count) {
        size_t to = from + 1;
        double column = floor(plot_place(&d->x, c->points[from].x));
        while (to < c->count && c->points[from].valid && c->points[to].valid &&
               floor(plot_place(&d->x, c->points[to].x)) == column)
            ++to;
        thin_column(c->points + from, to - from);
        from = to;
    }
}

/* ------------------------------------------------------------------------------------------------------- curves */

static void put(const drawing *d, const char *command, double x, double y) {
    fprintf(d->to, "%s%.2f,%.2f", command, plot_place(&d->x, x), plot_place(&d->y, y));
}

static const char *line_class(const curve *c) {
    return c->series->style == VERIFY_THEORY ? "theory" : c->again ? "line again" : "line";
}

static void write_line(const drawing *d, const curve *c) {
    bool joined = false;
    size_t run = 0;
    fprintf(d->to, "<path class=\"%s\" d=\"", line_class(c));
    for (size_t i = 0; i < c->count; ++i) {
        const point *p = &c->points[i];
        if (p->valid && p->kept) {
            put(d, joined ? "L" : "M", p->x, p->y);
            joined = true;
            ++run;
        }
        if (run == 1 && (i + 1 == c->count || !p->valid))
            fputs("m-3,0h6", d->to); /* a point alone has no line to be seen by */
        if (!p->valid) {
            joined = false;
            run = 0;
        }
    }
    fputs("\"/>", d->to);
}

static void write_band(const drawing *d, const curve *c) {
    fputs("<path class=\"band\" d=\"", d->to);
    for (size_t from = 0, to; from < c->count; from = to + 1) {
        for (to = from; to < c->count && c->points[to].valid; ++to)
            if (c->points[to].kept)
                put(d, to == from ? "M" : "L", c->points[to].x, c->points[to].high);
        for (size_t i = to; i-- > from;)
            if (c->points[i].kept)
                put(d, "L", c->points[i].x, c->points[i].low);
        if (to > from)
            fputs("Z", d->to);
    }
    fputs("\"/>", d->to);
}

static void write_bars(const drawing *d, const curve *c) {
    size_t stride = (c->count + MANY_BARS - 1) / MANY_BARS;
    fprintf(d->to, "<path class=\"bars%s\" d=\"", c->count > 100 ? " many" : "");
    for (size_t i = 0; i < c->count; i += stride) {
        size_t end = i + stride < c->count ? i + stride : c->count;
        double area = 0.0, left = bar_edge(c, i), right = bar_edge(c, end), y = c->points[i].y;
        for (size_t j = i; j < end; ++j)
            area += c->points[j].y * (bar_edge(c, j + 1) - bar_edge(c, j));
        if (end > i + 1 && isfinite(area) && right != left)
            y = area / (right - left); /* what many thin bars look like from afar */
        put(d, "M", left, d->y.log ? -INFINITY : 0.0);
        fprintf(d->to, "V%.2fH%.2fV%.2fZ", plot_place(&d->y, y), plot_place(&d->x, right),
                plot_place(&d->y, d->y.log ? -INFINITY : 0.0));
    }
    fputs("\"/>", d->to);
}

/* The shape tells series apart where colours do not. */
static void write_marker(FILE *to, unsigned shape, double x, double y) {
    switch (shape % 4) {
    case 0:
        fprintf(to, "M%.2f,%.2fa3.5,3.5 0 1 0 7,0a3.5,3.5 0 1 0 -7,0z", x - 3.5, y);
        break;
    case 1:
        fprintf(to, "M%.2f,%.2fh6v6h-6z", x - 3.0, y - 3.0);
        break;
    case 2:
        fprintf(to, "M%.2f,%.2fl4,7h-8z", x, y - 4.5);
        break;
    default:
        fprintf(to, "M%.2f,%.2fl4.5,4.5l-4.5,4.5l-4.5,-4.5z", x, y - 4.5);
    }
}

static void write_points(const drawing *d, const curve *c) {
    fputs("<path class=\"error\" d=\"", d->to);
    for (size_t i = 0; i < c->count; ++i) {
        const point *p = &c->points[i];
        if (!p->valid || !p->kept || isnan(p->low) || isnan(p->high))
            continue;
        double x = plot_place(&d->x, p->x), low = plot_place(&d->y, p->low), high = plot_place(&d->y, p->high);
        fprintf(d->to, "M%.2f,%.2fV%.2fM%.2f,%.2fh8M%.2f,%.2fh8", x, low, high, x - 4.0, low, x - 4.0, high);
    }
    fputs("\"/><path class=\"dots\" d=\"", d->to);
    for (size_t i = 0; i < c->count; ++i)
        if (c->points[i].valid && c->points[i].kept)
            write_marker(d->to, c->colour, plot_place(&d->x, c->points[i].x), plot_place(&d->y, c->points[i].y));
    fputs("\"/>", d->to);
}

static void write_curve(const drawing *d, const curve *c) {
    static void (*const writers[])(const drawing *, const curve *) = {write_line, write_points, write_line, write_band,
                                                                      write_bars};
    fprintf(d->to, "<g class=\"s%u\">", c->colour);
    writers[c->series->style](d, c);
    fputs("</g>\n", d->to);
}

/* --------------------------------------------------------------------------------------------------------- axes */

static void write_label(FILE *to, const plot_tick *tick) {
    fputs(tick->label, to);
    if (tick->has_power)
        fprintf(to, "10<tspan dy=\"-4\" class=\"power\">%d</tspan>", tick->power);
}

static void write_grid(const drawing *d, const plot_tick *ticks, size_t count, bool vertical) {
    for (size_t i = 0; i < count; ++i) {
        double at = plot_place(vertical ? &d->x : &d->y, ticks[i].at);
        fprintf(d->to, "<path class=\"%s\" d=\"M%.2f,%.2f%c%.2f\"/>", ticks[i].major ? "grid" : "minor",
                vertical ? at : d->x.from, vertical ? d->y.to : at, vertical ? 'V' : 'H',
                vertical ? d->y.from : d->x.to);
        if (!ticks[i].major)
            continue;
        if (vertical)
            fprintf(d->to, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\">", at, d->y.from + 17.0);
        else
            fprintf(d->to, "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"end\">", d->x.from - 6.0, at + 4.0);
        write_label(d->to, &ticks[i]);
        fputs("</text>\n", d->to);
    }
}

static void write_axes(drawing *d) {
    plot_tick x[PLOT_TICKS], y[PLOT_TICKS];
    size_t y_count = plot_ticks(&d->y, SIZE_MAX, y), widest = 1;
    for (size_t i = 0; i < y_count; ++i)
        widest = y[i].major && plot_tick_width(&y[i]) > widest ? plot_tick_width(&y[i]) : widest;
    d->x.from = 12.0 + CHARACTER * (double)widest;
    d->x.to = WIDTH - RIGHT;
    d->y.from = HEIGHT - BOTTOM;
    d->y.to = TOP;
    size_t x_count = plot_ticks(&d->x, (size_t)((d->x.to - d->x.from) / CHARACTER), x);
    write_grid(d, x, x_count, true);
    write_grid(d, y, y_count, false);
    fprintf(d->to, "<path class=\"axis\" d=\"M%.2f,%.2fV%.2fH%.2f\"/>\n", d->x.from, d->y.to, d->y.from, d->x.to);
}

/* ------------------------------------------------------------------------------------------------------- figure */

static void write_labelled(FILE *to, const char *tag, const char *class_name, const char *text) {
    if (!text || !*text)
        return;
    fprintf(to, "<%s class=\"%s\">", tag, class_name);
    verify_write_text(to, text);
    fprintf(to, "</%s>\n", tag);
}

static void write_legend(const drawing *d) {
    fputs("<ul class=\"legend\">", d->to);
    for (size_t i = 0; i < d->count; ++i) {
        const curve *c = &d->curves[i];
        fprintf(d->to, "<li><svg class=\"key s%u\" viewBox=\"0 0 28 14\" aria-hidden=\"true\">", c->colour);
        if (c->series->style == VERIFY_BAND || c->series->style == VERIFY_BARS) {
            fprintf(d->to, "<path class=\"%s\" d=\"M2,2h24v10h-24z\"/>",
                    c->series->style == VERIFY_BAND ? "band" : "bars");
        } else if (c->series->style == VERIFY_POINTS) {
            fputs("<path class=\"dots\" d=\"", d->to);
            write_marker(d->to, c->colour, 14.0, 7.0);
            fputs("\"/>", d->to);
        } else {
            fprintf(d->to, "<path class=\"%s\" d=\"M2,7h24\"/>", line_class(c));
        }
        fputs("</svg><span>", d->to);
        verify_write_text(d->to, c->series->label);
        if (c->drawn < c->series->count)
            fprintf(d->to, " (%zu of %zu cannot be drawn)", c->series->count - c->drawn, c->series->count);
        fputs("</span></li>\n", d->to);
    }
    fputs("</ul>\n", d->to);
}

/* Series of one kind differ in colour; the i-th theory and the i-th band go with the i-th measured one. A single theory
 * is told apart from what is measured best by the colour of the text. */
static void choose_colours(drawing *d) {
    unsigned next[3] = {0, 0, 0}, theories = 0;
    for (size_t i = 0; i < d->count; ++i)
        theories += d->curves[i].series->style == VERIFY_THEORY;
    for (size_t i = 0; i < d->count; ++i) {
        verify_style style = d->curves[i].series->style;
        unsigned *own = &next[style == VERIFY_THEORY ? 1 : style == VERIFY_BAND ? 2 : 0];
        d->curves[i].again = *own >= PLOT_COLOURS;
        d->curves[i].colour = style == VERIFY_THEORY && theories == 1 ? PLOT_COLOURS : (*own)++ % PLOT_COLOURS;
    }
}

static void write_svg(drawing *d, const verify_plot *plot) {
    static const verify_style order[] = {VERIFY_BAND, VERIFY_BARS, VERIFY_LINE, VERIFY_THEORY, VERIFY_POINTS};
    bool bars = false, any = false;
    for (size_t i = 0; i < d->count; ++i) {
        bars |= d->curves[i].series->style == VERIFY_BARS;
        any |= d->curves[i].drawn > 0;
        include_curve(d, &d->curves[i]);
    }
    bool stands = bars && !d->y.log && d->y.low >= 0.0; /* bars stand on the axis */
    plot_axis_settle(&d->x, bars ? 0.0 : 0.02);
    plot_axis_settle(&d->y, 0.04);
    d->y.low = stands ? 0.0 : d->y.low;
    fprintf(d->to, "<svg class=\"plot\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    verify_write_text(d->to, plot->title);
    fputs("\">\n", d->to);
    write_axes(d);
    for (size_t o = 0; o < sizeof order / sizeof *order; ++o)
        for (size_t i = 0; i < d->count; ++i)
            if (d->curves[i].series->style == order[o]) {
                thin(d, &d->curves[i]);
                write_curve(d, &d->curves[i]);
            }
    if (!any)
        fprintf(d->to, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">no values to draw</text>\n",
                0.5 * (d->x.from + d->x.to), HEIGHT / 2.0);
    fputs("</svg>\n", d->to);
}

static void write_figure(drawing *d, const verify_plot *plot) {
    fputs("<figure>\n", d->to);
    write_labelled(d->to, "h3", "title", plot->title);
    write_labelled(d->to, "p", "y-label", plot->y_label);
    write_svg(d, plot);
    write_labelled(d->to, "p", "x-label", plot->x_label);
    write_legend(d);
    write_labelled(d->to, "figcaption", "text", plot->text);
    fputs("</figure>\n", d->to);
}

static void write_line_of_text(FILE *to, double x, double y, const char *attributes, const char *text) {
    fprintf(to, "<text x=\"%.0f\" y=\"%.0f\"%s>", x, y, attributes);
    verify_write_text(to, text ? text : "");
    fputs("</text>\n", to);
}

#define LEGEND_LINE 17.0
#define HEAD        44.0 /* title and the label of the y axis */
#define FOOT        22.0 /* the label of the x axis */

/* No HTML: what shows pictures of pages may not know it. */
static void write_picture(drawing *d, const verify_plot *plot) {
    double legend = HEAD + HEIGHT + FOOT, height = legend + LEGEND_LINE * (double)((d->count + 1) / 2) + 8.0;
    fprintf(d->to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 "
            "%.0f %.0f\">\n<style>\n%s</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"var(--page)\"/>\n",
            1.5 * WIDTH, 1.5 * height, WIDTH, height, verify_report_style);
    write_line_of_text(d->to, 8.0, 16.0, " style=\"font-weight:600;fill:var(--text)\"", plot->title);
    write_line_of_text(d->to, 8.0, 36.0, "", plot->y_label);
    fprintf(d->to, "<svg x=\"0\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\">\n", HEAD, WIDTH, HEIGHT);
    write_svg(d, plot);
    fputs("</svg>\n", d->to);
    write_line_of_text(d->to, WIDTH / 2.0, HEAD + HEIGHT + 14.0, " text-anchor=\"middle\"", plot->x_label);
    for (size_t i = 0; i < d->count; ++i) {
        const curve *c = &d->curves[i];
        double x = i % 2 ? WIDTH / 2.0 : 8.0, y = legend + LEGEND_LINE * (double)(i / 2 + 1);
        fprintf(d->to, "<g class=\"s%u\"><path class=\"%s\" d=\"M%.0f,%.0fh24\"/></g>", c->colour, line_class(c), x,
                y - 4.0);
        write_line_of_text(d->to, x + 30.0, y, "", c->series->label);
    }
    fputs("</svg>\n", d->to);
}

static bool write_as(const verify_plot *plot, FILE *to, void (*write)(drawing *, const verify_plot *)) {
    drawing d = {.to = to, .x = plot_axis_init(plot->log_x), .y = plot_axis_init(plot->log_y)};
    d.count = plot->series ? plot->series_count : 0;
    d.curves = calloc(d.count ? d.count : 1, sizeof *d.curves);
    bool good = d.curves != NULL;
    for (size_t i = 0; i < d.count && good; ++i) {
        d.curves[i].series = &plot->series[i];
        good = make_points(&d, &d.curves[i]);
        if (good && plot->series[i].style == VERIFY_BARS)
            drop_invalid(&d.curves[i]);
    }
    if (good) {
        choose_colours(&d);
        write(&d, plot);
    }
    for (size_t i = 0; d.curves && i < d.count; ++i)
        free(d.curves[i].points);
    free(d.curves);
    return good;
}

bool plot_write(const verify_plot *plot, FILE *to) {
    return write_as(plot, to, write_figure);
}

bool plot_write_file(const verify_plot *plot, FILE *to) {
    return write_as(plot, to, write_picture);
}
